"""Readers' actions by signed links, over HTTP and on a real database, and the refusal of all others."""

import html
import re
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import pytest
from supabase import AsyncClient

import app.pages.timezones
from app.config import ApiSettings
from app.digest.rendering import DigestRenderer
from app.pages.rendering import SECURITY_HEADERS
from app.persistence.readers import Readers, ReaderStatus
from embedded.stack import Ready
from tests.support.logs import development_logs
from tests.support.running_api import RunningApi
from tests.support.schema_cache import schema_is_read
from tests.support.tasks import insert_tasks
from tests.support.visitors import (
    HOSTILE,
    PURPOSES,
    TODAY,
    WORDS,
    Visitor,
    assert_only_text,
    digest_of,
    readers_of,
    settings_with_links,
    visitor_of,
)

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
SCHEDULE: dict[str, Any] = {
    "timezone": "Pacific/Auckland",
    "send_at": "06:30",
    "weekdays": ["1", "5"],
    "when_empty": "notify",
}


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    return settings_with_links(stack)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        yield visitor


async def test_following_links_changes_nothing(visitor: Visitor, database: asyncpg.Connection) -> None:
    before = await readers_of(database)
    for purpose in PURPOSES:
        for _ in range(2):
            page = await visitor.get(purpose)
            assert (page.status_code, len(re.findall("<button", page.text))) == (200, 1)
            assert '<form method="post">' in page.text
            assert (await visitor.http.head(visitor.path(purpose))).status_code in {200, 405}
    assert await readers_of(database) == before


@pytest.mark.parametrize(
    "sent",
    [
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"data": {"do": "unsubscribe"}},
        {"content": b""},
        {"content": b"\xff&" * 200},
    ],
    ids=["mail program", "mail program, multipart", "button", "nothing", "rubbish"],
)
async def test_unsubscribing_twice_is_the_same_as_once(visitor: Visitor, sent: dict[str, Any]) -> None:
    for _ in range(2):
        page = await visitor.http.post(visitor.path("unsubscribe"), **sent)
        assert page.status_code == 200
        assert "You are unsubscribed" in page.text
        assert "set-cookie" not in page.headers
        left = await visitor.now
        assert (left.status, left.next_due_at) == (ReaderStatus.UNSUBSCRIBED, None)
        assert left.status_reason == "by the reader, through the link in a mail"


async def test_an_unsubscribed_reader_can_subscribe_again(visitor: Visitor) -> None:
    await visitor.post("unsubscribe", **ONE_CLICK)
    assert 'value="undo"' in (await visitor.get("unsubscribe")).text
    for _ in range(2):
        assert "You are subscribed again" in (await visitor.post("unsubscribe", do="undo")).text
    back = await visitor.now
    assert (back.status, back.status_reason) == (ReaderStatus.ACTIVE, None)
    assert back.next_due_at is not None
    assert back.profile == visitor.reader.profile


async def test_mails_can_be_paused_and_resumed(visitor: Visitor) -> None:
    for _ in range(2):
        assert "Mails are paused" in (await visitor.post("pause", do="pause")).text
    assert (await visitor.now).status is ReaderStatus.PAUSED
    assert "Resume" in (await visitor.get("pause")).text
    for _ in range(2):
        assert "Mails are resumed" in (await visitor.post("pause", do="undo")).text
    assert (await visitor.now).status is ReaderStatus.ACTIVE


@pytest.mark.parametrize("status", [ReaderStatus.UNSUBSCRIBED, ReaderStatus.BOUNCED])
async def test_a_pause_does_not_resubscribe_a_reader(visitor: Visitor, status: ReaderStatus) -> None:
    await visitor.readers.change(visitor.reader.reader_id, {"status": status})
    for do in ("pause", "undo"):
        assert "Mails cannot be paused" in (await visitor.post("pause", do=do)).text
        assert (await visitor.now).status is status
    if status is ReaderStatus.BOUNCED:
        assert "subscribed again" not in (await visitor.post("unsubscribe", do="undo")).text
        assert (await visitor.now).status is status


