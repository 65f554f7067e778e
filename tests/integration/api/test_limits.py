"""The largest lengths, numbers and sizes in requests: the limit is accepted, one more is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.api.paper_models import PapersRequest
from app.config import ApiSettings
from tests.support.applications import described_paths
from tests.support.running_api import KEY, RunningApi

ADA: dict[str, Any] = {"name": "Ada"}
NUMBERS = ("max_papers", "max_news")
ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Bound:
    """A part of a request with sizes from `least` to `most`; `made` builds it in a given size."""

    method: str
    path: str
    where: str
    location: str
    least: int | None
    most: int
    made: Callable[[int], Any]

    def __str__(self) -> str:
        return f"{self.path} {self.location}"

    @property
    def taken(self) -> list[int]:
        """The sizes at the limits."""
        return [self.most] if self.least is None else [self.least, self.most]

    @property
    def refused(self) -> list[int]:
        """The sizes beyond the limits; no text is shorter than empty."""
        less = self.least is not None and (self.least > 0 or self.location.rpartition(".")[2] in NUMBERS)
        return [self.most + 1] + ([self.least - 1] if self.least is not None and less else [])


def letters(count: int) -> str:
    return "k" * count


def mail_address(count: int) -> str:
    return f"k@{'k.' * ((count - 4) // 2)}{'k' * (2 + count % 2)}"


def one_by_one(value: Any) -> Callable[[int], list[Any]]:
    return lambda count: [value] * count


def digest(location: str, least: int | None, most: int, made: Callable[[int], Any]) -> Bound:
    """A part of a digest request, or of its profile."""
    inside, _, name = location.rpartition(".")

    def order(size: int) -> dict[str, Any]:
        part = {name: made(size)}
        return {"profile": ADA | part} if inside else {"profile": ADA} | part

    return Bound("POST", "/v1/digests", "json", f"body.{location}", least, most, order)


def reader(location: str, least: int | None, most: int, made: Callable[[int], Any]) -> Bound:
    """A part of a new reader, or of its profile."""
    inside, _, name = location.rpartition(".")

    def order(size: int) -> dict[str, Any]:
        part = {name: made(size)}
        return ADA | {"external_id": "ada"} | ({inside: part} if inside else part)

    return Bound("POST", "/v1/readers", "json", f"body.{location}", least, most, order)


def query(path: str, name: str, least: int | None, most: int, made: Callable[[int], Any] = int) -> Bound:
    return Bound("GET", path, "params", f"query.{name}", least, most, lambda size: {name: made(size)})


PROFILE: list[tuple[str, int, int, Callable[[int], Any]]] = [
    ("title", 0, 200, letters),
    ("goals", 0, 2000, letters),
    ("interests", 0, 30, one_by_one("ice")),
    ("categories", 0, 20, one_by_one("cs.LG")),
    ("authors", 0, 50, one_by_one("E. Noether")),
    ("exclude", 0, 30, one_by_one("hype")),
]
"""Fields that the profile of a digest request and of a reader share."""

BOUNDS = [
    Bound(
        "POST", "/v1/fetches", "headers", "header.Idempotency-Key", 1, 200, lambda size: {"Idempotency-Key": "k" * size}
    ),
    digest("callback_url", None, 2000, lambda size: "https://a.example/".ljust(size, "x")),
    digest("max_papers", 0, 50, int),
    digest("max_news", 0, 50, int),
    digest("profile.name", 1, 100, letters),
    *(digest(f"profile.{name}", least, most, made) for name, least, most, made in PROFILE),
    Bound(
        "POST",
        "/v1/digests/batch",
        "json",
        "body.digests",
        1,
        500,
        lambda size: {"digests": [{"profile": ADA}] * size},
    ),
    reader("external_id", 1, 200, letters),
    reader("name", 1, 100, letters),
    reader("email", None, 254, mail_address),
    reader("timezone", None, 100, letters),
    reader("weekdays", 1, 7, lambda size: [1] * size),
    reader("status_reason", 0, 2000, letters),
    *(reader(f"profile.{name}", least, most, made) for name, least, most, made in PROFILE),
    reader("profile.max_papers", 0, 50, int),
    reader("profile.max_news", 0, 50, int),
    query("/v1/tasks", "limit", 1, 100),
    query("/v1/tasks", "cursor", None, 500, letters),
    query("/v1/editions", "limit", 1, 100),
    query("/v1/readers", "limit", 1, 100),
    query("/v1/readers", "external_id", 1, 200, letters),
    query(f"/v1/readers/{ID}/papers", "limit", 1, 100),
    query(f"/v1/readers/{ID}/papers", "cursor", None, 500, letters),
    query("/v1/deliveries", "limit", 1, 100),
    query("/v1/deliveries", "cursor", None, 500, letters),
    query("/v1/admin/overview", "hours", 1, 168),
    query("/v1/admin/orphaned_tasks", "limit", 1, 100),
    query("/v1/admin/audit", "limit", 1, 100),
    Bound("POST", "/v1/readers", "json", "body.weekdays.0", 1, 7, lambda day: ADA | {"weekdays": [day]}),
    Bound(
        "GET",
        f"/v1/digests/{ID}/events",
        "headers",
        "header.Last-Event-ID",
        None,
        100,
        lambda size: {"Last-Event-ID": "k" * size},
    ),
    Bound("POST", "/v1/admin/kinds/digest/pause", "json", "body.reason", 1, 500, lambda size: {"reason": "k" * size}),
    Bound("POST", "/v1/deliveries/pause", "json", "body.reason", 1, 500, lambda size: {"reason": "k" * size}),
]


@pytest.fixture
def settings(settings: ApiSettings) -> ApiSettings:
    return ApiSettings.model_validate(
        settings.model_dump()
        | {"api_keys": KEY, "admins": "default", "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    )


@pytest.mark.parametrize("bound", BOUNDS, ids=str)
async def test_values_at_each_limit_are_accepted_and_beyond_refused(bound: Bound, api: RunningApi) -> None:
    async def response_to(size: int) -> httpx.Response:
        parts: dict[str, Any] = {bound.where: bound.made(size)}
        if bound.method == "POST":
            parts = {"json": {}} | parts
        parts["headers"] = {"X-API-Key": KEY} | parts.get("headers", {})
        return await http.request(bound.method, bound.path, **parts)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=60) as http:
        for size in bound.taken:
            taken = await response_to(size)
            # There is no database, and no cursor is valid, whatever its length.
            assert taken.status_code == 503 or taken.json()["title"] == "Invalid cursor", taken.text
        for size in bound.refused:
            refused = await response_to(size)
            assert refused.status_code == 422, refused.text
            assert bound.location in {error["location"] for error in refused.json()["errors"]}


PAPER: dict[str, Any] = {"title": "Of storms", "liked": True}


@pytest.mark.parametrize(
    ("name", "least", "most", "made"),
    [
        ("title", 1, 300, letters),
        ("abstract", 0, 6_000, letters),
        ("authors", 0, 100, one_by_one("E. Noether")),
        ("url", 0, 2_000, letters),
        ("arxiv_id", None, 200, "2005.14165".rjust),
        ("doi", None, 300, "10.1038/x".rjust),
    ],
)
def test_a_paper_has_a_largest_size(name: str, least: int | None, most: int, made: Callable[[int], Any]) -> None:
    def read(size: int) -> None:
        PapersRequest.model_validate({"papers": [PAPER | {name: made(size)}]})

    for size in (most, *([] if least is None else [least])):
        read(size)
    for size in (most + 1, *([least - 1] if least else [])):
        with pytest.raises(ValidationError, match=rf"papers\.0\.{name}"):
            read(size)


@pytest.mark.parametrize(("count", "taken"), [(0, False), (1, True), (500, True), (501, False)])
def test_a_request_has_a_largest_number_of_papers(count: int, taken: bool) -> None:
    try:
        PapersRequest.model_validate({"papers": [PAPER] * count})
    except ValidationError:
        assert not taken
    else:
        assert taken


DEFAULTS = {
    ("/v1/tasks", "limit"): 50,
    ("/v1/editions", "limit"): 30,
    ("/v1/readers", "limit"): 50,
    ("/v1/readers/{reader_id}/papers", "limit"): 50,
    ("/v1/readers/{reader_id}/papers", "saved"): False,
    ("/v1/deliveries", "limit"): 50,
    ("/v1/admin/overview", "hours"): 6,
    ("/v1/admin/orphaned_tasks", "limit"): 50,
    ("/v1/admin/audit", "limit"): 50,
}


def test_query_defaults_match_the_document() -> None:
    found = {
        (path, parameter["name"]): parameter["schema"]["default"]
        for path, item in described_paths().items()
        for parameter in item.get("get", {}).get("parameters", [])
        if "default" in parameter["schema"]
    }
    assert found == DEFAULTS


def test_every_documented_error_is_a_problem_document() -> None:
    for path, item in described_paths().items():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/problem+json"]["schema"]
                    assert (path, status, schema) == (path, status, {"$ref": "#/components/schemas/Problem"})
