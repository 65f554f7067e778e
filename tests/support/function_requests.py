"""The arguments of each call of a database function."""

from datetime import timedelta
from typing import Any
from unittest.mock import ANY
from uuid import uuid5

from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.circuit_breaker import CircuitBreakers
from app.persistence.condition_states import ConditionCallback, ConditionStates
from app.persistence.confirmations import Confirmations
from app.persistence.deliveries import Deliveries, DeliveryStatus
from app.persistence.digests import Digests
from app.persistence.editions import Editions, Reading
from app.persistence.ended_sessions import EndedSessions
from app.persistence.health import Health
from app.persistence.items import Items
from app.persistence.maintenance import Maintenance
from app.persistence.operator import Actor, Operator
from app.persistence.operator_tasks import OperatorTasks
from app.persistence.outcomes import Lease
from app.persistence.paging import encode_cursor
from app.persistence.rate_limits import DistributedRateLimiter
from app.persistence.reader_papers import OutdatedPaper, PaperInput, ReaderPapers
from app.persistence.readers import Readers
from app.persistence.readers_file import FileEntry, ReadersFile
from app.persistence.schedule import Schedule
from app.persistence.schema import Schema
from app.persistence.sign_ups import SignUpLimits, SignUps
from app.persistence.task_stats import TaskCounts, TaskStats
from app.persistence.tasks import TaskStateManager
from app.persistence.watched_tasks import WatchedTasks
from app.persistence.worker_configuration import WorkerConfiguration
from tests.support.import_requests import IMPORTS
from tests.support.library_requests import LIBRARIES
from tests.support.own_data_requests import OWN_DATA
from tests.support.requests import AT, DAY, MOMENT, ONE, TWO, rpc

CURSOR = encode_cursor(MOMENT, TWO)
LONG = "x" * 1999 + "\0" + "yz"
TRUNCATED = "x" * 1999 + "y"
BY = Actor(ONE, "ada")
ACTOR = {"p_audit_id": str(ONE), "p_actor": "ada"}
NEWS = Article(source="feed:x", external_id="1", kind=ArticleKind.NEWS, title="A\0b")
NEWS_ROW = {
    "source": "feed:x", "external_id": "1", "kind": "news", "title": "Ab", "abstract": "", "authors": [], "url": None,
    "pdf_url": None, "categories": [], "published_at": None, "arxiv_id": None, "doi": None,
    "journal_ref": "", "comment": "", "code_url": None,
    "keys": ["from:5a1c3c236ec5bab1b808065017127f90"],
}  # fmt: skip
OUTDATED = OutdatedPaper(paper_id=TWO, title="T", abstract="", text_hash="h")
PAPER = PaperInput(keys=tuple(str(number) for number in range(21)), title="A\0b", published_at=MOMENT)
PAPER_ROW = {
    "keys": [str(number) for number in range(20)], "kind": "paper", "title": "Ab", "abstract": "", "authors": [],
    "url": None, "published_at": "2026-01-02T03:04:05.000678Z", "arxiv_id": None, "doi": None, "origin": "manual",
    "vector": "", "publication": None,
}  # fmt: skip
BEGINNING: dict[str, object] = {"p_before": None, "p_before_id": None}
BEHIND: dict[str, object] = {"p_before": AT, "p_before_id": str(TWO)}
ANY_TASK: dict[str, object] = {"p_owner": None, "p_kind": None, "p_status": None, "p_source_date": None}
ANY_DELIVERY: dict[str, object] = {"p_owner": None, "p_status": None, "p_reader_id": None}
COUNTS: Any = {"completed": 1, "failed": 2, "retried": 3, "model_calls": 4, "model_failures": 5, "input_tokens": 6,
               "output_tokens": 7, "model_fallbacks": {"busy": 8}}  # fmt: skip

