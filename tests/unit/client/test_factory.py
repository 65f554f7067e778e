"""The client factory: the headers for each kind of key, and no shared state between clients."""

import gc
from weakref import WeakSet

import httpx
import pytest
import respx
from postgrest.base_request_builder import APIResponse, SingleAPIResponse
from postgrest.types import CountMethod

from app.client.factory import PLACEHOLDER_KEY, open_supabase
from app.config import SupabaseSettings
from tests.support.mocked_supabase import MockedSupabase

URL = "http://project.test"
JWT = "aaaa.bbbb.cccc"


def settings(key: str) -> SupabaseSettings:
    return SupabaseSettings.model_validate({"supabase_url": URL, "supabase_key": key, "supabase_retries": 0})


@pytest.fixture
def router() -> respx.Router:
    router = respx.Router()
    router.route().respond(200, json=[])
    return router


async def sent_with(key: str, router: respx.Router) -> httpx.Request:
    transport = MockedSupabase(router.async_handler)
    async with open_supabase(settings(key), transport=transport) as client:
        await client.table("items").select("*").execute()
    request = router.calls.last.request
    assert isinstance(request, httpx.Request)
    return request


async def test_legacy_jwt_is_sent_in_both_headers(router: respx.Router) -> None:
    request = await sent_with(JWT, router)
    assert request.headers["apikey"] == JWT
    assert request.headers["authorization"] == f"Bearer {JWT}"


async def test_secret_key_is_sent_in_the_apikey_header_alone(router: respx.Router) -> None:
    request = await sent_with("sb_secret_abc", router)
    assert request.headers["apikey"] == "sb_secret_abc"
    assert "authorization" not in request.headers
    assert PLACEHOLDER_KEY not in str(request.headers)


async def test_two_clients_share_no_state(router: respx.Router) -> None:
    transport = MockedSupabase(router.async_handler)
    async with (
        open_supabase(settings("sb_secret_one"), transport=transport) as one,
        open_supabase(settings("sb_secret_two"), transport=transport) as two,
    ):
        await one.table("items").select("*").execute()
        await two.table("items").select("*").execute()
    assert [call.request.headers["apikey"] for call in router.calls] == ["sb_secret_one", "sb_secret_two"]


async def test_no_class_is_created_for_a_response(router: respx.Router) -> None:
    async with open_supabase(settings("sb_secret_abc"), transport=MockedSupabase(router.async_handler)) as client:
        for query in (client.table("items").select("*"), client.table("items").delete(), client.rpc("any", {})):
            await query.execute()
            made = WeakSet([*APIResponse.__subclasses__(), *SingleAPIResponse.__subclasses__()])
            count = len(made)
            gc.collect()
            assert len(made) == count, "pydantic discarded a class that the next response needs"
            await query.execute()
            assert len({*APIResponse.__subclasses__(), *SingleAPIResponse.__subclasses__()}) == count


async def test_proxies_of_the_environment_are_not_used(router: respx.Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert (await sent_with(JWT, router)).url.host == "project.test"


async def test_closed_client_refuses_work(router: respx.Router) -> None:
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await client.table("items").select("*").execute()


async def test_a_load_balancers_cookie_is_not_sent_back() -> None:
    router = respx.Router()
    router.route().respond(200, json=[], headers={"set-cookie": "machine=7; Path=/"})
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        for _ in range(2):
            await client.table("items").select("*").execute()
    assert "cookie" not in router.calls.last.request.headers


async def test_a_write_is_sent_as_json_with_the_builders_headers(router: respx.Router) -> None:
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        await client.table("items").upsert({"name": "Zürich"}, on_conflict="name").execute()
    request = router.calls.last.request
    assert (request.method, request.content) == ("POST", '{"name":"Zürich"}'.encode())
    assert request.headers["content-type"] == "application/json"
    assert "resolution=merge-duplicates" in request.headers["prefer"]
    assert dict(request.url.params)["on_conflict"] == "name"


async def test_the_auth_clients_are_closed_too(router: respx.Router) -> None:
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        sign_ins = client.auth._http_client  # noqa: SLF001  (nothing else tells)
        assert not sign_ins.is_closed
    assert sign_ins.is_closed


async def test_the_clients_key_attribute_is_the_real_key(router: respx.Router) -> None:
    for key in ("sb_secret_abc", JWT):
        async with open_supabase(settings(key), transport=MockedSupabase(router.async_handler)) as client:
            assert client.supabase_key == key


async def test_an_error_that_is_not_postgrests_is_quoted_in_part() -> None:
    router = respx.Router()
    router.route().respond(502, text="<" + "x" * 300)
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await client.table("items").select("*").eq("email", "ada@readers.example").execute()
    assert str(refused.value) == f"HTTP 502 with a body that is not PostgREST's: '<{'x' * 199}'"
    assert refused.value.response.status_code == 502
    assert refused.value.request is refused.value.response.request
    assert "ada" not in str(refused.value.request.url)
    assert JWT not in str(refused.value.request.headers)


@pytest.mark.parametrize("value", ["a,b", "x;y", "1+2", "50 %", "a&b=c#d", "(é/?:@!)", "%2C", '"\\'])
async def test_every_filter_arrives_as_it_was_written(value: str, router: respx.Router) -> None:
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        await client.table("items").select("id").eq("a b", value).eq("c", "2").limit(1).execute()
    url = router.calls.last.request.url
    assert url.params.multi_items() == [("select", "id"), ("a b", f"eq.{value}"), ("c", "eq.2"), ("limit", "1")]
    assert b";" not in url.query, "some servers separate parameters at a semicolon"


async def test_headers_of_a_query_do_not_reach_the_next(router: respx.Router) -> None:
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        await client.table("items").insert({"id": 1}).execute()
        await client.table("items").select("*").execute()
    assert "prefer" not in router.calls.last.request.headers


async def test_rows_are_counted_by_the_content_range() -> None:
    router = respx.Router()
    router.route().respond(206, json=[], headers={"content-range": "0-0/7"})
    async with open_supabase(settings(JWT), transport=MockedSupabase(router.async_handler)) as client:
        assert (await client.table("items").select("*", count=CountMethod.exact).execute()).count == 7
