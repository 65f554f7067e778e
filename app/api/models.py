"""What requests may hold and what answers look like."""

import hashlib
import json
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.api.paging import NEXT_CURSOR, NextCursor
from app.days import utc_today, yesterday
from app.models import MAX_ITEMS, Digest, Edition, ProfileRequest, Task, TaskKind, TaskStatus
from app.persistence.tasks import MAX_BATCH

EARLIEST = date(1991, 8, 14)
"""The day on which arXiv began."""


def _not_in_the_future(value: date) -> date:
    if not EARLIEST <= value <= utc_today():
        raise ValueError(f"{value} is not between {EARLIEST} and today (UTC)")
    return value


SourceDate = Annotated[
    date, AfterValidator(_not_in_the_future), Field(description="The edition's day, UTC.", examples=["2026-11-22"])
]


def _in_utc(value: datetime) -> datetime:
    """PostgreSQL knows fewer zones than Python: it is told no other than UTC."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("this moment lies outside of time") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
CallbackUrl = Annotated[
    str,
    Field(
        max_length=2000,
        description="Called once the task has ended, signed as Standard Webhooks asks.",
        examples=["https://example.com/hooks/broadsheet"],
    ),
]


class TaskRequest(BaseModel):
    """What every post of a task may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_date: SourceDate = Field(default_factory=yesterday)
    callback_url: CallbackUrl | None = None

    @property
    def sent(self) -> dict[str, Any]:
        """What the caller sent, without defaults: they may be others when it is sent again."""
        return self.model_dump(mode="json", exclude_unset=True)


class FetchRequest(TaskRequest):
    """Asks for a day's papers and news to be fetched."""


class DigestRequest(TaskRequest):
    """Asks for a reader's digest of a day."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "profile": {
                        "name": "Ada",
                        "title": "Research engineer",
                        "goals": "Keep up with graph learning and its robustness.",
                        "interests": ["graph neural networks", "robustness"],
                        "categories": ["cs.LG"],
                    },
                    "source_date": "2026-11-22",
                    "max_papers": 10,
                    "max_news": 5,
                }
            ]
        }
    )

    profile: ProfileRequest
    max_papers: int = Field(12, ge=0, le=MAX_ITEMS, description="How many papers the digest holds at most.")
    max_news: int = Field(6, ge=0, le=MAX_ITEMS, description="How many news items the digest holds at most.")

    @property
    def payload(self) -> dict[str, Any]:
        """What the worker gets."""
        return self.model_dump(mode="json", include={"profile", "max_papers", "max_news"})


class BatchRequest(BaseModel):
    """Asks for many digests at once: all are ordered, or none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digests: list[DigestRequest] = Field(min_length=1, max_length=MAX_BATCH)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a repetition of the whole is compared by."""
        sent = json.dumps([each.sent for each in self.digests], sort_keys=True)
        return {"batch": hashlib.sha256(sent.encode()).hexdigest()}


class TaskView(BaseModel):
    """A task, as callers see it. Times are the database's."""

    task_id: UUID
    owner: str = Field(description="The caller whose task it is; `system` for the service's own.")
    kind: TaskKind
    status: TaskStatus
    message: str | None = Field(description="What is going on, for people.", examples=["ranking 412 articles"])
    progress: float = Field(
        ge=0,
        le=1,
        description="From 0 to 1. It never goes backwards: another attempt shows the greatest progress of all attempts "
        "until it has come further. A replay begins at 0.",
    )
    attempt: int = Field(ge=0, description="How often it was begun.")
    max_attempts: int
    error: str | None = Field(description="Why the task, or its last attempt, failed.")
    cancel_requested: bool
    source_date: date | None
    parent: UUID | None = Field(description="For a callback: the task of whose end it tells.")
    reader_id: UUID | None = Field(description="Whose schedule asked for it, if one did.")
    local_day: date | None = Field(description="For which of the reader's own days.")
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    url: str = Field(description="Where to ask again.", examples=["/v1/digests/0193f2b0-0000-7000-8000-000000000000"])

    @classmethod
    def of(cls, task: Task, **more: Any) -> Self:
        """Show `task`; `more` is what a subclass adds."""
        fields = {name: getattr(task, name) for name in TaskView.model_fields if name != "url"}
        return cls(**fields, **more, url=task_url(task.kind, task.task_id))


class DigestView(TaskView):
    """A digest's task; `digest` is there once it has completed, if it was asked for."""

    digest: Digest | None = None

    @classmethod
    def with_digest(cls, task: Task, digest: dict[str, Any] | None) -> Self:
        """Show `task`, with what it wrote if that was read."""
        return cls.of(task, digest=Digest.model_validate(digest) if digest else None)


class BatchView(BaseModel):
    """The tasks of a batch, in its order."""

    tasks: list[TaskView]


class TaskList(BaseModel):
    """A page of tasks, newest first."""

    tasks: list[TaskView]
    next_cursor: NextCursor


class EditionList(BaseModel):
    """A page of editions, newest first."""

    editions: list[Edition]
    next_cursor: date | None = Field(description=NEXT_CURSOR)


def task_url(kind: TaskKind, task_id: UUID) -> str:
    """The path under which a task is found."""
    match kind:
        case TaskKind.DIGEST:
            return f"/v1/digests/{task_id}"
        case TaskKind.FETCH:
            return f"/v1/fetches/{task_id}"
        case TaskKind.CALLBACK:
            return f"/v1/callbacks/{task_id}"
        case TaskKind.DELIVERY:
            return f"/v1/tasks?kind={kind.value}"