TASKS = [
    rpc(f"report progress of task {ONE}",
        lambda c: TaskStateManager(c).update_task(ONE, lease_token=TWO, message="a\0b", progress=1.5),
        "report_progress", p_task_id=str(ONE), p_lease_token=str(TWO), p_message="ab", p_progress=1.0),
    rpc(f"report progress of task {ONE}",
        lambda c: TaskStateManager(c).update_task(ONE, lease_token=TWO, message="", progress=-0.5),
        "report_progress", p_task_id=str(ONE), p_lease_token=str(TWO), p_message="", p_progress=0.0),
    rpc("list tasks", lambda c: TaskStateManager(c).list_tasks(), "list_tasks", **ANY_TASK, **BEGINNING, p_limit=51),
    rpc("list tasks", lambda c: TaskStateManager(c).list_tasks(limit=0),
        "list_tasks", **ANY_TASK, **BEGINNING, p_limit=2),
    rpc("list tasks",
        lambda c: TaskStateManager(c).list_tasks(owner="web", kind=TaskKind.DIGEST, status=TaskStatus.FAILED,
                                                 source_date=DAY, limit=101, cursor=CURSOR),
        "list_tasks", p_owner="web", p_kind="digest", p_status="failed", p_source_date="2026-01-02", **BEHIND,
        p_limit=101),
    rpc(f"cancel task {ONE}", lambda c: TaskStateManager(c).cancel_task(ONE),
        "cancel_task", p_task_id=str(ONE), p_owner=None),
    rpc(f"cancel task {ONE}", lambda c: TaskStateManager(c).cancel_task(ONE, owner="web"),
        "cancel_task", p_task_id=str(ONE), p_owner="web"),
    rpc("watch 2 task(s)", lambda c: WatchedTasks(c).changes({ONE: "", TWO: "v"}),
        "watch_tasks", p_known={str(ONE): "", str(TWO): "v"}),
]  # fmt: skip

DELIVERIES = [
    rpc(f"begin to send delivery {ONE}",
        lambda c: Deliveries(c).begin(ONE, Lease(ONE, TWO), repeatable_within=None, sender_id="smtp:1"),
        "begin_sending", p_delivery_id=str(ONE), p_token=str(TWO), p_repeatable_seconds=None, p_sender_id="smtp:1"),
    rpc(f"begin to send delivery {ONE}",
        lambda c: Deliveries(c).begin(ONE, Lease(ONE, TWO), repeatable_within=timedelta(0), sender_id="resend:1"),
        "begin_sending", p_delivery_id=str(ONE), p_token=str(TWO), p_repeatable_seconds=0.0, p_sender_id="resend:1"),
    rpc(f"end delivery {ONE}", lambda c: Deliveries(c).end(ONE, Lease(ONE, TWO), DeliveryStatus.SENT),
        "finish_sending", p_delivery_id=str(ONE), p_token=str(TWO), p_status="sent", p_reason=None, p_provider_id=None,
        p_bounce=False),
    rpc(f"end delivery {ONE}",
        lambda c: Deliveries(c).end(ONE, Lease(ONE, TWO), DeliveryStatus.FAILED, reason=LONG, provider_id="i\0d",
                                    bounce=True),
        "finish_sending", p_delivery_id=str(ONE), p_token=str(TWO), p_status="failed", p_reason=TRUNCATED,
        p_provider_id="id", p_bounce=True),
    rpc("record a bounce", lambda c: Deliveries(c).record_bounce(["a\0@b.c", "A@b.c"], LONG, complaint=True),
        "record_bounce", p_addresses=["a@b.c", "A@b.c"], p_complaint=True, p_reason=TRUNCATED),
    rpc("list deliveries", lambda c: Deliveries(c).page(None),
        "list_deliveries", **ANY_DELIVERY, **BEGINNING, p_limit=51),
    rpc("list deliveries", lambda c: Deliveries(c).page(None, limit=0),
        "list_deliveries", **ANY_DELIVERY, **BEGINNING, p_limit=2),
    rpc("list deliveries",
        lambda c: Deliveries(c).page("web", status=DeliveryStatus.SENT, reader_id=ONE, limit=101, cursor=CURSOR),
        "list_deliveries", p_owner="web", p_status="sent", p_reader_id=str(ONE), **BEHIND, p_limit=101),
    rpc(f"resolve delivery {ONE}", lambda c: Deliveries(c).resolve(ONE, DeliveryStatus.SENT, by="ada"),
        "resolve_for_operator", p_delivery_id=str(ONE), p_status="sent", p_audit_id=ANY, p_actor="ada"),
    rpc("check whether deliveries are paused", lambda c: Deliveries(c).paused(), "deliveries_paused"),
    rpc("pause or resume deliveries", lambda c: Deliveries(c).pause("restored", by="ada"),
        "set_pause_for_operator", p_reason="ada: restored", p_audit_id=ANY, p_actor="ada"),
    rpc("pause or resume deliveries", lambda c: Deliveries(c).resume(by="ada", skip_pending=False),
        "set_pause_for_operator", p_reason=None, p_audit_id=ANY, p_actor="ada"),
    rpc("skip pending deliveries", lambda c: Deliveries(c).resume(by="ada", skip_pending=True),
        "skip_deliveries_for_operator", p_limit=1000, p_audit_id=ANY, p_actor="ada"),
]  # fmt: skip

