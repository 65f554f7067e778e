"""Readers over the API, on a real database: single readers, hundreds as lines, and resolved deliveries."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.api.reader_import import MAX_LINE, MAX_LINES, lines_of
from tests.support.reader_calls import ADA

BAD_PROFILES: list[dict[str, Any] | None] = [{"interest": []}, {"interests": [""]}, {"max_papers": 51}, None]


def lines(*readers: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(reader).encode() + b"\n" for reader in readers)


def numbered(count: int) -> list[dict[str, Any]]:
    return [ADA | {"external_id": f"r{n}", "name": f"Reader {n}"} for n in range(count)]


async def test_a_reader_is_made_read_changed_listed_and_removed(called: httpx.AsyncClient) -> None:
    made = await called.post("/v1/readers", json=ADA)
    assert made.status_code == 201
    reader = made.json()
    where = made.headers["location"]
    assert (reader["send_at"], reader["status"], reader["when_empty"]) == ("07:00", "active", "skip")
    assert reader["next_due_at"] is not None
    assert (await called.get(where)).json() == reader
    again = await called.post("/v1/readers", json=ADA)
    assert (again.status_code, reader["reader_id"] in again.json()["detail"]) == (409, True)
    changed = await called.patch(where, json={"send_at": "08:30", "status": "paused", "status_reason": "away"})
    assert (changed.json()["send_at"], changed.json()["next_due_at"]) == ("08:30", None)
    assert changed.json()["profile"] == reader["profile"]
    listed = await called.get("/v1/readers", params={"status": "paused", "external_id": "ada"})
    assert [found["name"] for found in listed.json()["readers"]] == ["Ada"]
    assert (await called.delete(where)).status_code == 204
    for answer in (await called.get(where), await called.delete(where), await called.patch(where, json={"name": "B"})):
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "bad",
    [
        *({"timezone": timezone} for timezone in ("CET", "Mars/Olympus", "")),
        *({"send_at": at} for at in ("24:00", "7", 7, "07:00:30")),
        *({"weekdays": days} for days in ([], [8], [1, 1])),
        *(
            {"email": address}
            for address in (
                "ada",
                "a@b\nBcc: c@d",
                "@example.org",
                "a b@example.org",
                "ä@example.org",
                "a@example..org",
                "a@example.org.",
                "a@[192.0.2.1]",
                "x" * 65 + "@example.org",
            )
        ),
        *({"name": name} for name in ("", "\0", "x" * 101, None)),
        *({"profile": profile} for profile in BAD_PROFILES),
        {"send_at": None},
        {"external_id": "a b"},
        {"next_due_at": "2026-01-01T00:00:00Z"},
        {"owner": "eve"},
    ],
    ids=str,
)
async def test_invalid_fields_of_a_reader_are_refused(
    called: httpx.AsyncClient, database: asyncpg.Connection, bad: dict[str, Any]
) -> None:
    refused = await called.post("/v1/readers", json=ADA | bad)
    assert (refused.status_code, bool(refused.json()["detail"])) == (422, True)
    where = (await called.post("/v1/readers", json=ADA)).headers["location"]
    before = await database.fetch("select * from public.readers")
    assert (await called.patch(where, json=bad)).status_code == 422
    assert await database.fetch("select * from public.readers") == before


async def test_an_import_names_the_line_of_an_invalid_address(called: httpx.AsyncClient) -> None:
    bad, good = ADA | {"email": "ada@example..org"}, ADA | {"external_id": "eve", "email": "eve@büro.example"}
    report = (await called.post("/v1/readers/import", content=lines(bad, good))).json()
    assert (report["created"], [each["line"] for each in report["refused"]]) == (1, [1])
    assert "email: " in report["refused"][0]["reason"]
    (reader,) = (await called.get("/v1/readers")).json()["readers"]
    assert reader["email"] == "eve@xn--bro-hoa.example"


async def test_hundreds_of_readers_are_imported_once_and_exported(
    called: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    wide = {"interests": ["the flow of ice " * 6 + str(n) for n in range(12)]}
    body = lines(*(reader | {"profile": wide} for reader in numbered(410)))
    assert len(body) > 512_000, "more than the limit of other requests"
    first = await called.post("/v1/readers/import", content=body)
    assert first.json() == {"created": 410, "changed": 0, "unchanged": 0, "refused": []}
    out = await called.get("/v1/readers/export")
    assert out.headers["content-type"].startswith("application/x-ndjson")
    assert len(out.text.splitlines()) == 410
    before = await database.fetch("select * from public.readers order by reader_id")
    again = await called.post("/v1/readers/import", content=out.content)
    assert again.json() == {"created": 0, "changed": 0, "unchanged": 410, "refused": []}
    assert await database.fetch("select * from public.readers order by reader_id") == before
    # Exported from one database and imported into another: that one exports the same lines.
    await database.execute("truncate public.readers cascade")
    await called.post("/v1/readers/import", content=out.content)
    assert sorted((await called.get("/v1/readers/export")).text.splitlines()) == sorted(out.text.splitlines())


async def test_each_bad_line_is_reported_and_stops_no_other(called: httpx.AsyncClient) -> None:
    good = numbered(4)
    body = b"".join(
        [
            lines(good[0]),
            b"{broken\n",
            lines(good[1], ADA | {"external_id": "mars", "timezone": "Mars/Olympus"}),
            b"\n",
            b"x" * (MAX_LINE + 5) + b"\n",
            lines({"name": "nobody"}, good[2] | {"name": "\ud800"}),
            b"[]\n\xff\xfe\n",
            lines(good[3])[:-1],
        ]
    )
    report = (await called.post("/v1/readers/import", content=body)).json()
    assert [refused["line"] for refused in report["refused"]] == [2, 4, 6, 7, 8, 9, 10]
    assert all(refused["reason"] for refused in report["refused"])
    assert report["created"] == 3


async def test_an_import_does_not_resubscribe_readers(called: httpx.AsyncClient) -> None:
    where = (await called.post("/v1/readers", json=ADA)).headers["location"]
    await called.patch(where, json={"status": "unsubscribed", "status_reason": "by link"})
    report = await called.post(
        "/v1/readers/import", content=lines({"external_id": "ada", "name": "B", "status": "active"})
    )
    assert report.json()["changed"] == 1
    found = (await called.get(where)).json()
    assert (found["name"], found["status"], found["timezone"]) == ("B", "unsubscribed", "Europe/Berlin")


async def test_too_many_lines_are_refused_with_the_limit(
    called: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    body = b"\n" * (MAX_LINES - 1) + lines(*numbered(2))
    answer = await called.post("/v1/readers/import", content=body)
    assert (answer.status_code, answer.json()["title"]) == (413, "Too many lines")
    assert await database.fetchval("select count(*) from public.readers") == 1


async def test_an_import_is_read_from_chunks_of_any_size() -> None:
    whole = b"one\ntwo\n\n" + b"x" * (MAX_LINE + 1) + b"\nlast"

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for begin in range(0, len(whole), size):
            yield whole[begin : begin + size]

    for size in (1, 3, 1000, len(whole)):
        assert [line async for line in lines_of(pieces(size))] == [b"one", b"two", b"", None, b"last"]


NEW_DELIVERY = """
insert into public.deliveries (delivery_id, owner, reader_id, kind, local_day, status)
values (gen_random_uuid(), 'default', gen_random_uuid(), 'digest', '2026-11-24', $1) returning delivery_id
"""


async def test_deliveries_are_listed_resolved_paused_and_resumed(
    called: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    delivery = await database.fetchval(NEW_DELIVERY, "in_doubt")
    listed = (await called.get("/v1/deliveries", params={"status": "in_doubt"})).json()
    assert [found["delivery_id"] for found in listed["deliveries"]] == [str(delivery)]
    resolved = await called.post(f"/v1/deliveries/{delivery}/resolve", json={"status": "sent"})
    assert (resolved.json()["status"], resolved.json()["resolved_by"]) == ("sent", "default")
    assert (await called.post(f"/v1/deliveries/{delivery}/resolve", json={"status": "pending"})).status_code == 409
    assert (await called.post(f"/v1/deliveries/{uuid4()}/resolve", json={"status": "sent"})).status_code == 404
    assert (await called.get(f"/v1/deliveries/{delivery}")).json()["status"] == "sent"
    assert (await called.post("/v1/deliveries/pause", json={"reason": "looking"})).json()["reason"] == (
        "default: looking"
    )
    assert (await called.get("/v1/deliveries/pause")).json() == {"paused": True, "reason": "default: looking"}
    waiting = await database.fetchval(NEW_DELIVERY, "pending")
    for pending, status in (("send", "pending"), ("skip", "skipped")):
        assert (await called.post("/v1/deliveries/resume", json={"pending": pending})).json()["paused"] is False
        assert (await called.get(f"/v1/deliveries/{waiting}")).json()["status"] == status
