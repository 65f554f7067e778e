"""DOIs as sources write them."""

import pytest

from app.sources.doi import doi, doi_in_link


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


SICI = "10.1002/(SICI)1099-0000(199803)19:4<377::AID-XYZ1>3.0.CO;2-P"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SICI, SICI.lower()),
        (SICI.replace("<", "&lt;").replace(">", "&gt;"), SICI.lower()),
        ("https://doi.org/" + SICI.replace("<", "%3C").replace(">", "%3E"), SICI.lower()),
        ("10.1175/1520-0469(1995)052<1234:ABC>2.0.CO;2", "10.1175/1520-0469(1995)052<1234:abc>2.0.co;2"),
        ("http://doi.acm.org/10.1145/1.2", "10.1145/1.2"),
        ("https://doi-org.proxy.example.edu/10.1145/1.2", "10.1145/1.2"),
        ("doi:https://doi.org/10.1145/1.2", "10.1145/1.2"),
    ],
)
def test_forms_that_are_rare_elsewhere(text: str, found: str) -> None:
    assert doi(text) == found


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("https://www.biorxiv.org/content/10.1101/2020.01.01.123456v1.full.pdf", "10.1101/2020.01.01.123456"),
        ("https://journals.example/prl/abstract/10.1103/PhysRevLett.1.2", "10.1103/physrevlett.1.2"),
        ("https://publisher.example/articles/10.3389/x.1/full", "10.3389/x.1"),
        ("https://doi.org/10.1000/1?x", "10.1000/1"),
        ("https://a.example/x", None),
        (None, None),
    ],
)
def test_a_publishers_link_names_its_paper(link: str | None, found: str | None) -> None:
    assert doi_in_link(link) == found