ITEMS = [
    rpc("begin edition 2026-01-02", lambda c: Editions(c).begin_edition(DAY),
        "begin_edition", p_source_date="2026-01-02"),
    rpc("save 1 articles of 2026-01-02", lambda c: Editions(c).save_articles(DAY, [NEWS]),
        "save_articles", p_source_date="2026-01-02", p_articles=[NEWS_ROW]),
    rpc("plan the fetch of 2026-01-02", lambda c: Editions(c).plan_fetch(DAY, ONE),
        "plan_fetch", p_source_date="2026-01-02", p_task_id=str(ONE)),
    rpc("record the readings of 2026-01-02",
        lambda c: Editions(c).record_readings(
            DAY, ONE, MOMENT, [Reading("a", MOMENT, items=0), Reading("b", MOMENT, error="a\0way")]),
        "record_readings", p_source_date="2026-01-02", p_task_id=str(ONE), p_at=MOMENT.isoformat(),
        p_sources=[{"name": "a", "complete_from": MOMENT.isoformat(), "items": 0},
                   {"name": "b", "complete_from": MOMENT.isoformat(), "error": "away"}]),
    rpc("finish edition 2026-01-02",
        lambda c: Editions(c).finish_edition(DAY, EditionStatus.PARTIAL, {"b": "a\0way"}),
        "finish_edition", p_source_date="2026-01-02", p_status="partial", p_errors={"b": "away"}, p_sources=None),
    rpc("finish edition 2026-01-02", lambda c: Editions(c).finish_edition(DAY, EditionStatus.COMPLETED, {}, ["a"]),
        "finish_edition", p_source_date="2026-01-02", p_status="completed", p_errors={}, p_sources=["a"]),
    rpc(f"read the new items for reader {ONE}", lambda c: Items(c).new_items_for(ONE, DAY, DAY),
        "items_for_schedule", p_reader=str(ONE), p_source_date="2026-01-02", p_local_day="2026-01-02"),
    rpc("read the items first seen on 2026-01-02", lambda c: Items(c).first_seen_on(DAY),
        "items_of_day", p_day="2026-01-02", p_after=None, p_after_id=None, p_limit=500),
    rpc("find the items of 2 keys", lambda c: Items(c).find_by_keys(["a", "b"]), "items_with_keys", p_keys=["a", "b"]),
    rpc(f"search the digests of reader {ONE}", lambda c: Digests(c).search(ONE, "x" * 199 + "\0y"),
        "search_digests", p_reader=str(ONE), p_text="x" * 199, p_limit=50),
    rpc(f"search the digests of reader {ONE}", lambda c: Digests(c).search(ONE, "a", limit=501),
        "search_digests", p_reader=str(ONE), p_text="a", p_limit=500),
    rpc(f"read the newest items of reader {ONE}", lambda c: Digests(c).newest_items(ONE),
        "newest_items", p_reader=str(ONE), p_limit=100),
    rpc(f"read the newest items of reader {ONE}", lambda c: Digests(c).newest_items(ONE, limit=501),
        "newest_items", p_reader=str(ONE), p_limit=500),
]  # fmt: skip

