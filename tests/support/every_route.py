"""A request for every route of the API with its expected status, on a system with at least one object of each kind."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from app.links import Link, Links
from app.mail.item_links import item_name
from app.models.articles import ArticleKind
from app.pages.static_files import StaticFiles
from tests.support.digest_items import item_of
from tests.support.mail_hook import SECRET as HOOK_SECRET
from tests.support.mail_hook import event, signed
from tests.support.operators import ROOT_KEY, Operator, dead_tasks, furnish
from tests.support.tasks import insert_tasks
from tests.support.visitors import A_READER, SECRET, TODAY, WORDS, digest_of, give_digest

SETTINGS = {
    "link_secret": SECRET,
    "resend_webhook_secret": HOOK_SECRET,
    "public_url": "http://digest.example",
    "public_sign_up": "true",
}
"""The settings, besides the operators, that every route needs."""

PAPER = item_of(ArticleKind.PAPER, 1, None, 0.9)
DIGEST = {"profile": {"name": "Ada"}, "source_date": "2026-03-04"}
OPERATORS_LISTS = ("overview", "health", "failures", "pauses", "workers", "orphaned_tasks", "audit")
DIRECTIONS = ("more", "less", "save")
MEGABYTE = 1_048_576
BIBTEX = "@misc{a, title={Of storms}, abstract={They blow.}}"


@dataclass(frozen=True)
class Request:
    """A request for a route: its method and template, what fills the template, and the status of the response."""

    line: str
    status: int = 200
    places: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.line

    @property
    def operation(self) -> tuple[str, str]:
        """The method and the template of the path."""
        method, _, template = self.line.partition(" ")
        return method, template


@dataclass(frozen=True)
class System:
    """A system with one object of each kind: an operator's browser, and the ids of the objects."""

    http: httpx.AsyncClient
    token: str
    ids: dict[str, Any]

    async def send(self, request: Request) -> None:
        """Send a request and read its response. Raises `AssertionError` for another status."""
        method, template = request.operation
        path = template.format(**(self.ids | request.places))
        async with self.http.stream(method, path, **request.sent) as response:
            stream = response.headers.get("content-type", "").startswith("text/event-stream")
            first = await anext(response.aiter_bytes(), b"") if stream else await response.aread()
        assert response.status_code == request.status, (request.line, response.status_code, first[:500])


async def system_of(http: httpx.AsyncClient, database: asyncpg.Connection) -> System:
    """Create one object of each kind. `http` calls as root, who has signed in; LINK_SECRET is `SECRET`."""
    http.headers["X-API-Key"] = ROOT_KEY
    operator = Operator(http)
    assert (await operator.sign_in()).is_redirect
    reader_id = (await http.post("/v1/readers", json=A_READER)).json()["reader_id"]
    await give_digest(database, UUID(reader_id), digest_of(TODAY, PAPER))
    await furnish(database)
    await dead_tasks(database, "callback", "no", 2)
    await dead_tasks(database, "delivery", "to retry")
    await dead_tasks(database, "delivery", "to discard")
    await insert_tasks(database, 2, kind="digest")
    papers = await http.post(f"/v1/readers/{reader_id}/papers", json=_papers())
    fetch = await http.post("/v1/fetches", json={"source_date": "2026-03-04"})
    other = (await http.post("/v1/readers", json={"name": "Cy"})).json()["reader_id"]
    unconfirmed = {"name": "Di", "email": "di@example.org", "confirm": True}
    headers = {"Content-Type": "application/x-bibtex"}
    imported = await http.post(f"/v1/readers/{reader_id}/papers", content=BIBTEX, headers=headers)
    deliveries = await _ids(database, "select delivery_id from public.deliveries where status = 'in_doubt'")
    dead = [await _ids(database, f"{_DEAD} and q.kind = '{kind}'") for kind in ("callback", "digest", "fetch")]
    links = {
        kind: await _ids(database, _LINK.format(kind=kind, reader_id=each))
        for kind, each in (("download_link", reader_id), ("delete_link", other))
    }
    ids = {
        "kind": "fetch",
        "reader_id": reader_id,
        "paper_id": papers.json()["paper_ids"][0],
        "delivery_id": deliveries[0],
        "deliveries": deliveries,
        "source_date": (await _ids(database, "select source_date from public.editions"))[0],
        "task_id": (await _ids(database, "select task_id from public.digests"))[0],
        "pending": await _ids(database, "select task_id from public.queue where kind = 'digest' and not dead_letter"),
        "fetch": fetch.json()["task_id"],
        "other_reader": other,
        "unconfirmed": (await http.post("/v1/readers", json=unconfirmed)).json()["reader_id"],
        "import": imported.json()["task_id"],
        "download": links["download_link"][0],
        "delete": links["delete_link"][0],
        "dead": dict(zip(("callback", "digest", "fetch"), dead, strict=True)),
    }
    return System(http, await operator.token(), ids)


