"""`make settings`: write docs/SETTINGS.md from the settings classes, so that the document and the code agree."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from app.config import ApiSettings, WorkerSettings
from app.config.fetch_times import FetchTimes
from app.config.shared import Settings

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "SETTINGS.md"
HEAD = """# Settings

For operators. Both processes read these variables from the environment and from `.env` (see
[.env.example](../.env.example)). If values are missing or wrong, the process does not start, and one message names all
of them. `make settings` generates this document from `app/config/`. [TRACES.md](TRACES.md) has the
variables of OpenTelemetry.
"""


BY_FIELD = {
    "Machine learning": {"ARXIV_CATEGORIES": "cs.AI,cs.CL,cs.CV,cs.LG,stat.ML"},
    "Life science": {
        "ARXIV_CATEGORIES": "q-bio",
        "BIORXIV_CATEGORIES": "biorxiv,medrxiv",
        "FEEDS": "Nature=https://www.nature.com/nature.rss,Cell=https://www.cell.com/cell/current.rss,"
        "eLife=https://elifesciences.org/rss/recent.xml,PLOS Biology=https://journals.plos.org/plosbiology/feed/atom",
    },
    "Physics": {
        "ARXIV_CATEGORIES": "astro-ph,cond-mat,gr-qc,hep-ex,hep-ph,hep-th,nucl-ex,nucl-th,physics,quant-ph",
        "FEEDS": "Physical Review Letters=https://feeds.aps.org/rss/recent/prl.xml,"
        "Nature Physics=https://www.nature.com/nphys.rss,Quanta=https://api.quantamagazine.org/feed/",
    },
}
FIELDS = """
## Values by field

Sources for three fields. `FEEDS` takes any RSS or Atom feed: a publisher's news, a journal's table of contents, a saved
PubMed search (*Create RSS* below the search), an alert. An entry with a DOI is a paper, and is joined with its arXiv or
bioRxiv copy.
"""


def settings_document() -> str:
    """The text of docs/SETTINGS.md: one table for both processes, one for the API, one for the worker."""
    shared = set(Settings.model_fields)
    sections = [
        ("Both processes", _table(Settings, set())),
        ("API", _table(ApiSettings, shared)),
        ("Worker", _table(WorkerSettings, shared)),
    ]
    return HEAD + "".join(f"\n## {title}\n\n{table}" for title, table in sections) + FIELDS + _by_field()


def _by_field() -> str:
    blocks = [
        f"\n{field}:\n\n```\n" + "".join(f"{name}={value}\n" for name, value in values.items()) + "```\n"
        for field, values in BY_FIELD.items()
    ]
    return "".join(blocks)


def _table(settings: type[BaseSettings], excluded: set[str]) -> str:
    fields = [(name, field) for name, field in settings.model_fields.items() if name not in excluded]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *_rows(fields), ""])


def _rows(fields: list[tuple[str, FieldInfo]]) -> Iterator[str]:
    for name, field in fields:
        default = "**required**" if field.is_required() else _default_text(field.default)
        yield f"| `{name.upper()}` | {default} | {field.description} |"


def _default_text(value: Any) -> str:
    """A default as it would stand in `.env`; empty if there is none."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, FetchTimes):
        return f"`{','.join(f'{time:%H:%M}' for time in value.times)} {value.timezone}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value}`"


if __name__ == "__main__":
    DOCUMENT.write_text(settings_document(), encoding="utf-8")
