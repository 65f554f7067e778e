"""The requests to Supabase for papers that a caller sends: known papers are read, and all are stored."""

from typing import Any

import httpx
import pytest

from tests.integration.api.recorded_requests import api_before, headers_of, recorded_calls
from tests.support.rows import ID, OTHER, READER

PATH = f"/v1/readers/{ID}/papers"
MINE = ("GET readers", {"reader_id": f"eq.{ID}", "owner": "eq.ada", "limit": "1"})
WHOLE = {"title": "Of storms", "abstract": "They blow.", "liked": True}


async def post(*answers: Any, query: str = "", **sent: Any) -> tuple[httpx.Response, list[Any]]:
    headers = headers_of("ada") | sent.pop("headers", {})
    async with api_before(*answers) as (http, server):
        answer = await http.post(f"{PATH}{query}", headers=headers, **sent)
    return answer, recorded_calls(server)


async def test_papers_are_stored_in_order_with_their_feedback() -> None:
    papers = [WHOLE, WHOLE | {"title": "Of ice", "liked": None, "saved": True}]
    answer, asked = await post([READER], [OTHER, None], json={"papers": papers})
    assert (answer.status_code, answer.json()) == (200, {"paper_ids": [OTHER, None]})
    first, (function, parameters) = asked
    assert (first, function, parameters["p_reader"]) == (MINE, "upsert_reader_papers", ID)
    kept = [(row["title"], row["abstract"], row["liked"], row.get("saved")) for row in parameters["p_papers"]]
    assert kept == [("Of storms", "They blow.", True, None), ("Of ice", "They blow.", None, True)]


PROBLEMS: list[tuple[dict[str, Any], str, str]] = [
    ({"content": b"{"}, "body", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
    ({"json": {"papers": [{"doi": "x", "liked": True}]}}, "body.papers.0.doi", "Value error, this is not a DOI"),
    ({"json": {"papers": []}}, "body.papers", "List should have at least 1 item"),
]


@pytest.mark.parametrize(("sent", "location", "message"), PROBLEMS, ids=lambda each: str(each)[:30])
async def test_an_invalid_body_names_the_position(sent: dict[str, Any], location: str, message: str) -> None:
    answer, asked = await post([READER], **sent)
    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid request")
    (error,) = answer.json()["errors"]
    assert error["location"] == location
    assert error["message"].startswith(message)
    assert asked == [MINE]
