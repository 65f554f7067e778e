"""The exact problem documents of errors, and which errors are logged."""

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
from app.models.profiles import ProfileRequest


async def raised(error: Exception) -> tuple[httpx.Response, list[Any]]:
    """The response of a small application whose only route raises this error, and the log lines."""
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
async def test_an_error_is_a_problem_document_and_5xx_is_logged(error: BroadsheetError, wait: str | None) -> None:
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


async def test_a_500_is_logged_as_an_error_and_a_499_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for status, lines in ((HTTPStatus.INTERNAL_SERVER_ERROR, 1), (HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS, 0)):
        monkeypatch.setattr(NothingToDo, "status", status)
        answer, logs = await raised(NothingToDo("x"))
        assert (answer.status_code, len(logs)) == (status, lines)


async def test_each_invalid_part_of_a_request_is_listed() -> None:
    answer, _logs = await raised(AssertionError("unreachable"))
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
async def test_framework_errors_keep_their_headers_in_problems(
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
    ("interests", "message"),
    [("graphs", "Input should be a valid list"), (["a"] * 500, "List should have at most 30 items")],
)
def test_type_errors_use_the_names_of_json(interests: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProfileRequest.model_validate({"name": "Ada", "interests": interests})
    (problem,) = caught.value.errors()
    assert json_message(problem).startswith(message)
