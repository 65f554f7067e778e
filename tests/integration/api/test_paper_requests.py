"""The requests to Supabase for papers that a caller sends: known papers are read, and all are stored."""

from typing import Any

import httpx
import pytest

from tests.integration.api.recorded_requests import api_before, headers_of, recorded_calls
from tests.support.rows import ID, OTHER, READER

PATH = f"/v1/readers/{ID}/papers"
BIBTEX = {"Content-Type": " Application/X-BibTeX ; charset=utf-8"}
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


@pytest.mark.parametrize(
    ("query", "says"),
    [("", {"liked": True}), ("?feedback=disliked", {"liked": False}), ("?feedback=saved", {"saved": True})],
)
async def test_a_file_has_the_same_feedback_for_all_papers(query: str, says: dict[str, bool]) -> None:
    text = "".join(f"@misc{{k{n}, title={{Of {n}}}, abstract={{They blow.}}}}\n" for n in range(2))
    _answer, (_, (_, parameters)) = await post(
        [READER], [OTHER, OTHER], query=query, content=b"\xef\xbb\xbf" + text.encode(), headers=BIBTEX
    )
    rows = parameters["p_papers"]
    assert [row["title"] for row in rows] == ["Of 0", "Of 1"]
    assert [{name: row[name] for name in ("liked", "saved") if name in row} for row in rows] == [says, says]


PROBLEMS: list[tuple[dict[str, Any], str, str]] = [
    ({"content": b"", "headers": BIBTEX}, "body", "the file has no entry such as @article{key, ...}"),
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


async def test_a_file_in_another_encoding_is_refused_by_name() -> None:
    answer, _asked = await post([READER], content=b"@misc{a, title={\xff}}", headers=BIBTEX)
    assert (answer.status_code, answer.json()["title"]) == (400, "Not UTF-8")
    assert answer.json()["detail"] == "Byte 16 is not valid UTF-8: save the file as UTF-8."
