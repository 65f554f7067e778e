"""The sign-up page over HTTP and on a real database: it reveals no known address, and stays within its limits."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.persistence.readers import Reader, Readers, ReaderStatus
from embedded.stack import Ready
from tests.support.logs import development_logs
from tests.support.proxy import LOST, Call, Proxy, Times
from tests.support.running_api import KEY, RunningApi
from tests.support.schedule import add_reader
from tests.support.tasks import everything
from tests.support.visitors import HOSTILE, SECRET, assert_only_text

FORM = {
    "email": "Eve@Example.org",
    "interests": "ice cores\n\n radar \nradar",
    "timezone": "America/New_York",
    "send_at": "06:30",
}
URL = "http://digest.example"


def settings_with_sign_up(stack: Ready, url: str | None = None, **changes: object) -> ApiSettings:
    values = {"supabase_url": url or stack.url, "supabase_key": stack.secret_key, "api_keys": KEY}
    links = {"public_url": URL, "link_secret": SECRET, "public_sign_up": "true"}
    return ApiSettings.model_validate({**values, **links, "sign_ups_per_network": 100, **changes})


@pytest.fixture
async def proxy(stack: Ready) -> AsyncIterator[Proxy]:
    proxy = Proxy(stack.url)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
def changes() -> dict[str, object]:
    """Settings that a test changes."""
    return {}


@pytest.fixture
def settings(
    stack: Ready,
    proxy: Proxy,
    changes: dict[str, object],
    database_reset: None,  # noqa: ARG001  (run first)
) -> ApiSettings:
    return settings_with_sign_up(stack, proxy.url, **changes)


@pytest.fixture
async def http(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=60) as http:
        yield http


async def the_reader(client: AsyncClient) -> Reader:
    (reader,) = await Readers(client).page(None)
    return reader


def marked_fields(page: httpx.Response) -> list[str]:
    return re.findall(r'class="field-error" id="(\w+)-error"', page.text)


async def test_a_sign_up_creates_an_unconfirmed_reader(http: httpx.AsyncClient, client: AsyncClient) -> None:
    page = await http.post("/subscribe", data=FORM)
    assert (page.status_code, "Check your mail" in page.text) == (202, True)
    reader = await the_reader(client)
    assert (reader.owner, reader.email, reader.name) == ("default", "Eve@example.org", "Eve")
    assert (reader.status, reader.next_due_at) == (ReaderStatus.UNCONFIRMED, None)
    assert (reader.timezone, f"{reader.send_at:%H:%M}") == ("America/New_York", "06:30")
    assert reader.profile.interests == ("ice cores", "radar")


@pytest.mark.parametrize("changes", [{"public_sign_up": "false"}], ids=["off"])
async def test_the_page_is_off_by_default(
    http: httpx.AsyncClient, database: asyncpg.Connection, changes: dict[str, object]
) -> None:
    assert ApiSettings.model_fields["public_sign_up"].default is False, changes
    before = await everything(database)
    for answer in (await http.get("/subscribe"), await http.post("/subscribe", data=FORM)):
        assert (answer.status_code, "There is no page at this address" in answer.text) == (404, True)
    assert "/subscribe" not in (await http.get("/")).text
    assert await everything(database) == before


def without_ids(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in {"x-request-id", "date"}]
    return answer.status_code, answer.content, headers


async def test_known_and_unknown_addresses_get_equal_responses(
    http: httpx.AsyncClient, client: AsyncClient, proxy: Proxy
) -> None:
    known = {status: f"{status}@example.org" for status in ReaderStatus}
    for status, address in known.items():
        await add_reader(client, email=address, status=status)
    answers, calls = [], []
    for address in (*known.values(), "unknown@example.org", "unknown@example.org"):
        before = len(proxy.calls)
        answers.append(without_ids(await http.post("/subscribe", data=FORM | {"email": address})))
        calls.append([(call.name, sorted(call.body)) for call in proxy.calls[before:]])
    assert answers == [answers[0]] * len(answers)
    assert calls == [calls[0]] * len(calls)
    assert [name for name, _ in calls[0]] == ["sign_up"]


@pytest.mark.parametrize("changes", [{"sign_ups_per_network": 1}], ids=["one"])
async def test_refused_sign_ups_are_equal_for_all_addresses(
    http: httpx.AsyncClient, client: AsyncClient, changes: dict[str, object]
) -> None:
    assert changes
    await add_reader(client, email="known@example.org")
    assert (await http.post("/subscribe", data=FORM)).status_code == 202
    refused = [await http.post("/subscribe", data=FORM | {"email": f"{name}@example.org"}) for name in ("known", "x")]
    for answer in refused:
        assert answer.status_code == 429
        assert 3_000 < int(answer.headers.pop("retry-after")) <= 3_600
    assert without_ids(refused[0]) == without_ids(refused[1])
    assert len(await Readers(client).page(None)) == 2


@pytest.mark.parametrize(
    "changes", [{"sign_ups_per_network": 1, "client_address_header": "Fly-Client-IP"}], ids=["behind a proxy"]
)
async def test_limits_count_networks_behind_a_trusted_proxy(
    http: httpx.AsyncClient, changes: dict[str, object]
) -> None:
    assert changes
    sent = [
        ("192.0.2.1", 202),
        ("192.0.2.99", 429),
        ("198.51.100.1", 202),
        ("192.0.2.7, 203.0.113.1", 202),
        ("::ffff:203.0.113.9", 429),
        ("2001:db8:0:aa01::1", 202),
        ("2001:db8:0:aaff::2", 429),
        ("2001:db8:0:ab00::1", 202),
        ("rubbish", 202),
        ("<script>", 429),
    ]
    got = []
    for number, (address, _) in enumerate(sent):
        form = FORM | {"email": f"{number}@example.org"}
        got.append((await http.post("/subscribe", data=form, headers={"Fly-Client-IP": address})).status_code)
    assert got == [status for _, status in sent]


@pytest.mark.parametrize("changes", [{"sign_ups_per_network": 1}], ids=["no proxy"])
async def test_a_client_cannot_name_its_own_network(http: httpx.AsyncClient, changes: dict[str, object]) -> None:
    assert changes
    statuses = []
    for number in range(2):
        headers = {"Fly-Client-IP": f"192.0.{number}.1", "X-Real-IP": f"192.0.{number}.1"}
        form = FORM | {"email": f"{number}@example.org"}
        statuses.append((await http.post("/subscribe", data=form, headers=headers)).status_code)
    assert statuses == [202, 429]


@pytest.mark.parametrize("changes", [{"sign_ups_per_hour": 5}], ids=["five"])
async def test_concurrent_posts_create_no_more_readers_than_allowed(
    http: httpx.AsyncClient, client: AsyncClient, changes: dict[str, object]
) -> None:
    assert changes
    posts = [http.post("/subscribe", data=FORM | {"email": f"{n}@example.org"}) for n in range(60)]
    statuses = [answer.status_code for answer in await asyncio.gather(*posts)]
    assert (statuses.count(202), statuses.count(429)) == (5, 55)
    assert len(await Readers(client).page(None)) == 5


async def test_a_form_sent_twice_is_one_sign_up(http: httpx.AsyncClient, client: AsyncClient) -> None:
    form_id = re.findall(r'name="form_id" value="([^"]+)"', (await http.get("/subscribe")).text)
    assert len(form_id) == 1
    for _ in range(3):
        assert (await http.post("/subscribe", data=FORM | {"form_id": form_id[0]})).status_code == 202
    await the_reader(client)
    assert (await http.post("/subscribe", data=FORM)).status_code == 202
    assert len(await Readers(client).page(None)) == 2


async def test_a_lost_response_of_the_database_changes_nothing(
    http: httpx.AsyncClient, client: AsyncClient, proxy: Proxy
) -> None:
    def signs_up(call: Call) -> bool:
        return call.name == "sign_up"

    proxy.after = lost = Times(LOST, 2, signs_up)
    assert (await http.post("/subscribe", data=FORM)).status_code == 202
    assert lost.given
    await the_reader(client)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *(({"email": email}, "email") for email in ("", "ada", "ada@", "a b@example.org", HOSTILE, "\0", "a" * 300)),
        *(({"interests": text}, "interests") for text in ("", " \n ", "x" * 101, "\n".join(map(str, range(31))))),
        *(({"timezone": zone}, "timezone") for zone in ("", "CET", "Mars/Olympus", HOSTILE, "A/" + "b" * 200)),
        *(({"send_at": at}, "send_at") for at in ("", "24:00", "7", HOSTILE)),
    ],
    ids=str,
)
async def test_invalid_values_are_shown_again_with_errors(
    wrong: dict[str, str], field: str, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    before = await everything(database)
    page = await http.post("/subscribe", data=FORM | wrong)
    assert (page.status_code, marked_fields(page)) == (422, [field])
    assert "<b " not in page.text
    assert page.text.count("<script") == 1
    assert await everything(database) == before


@pytest.mark.parametrize("body", [b"", b"\xff" * 50, b"&" * 5_000, b"email=a@b.org&email=c@d.org", b"{}"], ids=str)
async def test_an_incomplete_form_creates_nothing(
    body: bytes, http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    page = await http.post("/subscribe", content=body)
    assert (page.status_code, "Nothing was changed" in page.text) == (422, True)
    assert await database.fetchval("select count(*) from public.readers") == 0


async def test_hostile_interests_are_stored_as_text(http: httpx.AsyncClient, client: AsyncClient) -> None:
    page = await http.post("/subscribe", data=FORM | {"interests": f"{HOSTILE}\n{{{{7*7}}}}\n\u202e\0x"})
    assert page.status_code == 202
    assert_only_text(page)
    assert (await the_reader(client)).profile.interests == (HOSTILE, "{{7*7}}", "\u202ex")


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}],
    ids=str,
)
async def test_another_sites_form_creates_nothing(
    headers: dict[str, str], http: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    page = await http.post("/subscribe", data=FORM, headers=headers)
    assert (page.status_code, "sent from another site" in page.text) == (403, True)
    assert await database.fetchval("select count(*) from public.readers") == 0
    own = {"Sec-Fetch-Site": "same-origin", "Origin": URL}
    assert (await http.post("/subscribe", data=FORM, headers=own)).status_code == 202


async def test_other_methods_create_nothing(http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        await http.request(method, "/subscribe", params=FORM, headers={"Purpose": "prefetch"})
    assert await database.fetchval("select count(*) from public.readers") == 0


async def test_an_outage_is_shown_as_a_page(http: httpx.AsyncClient, proxy: Proxy) -> None:
    async def unavailable(_call: Call) -> Any:
        return LOST

    proxy.before = unavailable
    page = await http.post("/subscribe", data=FORM)
    assert (page.status_code, "Please try again in a minute" in page.text) == (503, True)


async def test_sign_ups_are_logged_without_addresses(
    http: httpx.AsyncClient, settings: ApiSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    with development_logs(settings):
        assert (await http.post("/subscribe", data=FORM)).status_code == 202
        assert (await http.post("/subscribe", data=FORM | {"timezone": "Mars/X"})).status_code == 422
    log = capsys.readouterr().err
    assert "/subscribe" in log
    assert "example.org" not in log.lower()
