"""Settings of categories: what is accepted, and the error that names the nearest valid names."""

from pathlib import Path

import pytest

from app.config import WorkerSettings, load_settings
from app.errors import ConfigurationError
from scripts.settings import BY_FIELD


@pytest.fixture(autouse=True)
def only_supabase(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPABASE_URL", "https://abc.supabase.co")
    monkeypatch.setenv("SUPABASE_KEY", "sb_secret_abc")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ARXIV_CATEGORIES", "cs.AI,cs.ai", "'cs.ai' is not an arXiv category: did you mean cs.AI?"),
        ("ARXIV_CATEGORIES", "cs.ML,hep_th", "did you mean stat.ML or .*'hep_th' .* did you mean hep-th"),
        ("BIORXIV_CATEGORIES", "biorxiv/cel_biology", "'biorxiv/cel_biology' is not .*: did you mean cell_biology"),
        ("BIORXIV_CATEGORIES", "neuroscience", "'neuroscience' does not begin with biorxiv or medrxiv"),
    ],
)
def test_an_unknown_category_names_the_nearest_ones(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"{name} is .*{reason}"):
        load_settings(WorkerSettings)


def test_categories_of_both_servers_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARXIV_CATEGORIES", "q-bio,math.MP,hep-th")
    monkeypatch.setenv("BIORXIV_CATEGORIES", "biorxiv/Cell_Biology, biorxiv/genomics, medrxiv, medrxiv/HIV/AIDS")
    settings = load_settings(WorkerSettings)
    assert settings.arxiv_categories == ("q-bio", "math.MP", "hep-th")
    assert settings.biorxiv_categories == (
        ("biorxiv", "cell biology"),
        ("biorxiv", "genomics"),
        ("medrxiv", None),
        ("medrxiv", "hiv aids"),
    )


@pytest.mark.parametrize("field", BY_FIELD)
def test_the_documented_values_of_each_field_are_valid(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    for name, value in BY_FIELD[field].items():
        monkeypatch.setenv(name, value)
    settings = load_settings(WorkerSettings)
    assert settings.arxiv_categories
    assert len(settings.feeds) == BY_FIELD[field].get("FEEDS", "").count("=")