READERS = [
    rpc("create or change 1 reader(s)", lambda c: Readers(c).create("web", {"name": "A\0da"}),
        "upsert_readers", p_owner="web", p_readers=[{"name": "Ada"}], p_change=False),
    rpc("create or change 2 reader(s)", lambda c: Readers(c).import_readers("web", [{"name": "A"}, {"name": "B"}]),
        "upsert_readers", p_owner="web", p_readers=[{"name": "A"}, {"name": "B"}], p_change=True),
    rpc(f"remove reader {ONE}", lambda c: Readers(c).remove(ONE),
        "remove_reader", p_reader_id=str(ONE), p_owner=None),
    rpc(f"remove reader {ONE}", lambda c: Readers(c).remove(ONE, "web"),
        "remove_reader", p_reader_id=str(ONE), p_owner="web"),
    rpc(f"store 2 paper(s) of reader {ONE}",
        lambda c: ReaderPapers(c).put(ONE, [(PAPER, {"liked": None}), (TWO, {"saved": True})]),
        "upsert_reader_papers", p_reader=str(ONE),
        p_papers=[PAPER_ROW | {"liked": None}, {"paper_id": str(TWO), "keys": [], "saved": True}]),
    rpc(f"store 1 paper(s) of reader {ONE}", lambda c: ReaderPapers(c).save(ONE, TWO, saved=False),
        "upsert_reader_papers", p_reader=str(ONE), p_papers=[{"paper_id": str(TWO), "keys": [], "saved": False}]),
    rpc(f"remove paper {TWO}", lambda c: ReaderPapers(c).remove(ONE, TWO),
        "remove_reader_paper", p_reader=str(ONE), p_paper=str(TWO)),
    rpc(f"read the feedback of reader {ONE} on 1 item(s)", lambda c: ReaderPapers(c).feedback_on(ONE, [PAPER.keys]),
        "paper_feedback", p_reader=str(ONE), p_items=[PAPER_ROW["keys"]]),
    rpc(f"list the papers of reader {ONE}", lambda c: ReaderPapers(c).page(ONE),
        "list_reader_papers", p_reader=str(ONE), p_saved=False, **BEGINNING, p_limit=51),
    rpc(f"list the papers of reader {ONE}", lambda c: ReaderPapers(c).page(ONE, limit=101, cursor=CURSOR),
        "list_reader_papers", p_reader=str(ONE), p_saved=False, **BEHIND, p_limit=101),
    rpc(f"list the papers of reader {ONE}", lambda c: ReaderPapers(c).saved(ONE),
        "list_reader_papers", p_reader=str(ONE), p_saved=True, **BEGINNING, p_limit=51),
    rpc(f"list the papers of reader {ONE}", lambda c: ReaderPapers(c).saved(ONE, limit=0, cursor=CURSOR),
        "list_reader_papers", p_reader=str(ONE), p_saved=True, **BEHIND, p_limit=2),
    rpc(f"read the saved papers of reader {ONE}", lambda c: anext(ReaderPapers(c).saved_pages(ONE)),
        "list_saved_papers", p_reader=str(ONE), p_after=None, p_after_id=None, p_limit=100),
    rpc(f"read the version of the saved papers of reader {ONE}", lambda c: ReaderPapers(c).saved_version(ONE),
        "saved_papers_version", p_reader=str(ONE)),
    rpc("list the papers to look up", lambda c: ReaderPapers(c).to_look_up(7),
        "papers_to_look_up", p_limit=7),
    rpc("record the look-up of 2 papers", lambda c: ReaderPapers(c).record_looked_up(["a", "b"], [PAPER]),
        "record_looked_up", p_arxiv_ids=["a", "b"], p_dois=[], p_papers=[PAPER_ROW]),
    rpc("list the DOIs to look up", lambda c: ReaderPapers(c).dois_to_look_up(7), "dois_to_look_up", p_limit=7),
    rpc("record the look-up of 1 papers", lambda c: ReaderPapers(c).record_looked_up([], [PAPER], dois=["10.1/a"]),
        "record_looked_up", p_arxiv_ids=[], p_dois=["10.1/a"], p_papers=[PAPER_ROW]),
    rpc("read which vectors are outdated", lambda c: ReaderPapers(c).outdated_vectors("2:", 7),
        "outdated_vectors", p_mark="2:", p_limit=7),
    rpc("store the vectors of 1 paper(s)", lambda c: ReaderPapers(c).put_vectors("2:", {OUTDATED: "2:AA"}),
        "put_vectors", p_mark="2:", p_vectors=[{"paper_id": str(TWO), "text_hash": "h", "vector": "2:AA"}]),
]  # fmt: skip