_LINK = (
    "insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day)"
    " values (gen_random_uuid(), 'default', '{reader_id}', '{kind}', current_date) returning delivery_id"
)
_DEAD = "select q.task_id from public.queue q where q.dead_letter"


def requests(system: System) -> list[Request]:
    """A request for every route, in an order in which each finds its object; the refused requests are last."""
    parts: tuple[Callable[[System], Iterator[Request]], ...] = (_plain, _tasks, _readers, _operators, _ops, _links)
    return [*(request for part in parts for request in part(system)), *_removals(), *REFUSED]


def _plain(_: System) -> Iterator[Request]:
    yield from map(Request, ("GET /", "GET /healthz", "GET /readyz", "GET /metrics"))
    style = StaticFiles().path("broadsheet.css").removeprefix("/static/")
    yield Request("GET /static/{name}", places={"name": style})
    for page in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"):
        yield from (Request(f"{method} {page}") for method in ("GET", "HEAD"))
    content, headers = signed(event(to=["nobody@example.org"]))
    yield Request("POST /hooks/mail", 204, sent={"content": content, "headers": headers})


def _tasks(system: System) -> Iterator[Request]:
    pending, fetch = {"task_id": system.ids["pending"][0]}, {"task_id": system.ids["fetch"]}
    yield from map(Request, ("GET /v1/tasks", "GET /v1/editions", "GET /v1/editions/{source_date}"))
    yield Request("POST /v1/digests", 202, sent={"json": DIGEST})
    yield Request("POST /v1/digests/batch", 202, sent={"json": {"digests": [DIGEST, DIGEST]}})
    yield Request("POST /v1/fetches", 202, sent={"json": {"source_date": "2026-03-05"}})
    for line in ("", "/events", "/html"):
        yield Request(f"GET /v1/digests/{{task_id}}{line}")
    yield Request("GET /v1/fetches/{task_id}", places=fetch, sent={"headers": {"Prefer": "wait=0"}})
    yield Request("GET /v1/fetches/{task_id}/events", places=fetch)
    yield Request("POST /v1/fetches/{task_id}/cancel", 202, fetch)
    yield Request("POST /v1/digests/{task_id}/cancel", 202, pending)
    yield Request("GET /v1/callbacks/{task_id}", places={"task_id": system.ids["dead"]["callback"][0]})


def _readers(system: System) -> Iterator[Request]:
    one = "/v1/readers/{reader_id}"
    yield Request("POST /v1/readers", 201, sent={"json": {"name": "Bo", "email": "bo@example.net"}})
    yield from map(
        Request,
        ("GET /v1/readers", "GET /v1/readers/export", f"GET {one}", f"GET {one}/saved.bib", f"GET {one}/saved.ris"),
    )
    lines = "".join(json.dumps({"external_id": f"r{n}", "name": "R" * 90}) + " " * 6_000 + "\n" for n in range(200))
    assert len(lines) > MEGABYTE
    yield Request("POST /v1/readers/import", sent={"content": lines})
    yield Request(f"PATCH {one}", sent={"json": {"name": "Ada"}})
    yield Request(f"POST {one}/resend-confirmation", 204, {"reader_id": system.ids["unconfirmed"]})
    yield Request(f"POST {one}/papers", sent={"content": " " * MEGABYTE + json.dumps(_papers())})
    yield Request(f"GET {one}/papers")
    library = {"content": BIBTEX, "headers": {"Content-Type": "application/x-bibtex"}}
    yield Request(f"POST {one}/papers", 202, {"reader_id": system.ids["other_reader"]}, library)
    # Without a stored key, Zotero is not called.
    yield Request(f"PUT {one}/library", 422, sent={"json": {"id": "users/475425"}})
    yield Request(f"GET {one}/library", 404)
    imported = {"task_id": system.ids["import"]}
    yield Request("GET /v1/imports/{task_id}", places=imported, sent={"headers": {"Prefer": "wait=0"}})
    yield Request("GET /v1/imports/{task_id}/events", places=imported)
    yield Request("POST /v1/imports/{task_id}/cancel", 202, imported)


