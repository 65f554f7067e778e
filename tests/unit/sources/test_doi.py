"""DOIs as sources write them."""

import pytest

from app.sources.doi import doi


@pytest.mark.parametrize(
    "text",
    [
        "10.1038/S41586-026-1", "doi:10.1038/s41586-026-1", "DOI: 10.1038/s41586-026-1",
        "info:doi/10.1038/s41586-026-1",
        "https://doi.org/10.1038/s41586-026-1", "http://dx.doi.org/10.1038%2Fs41586-026-1?utm_source=rss",
        " 10.1038/s41586-026-1. ", "10.1038/s41586-026-1 10.1038/other",
    ],
)  # fmt: skip
def test_every_spelling_of_a_doi_is_recognized(text: str) -> None:
    assert doi(text) == "10.1038/s41586-026-1"


@pytest.mark.parametrize(
    "text",
    [
        None, "", "10.1038", "10.1/x", "11.1038/x", "https://example.com/10.1038/x", "urn:uuid:10.1038/x", "10.1038/",
        "10.1038/<script>", "10.1038/\x00x", "10.1038/\ud800", "see 10.1038/x", "10.1038/" + "x" * 5_000_000,
    ],
    ids=lambda text: repr(text)[:20],
)  # fmt: skip
def test_invalid_dois_are_none(text: str | None) -> None:
    assert doi(text) is None