CALLBACK = ConditionCallback(name="no_worker", active=True, changed_at=MOMENT, callback_id=TWO, event={})
OPERATORS = [
    rpc(f"replay_task {TWO}", lambda c: Operator(c).replay(BY, TWO), "replay_task", **ACTOR, p_task_id=str(TWO)),
    rpc("replay fetch tasks", lambda c: Operator(c).replay_dead(BY, TaskKind.FETCH),
        "replay_dead_letters", p_kind="fetch", p_cause=None, p_since=None, p_until=None, p_after=None, p_step=1000,
        p_audit_id=str(uuid5(ONE, "None")), p_actor="ada"),
    rpc("replay digest tasks",
        lambda c: Operator(c).replay_dead(
            BY, TaskKind.DIGEST, cause="a", since=MOMENT, until=MOMENT, after=TWO, step=5),
        "replay_dead_letters", p_kind="digest", p_cause="a", p_since=AT, p_until=AT, p_after=str(TWO), p_step=5,
        p_audit_id=str(uuid5(ONE, str(TWO))), p_actor="ada"),
    rpc(f"read the details of task {ONE}", lambda c: OperatorTasks(c).details(ONE), "task_details", p_task_id=str(ONE)),
    rpc("list failures", lambda c: OperatorTasks(c).list_failures(),
        "list_failures", **ANY_TASK, p_cause=None, p_text=None, **BEGINNING, p_limit=51),
    rpc("list failures",
        lambda c: OperatorTasks(c).list_failures(
            owner="web", kind=TaskKind.DIGEST, status=TaskStatus.FAILED, source_date=DAY, cause="a", text="b\0c",
            limit=7, cursor=CURSOR),
        "list_failures", p_owner="web", p_kind="digest", p_status="failed", p_source_date="2026-01-02", p_cause="a",
        p_text="bc", **BEHIND, p_limit=8),
    rpc("group the failed tasks", lambda c: Operator(c).failure_groups(limit=3), "failure_groups", p_limit=3),
    rpc("discard fetch tasks", lambda c: Operator(c).discard(BY, TaskKind.FETCH, "a", until=MOMENT, step=5),
        "discard_dead_letters", p_kind="fetch", p_cause="a", p_until=AT, p_step=5, **ACTOR),
    rpc(f"redeliver {TWO}", lambda c: Operator(c).redeliver(BY, TWO), "redeliver", **ACTOR, p_task_id=str(TWO)),
    rpc(f"cancel_for_operator {TWO}", lambda c: Operator(c).cancel(BY, TWO),
        "cancel_for_operator", **ACTOR, p_task_id=str(TWO)),
    rpc("pause fetch tasks", lambda c: Operator(c).pause(BY, TaskKind.FETCH, "wh\0y"),
        "pause_kind", **ACTOR, p_kind="fetch", p_reason="why"),
    rpc("resume fetch tasks", lambda c: Operator(c).resume(BY, TaskKind.FETCH), "resume_kind", **ACTOR, p_kind="fetch"),
    rpc("list workers", lambda c: Operator(c).workers(), "list_worker_rows"),
    rpc("read the overview", lambda c: Operator(c).overview(), "operator_overview", p_hours=6),
    rpc("read the overview", lambda c: Operator(c).overview(hours=2), "operator_overview", p_hours=2),
    rpc("record the conditions", lambda c: ConditionStates(c).update(ONE, [{"name": "no_worker", "text": "a\0b"}]),
        "update_conditions", p_call=str(ONE), p_active=[{"name": "no_worker", "text": "ab"}]),
    rpc("confirm a callback about a condition", lambda c: ConditionStates(c).confirm(CALLBACK),
        "confirm_condition_callback", p_name="no_worker", p_callback_id=str(TWO)),
    rpc("compute the delivery rate", lambda c: Health(c).refresh_delivery_rate(), "refresh_delivery_rate"),
    rpc("read the health of the service", lambda c: Health(c).facts(), "operator_health"),
    rpc("find orphaned tasks", lambda c: Operator(c).orphaned_tasks(), "orphaned_tasks", p_after=None, p_limit=50,
        p_scan=10_000),
    rpc("find orphaned tasks", lambda c: Operator(c).orphaned_tasks(after=TWO, limit=3), "orphaned_tasks",
        p_after=str(TWO), p_limit=3, p_scan=10_000),
]  # fmt: skip