def _operators(system: System) -> Iterator[Request]:
    dead, admin = system.ids["dead"], "/v1/admin"
    yield from (Request(f"GET {admin}/{name}") for name in OPERATORS_LISTS)
    yield Request(f"POST {admin}/kinds/{{kind}}/pause", sent={"json": {"reason": "moving"}})
    yield Request(f"POST {admin}/kinds/{{kind}}/resume")
    yield Request(f"POST {admin}/tasks/{{task_id}}/replay", 202, {"task_id": dead["digest"][0]})
    yield Request(f"POST {admin}/callbacks/{{task_id}}/redeliver", 202, {"task_id": dead["callback"][0]})
    yield Request(f"POST {admin}/replays", sent={"json": {"kind": "digest"}})
    yield Request(f"POST {admin}/discards", sent={"json": {"kind": "fetch", "cause": "no such cause"}})
    yield from map(Request, ("GET /v1/deliveries", "GET /v1/deliveries/pause", "GET /v1/deliveries/{delivery_id}"))
    yield Request("POST /v1/deliveries/pause", sent={"json": {"reason": "moving"}})
    yield Request("POST /v1/deliveries/resume", sent={"json": {"pending": "send"}})
    yield Request("POST /v1/deliveries/{delivery_id}/resolve", sent={"json": {"status": "sent"}})


def _ops(system: System) -> Iterator[Request]:
    dead, tasks = system.ids["dead"], "/ops/tasks/{task_id}"
    pages = ("", "/sign-in", "/tasks", "/tasks/{task_id}", "/tasks/{task_id}/page", "/deliveries", "/readers")
    yield from (Request(f"GET /ops{page}") for page in (*pages, "/events", "/tasks/{task_id}/events"))
    yield Request("GET /ops/find", 303, sent={"params": {"task_id": system.ids["task_id"]}})
    delivered = [{"delivery_id": delivery_id} for delivery_id in system.ids["deliveries"]]
    actions: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("/ops/kinds/{kind}/pause", {}, {"reason": "moving"}),
        ("/ops/kinds/{kind}/resume", {}, {}),
        ("/ops/pause", {}, {"reason": "moving"}),
        ("/ops/resume", {}, {}),
        (f"{tasks}/replay", {"task_id": dead["fetch"][0]}, {}),
        (f"{tasks}/redeliver", {"task_id": dead["callback"][1]}, {}),
        (f"{tasks}/cancel", {"task_id": system.ids["pending"][1]}, {}),
        ("/ops/failures/retry", {}, {"kind": "delivery", "cause": "to retry", "number": "1"}),
        ("/ops/failures/discard", {}, {"kind": "delivery", "cause": "to discard", "number": "1"}),
        ("/ops/replays", {}, {"kind": ""}),
        ("/ops/deliveries/{delivery_id}/sent", delivered[1], {}),
        ("/ops/deliveries/{delivery_id}/again", delivered[2], {}),
        ("/ops/deliveries/resume", {}, {"pending": "send"}),
        ("/ops/sign-out", {}, {}),
    ]
    for path, places, fields in actions:
        yield Request(f"GET {path}", 403, places)
        yield Request(f"POST {path}", 303, places, {"data": {"token": system.token, **fields}})
    yield Request("POST /ops/sign-in", 303, sent={"data": {"key": ROOT_KEY}})