async def test_the_schedule_is_set_and_shown(visitor: Visitor) -> None:
    shown = (await visitor.get("schedule")).text
    assert '<option value="Europe/Berlin" selected>Europe/Berlin</option>' in shown
    assert '<option value="skip" selected>' in shown
    assert 'value="07:00"' in shown
    assert re.findall(r'value="(\d)" checked', shown) == ["1", "2"]
    kept = await visitor.post("schedule", **SCHEDULE | {"timezone": " Pacific/Auckland ", "weekdays": ["5", "1", "5"]})
    assert (kept.status_code, "Saved." in kept.text) == (200, True)
    now = await visitor.now
    assert (now.timezone, f"{now.send_at:%H:%M}", now.weekdays) == ("Pacific/Auckland", "06:30", (1, 5))
    assert now.when_empty == "notify"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *(
            ({"timezone": timezone}, "timezone")
            for timezone in ("", "CET", "Mars/Olympus", "\0", HOSTILE, "A/" + "b" * 200)
        ),
        *(({"send_at": at}, "send_at") for at in ("", "24:00", "7", "07:00:30", HOSTILE)),
        *(({"weekdays": days}, "weekdays") for days in ([], ["0"], ["8"], ["12"], [HOSTILE])),
        *(({"when_empty": choice}, "when_empty") for choice in ("", "always", HOSTILE)),
    ],
    ids=str,
)
async def test_an_invalid_schedule_is_shown_again_with_errors(
    visitor: Visitor, wrong: dict[str, Any], field: str
) -> None:
    page = await visitor.post("schedule", **SCHEDULE | wrong)
    assert page.status_code == 422
    assert re.findall(r'class="field-error" id="(\w+)-error"', page.text) == [field]
    assert f'aria-describedby="{field}-error"' in page.text
    assert str(visitor.reader.reader_id) not in page.text
    assert_only_text(page)
    assert await visitor.now == visitor.reader


