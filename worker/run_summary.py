"""The summary of one run: what was read, written and sent, and what was not. It names no address and no interest."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from app.models.tasks import TaskKind
from app.persistence.deliveries import DeliveryStatus
from app.persistence.outcomes import Completed, Failed, Outcome, Snoozed
from app.persistence.queue import ClaimedTask
from app.sources.text import plain
from worker.readers import FileReport

WIDTH: Final = 110
MAX_REASONS: Final = 8
MAX_REFUSED: Final = 4
MAX_REASON: Final = 500
"""Characters of a reason that are searched for addresses; a line shows fewer."""
"""Together with the other lines, this fits one screen of 24 lines."""
_RETRY: Final = re.compile(r",? will be retried in \d+ s$")
_ADDRESS: Final = re.compile(r"<?[^\s<>\"',;]+@[^\s<>\"',;]+>?")
_NAMES: Final = {
    TaskKind.FETCH: "fetch",
    TaskKind.DIGEST: "digest",
    TaskKind.DELIVERY: "mail",
    TaskKind.CALLBACK: "callback",
    TaskKind.IMPORT: "import",
}

State = Literal["done", "failed", "postponed"]


@dataclass(frozen=True, slots=True)
class TaskNote:
    """How a task's last attempt in this run ended. `facts` is the part of its result that the summary needs."""

    kind: TaskKind
    state: State
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class RunSummary:
    """Records the ends of attempts, and describes the run."""

    def __init__(self) -> None:
        self._notes: dict[UUID, TaskNote] = {}
        self.due_readers = 0
        self.has_readers = True
        self.sends_mails = True
        self.interrupted = False
        self.outage: str | None = None
        """Why the run ended early, if Supabase did not respond."""
        self.file: FileReport | None = None

    def record(self, task: ClaimedTask, outcome: Outcome, _seconds: float) -> None:
        """Record the end of an attempt. Only a task's last one counts."""
        match outcome:
            case Completed():
                self._notes[task.task_id] = TaskNote(task.kind, "done", facts=_facts(task.kind, outcome))
            case Failed(error, retry_in):
                final = retry_in is None or task.attempt >= task.max_attempts
                self._notes[task.task_id] = TaskNote(task.kind, "failed" if final else "postponed", error)
            case Snoozed(_, reason):
                self._notes[task.task_id] = TaskNote(task.kind, "postponed", reason)
            case _:
                self._notes[task.task_id] = TaskNote(task.kind, "postponed", "the run ended")

    @property
    def status(self) -> int:
        """The exit status: 0, or 1 if something failed, or was not done."""
        unfinished = any(note.state != "done" and self._matters(note) for note in self._notes.values())
        in_doubt = any(each.facts.get("status") == DeliveryStatus.IN_DOUBT for each in self._of(TaskKind.DELIVERY))
        return int(unfinished or in_doubt or self._nothing_read or self.interrupted or self._refused)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        if self.file is not None:
            yield self.file.summary
        sources = self._of(TaskKind.FETCH)
        if sources:
            items = sum(sum(each.facts.get("counts", {}).values()) for each in sources)
            read = sum(each.state == "done" for each in sources)
            yield f"sources  {read} of {len(sources)} days read, {items} items"
        digests = [each for each in self._of(TaskKind.DIGEST) if each.state == "done"]
        empty = sum(not each.facts["items"] for each in digests)
        yield f"readers  {self.due_readers} due before the next run"
        yield f"digests  {len(digests)} written, {empty} of them with nothing new"
        yield f"mails    {self.sent} sent"
        yield from self._reasons()
        yield self._result()

    @property
    def _refused(self) -> bool:
        return self.file is not None and bool(self.file.refused)

    @property
    def written(self) -> int:
        """The number of digests written."""
        return sum(each.state == "done" for each in self._of(TaskKind.DIGEST))

    @property
    def sent(self) -> int:
        """The number of mails sent."""
        return sum(each.facts.get("status") == DeliveryStatus.SENT for each in self._of(TaskKind.DELIVERY))

    @property
    def _nothing_read(self) -> bool:
        """Whether fetches were tried, none succeeded, and no digest shows that a source was read before."""
        sources = self._of(TaskKind.FETCH)
        written = any(each.state == "done" for each in self._of(TaskKind.DIGEST))
        return bool(sources) and not written and not any(each.state == "done" for each in sources)

    def _of(self, kind: TaskKind) -> list[TaskNote]:
        return [note for note in self._notes.values() if note.kind is kind]

    def _matters(self, note: TaskNote) -> bool:
        """Whether it counts as a failure that the task is not done: others are retried without a reader's loss."""
        return note.kind in {TaskKind.DIGEST, TaskKind.DELIVERY} or (
            note.kind is TaskKind.FETCH and note.state == "failed"
        )

    def _reasons(self) -> Iterator[str]:
        """Yield why tasks were not done, the most frequent first."""
        refused = self.file.refused if self.file is not None else ()
        for line in refused[:MAX_REFUSED]:
            yield f"  {plain(f'readers file, {_redacted(line)}', WIDTH - 2)}"
        counts = Counter(text for note in self._notes.values() for text in _descriptions(note))
        for text, count in counts.most_common(MAX_REASONS):
            yield f"  {plain(f'{count} x {text}', WIDTH - 2)}"
        if len(counts) > MAX_REASONS:
            yield f"  and {len(counts) - MAX_REASONS} other reasons: see the log"

    def _result(self) -> str:
        if self.outage is not None:
            return f"Interrupted: {self.outage}. The rest is done by the next run."
        if self.interrupted:
            return "Interrupted: the rest is done by the next run."
        if self.status:
            return "Not everything was done: see above, and the log. Run again to continue."
        if self.sent:
            return "Done."
        if self.due_readers and not self._of(TaskKind.DIGEST):
            return "No mail was sent by this run: other workers have the digests."
        if not self.has_readers:
            return "No mail was sent: there are no active readers."
        if not self.sends_mails:
            return "No mail was sent: MAIL_URL is not set."
        return "No mail was sent: nothing is new."


def _facts(kind: TaskKind, outcome: Completed) -> dict[str, Any]:
    """Return the small part of a result that the summary needs: a digest is large."""
    wanted = {
        TaskKind.FETCH: ("counts", "errors"),
        TaskKind.DIGEST: ("items",),
        TaskKind.DELIVERY: ("status", "reason"),
    }
    return {name: outcome.result[name] for name in wanted.get(kind, ()) if name in outcome.result}


def _descriptions(note: TaskNote) -> Iterator[str]:
    """Yield what was not done, and why. Errors of digests may quote the profile after the first colon."""
    if note.kind is TaskKind.FETCH and note.state != "failed":
        for source in note.reason.split("; ") if note.reason else _errors(note):
            yield f"source not read: {_redacted(_RETRY.sub('', source))}"
    elif note.state != "done":
        reason = note.reason.partition(":")[0] if note.kind is TaskKind.DIGEST else note.reason
        yield f"{_NAMES[note.kind]} {note.state}: {_redacted(reason)}"
    elif (status := note.facts.get("status", DeliveryStatus.SENT)) != DeliveryStatus.SENT:
        yield f"mail {status}: {_redacted(note.facts.get('reason') or '')}"


def _errors(note: TaskNote) -> list[str]:
    return [f"{name}: {error}" for name, error in note.facts.get("errors", {}).items()]


def _redacted(text: str) -> str:
    return _ADDRESS.sub("<address>", text[:MAX_REASON])