FLEETS = [
    rpc("read the circuit breakers", lambda c: CircuitBreakers(c).states(), "breaker_states"),
    rpc("end a session", lambda c: EndedSessions(c).end("s", ttl=timedelta(hours=1)),
        "cache_put", p_key="ops-session-ended:s", p_value=True, p_ttl_seconds=3600.0),
    rpc("check whether a session was ended", lambda c: EndedSessions(c).has_ended("s"),
        "cache_get", p_key="ops-session-ended:s"),
    rpc("read the statistics of the queue", lambda c: Maintenance(c).queue_stats(), "queue_stats"),
    rpc("remove old tasks and editions", lambda c: Maintenance(c).retain(task_days=1, edition_days=2),
        "apply_retention", p_task_days=1, p_edition_days=2, p_batch=500),
    rpc("remove old deliveries and audit entries",
        lambda c: Maintenance(c, batch=9).prune_records(delivery_days=30, audit_days=365),
        "prune_records", p_delivery_days=30, p_audit_days=365, p_batch=9),
    rpc("remove old digests", lambda c: Maintenance(c, batch=9).retain_digests(digest_days=3),
        "prune_digests", p_days=3, p_batch=9),
    rpc(f"send task statistics 8 of worker {ONE}",
        lambda c: TaskStats(c).report(
            ONE, 8, {TaskKind.FETCH: TaskCounts(), TaskKind.DIGEST: TaskCounts(**COUNTS, sample=(TWO,))}),
        "report_task_stats", p_worker=str(ONE), p_number=8,
        p_counts=[{"kind": "digest", **COUNTS, "sample": [str(TWO)]},
                  {"kind": "fetch", **dict.fromkeys(COUNTS, 0), "model_fallbacks": {}, "sample": []}]),
    rpc(f"report the configuration of worker {ONE}",
        lambda c: WorkerConfiguration(c).report(ONE, {"MAIL_URL": "no mails"}, ["arxiv"]),
        "report_configuration", p_worker=str(ONE), p_not_configured={"MAIL_URL": "no mails"}, p_services=["arxiv"]),
    rpc("apply 1 reader(s) of the readers file",
        lambda c: ReadersFile(c).apply("ada", [FileEntry("a", {"name": "A\0b"})], {"name": "\0"}),
        "apply_readers_file", p_owner="ada", p_defaults={"name": ""},
        p_readers=[{"reader_id": ANY, "external_id": "a", "values": {"name": "Ab"}}]),
    rpc("find the readers that are no longer in the readers file",
        lambda c: ReadersFile(c).missing("ada", ["a"], pause=True),
        "readers_missing_in_file", p_owner="ada", p_keys=["a"], p_pause=True),
    rpc("enqueue the digests that are due", lambda c: Schedule(c).enqueue_due(), "enqueue_due", p_limit=2500,
        p_ahead_seconds=0),
    rpc("enqueue the digests that are due", lambda c: Schedule(c, batch=3).enqueue_due(timedelta(1)),
        "enqueue_due", p_limit=3, p_ahead_seconds=86400),
    rpc("read the schema's version", lambda c: Schema(c).require(), "schema_version"),
    rpc("acquire a permit for arxiv",
        lambda c: DistributedRateLimiter(c).acquire("arxiv", ONE, interval=3.0, hold=60.0),
        "acquire_permit", p_name="arxiv", p_token=str(ONE), p_interval_seconds=3.0, p_hold_seconds=60.0),
    rpc("release the permit for arxiv", lambda c: DistributedRateLimiter(c).release("arxiv", ONE, pause=5.0),
        "release_permit", p_name="arxiv", p_token=str(ONE), p_pause_seconds=5.0),
]  # fmt: skip

CONFIRMATIONS = [
    rpc(f"confirm the address of reader {ONE}", lambda c: Confirmations(c).confirm(ONE, 3, DAY),
        "confirm_reader", p_reader_id=str(ONE), p_generation=3, p_day="2026-01-02"),
    rpc(f"request a confirmation of reader {ONE}", lambda c: Confirmations(c).resend(ONE),
        "resend_confirmation", p_reader_id=str(ONE), p_owner=None),
    rpc(f"request a confirmation of reader {ONE}", lambda c: Confirmations(c).resend(ONE, "web"),
        "resend_confirmation", p_reader_id=str(ONE), p_owner="web"),
    rpc("accept a sign-up", lambda c: SignUps(c).accept(
            TWO, "web", {"name": "a\0b"}, "192.0.2.0/24", SignUpLimits(60, 5)),
        "sign_up", p_sign_up_id=str(TWO), p_owner="web", p_reader={"name": "ab"}, p_network="192.0.2.0/24",
        p_per_hour=60, p_per_network=5),
    rpc("read the figures of the sign-ups", lambda c: SignUps(c).figures(), "sign_up_figures"),
    rpc("remove readers that were never confirmed", lambda c: Maintenance(c, batch=7).prune_sign_ups(),
        "prune_sign_ups", p_batch=7),
]  # fmt: skip

FUNCTION_CALLS = [
    *(*CONFIRMATIONS, *TASKS, *DELIVERIES, *ITEMS, *READERS, *OWN_DATA, *IMPORTS, *LIBRARIES, *OPERATORS, *FLEETS)
]
