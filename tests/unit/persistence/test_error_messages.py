"""The exact messages for missing objects and unreadable responses."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import respx
from supabase import AsyncClient

from app.errors import (
    BroadsheetError,
    DeliveryNotFound,
    DigestNotFound,
    EditionNotFound,
    InvalidReader,
    LeaseLost,
    NothingToDo,
    NotInDoubt,
    PaperNotFound,
    ReaderExists,
    ReaderNotFound,
    SchemaOutdated,
    SupabaseRejected,
    TaskNotFound,
    TooManyPapers,
)  # fmt: skip
from app.models.articles import EditionStatus
from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries, DeliveryStatus
from app.persistence.digests import Digests
from app.persistence.editions import Editions
from app.persistence.operator import Actor, Operator
from app.persistence.reader_papers import ReaderPapers
from app.persistence.readers import Readers, ReaderStatus
from app.persistence.schema import NEEDED_VERSION, Schema
from app.persistence.tasks import TaskStateManager
from tests.support.persistence_requests import RECORD
from tests.support.requests import AT, DAY, ONE, TWO

Call = Callable[[AsyncClient], Awaitable[object]]
BY = Actor(ONE, "ada")
NO_READER = f"There is no reader {ONE}: it was never created, or was removed."
NO_TASK = f"There is no task {ONE}: it was never created, or was removed after its retention time."
NO_SUCH_TASK = f"There is no such task {ONE}: it was never created, or was removed."
NO_DELIVERY = f"There is no delivery {ONE}: it was never created, or was removed."
NO_EDITION = "There is no edition of 2026-01-02: POST a fetch for that day first."
UNDONE = {"task": RECORD, "done": False}
DELIVERY = {
    "delivery_id": str(ONE), "owner": "web", "reader_id": str(TWO), "kind": "digest", "local_day": "2026-01-02",
    "status": "skipped", "created_at": AT,
}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "call", "error", "expected"),
    [
        ([], lambda c: TaskStateManager(c).get_task(ONE), TaskNotFound, NO_TASK),
        (None, lambda c: TaskStateManager(c).cancel_task(ONE), TaskNotFound, NO_TASK),
        (False, lambda c: TaskStateManager(c).update_task(ONE, lease_token=TWO, message="", progress=0), LeaseLost,
         f"Task {ONE} has ended, or its lease has expired: its progress was not recorded."),
        ([], lambda c: Editions(c).get_edition(DAY), EditionNotFound, NO_EDITION),
        (None, lambda c: Editions(c).finish_edition(DAY, EditionStatus.FAILED, {}), EditionNotFound, NO_EDITION),
        ([], lambda c: Digests(c).get(ONE), DigestNotFound,
         f"There is no digest of task {ONE}: the task has not completed, or the digest was removed."),
        ([], lambda c: Digests(c).for_day(ONE, DAY), DigestNotFound,
         f"There is no digest of 2026-01-02 for reader {ONE}: it was removed."),
        ([], lambda c: Deliveries(c).get(ONE), DeliveryNotFound, NO_DELIVERY),
        (None, lambda c: Deliveries(c).resolve(ONE, DeliveryStatus.SENT, by="ada"), DeliveryNotFound, NO_DELIVERY),
        ({"resolved": False, "delivery": DELIVERY}, lambda c: Deliveries(c).resolve(ONE, DeliveryStatus.SENT, by="ada"),
         NotInDoubt, f"The delivery {ONE} is skipped and cannot become sent."),
        ([], lambda c: Readers(c).get(ONE), ReaderNotFound, NO_READER),
        ([], lambda c: Readers(c).change(ONE, {}), ReaderNotFound, NO_READER),
        ([], lambda c: Readers(c).change_status(ONE, ReaderStatus.ACTIVE, None, from_statuses=set()),
         ReaderNotFound, NO_READER),
        ([], lambda c: Readers(c).link_generation(ONE), ReaderNotFound, NO_READER),
        ([{"reader_id": str(TWO), "outcome": "existing"}], lambda c: Readers(c).create("web", {"external_id": "u7"}),
         ReaderExists, f"The external_id 'u7' belongs to reader {TWO} already."),
        ([{"reader_id": None, "outcome": "refused", "reason": "no timezone"}], lambda c: Readers(c).create("web", {}),
         InvalidReader, "The reader cannot be stored: no timezone."),
        ([], lambda c: ReaderPapers(c).get(ONE, TWO), PaperNotFound,
         f"The reader has no paper {TWO}: it was never stored, or was removed."),
        (None, lambda c: ReaderPapers(c).put(ONE, []), ReaderNotFound, NO_READER),
        (None, lambda c: Operator(c).replay(BY, ONE), TaskNotFound, NO_SUCH_TASK),
        (UNDONE, lambda c: Operator(c).replay(BY, ONE), NothingToDo,
         f"Task {ONE} is pending: only permanently failed tasks can be replayed."),
        (None, lambda c: Operator(c).redeliver(BY, ONE), TaskNotFound, NO_SUCH_TASK),
        (UNDONE, lambda c: Operator(c).redeliver(BY, ONE), NothingToDo,
         f"The callback {ONE} is being delivered now. Try again when that attempt has ended."),
        (None, lambda c: Operator(c).cancel(BY, ONE), TaskNotFound, NO_SUCH_TASK),
        ({"pause": None}, lambda c: Operator(c).pause(BY, TaskKind.FETCH, "why"), NothingToDo,
         "fetch tasks were resumed at the same time: pause them again."),
        ({"pause": None}, lambda c: Operator(c).resume(BY, TaskKind.FETCH), NothingToDo, "fetch tasks are not paused."),
        (5, lambda c: Schema(c).require(), SchemaOutdated,
         f"The database's schema has version 5, this code needs {NEEDED_VERSION}. "
         "Apply the migrations: `make migrate` or `supabase db push`."),
    ],
)  # fmt: skip
async def test_a_missing_object_is_named(
    answer: Any, call: Call, error: type[BroadsheetError], expected: str, client: AsyncClient, router: respx.Router
) -> None:
    router.route().respond(200, text=json.dumps(answer))
    with pytest.raises(BroadsheetError) as refused:
        await call(client)
    assert (type(refused.value), str(refused.value)) == (error, expected)


@pytest.mark.parametrize(
    ("code", "call", "error", "expected"),
    [
        ("23505", lambda c: Readers(c).change(ONE, {}), ReaderExists,
         f"Another reader has that external_id or user_id already: Could not change reader {ONE}: no (code 23505)."),
        ("23514", lambda c: Readers(c).change(ONE, {}), InvalidReader,
         f"Could not change reader {ONE}: no (code 23514)."),
        ("22P02", lambda c: Readers(c).change(ONE, {}), SupabaseRejected,
         f"Could not change reader {ONE}: no (code 22P02)."),
        ("P0001", lambda c: ReaderPapers(c).put(ONE, []), TooManyPapers,
         f"Could not store 0 paper(s) of reader {ONE}: no (code P0001)."),
        ("23514", lambda c: ReaderPapers(c).put(ONE, []), SupabaseRejected,
         f"Could not store 0 paper(s) of reader {ONE}: no (code 23514)."),
    ],
)  # fmt: skip
async def test_each_refusal_of_the_database_has_its_error(
    code: str, call: Call, error: type[BroadsheetError], expected: str, client: AsyncClient, router: respx.Router
) -> None:
    router.route().respond(400, json={"message": "no", "code": code, "hint": None, "details": None})
    with pytest.raises(BroadsheetError) as refused:
        await call(client)
    assert (type(refused.value), str(refused.value)) == (error, expected)


HTML = "HTTP {status} with a body that is not PostgREST's: '<p>'"
SAFE = "It is safe to try again."
KEY = "SUPABASE_KEY must be the project's secret (or service_role) key"
URL = "SUPABASE_URL must be the project's own URL: redirects are not followed"


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [(502, f"{HTML}. {SAFE}", None), (401, f"{HTML}. {KEY}. {SAFE}", None), (403, f"{HTML}. {KEY}. {SAFE}", None),
     (300, f"{HTML}. {URL}. {SAFE}", None),
     (301, f"{HTML}. {URL}. {SAFE}", None), (399, f"{HTML}. {URL}. {SAFE}", None),
     (400, f"{HTML}. {SAFE}", None), (404, f"{HTML}. {SAFE}", None),
     (413, f"{HTML}.", "413"), (414, f"{HTML}.", "414")],
)  # fmt: skip
async def test_a_foreign_response_is_reported_with_its_status(
    status: int, expected: str, code: str | None, client: AsyncClient, router: respx.Router
) -> None:
    router.route().respond(status, text="<p>")
    with pytest.raises(BroadsheetError) as refused:
        await Readers(client).get(ONE)
    assert str(refused.value) == f"Could not read reader {ONE}: {expected.format(status=status)}"
    assert getattr(refused.value, "code", None) == code


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (httpx.ConnectError("refused"), f"Could not read reader {ONE}: ConnectError: refused. {SAFE}"),
        (httpx.Response(200, text="[{"),
         f"Could not read reader {ONE}: the response cannot be read (Expecting property name enclosed in double "
         f"quotes: line 1 column 3 (char 2)). {SAFE}"),
        (httpx.Response(200, json=[{"reader_id": 1}]),
         "Supabase returned an unreadable response (list): UUID input should be a string, bytes or UUID object at "
         f"(0, 'reader_id'). {SAFE} If it happens again, compare the migrations with the code."),
    ],
)  # fmt: skip
async def test_an_unreadable_response_is_reported_with_the_reason(
    trouble: Any, expected: str, client: AsyncClient, router: respx.Router
) -> None:
    router.route().mock(side_effect=[trouble])
    with pytest.raises(BroadsheetError) as refused:
        await Readers(client).get(ONE)
    assert str(refused.value) == expected
