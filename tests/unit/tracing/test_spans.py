"""Spans: parents and links, what decides that they are recorded, and what they never contain."""

from random import Random
from uuid import UUID

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from app.errors import TaskNotFound
from app.tracing.current import NO_SPAN, active_spans, calling, sending
from app.tracing.spans import Spans, error_type_of, log_fields, traceparent_of
from tests.support.spans import recorded_spans

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TASK = UUID(int=7)


def task_ids(count: int) -> list[UUID]:
    """Ids as callers choose them: random, except for the bits of version and variant."""
    random = Random(7)
    return [UUID(int=random.getrandbits(128), version=4) for _ in range(count)]


def spans() -> Spans:
    active = active_spans()
    assert active is not None
    return active


def test_without_traces_every_call_does_nothing() -> None:
    rows = [{"task_id": "1", "kind": "fetch"}]
    with sending(rows) as sent, calling("GET", {}) as called:
        sent.set({"a": 1})
        called.fail("b")
    assert (sent, called, rows) == (NO_SPAN, NO_SPAN, [{"task_id": "1", "kind": "fetch"}])


def test_an_attempt_continues_the_trace_of_its_task() -> None:
    with recorded_spans() as recorded, spans().process("digest", TASK, 2, f"00-{TRACE}-{PARENT}-01"):
        assert log_fields()["trace_id"] == TRACE
    span = recorded.one("process digest")
    assert (span.kind, span.trace_id, span.parent_id) == ("CONSUMER", TRACE, PARENT)
    assert span.attributes == {
        "messaging.system": "broadsheet",
        "messaging.destination.name": "digest",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": str(TASK),
        "broadsheet.task.attempt": 2,
    }


def test_a_trace_that_was_not_recorded_stays_so() -> None:
    rows = [{"task_id": "1", "kind": "fetch"}]
    with recorded_spans() as recorded, spans().process("digest", TASK, 1, f"00-{TRACE}-{PARENT}-00"):
        with calling("GET", {}) as called:
            assert called is NO_SPAN
        with sending(rows):
            pass
    assert recorded.spans == []
    assert rows[0]["traceparent"].startswith(f"00-{TRACE}-")
    assert rows[0]["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    "trace", [None, str(UUID(int=8)), "not a context", f"00-{'0' * 32}-{PARENT}-01", "0" * 100_000]
)
def test_attempts_without_a_context_share_a_derived_trace(trace: str | None) -> None:
    with recorded_spans() as recorded:
        for attempt in (1, 2):
            with spans().process("digest", TASK, attempt, trace):
                pass
        with spans().process("callback", TASK, 1, str(TASK)):
            pass
    first, second, caused = recorded.spans
    assert first.trace_id == second.trace_id
    assert (first.parent_id, second.parent_id) == (None, None)
    assert (caused.trace_id == first.trace_id) == (trace is None)


def test_a_derived_trace_is_sampled_by_its_ratio() -> None:
    """The ids of tasks are not random in every bit, so a tenth of the ids themselves would be all or none."""
    with recorded_spans(ParentBased(TraceIdRatioBased(0.1))) as recorded:
        for task_id in task_ids(2_000):
            with spans().process("digest", task_id, 1, None):
                pass
    assert 100 < len(recorded.spans) < 320


def test_all_attempts_of_a_task_are_sampled_alike() -> None:
    with recorded_spans(ParentBased(TraceIdRatioBased(0.5))) as recorded:
        for task_id in task_ids(200) * 2:
            with spans().process("digest", task_id, 1, None):
                pass
    traces = [span.trace_id for span in recorded.spans]
    assert {traces.count(trace) for trace in traces} == {2}


def test_calls_outside_a_trace_write_no_span() -> None:
    with recorded_spans() as recorded, calling("GET", {}) as called:
        assert called is NO_SPAN
    assert recorded.spans == []


def test_an_error_leaves_its_type_and_never_its_text() -> None:
    with (
        recorded_spans() as recorded,
        pytest.raises(LookupError),
        spans().process("delivery", TASK, 1, None),
        calling("smtp send", {"server.address": "mx.example"}),
    ):
        raise LookupError("ada@example.org was refused")
    assert len(recorded.spans) == 2
    for span in recorded.spans:
        assert span.error
        assert span.attributes["error.type"] == "LookupError"
        assert "ada@" not in str(span)


def test_only_the_first_error_of_a_span_counts() -> None:
    with recorded_spans() as recorded, spans().process("digest", TASK, 1, None) as span:
        span.fail("first")
        span.fail("second")
    assert recorded.one("process digest").attributes["error.type"] == "first"


def test_an_error_of_a_package_has_its_full_name() -> None:
    assert error_type_of(ValueError()) == "ValueError"
    assert error_type_of(TaskNotFound("gone")) == "app.errors.TaskNotFound"


def test_there_is_no_context_outside_a_span() -> None:
    with recorded_spans():
        assert traceparent_of() is None
        assert log_fields() == {}


def test_a_callers_context_is_a_link_and_decides_nothing() -> None:
    header = f"00-{TRACE}-{PARENT}-01"
    with recorded_spans() as recorded, spans().server("POST", header):
        pass
    span = recorded.one("POST")
    assert (span.kind, span.parent_id, span.links) == ("SERVER", None, (TRACE,))
    with recorded_spans(ParentBased(ALWAYS_OFF)) as ignored, spans().server("POST", header):
        pass
    assert ignored.spans == []


@pytest.mark.parametrize("header", [None, "", "00", "x" * 50_000, f"00-{TRACE}-{PARENT}", f"ff-{TRACE}-{PARENT}-01"])
def test_a_broken_context_of_a_caller_is_ignored(header: str | None) -> None:
    with recorded_spans() as recorded, spans().server("GET", header):
        pass
    assert recorded.one("GET").links == ()
