"""What a caller reads when something is wrong, to the letter, and what of it is logged."""

from http import HTTPStatus
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query
from pydantic import ValidationError
from structlog.testing import capture_logs

from app.api.problems import install_problem_handlers, json_message
from app.errors import (
    BroadsheetError,
    CircuitOpen,
    NothingToDo,
    QuotaExceeded,
    SupabaseRejected,
    SupabaseUnavailable,
    TaskNotFound,
)
from app.models import ProfileRequest


async def raised(error: Exception) -> tuple[httpx.Response, list[Any]]:
    """The answer of a small application whose one route raises this, and what is logged."""
    app = FastAPI()
    install_problem_handlers(app)

    async def broken(name: str, count: Annotated[int, Query(ge=1)] = 1) -> None:  # noqa: ARG001  (the route has them)
        raise error

    app.add_api_route("/things/{name}", broken)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        with capture_logs() as logs:
            count = "?count=0" if isinstance(error, AssertionError) else ""
            answer = await http.get(f"/things/one{count}")
    assert answer.headers.get_list("content-type") == ["application/problem+json"]
    return answer, logs


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (TaskNotFound("There is none."), None),
        (NothingToDo("It is done."), None),
        (SupabaseUnavailable("Nobody answers."), "5"),
        (SupabaseRejected("No.", code="1"), None),
        (CircuitOpen("It rests.", retry_after=0.4), "1"),
        (CircuitOpen("It rests.", retry_after=1.4), "1"),
        (CircuitOpen("It rests.", retry_after=7.6), "8"),
        (QuotaExceeded("Enough.", retry_after=0.0), "1"),
        (QuotaExceeded("Enough.", retry_after=1.0), "1"),
        (QuotaExceeded("Enough.", retry_after=7.1), "8"),
    ],
    ids=repr,
)
async def test_an_error_is_a_problem_document_and_our_own_faults_are_logged(
    error: BroadsheetError, wait: str | None
) -> None:
    answer, logs = await raised(error)
    assert answer.status_code == error.status
    assert answer.headers.get("retry-after") == wait
    assert answer.json() == {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "instance": "/things/one",
    }
    line = {"event": "request failed", "log_level": "warning", "route": "/things/{name}", "error": str(error)}
    assert logs == ([line] if error.status >= 500 else [])


async def test_an_error_of_just_500_is_our_fault_and_one_of_499_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for status, lines in ((HTTPStatus.INTERNAL_SERVER_ERROR, 1), (HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS, 0)):
        monkeypatch.setattr(NothingToDo, "status", status)
        answer, logs = await raised(NothingToDo("x"))
        assert (answer.status_code, len(logs)) == (status, lines)


async def test_what_is_wrong_with_a_request_is_said_part_by_part() -> None:
    answer, _logs = await raised(AssertionError("nobody comes so far"))
    assert answer.status_code == 422
    assert answer.json() == {
        "type": "about:blank",
        "title": "Invalid request",
        "status": 422,
        "detail": "1 invalid field(s).",
        "instance": "/things/one",
        "errors": [{"location": "query.count", "message": "Input should be greater than or equal to 1"}],
    }


@pytest.mark.parametrize("headers", [None, {"X-Why": "because"}])
async def test_what_the_framework_refuses_is_a_problem_document_with_its_headers(
    headers: dict[str, str] | None,
) -> None:
    answer, logs = await raised(HTTPException(418, "I am one.", headers=headers))
    assert (answer.status_code, answer.headers.get("x-why")) == (418, "because" if headers else None)
    assert answer.json() == {
        "type": "about:blank",
        "title": "I'm a Teapot",
        "status": 418,
        "detail": "I am one.",
        "instance": "/things/one",
    }
    assert logs == []


@pytest.mark.parametrize(
    ("interests", "said"),
    [("graphs", "Input should be a valid list"), (["a"] * 500, "List should have at most 30 items")],
)
def test_a_wrong_list_is_called_a_list_as_json_calls_it(interests: object, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProfileRequest.model_validate({"name": "Ada", "interests": interests})
    (problem,) = caught.value.errors()
    assert json_message(problem).startswith(said)
