"""The models of requests and responses about tasks and editions."""

import hashlib
import json
from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.api.paging import NEXT_CURSOR, NextCursor
from app.days import in_utc, utc_today, yesterday
from app.models.articles import Edition
from app.models.digests import Digest
from app.models.profiles import MAX_ITEMS, ProfileRequest
from app.models.tasks import Task, TaskKind, TaskStatus
from app.persistence.tasks import MAX_BATCH

EARLIEST = date(1991, 8, 14)
"""arXiv's first day."""


def _not_in_the_future(value: date) -> date:
    if not EARLIEST <= value <= utc_today():
        raise ValueError(f"{value} is not between {EARLIEST} and today (UTC)")
    return value


SourceDate = Annotated[
    date, AfterValidator(_not_in_the_future), Field(description="The edition's day, UTC.", examples=["2026-11-22"])
]


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
CallbackUrl = Annotated[
    str,
    Field(
        max_length=2000,
        description="Receives a POST when the task has ended, signed as Standard Webhooks specifies.",
        examples=["https://example.com/hooks/broadsheet"],
    ),
]


class RequestBody(BaseModel):
    """A request's body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskRequest(RequestBody):
    """The fields of every request that creates a task."""

    source_date: SourceDate = Field(default_factory=yesterday)
    callback_url: CallbackUrl | None = None

    @property
    def sent(self) -> dict[str, Any]:
        """The fields that the caller sent. Defaults are excluded, because they may differ in a repeated request."""
        return self.model_dump(mode="json", exclude_unset=True)


class FetchRequest(TaskRequest):
    """Requests a fetch of a day's papers and news."""


class DigestRequest(TaskRequest):
    """Requests a digest of one day for one profile."""

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
    max_papers: int = Field(12, ge=0, le=MAX_ITEMS, description="The digest's maximum number of papers.")
    max_news: int = Field(6, ge=0, le=MAX_ITEMS, description="The digest's maximum number of news items.")

    @property
    def payload(self) -> dict[str, Any]:
        """The task's payload for the worker."""
        return self.model_dump(mode="json", include={"profile", "max_papers", "max_news"})


class BatchRequest(RequestBody):
    """Requests many digests: all are created, or none."""

    digests: list[DigestRequest] = Field(min_length=1, max_length=MAX_BATCH)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Identifies the batch, to recognize a repeated request."""
        sent = json.dumps([each.sent for each in self.digests], sort_keys=True)
        return {"batch": hashlib.sha256(sent.encode()).hexdigest()}


class TaskView(BaseModel):
    """A task as callers see it. All times are the database's."""

    task_id: UUID
    owner: str = Field(description="The caller who created the task; `system` for the service's own tasks.")
    kind: TaskKind
    status: TaskStatus
    message: str | None = Field(description="The current step, for people.", examples=["ranking 412 articles"])
    progress: float = Field(
        ge=0,
        le=1,
        description="From 0 to 1, the maximum of all attempts, so it never decreases. A replay starts at 0.",
    )
    attempt: int = Field(ge=0, description="The number of attempts so far.")
    max_attempts: int
    error: str | None = Field(description="Why the task or its last attempt failed.")
    cancel_requested: bool
    source_date: date | None
    parent: UUID | None = Field(description="For a callback: the task whose end it reports.")
    reader_id: UUID | None = Field(
        description="The reader for whom the task is: a scheduled digest, a mail, an import, or their callbacks."
    )
    local_day: date | None = Field(description="The day in the reader's time zone.")
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    url: str = Field(description="The path to poll.", examples=["/v1/digests/0193f2b0-0000-7000-8000-000000000000"])

    @classmethod
    def of(cls, task: Task, **more: Any) -> Self:
        """Show `task`; `more` is what a subclass adds."""
        fields = {name: getattr(task, name) for name in TaskView.model_fields if name != "url"}
        return cls(**fields, **more, url=task_url(task.kind, task.task_id))


class DigestView(TaskView):
    """A digest's task. `digest` is set when the task is completed and the request had `include=result`."""

    digest: Digest | None = None

    @classmethod
    def with_digest(cls, task: Task, digest: Digest | None) -> Self:
        """Build the view of `task`, with its digest if one was read."""
        return cls.of(task, digest=digest)


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
    """Return the path of a task."""
    match kind:
        case TaskKind.DIGEST:
            return f"/v1/digests/{task_id}"
        case TaskKind.FETCH:
            return f"/v1/fetches/{task_id}"
        case TaskKind.CALLBACK:
            return f"/v1/callbacks/{task_id}"
        case TaskKind.IMPORT:
            return f"/v1/imports/{task_id}"
        case TaskKind.DELIVERY:
            return f"/v1/tasks?kind={kind.value}"
