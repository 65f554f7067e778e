"""A whole run with traces: a POST, its fetch, a killed worker, a model, a mail, and a callback that is retried."""

import asyncio
from pathlib import Path

import pytest

from embedded.stack import Ready
from tests.support.database_reset import DatabaseCleaner
from tests.support.spans import LOST, Seen, paths
from tests.support.traced_run import CALLER_TRACE, TracedRun, traced_run

DOCUMENT = Path(__file__).parents[2] / "docs" / "TRACES.md"


@pytest.fixture(scope="module")
def run(stack: Ready, database_cleaner: DatabaseCleaner) -> TracedRun:
    """One run for all tests of this file."""
    database_cleaner.empty(stack.database_url)
    return asyncio.run(traced_run(stack))


def posted(run: TracedRun) -> Seen:
    (span,) = [span for span in run.spans if span.name == "POST /v1/digests"]
    return span


def trace_of_post(run: TracedRun) -> list[Seen]:
    return [span for span in run.spans if span.trace_id == posted(run).trace_id]


def drawn() -> set[tuple[str, ...]]:
    """The paths in the tree of docs/TRACES.md."""
    block = DOCUMENT.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    found, path = set(), list[str]()
    for line in block.splitlines():
        name = line.lstrip()
        path[(len(line) - len(name)) // 2 :] = [name]
        found.add(tuple(path))
    return found


def test_one_trace_leads_from_a_post_to_mail_and_callback(run: TracedRun) -> None:
    assert len(drawn()) > 20
    assert drawn() - paths(trace_of_post(run)) == set()


def test_all_tasks_of_a_post_store_its_trace(run: TracedRun) -> None:
    """A digest, its fetch, its delivery and its callback."""
    traces = [stored.split("-")[1] for stored in run.stored if stored]
    assert traces == [posted(run).trace_id] * 4
    assert len(run.stored) == 4


def test_a_killed_attempt_is_a_gap_and_the_next_one_follows(run: TracedRun) -> None:
    attempts = [span for span in trace_of_post(run) if span.name == "process digest"]
    numbers = [span.attributes["broadsheet.task.attempt"] for span in sorted(attempts, key=lambda each: each.started)]
    assert (numbers[0], numbers[-1], set(numbers)) == (1, 2, {1, 2})
    assert (LOST, "POST rpc/cache_get") in paths(trace_of_post(run))


def test_a_callers_trace_context_is_a_link_alone(run: TracedRun) -> None:
    assert posted(run).links == (CALLER_TRACE,)
    assert posted(run).parent_id is None
    assert CALLER_TRACE not in {span.trace_id for span in run.spans}


def test_each_attempt_of_a_callback_carries_its_own_span(run: TracedRun) -> None:
    sent = [headers["traceparent"].split("-") for headers in run.callback_headers]
    calls = {span.span_id: span.parent_id for span in trace_of_post(run) if span.name == "POST"}
    attempts = [calls[span_id] for _, _, span_id, _ in sent]
    assert {trace for _, trace, _, _ in sent} == {posted(run).trace_id}
    assert len(set(attempts)) == len(sent) == 2


def test_no_span_contains_a_secret_or_a_person(run: TracedRun) -> None:
    assert len(run.secrets) > 10
    assert [name for name, secret in run.secrets.items() if secret.encode() in run.exported] == []
    texts = [str(value) for span in run.spans for value in (span.name, *span.attributes.values())]
    assert [text for text in texts if "@" in text or "token" in text.replace("{token}", "")] == []


def test_log_lines_carry_the_ids_of_their_span(run: TracedRun) -> None:
    lines = [record for record in run.api.log if record.get("route") == "/v1/digests"]
    assert [(line["trace_id"], line["span_id"]) for line in lines] == [(posted(run).trace_id, posted(run).span_id)]
    by_task = [record for record in run.worker.log if record["event"] == "model request failed"]
    assert {record["trace_id"] for record in by_task} == {posted(run).trace_id}


def test_the_exporters_thread_is_the_only_one(run: TracedRun) -> None:
    expected = ["Thread OtelBatchSpanRecordProcessor"]
    assert (run.api.threads_started, run.worker.threads_started) == (expected, expected)


def test_a_model_call_has_its_name_and_its_tokens(run: TracedRun) -> None:
    first, *_ = [span for span in trace_of_post(run) if span.name == "chat gpt-4o-mini"]
    assert first.kind == "CLIENT"
    assert first.attributes["gen_ai.operation.name"] == "chat"
    assert first.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert (first.attributes["gen_ai.usage.input_tokens"], first.attributes["gen_ai.usage.output_tokens"]) == (300, 80)