def _links(system: System) -> Iterator[Request]:
    link, links = Link(UUID(system.ids["reader_id"]), 1, TODAY), Links([SECRET], "")

    def at(purpose: str, **places: Any) -> dict[str, Any]:
        return {"token": links.sign(purpose, link), **places}

    waiting = links.sign("confirm", Link(UUID(system.ids["unconfirmed"]), 1, TODAY))
    yield from (Request(f"{method} /r/confirm/{{token}}", places={"token": waiting}) for method in ("GET", "POST"))
    yield Request("GET /subscribe")
    yield Request("POST /subscribe", 202, sent={"data": SIGN_UP})
    name = item_name(PAPER.article)
    yield Request("GET /r/page/{token}", places=at("page"))
    for purpose, form in _FORMS.items():
        yield Request(f"GET /r/{purpose}/{{token}}", places=at(purpose))
        yield Request(f"POST /r/{purpose}/{{token}}", places=at(purpose), sent={"data": form})
    for direction in DIRECTIONS:
        path, places = f"/r/{direction}:{{item}}/{{token}}", at(f"{direction}:{name}", item=name)
        yield from (Request(f"{method} {path}", places=places) for method in ("GET", "POST"))
    for tool in ("feed", "saved"):
        yield from (Request(f"{method} /r/{tool}/{{token}}", places=at(tool)) for method in ("GET", "HEAD"))
    home = "/r/home/{token}"
    yield from (Request(f"GET {home}{below}", places=at("home")) for below in ("", "/days", "/saved"))
    yield Request(f"GET {home}/search", places=at("home"), sent={"params": {"q": "title"}})
    yield Request(f"GET {home}/{{day}}", places=at("home", day=TODAY))
    yield Request(f"POST {home}/{{day}}", 303, at("home", day=TODAY), {"data": {"item": name, "do": "more"}})
    yield Request(f"GET {home}/import", places=at("home"))
    yield Request(f"GET {home}/feed", places=at("home"))
    file = {"files": {"file": ("library.bib", BIBTEX)}, "data": {"feedback": "saved"}}
    yield Request(f"POST {home}/import", 303, at("home"), file)
    yield Request(f"GET {home}/import/events", places=at("home"))
    yield Request(f"POST {home}/import/cancel", 303, at("home"))
    yield Request(f"GET {home}/library", places=at("home"))
    yield Request(f"POST {home}/library", 422, at("home"), {"data": {"id": "users/475425", "key": ""}})
    yield Request(f"POST {home}/library/disconnect", 303, at("home"))
    yield Request(f"POST {home}/saved", 303, at("home"), {"data": {"paper": system.ids["paper_id"]}})
    yield Request(f"GET {home}/data", places=at("home"))
    yield Request(f"POST {home}/data", 303, at("home"), {"data": {"do": "download"}})
    download = at(f"download:{system.ids['download']}", item=system.ids["download"])
    for below in ("", "/data.json", "/papers.bib"):
        yield Request(f"GET /r/download:{{item}}/{{token}}{below}", places=download)
    other = Link(UUID(system.ids["other_reader"]), 1, TODAY)
    delete = {
        "item": system.ids["delete"],
        "token": links.sign(f"delete:{system.ids['delete']}", other),
    }
    yield from (Request(f"{method} /r/delete:{{item}}/{{token}}", places=delete) for method in ("GET", "POST"))


SIGN_UP = {"email": "ed@example.org", "interests": "ice", "timezone": "Europe/Berlin", "send_at": "07:00"}

_FORMS: dict[str, dict[str, Any]] = {
    "schedule": {"timezone": "Europe/Berlin", "send_at": "07:00", "weekdays": ["1", "2"], "when_empty": "skip"},
    "preferences": WORDS,
    "pause": {},
    "unsubscribe": {},
}


def _removals() -> Iterator[Request]:
    one = "/v1/readers/{reader_id}"
    yield Request(f"POST {one}/revoke-links", 204)
    yield Request(f"DELETE {one}/papers/{{paper_id}}", 204)
    yield Request(f"DELETE {one}/library", 204)
    yield Request(f"DELETE {one}", 204)


REFUSED = (
    Request("GET /nothing", 404),
    Request("PUT /v1/tasks", 405),
    Request("GET /v1/tasks", 401, sent={"headers": {"X-API-Key": "nobody's"}}),
    Request("GET /v1/readers/{reader_id}", 404),
    Request("POST /v1/digests", 422, sent={"json": {}}),
    Request("POST /v1/fetches", 413, sent={"content": " " * MEGABYTE}),
    Request("GET /r/home/{token}", 404, {"token": "x"}),
    Request("POST /ops/resume", 403, sent={"data": {"token": "x"}}),
)
"""One request for each kind of refusal."""


def _papers() -> dict[str, Any]:
    return {"papers": [{"title": "Of storms", "abstract": "They blow.", "liked": True, "saved": True}]}


async def _ids(database: asyncpg.Connection, query: str) -> list[Any]:
    return [str(row[0]) for row in await database.fetch(query)]
