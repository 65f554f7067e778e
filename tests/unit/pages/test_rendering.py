"""Templates of pages are compiled when they are needed, and all of them by the boot check."""

import jinja2
import pytest

from app.digest.rendering import DigestRenderer
from app.pages.rendering import PageRenderer
from app.pages.static_files import StaticFiles


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lists the names of compiled templates."""
    names = list[str]()
    compile_template = jinja2.Environment.compile

    def recording(environment: jinja2.Environment, source: str, name: str, filename: str) -> object:
        names.append(name)
        return compile_template(environment, source, name, filename)

    monkeypatch.setattr(jinja2.Environment, "compile", recording)
    return names


def test_the_start_of_a_process_compiles_no_template(compiled: list[str]) -> None:
    PageRenderer(StaticFiles())
    DigestRenderer()
    assert compiled == []


def test_a_page_compiles_only_its_own_templates(compiled: list[str]) -> None:
    pages = PageRenderer(StaticFiles())
    for _ in range(2):
        pages.page("landing.html.j2", version="1.0", sign_up=False)
    assert sorted(compiled) == ["base.html.j2", "landing.html.j2"]


def test_the_boot_check_compiles_every_template(compiled: list[str]) -> None:
    number = PageRenderer(StaticFiles()).compile_all()
    assert number == len(set(compiled)) > 30
    assert {"landing.html.j2", "ops/overview.html.j2", "digest.html.j2"} <= set(compiled)
