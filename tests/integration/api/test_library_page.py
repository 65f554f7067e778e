"""A reader's page of the library, without scripts: it connects, tells problems, and says where papers came from."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr
from supabase import AsyncClient

from app.config import ApiSettings
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.services import Services
from embedded.stack import Ready
from tests.support.fake_zotero import KEY, USER, FakeZotero
from tests.support.operators import Operator, settings_with_operators
from tests.support.running_api import RunningApi
from tests.support.visitors import HOSTILE, SECRET, Visitor, assert_only_text, visitor_of

REFUSE = (
    "update public.reader_libraries set problem_kind = 'key_refused', problem = 'Zotero refuses the key' where true"
)


@pytest.fixture
async def zotero() -> AsyncIterator[FakeZotero]:
    async with FakeZotero().serve() as zotero:
        yield zotero


@pytest.fixture
def settings(stack: Ready, database_reset: None, zotero: FakeZotero) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_operators(stack, link_secret=SECRET, zotero_base_url=zotero.url)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


async def show(visitor: Visitor) -> str:
    page = await visitor.http.get(f"{visitor.path('home')}/library")
    assert page.status_code == 200
    assert_only_text(page)
    return page.text


async def connect(visitor: Visitor, **form: str) -> tuple[int, str]:
    values = {"id": USER, "key": KEY, "collections": ""} | form
    answer = await visitor.http.post(f"{visitor.path('home')}/library", data=values)
    assert KEY not in answer.text
    return answer.status_code, answer.text


async def test_the_form_connects_a_library(visitor: Visitor, client: AsyncClient) -> None:
    assert "Connect your Zotero library" in await show(visitor)
    status, _ = await connect(visitor, id=f" {USER} ", collections="Thesis/**\r\n\r\n Ice \r\n")
    assert status == 303
    library = await Services.build(client).libraries.get(visitor.reader.reader_id)
    assert library is not None
    assert (library.library, library.collections) == (USER, ("Thesis/**", "Ice"))
    text = await show(visitor)
    assert "It is read in a moment." in text
    assert KEY not in text
    assert (await connect(visitor, key="", collections="Snow"))[0] == 303, "an empty key keeps the stored one"


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({"id": "475425"}, 422, "Enter users/ and your user ID"),
        ({"key": "short"}, 422, "Enter the key as Zotero shows it"),
        ({"key": ""}, 422, "Enter the key of this library."),
        ({"key": "K" * 24}, 422, "Zotero refuses the key"),
        ({"collections": "a\n" * 21}, 422, "Enter at most 20 lines"),
        ({"id": HOSTILE}, 422, "Enter users/ and your user ID"),
    ],
)
async def test_an_invalid_form_says_what_is_wrong(
    form: dict[str, str], status: int, message: str, visitor: Visitor, database: asyncpg.Connection
) -> None:
    found, text = await connect(visitor, **form)
    assert (found, message in text) == (status, True)
    assert not await database.fetchval("select exists (select from public.reader_libraries)")


async def test_a_form_without_fields_changes_nothing(visitor: Visitor, database: asyncpg.Connection) -> None:
    answer = await visitor.http.post(f"{visitor.path('home')}/library", content=b"\xff")
    assert answer.status_code == 422
    assert not await database.fetchval("select exists (select from public.reader_libraries)")


async def test_a_refused_key_is_shown_to_reader_and_operator(
    visitor: Visitor, zotero: FakeZotero, database: asyncpg.Connection
) -> None:
    await connect(visitor)
    await database.execute(REFUSE)
    assert "Zotero refuses the key." in await show(visitor)
    home = await visitor.get("home")
    assert "Enter another key" in home.text
    operator = Operator(visitor.http)
    await operator.sign_in()
    assert f"Library {zotero.library}: Zotero refuses the key" in (await visitor.http.get("/ops/readers")).text
    assert "Zotero refuses the keys of libraries: 1." in (await visitor.http.get("/ops")).text


async def test_papers_show_where_they_came_from(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection
) -> None:
    papers = ReaderPapers(client)
    for number, origin in enumerate(("zotero", "library", "arxiv", "manual")):
        paper = PaperInput(keys=(f"doi:{number}",), doi=str(number), title=f"T{number} {HOSTILE}", origin=origin)
        await papers.put(visitor.reader.reader_id, [(paper, {"liked": number != 2, "saved": number == 3})])
    text = await show(visitor)
    for shown in (
        "Liked. From your Zotero library.",
        "Liked. From an imported file.",
        "Disliked. From arXiv.",
        "Liked and saved. From a program or an administrator.",
    ):
        assert shown in text
    await database.execute("update public.reader_papers set liked = null, rated_at = null where doi = '3'")
    assert "Saved. From a program" in await show(visitor)


@pytest.mark.parametrize(("choice", "left"), [("keep", 1), ("remove", 0)])
async def test_disconnecting_keeps_or_removes_papers(
    choice: str, left: int, visitor: Visitor, client: AsyncClient, database: asyncpg.Connection
) -> None:
    services, reader_id = Services.build(client), visitor.reader.reader_id
    await services.libraries.connect(reader_id, USER, [], SecretStr(KEY))
    paper = PaperInput(keys=("doi:1",), doi="1", title="T", origin="zotero")
    await services.reader_papers.put(reader_id, [(paper, {"liked": True})])
    await database.execute("update public.reader_papers set synced = true where true")
    answer = await visitor.http.post(f"{visitor.path('home')}/library/disconnect", data={"papers": choice})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{visitor.path('home')}/library")
    assert await services.libraries.get(reader_id) is None
    assert len((await services.reader_papers.page(reader_id)).papers) == left
