"""The summary of a run: which ends count as a failure, and what its lines say."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed, Failed, Lease, Outcome, Released, Snoozed
from app.persistence.queue import ClaimedTask
from worker.run_summary import RunSummary

SOON = timedelta(seconds=1)
FETCHED = Completed({"status": "completed", "counts": {"arxiv": 3}, "errors": {}})
WRITTEN = Completed({"items": 2}, {"introduction": "x" * 1_000_000})
SENT = Completed({"status": "sent"})


def task(kind: TaskKind, attempt: int = 1) -> ClaimedTask:
    return ClaimedTask(Lease(uuid4(), uuid4()), kind, attempt, 5, timedelta(0), None, {})


def summary_of(*ends: tuple[TaskKind, Outcome], **values: Any) -> RunSummary:
    summary = RunSummary()
    for kind, outcome in ends:
        summary.record(task(kind), outcome, 0.0)
    for name, value in values.items():
        setattr(summary, name, value)
    return summary


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ([(TaskKind.FETCH, FETCHED), (TaskKind.DIGEST, WRITTEN), (TaskKind.DELIVERY, SENT)], 0),
        ([], 0),
        ([(TaskKind.DELIVERY, Completed({"status": "skipped", "reason": "the reader is paused"}))], 0),
        ([(TaskKind.CALLBACK, Failed("refused", None))], 0),
        ([(TaskKind.FETCH, Snoozed(SOON, "arxiv: down")), (TaskKind.DIGEST, WRITTEN)], 0),
        ([(TaskKind.FETCH, Snoozed(SOON, "arxiv: down"))], 1),
        ([(TaskKind.FETCH, Failed("broken", None)), (TaskKind.DIGEST, WRITTEN)], 1),
        ([(TaskKind.DIGEST, Snoozed(SOON, "no source"))], 1),
        ([(TaskKind.DIGEST, Released())], 1),
        ([(TaskKind.DELIVERY, Failed("451 later", SOON))], 1),
        ([(TaskKind.DELIVERY, Completed({"status": "in_doubt", "reason": "lost"}))], 1),
    ],
)
def test_a_run_fails_if_a_reader_has_lost_something(ends: list[tuple[TaskKind, Outcome]], status: int) -> None:
    assert summary_of(*ends).status == status


def test_only_a_tasks_last_attempt_counts() -> None:
    summary, sending = RunSummary(), task(TaskKind.DELIVERY)
    summary.record(sending, Failed("451 later", SOON), 0.0)
    summary.record(sending, SENT, 0.0)
    assert (summary.status, summary.sent) == (0, 1)
    assert "451" not in "".join(summary.lines())


@pytest.mark.parametrize(
    ("ends", "values", "last"),
    [
        ([(TaskKind.DELIVERY, SENT)], {}, "Done."),
        ([], {}, "No mail was sent: nothing is new."),
        ([], {"has_readers": False}, "No mail was sent: there are no active readers."),
        ([(TaskKind.DIGEST, WRITTEN)], {"sends_mails": False}, "No mail was sent: MAIL_URL is not set."),
        ([], {"due_readers": 2}, "No mail was sent by this run: other workers have the digests."),
        ([], {"interrupted": True}, "Interrupted: the rest is done by the next run."),
        (
            [(TaskKind.DIGEST, Failed("ValueError: radar", None))],
            {},
            "Not everything was done: see above, and the log. Run again to continue.",
        ),
    ],
)
def test_the_last_line_says_how_the_run_ended(
    ends: list[tuple[TaskKind, Outcome]], values: dict[str, Any], last: str
) -> None:
    assert list(summary_of(*ends, **values).lines())[-1] == last


@pytest.mark.parametrize("kind", TaskKind)
def test_a_failed_task_of_each_kind_has_a_line(kind: TaskKind) -> None:
    (line,) = [line for line in summary_of((kind, Failed("it is broken", None))).lines() if "it is broken" in line]
    assert f"1 x {'mail' if kind is TaskKind.DELIVERY else kind.value} failed: it is broken" in line


def test_errors_of_digests_do_not_quote_profiles() -> None:
    text = "\n".join(summary_of((TaskKind.DIGEST, Failed("the payload cannot be read: input 'radar'", None))).lines())
    assert "1 x digest failed: the payload cannot be read" in text
    assert "radar" not in text


def test_equal_reasons_of_a_source_are_one_line() -> None:
    reasons = [f"arxiv: HTTP 503, will be retried in {n} s; feed:x: HTTP 500, will be retried in 1 s" for n in (15, 16)]
    lines = list(summary_of(*((TaskKind.FETCH, Snoozed(SOON, reason)) for reason in reasons)).lines())
    assert "  2 x source not read: arxiv: HTTP 503" in lines
    assert "  2 x source not read: feed:x: HTTP 500" in lines


def test_many_reasons_fit_one_screen() -> None:
    ends = [(TaskKind.DELIVERY, Failed(f"{number}: {'x' * 5_000}@example.org", None)) for number in range(500)]
    lines = list(summary_of(*ends).lines())
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 110
