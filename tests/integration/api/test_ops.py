"""The operator's pages over HTTP: sign-in and its duration, the token in forms, and escaped text."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Protocol
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi.routing import APIRoute

from app.pages.ops.routes import ops_router
from app.pages.ops.sessions import LIFETIME, Sessions, SignedOut
from app.pages.ops.sign_in import MAX_DELAYED, WRONG_KEY_DELAY
from app.pages.rendering import PageRenderer
from app.pages.static_files import StaticFiles
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.operators import (
    ADA_KEY,
    EVE_KEY,
    HOSTILE,
    ROOT_KEY,
    Operator,
    dead_tasks,
    furnish,
    settings_with_operators,
)
from tests.support.tasks import everything

NOBODY = "00000000-0000-4000-8000-000000000000"
LISTS = (
    "/ops",
    "/ops/tasks",
    "/ops/tasks?status=failed",
    "/ops/deliveries",
    "/ops/readers",
    "/ops/readers?status=paused",
)
COOKIE = "broadsheet-ops"


def paths(method: str) -> list[str]:
    """All paths of the pages with this method, from the router, so that none is omitted."""
    routes = [route for route in ops_router(PageRenderer(StaticFiles())).routes if isinstance(route, APIRoute)]
    places = {"task_id": NOBODY, "delivery_id": NOBODY, "kind": "fetch"}
    return [
        re.sub(r"\{(\w+)\}", lambda m: places[m[1]], each.path) for each in routes if method in (each.methods or ())
    ]


ACTS = [path for path in paths("POST") if path != "/ops/sign-in"]


class Browse(Protocol):
    """Open a browser tab on another process, signed in with `key` unless it is None."""

    async def __call__(self, key: str | None = ROOT_KEY, **settings: str) -> Operator: ...


@pytest.fixture
async def browse(stack: Ready, database_reset: None) -> AsyncIterator[Browse]:  # noqa: ARG001  (run first)
    async with AsyncExitStack() as opened:

        async def browse(key: str | None = ROOT_KEY, **settings: str) -> Operator:
            app = opened.enter_context(application(settings_with_operators(stack, **settings)))
            await opened.enter_async_context(app.router.lifespan_context(app))
            http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", timeout=60)
            operator = Operator(await opened.enter_async_context(http))
            if key is not None:
                assert (await operator.sign_in(key)).status_code == 303
            return operator

        yield browse


async def test_an_admins_session_lasts_an_hour(browse: Browse) -> None:
    operator = await browse(None)
    signed_out = await operator.http.get("/ops/tasks")
    assert (signed_out.status_code, signed_out.headers["location"]) == (303, "/ops/sign-in?next=/ops/tasks")
    answer = await operator.sign_in(next="/ops/tasks")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops/tasks")
    value, *attributes = answer.headers["set-cookie"].split("; ")
    assert value.startswith(f"{COOKIE}=root.")
    assert sorted(attributes) == [
        "HttpOnly",
        f"Max-Age={int(LIFETIME.total_seconds())}",
        "Path=/ops",
        "SameSite=strict",
    ]


async def test_pages_are_not_stored_and_not_framed(browse: Browse) -> None:
    page = await (await browse()).http.get("/ops")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_the_overview_shows_excerpts_by_reason(browse: Browse, database: asyncpg.Connection) -> None:
    operator = await browse()
    assert "Excerpts instead of summaries" not in (await operator.http.get("/ops")).text
    await database.execute(
        "insert into public.task_stats (minute, kind, model_fallbacks)"
        " values (date_trunc('minute', now()), 'digest', $1)", json.dumps({"cut_off": 1_200, HOSTILE: 1}),
    )  # fmt: skip
    page = (await operator.http.get("/ops?hours=1")).text
    assert "Excerpts instead of summaries: " in page
    assert "cut off 1,200" in page
    assert HOSTILE not in page


async def test_a_sign_in_redirects_only_to_these_pages(browse: Browse) -> None:
    operator = await browse(None)
    for outside in ("https://evil.example/", "//evil.example", "/ops/../r", "/ops\n"):
        assert (await operator.sign_in(next=outside)).headers["location"] == "/ops"


async def test_the_key_is_in_no_log_page_or_header(browse: Browse, capsys: pytest.CaptureFixture[str]) -> None:
    operator = await browse(None)
    answer = await operator.sign_in(next="/ops/tasks")
    page = await operator.http.get("/ops")
    log = capsys.readouterr().out
    assert "caller=root" in log
    assert ROOT_KEY not in f"{log} {page.text} {answer.headers}"


@pytest.mark.parametrize(
    ("headers", "settings"),
    [({"X-Forwarded-Proto": "https"}, {}), ({}, {"public_url": "https://digest.example"})],
    ids=["from the proxy's header", "from PUBLIC_URL"],
)
async def test_over_https_the_cookie_is_secure(
    browse: Browse, headers: dict[str, str], settings: dict[str, str]
) -> None:
    operator = await browse(None, **settings)
    operator.http.headers.update(headers)
    operator.http.base_url = httpx.URL("https://api")
    cookie = (await operator.sign_in()).headers["set-cookie"]
    assert cookie.startswith(f"__Secure-{COOKIE}=")
    assert "; Secure" in cookie
    assert (await operator.http.get("/ops")).status_code == 200


async def test_wrong_keys_are_throttled_and_open_nothing(browse: Browse) -> None:
    operator, begun = await browse(None), time.monotonic()
    wrong = [ADA_KEY, "", "x" * 100_000, "\0\ud800", *(f"guess-{n}" for n in range(MAX_DELAYED))]
    answers = await asyncio.gather(*(operator.sign_in(key.encode("utf-8", "ignore").decode()) for key in wrong))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [403] * MAX_DELAYED + [429] * (len(wrong) - MAX_DELAYED)
    assert time.monotonic() - begun >= WRONG_KEY_DELAY
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert (await operator.sign_in()).status_code == 303, "a valid key is still accepted"


def test_a_session_ends_with_its_key_admin_or_hour(stack: Ready) -> None:
    def sessions(keys: str, admins: str = "root", now: float = 0) -> Sessions:
        return Sessions(settings_with_operators(stack, api_keys=keys, admins=admins), clock=lambda: now)

    old, new = f"root:{ROOT_KEY}", f"root:{'n' * 16}"
    cookie = sessions(f"{old},{new}").begin(ROOT_KEY)
    assert cookie is not None
    session = sessions(f"{old},{new}").read(cookie)
    assert sessions(f"{old},{new}").is_valid_form_token(session, session.form_token)
    for taken in (
        sessions(new),
        sessions(f"{old},{new}", now=LIFETIME.total_seconds()),
        sessions(f"{old},eve:{EVE_KEY}", "eve"),
    ):
        with pytest.raises(SignedOut):
            taken.read(cookie)
    for place in range(len(cookie)):
        if place != len(cookie) - 1:  # the last character's low bits are not part of the signature
            changed = f"{cookie[:place]}{'A' if cookie[place] != 'A' else 'B'}{cookie[place + 1 :]}"
            with pytest.raises(SignedOut):
                sessions(old).read(changed)
    assert sessions(old).begin(ADA_KEY) is None


async def test_a_sign_out_ends_the_session_in_every_process(browse: Browse) -> None:
    here, there = await browse(), await browse(None)
    there.http.cookies = here.http.cookies
    for path in LISTS:
        assert (await there.http.get(path)).status_code == 200
    cookie, token = here.http.cookies[COOKIE], await here.token()
    assert (await there.http.get("/ops", headers={"cookie": f"{COOKIE}={cookie}x"})).status_code == 303
    answer = await there.press("/ops", "/ops/sign-out")
    assert answer.headers["location"] == "/ops/sign-in"
    for kept in (here, there):
        kept.http.cookies.set(COOKIE, cookie, domain="api.local", path="/ops")
        assert (await kept.http.get("/ops")).status_code == 303
        replayed = await kept.http.post("/ops/kinds/fetch/pause", data={"token": token})
        assert replayed.status_code == 403
        assert "Sign in" in replayed.text
        assert "Your session has ended" in (await kept.http.get("/ops/events")).text
    assert (await (await browse(EVE_KEY)).http.get("/ops")).status_code == 200, "other sessions stay signed in"


async def test_a_form_needs_its_sessions_token(browse: Browse, database: asyncpg.Connection) -> None:
    await furnish(database)
    operator, other = await browse(), await browse(EVE_KEY)
    token, foreign = await operator.token(), await other.token()
    before = await everything(database)
    assert len(ACTS) >= 10
    for path in ACTS:
        for form in ({}, {"token": ""}, {"token": foreign}, {"token": token[:-2]}):
            answer = await operator.http.post(path, data=form)
            assert (answer.status_code, path) == (403, path)
            assert "Nothing was changed" in answer.text
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "http://evil.example"},
        ):
            answer = await operator.http.post(path, data={"token": token}, headers=headers)
            assert (answer.status_code, path) == (403, path)
        answer = await operator.http.get(path, params={"token": token})
        assert (answer.status_code, path) == (403, path)
        assert "when you press its button" in answer.text
    assert (await operator.http.post("/ops/sign-in", headers={"origin": "http://evil.example"})).status_code == 403
    assert await everything(database) == before
    ours = {"origin": "null", "sec-fetch-site": "same-origin"}
    answer = await operator.http.post("/ops/kinds/fetch/pause", data={"token": token}, headers=ours)
    assert answer.status_code == 303


async def test_without_a_session_nothing_is_shown_or_done(browse: Browse, database: asyncpg.Connection) -> None:
    await furnish(database)
    stranger, before = await browse(None), await everything(database)
    for path in paths("GET"):
        if path == "/ops/sign-in" or path in ACTS or path.endswith("/events"):
            continue
        assert (await stranger.http.get(path)).status_code == 303, path
    for path in ACTS:
        assert (await stranger.http.post(path, data={"token": "x"})).status_code == 403, path
    for path in ("/ops/events", f"/ops/tasks/{NOBODY}/events"):
        assert json.loads((await stranger.http.get(path)).text.split("data: ")[1]) == {
            "notice": "Your session has ended. This page is no longer updated. Reload it to sign in."
        }
    assert await everything(database) == before


async def test_an_action_is_done_once_under_the_operators_name(browse: Browse, database: asyncpg.Connection) -> None:
    await furnish(database)
    operator = await browse()
    dead = await database.fetchval("select task_id from public.queue where dead_letter and kind = 'fetch'")
    sent, again = [row[0] for row in await database.fetch("select delivery_id from public.deliveries limit 2")]
    for action, fields in (
        ("/ops/kinds/fetch/pause", {"reason": HOSTILE}),
        ("/ops/pause", {"reason": "everything"}),
        ("/ops/kinds/fetch/resume", {}),
        ("/ops/resume", {}),
        (f"/ops/tasks/{dead}/replay", {}),
        (f"/ops/tasks/{dead}/cancel", {}),
        (f"/ops/deliveries/{sent}/sent", {}),
        (f"/ops/deliveries/{again}/again", {}),
        ("/ops/replays", {"kind": ""}),
    ):
        answer = await operator.press("/ops", action, **fields)
        assert answer.status_code == 303, (action, answer.text)
        page = await operator.http.get(answer.headers["location"])
        assert (page.status_code, 'role="status">' in page.text) == (200, True)
    entries = await database.fetch("select actor, action from public.audit where actor <> 'eve' order by created_at")
    assert [row["actor"] for row in entries] == ["root"] * len(entries)
    assert {"pause", "resume", "replay", "cancel", "replay all", "resolve"} <= {row["action"] for row in entries}
    states = await database.fetch("select status, resolved_by from public.deliveries where resolved_by is not null")
    assert sorted((row["status"], row["resolved_by"]) for row in states) == [("pending", "root"), ("sent", "root")]
    for action in (f"/ops/tasks/{dead}/replay", f"/ops/deliveries/{sent}/again", "/ops/kinds/fetch/resume"):
        refused = await operator.press("/ops", action)
        assert (refused.status_code, "Nothing was changed" in refused.text) == (409, True)


async def test_incomplete_forms_and_unknown_objects_are_refused(browse: Browse, database: asyncpg.Connection) -> None:
    await furnish(database)
    operator = await browse()
    for action in ("/ops/replays", "/ops/deliveries/resume"):
        incomplete = await operator.press("/ops", action)
        assert (incomplete.status_code, "The form is incomplete" in incomplete.text) == (403, True)
    for action in (f"/ops/tasks/{NOBODY}/replay", f"/ops/deliveries/{NOBODY}/sent", "/ops/kinds/mars/pause"):
        assert (await operator.press("/ops", action)).status_code == 404


async def test_ten_thousand_failed_tasks_are_replayed_by_one_action(
    browse: Browse, database: asyncpg.Connection
) -> None:
    await dead_tasks(database, "digest", HOSTILE * 40, 10_000)
    await dead_tasks(database, "fetch", "left alone", 3)
    operator = await browse()
    page = await operator.http.get("/ops/tasks?status=failed&kind=digest")
    assert page.text.count("/replay") == 50 + page.text.count("/ops/replays")
    (onward,) = re.findall(r'href="(/ops/tasks\?[^"]*cursor[^"]*)"', page.text)
    assert (await operator.http.get(onward.replace("&amp;", "&"))).text.count('/replay"') == 50
    answer = await operator.press("/ops", "/ops/replays", kind="digest")
    assert "10,000 tasks were replayed" in (await operator.http.get(answer.headers["location"])).text
    left = await database.fetch("select kind, count(*) from public.queue where dead_letter group by kind")
    assert [tuple(row) for row in left] == [("fetch", 3)]


async def test_tasks_are_filtered_by_owner_and_day(browse: Browse, database: asyncpg.Connection) -> None:
    await dead_tasks(database, "digest", "ada's failure", 60)
    await dead_tasks(database, "fetch", "eve's failure")
    await database.execute("update public.tasks set owner = 'eve', source_date = '2026-03-05' where kind = 'fetch'")
    operator = await browse()
    for query in ("owner=eve", "day=2026-03-05", "owner=eve&day=2026-03-05&kind=fetch"):
        page = (await operator.http.get(f"/ops/tasks?status=failed&{query}")).text
        assert ("eve&#39;s failure" in page, "ada&#39;s failure" in page) == (True, False)
    page = (await operator.http.get("/ops/tasks?status=failed&owner=ada&day=2026-03-04")).text
    (onward,) = re.findall(r'href="(/ops/tasks\?[^"]*cursor[^"]*)"', page)
    assert (await operator.http.get(onward.replace("&amp;", "&"))).text.count('/replay"') == 10
    assert (await operator.http.get("/ops/tasks?owner=%00&day=yesterday")).status_code == 200


async def test_a_group_of_failures_is_retried_or_discarded(browse: Browse, database: asyncpg.Connection) -> None:
    await dead_tasks(database, "digest", "HTTP 500", 12)
    await dead_tasks(database, "fetch", "HTTP 410", 3)
    operator = await browse()
    page = (await operator.http.get("/ops")).text
    assert page.index("3 fetch tasks") != page.index("12 digest tasks")
    group = {"kind": "digest", "cause": "HTTP <number>"}
    for wrong in ({}, {"number": "11"}, {"number": "12", "cause": "other"}):
        refused = await operator.press("/ops", "/ops/failures/retry", **(group | wrong))
        assert (refused.status_code, "Nothing was changed" in refused.text) == (409, True)
    answer = await operator.press("/ops", "/ops/failures/retry", **group, number="12")
    assert "12 tasks were replayed" in (await operator.http.get(answer.headers["location"])).text
    gone = {"kind": "fetch", "cause": "HTTP <number>", "number": "3"}
    answer = await operator.press("/ops", "/ops/failures/discard", **gone)
    assert "Discarded." in (await operator.http.get(answer.headers["location"])).text
    assert await database.fetchval("select count(*) from public.queue where dead_letter") == 0
    actions = await database.fetch("select action from public.audit order by created_at")
    assert [row["action"] for row in actions] == ["replay all", "discard"]


async def test_the_page_says_when_no_worker_sends_mails(browse: Browse, database: asyncpg.Connection) -> None:
    operator = await browse()
    add = "insert into public.workers (worker_id, seen_at, lease, reported_at) values ($1, now(), '1 minute', now())"
    lack = "select public.report_configuration($1, $2)"
    lacking, whole = uuid4(), uuid4()
    await database.execute(add, lacking)
    await database.execute(lack, lacking, '{"MAIL_URL": "this worker sends no mails"}')
    alone = (await operator.http.get("/ops")).text
    assert "MAIL_URL is not set: this worker sends no mails" in alone
    assert "No worker can send mails: set <code>MAIL_URL</code> on a worker." in alone
    await database.execute(add, whole)
    both = (await operator.http.get("/ops")).text
    assert "MAIL_URL is not set" in both
    assert "No worker can send mails" not in both
    await database.execute("update public.workers set seen_at = seen_at - lease * 2 where worker_id = $1", whole)
    assert "No worker can send mails: set" in (await operator.http.get("/ops")).text, "the other one is lost"


async def test_names_and_texts_are_escaped_on_every_page(browse: Browse, database: asyncpg.Connection) -> None:
    await furnish(database)
    operator = await browse()
    dead = await database.fetchval("select task_id from public.queue where dead_letter and kind = 'fetch'")
    escaped = 0
    filtered = f"/ops/tasks?text={HOSTILE}&cause={HOSTILE}"
    for path in (*LISTS, filtered, f"/ops/tasks/{dead}", f"/ops/readers?external_id={HOSTILE}", f"/ops?done={HOSTILE}"):
        page = (await operator.http.get(path)).text
        assert "<script>alert" not in page
        assert str(12345 * 67891) not in page
        assert not re.search(r'<b id=|<style|style=|<script>|["\s]on\w+=', page), path
        escaped += "&lt;script&gt;alert" in page
    assert escaped >= len(LISTS) - 1
    for odd in ("/ops/tasks?kind=mars&status=x", "/ops/readers?external_id=%00%ff", "/ops/deliveries?status=%00"):
        assert (await operator.http.get(odd)).status_code == 200
    for odd, status in (("/ops/tasks?cursor=x", 400), ("/ops/tasks/x", 404), (f"/ops/tasks/{NOBODY}", 404)):
        refused = await operator.http.get(odd)
        assert (refused.status_code, "<h1" in refused.text) == (status, True)