async def test_preferences_are_saved_and_hidden_fields_stay(visitor: Visitor) -> None:
    sent = WORDS | {
        "interests": "graphs\r\n\r\n  causal   \u2028graphs\r\n",
        "goals": "one\r\ntwo",
        "exclude": HOSTILE,
        "authors": "E. Noether",
        "categories": "cs.LG\nhep-th",
        "language": "pt-BR",
        "max_papers": "20",
        "max_news": " 0 ",
    }
    for _ in range(2):
        page = await visitor.post("preferences", **sent)
        assert (page.status_code, "Saved." in page.text) == (200, True)
        profile = (await visitor.now).profile
        assert (profile.interests, profile.goals) == (("graphs", "causal"), "one\ntwo")
        assert (profile.exclude, profile.authors) == ((HOSTILE,), ("E. Noether",))
        assert (profile.categories, profile.language) == (("cs.LG", "hep-th"), "pt-BR")
        assert (profile.max_papers, profile.max_news) == (20, 0)
        assert profile.title == "T"
    shown = html.unescape((await visitor.get("preferences")).text)
    assert f">\n{HOSTILE}</textarea>" in shown
    assert '<option value="pt-BR" selected>Portuguese (Brazil)</option>' in shown
    await visitor.post("preferences", **WORDS)
    assert (await visitor.now).profile.interests == ()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"interests": "\n".join(map(str, range(31)))}, "interests"),
        ({"interests": "x" * 101}, "interests"),
        ({"exclude": "\0"}, "exclude"),
        ({"authors": "\n".join(map(str, range(51)))}, "authors"),
        ({"categories": HOSTILE}, "categories"),
        ({"goals": "x" * 2001}, "goals"),
        ({"language": f"de {HOSTILE}"}, "language"),
        ({"language": ""}, "language"),
        *(({"max_papers": number}, "max_papers") for number in ("", "-1", "51", "many", "1e9", "9" * 5000)),
        ({"max_news": "7.5"}, "max_news"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_invalid_preferences_are_shown_again_with_errors(
    visitor: Visitor, wrong: dict[str, str], field: str
) -> None:
    page = await visitor.post("preferences", **WORDS | wrong)
    assert page.status_code == 422
    assert re.findall(r'class="field-error" id="(\w+)-error"', page.text) == [field]
    assert_only_text(page)
    assert await visitor.now == visitor.reader


async def test_a_wrong_category_names_the_nearest_one(visitor: Visitor) -> None:
    page = await visitor.post("preferences", **WORDS | {"categories": "cs.LG\ncs.ai"})
    assert "'cs.ai' is not an arXiv category: did you mean cs.AI?" in html.unescape(page.text)


@pytest.mark.parametrize("purpose", ["schedule", "preferences"])
@pytest.mark.parametrize(
    "body",
    [b"", b"a=1&" * 500, b"timezone=UTC&timezone=UTC&goals=a&goals=b", b"\xff\xfe", urlencode(ONE_CLICK).encode()],
)
async def test_an_incomplete_form_clears_nothing(visitor: Visitor, purpose: str, body: bytes) -> None:
    page = await visitor.http.post(visitor.path(purpose), content=body)
    assert (page.status_code, "incomplete" in page.text) == (422, True)
    assert_only_text(page)
    assert await visitor.now == visitor.reader


async def test_an_incomplete_form_keeps_what_was_entered(visitor: Visitor) -> None:
    words = {name: value for name, value in WORDS.items() if name != "max_news"}
    page = await visitor.post("preferences", **words | {"goals": "to learn of ice"})
    assert (page.status_code, "to learn of ice</textarea>" in page.text) == (422, True)
    page = await visitor.post("schedule", **{name: value for name, value in SCHEDULE.items() if name != "when_empty"})
    assert (page.status_code, 'value="Pacific/Auckland" selected' in page.text) == (422, True)
    assert await visitor.now == visitor.reader


async def test_wrong_values_stay_in_their_fields(visitor: Visitor) -> None:
    page = await visitor.post("preferences", **WORDS | {"max_papers": "51", "goals": "x" * 2001})
    assert 'value="51"' in page.text
    assert f"{'x' * 2001}</textarea>" in page.text
    assert "Enter a whole number from 0 to 50." in page.text
    page = await visitor.post("schedule", **SCHEDULE | {"timezone": "Mars/Olympus"})
    assert '<option value="Mars/Olympus" selected>Mars/Olympus</option>' in page.text


async def test_without_a_list_of_time_zones_the_name_is_typed(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.pages.timezones, "timezones_by_region", dict)
    assert '<input id="timezone" name="timezone" value="Europe/Berlin"' in (await visitor.get("schedule")).text
    assert (await visitor.post("schedule", **SCHEDULE)).status_code == 200
    assert (await visitor.now).timezone == "Pacific/Auckland"


async def test_a_body_beyond_the_limit_is_refused(visitor: Visitor) -> None:
    for purpose in PURPOSES:
        assert (await visitor.post(purpose, goals="x" * 300_000)).status_code == 413
    assert await visitor.now == visitor.reader


def refused_paths(visitor: Visitor) -> Iterator[str]:
    for purpose in PURPOSES:
        good = visitor.path(purpose)
        yield good[:-1] + ("A" if good[-1] != "A" else "B")
        yield good[:40]
        yield from (f"/r/{purpose}/{junk}" for junk in ("x", "%00", "%C3%A9.x", "a" * 5000, "..", "."))
        yield visitor.path(purpose, secret="t" * 32)
        yield from (visitor.path(purpose, signed_for=other) for other in {*PURPOSES, "page"} - {purpose})
    old = Visitor(visitor.http, visitor.readers, visitor.reader, day=date(2020, 1, 1))
    yield from (old.path("schedule"), old.path("preferences"))
    old.day = None
    yield from (old.path("schedule"), old.path("preferences"))
    ahead = Visitor(visitor.http, visitor.readers, visitor.reader, generation=2)
    yield from map(ahead.path, PURPOSES)
    nobody = Visitor(visitor.http, visitor.readers, visitor.reader.model_copy(update={"reader_id": UUID(int=7)}))
    yield from map(nobody.path, PURPOSES)


async def test_every_invalid_link_shows_the_same_page_without_a_name(
    visitor: Visitor, database: asyncpg.Connection
) -> None:
    before = await readers_of(database)
    pages = set[str]()
    for path in refused_paths(visitor):
        for method in ("GET", "POST"):
            page = await visitor.http.request(method, path, content=urlencode(ONE_CLICK))
            if "/." in path:  # a client that normalizes the path
                assert page.status_code == 404
                continue
            assert page.status_code == 404, path
            pages.add(page.text)
    (page_of_all,) = pages
    assert "This link does not work" in page_of_all
    assert "Ada" not in page_of_all
    assert await readers_of(database) == before


async def test_links_end_with_their_generation_or_reader(visitor: Visitor) -> None:
    await visitor.readers.revoke_links(visitor.reader.reader_id, 1)
    refused = [(await visitor.post(purpose)).text for purpose in PURPOSES]
    assert all("This link does not work" in page for page in refused)
    assert (await visitor.now).status is ReaderStatus.ACTIVE
    visitor.generation = 2
    assert (await visitor.get("preferences")).status_code == 200
    await visitor.readers.remove(visitor.reader.reader_id)
    removed = [await visitor.get(purpose) for purpose in PURPOSES]
    assert {(page.status_code, page.text) for page in removed} == {(404, refused[0])}


async def test_an_old_mails_unsubscribe_link_still_works(visitor: Visitor) -> None:
    visitor.day = TODAY - timedelta(days=2000)
    assert "Mails are paused" in (await visitor.post("pause")).text
    await visitor.post("unsubscribe", **ONE_CLICK)
    assert (await visitor.now).status is ReaderStatus.UNSUBSCRIBED


async def test_a_readers_name_is_escaped_on_every_page(visitor: Visitor) -> None:
    for purpose in PURPOSES:
        for page in (await visitor.get(purpose), await visitor.post(purpose)):
            assert_only_text(page)
            assert html.escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.text
            assert {name: page.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


async def test_no_log_line_contains_a_link(
    visitor: Visitor,
    settings: ApiSettings,
    stack: Ready,
    database: asyncpg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [visitor.path(purpose) for purpose in PURPOSES]
    with development_logs(settings):
        for path in paths:
            await visitor.http.get(path)
            await visitor.http.post(path)
            await visitor.http.put(path)
        await database.execute("alter table public.readers_private rename to elsewhere")
        try:
            failed = [await visitor.http.get(path) for path in paths]
        finally:
            await database.execute("alter table public.elsewhere rename to readers_private")
            # The next test's requests would find no such table.
            await schema_is_read(database, f"{stack.url}/rest/v1")
    output = capsys.readouterr().err
    assert [page.status_code for page in failed] == [503] * 4
    assert all("Temporary error" in page.text and "readers_private" not in page.text for page in failed)
    assert output.count("request failed") == 4
    assert "/r/unsubscribe/{token}" in output
    assert [path for path in paths if path.rpartition("/")[2] in output] == []


async def test_no_log_line_of_a_bug_contains_a_link(
    visitor: Visitor, settings: ApiSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> int:
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(Readers, "link_generation", broken)
    path = visitor.path("preferences")
    with development_logs(settings):
        assert (await visitor.http.get(path)).status_code == 500
    output = capsys.readouterr().err
    assert "nobody foresaw this" in output
    assert path.rpartition("/")[2] not in output


async def test_the_page_of_a_mails_day_opens_by_its_link(visitor: Visitor, database: asyncpg.Connection) -> None:
    assert (await visitor.get("page")).text == (await visitor.http.get("/r/page/x")).text, "there is none yet"
    await insert_tasks(database, 2, kind="digest", status="completed")
    days = (TODAY, TODAY - timedelta(days=1))
    for task, day in zip(await database.fetch("select task_id from public.tasks"), days, strict=True):
        await database.execute(
            "insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest)"
            " values ($1, 'ada', $2, $3, $2, $4)",
            task["task_id"],
            day,
            visitor.reader.reader_id,
            digest_of(day).model_dump_json(),
        )
    for visitor.day in days:
        page = await visitor.get("page")
        assert (page.status_code, page.text) == (200, await DigestRenderer().render(digest_of(visitor.day)))
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "sandbox" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
    assert (await visitor.post("page")).status_code == 405
    for visitor.day in (None, TODAY - timedelta(days=2), TODAY - timedelta(days=91)):
        assert (await visitor.get("page")).status_code == 404
    other = visitor.path("page", signed_for="preferences")
    assert (await visitor.http.get(other)).status_code == 404
