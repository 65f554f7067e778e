"""What requests about readers may hold, and what answers look like."""

from datetime import datetime, time
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.api.paging import NEXT_CURSOR
from app.mail_address import MAX_ADDRESS, checked_address
from app.models import ShortText
from app.persistence.readers import Reader, ReaderProfile, ReaderStatus, WhenEmpty

ExternalId = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$", description="What you call the reader.")]
Email = Annotated[
    str,
    Field(
        max_length=MAX_ADDRESS,
        description="Where mails go. A domain of another script is kept as `xn--...`.",
        examples=["ada@example.org"],
    ),
    AfterValidator(checked_address),
]
TimeZone = Annotated[str, Field(max_length=100, description="An IANA time zone.", examples=["Europe/Berlin"])]
TimeOfDay = Annotated[
    str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="The time there.", examples=["07:00"])
]
Weekdays = Annotated[
    list[Annotated[int, Field(ge=1, le=7)]],
    Field(min_length=1, max_length=7, description="Monday is 1.", json_schema_extra={"uniqueItems": True}),
]

NEVER_NULL = ("name", "profile", "weekdays", "when_empty", "status", "external_id")


class ReaderProfileRequest(ReaderProfile):
    """A reader's words as somebody writes them: a field that does not exist is a mistake."""

    model_config = ConfigDict(extra="forbid")


class ReaderChange(BaseModel):
    """What is to be changed of a reader; the profile as a whole, everything else one by one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    external_id: ExternalId | None = None
    user_id: UUID | None = Field(None, description="A user of Supabase Auth, who may read and change the own reader.")
    name: ShortText | None = None
    email: Email | None = None
    profile: ReaderProfileRequest | None = None
    timezone: TimeZone | None = None
    send_at: TimeOfDay | None = None
    weekdays: Weekdays | None = None
    when_empty: WhenEmpty | None = Field(None, description="On a day with nothing new: a mail of one line, or none.")
    status: ReaderStatus | None = None
    status_reason: Annotated[str, Field(max_length=2000)] | None = None

    @model_validator(mode="after")
    def _nothing_is_taken_away(self) -> Self:
        missing = [name for name in NEVER_NULL if name in self.model_fields_set and getattr(self, name) is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} cannot be null: leave out what is to stay as it is")
        return self

    @property
    def columns(self) -> dict[str, Any]:
        """What was given, as the database takes it."""
        return self.model_dump(mode="json", exclude_unset=True)


class ReaderRequest(ReaderChange):
    """A new reader. Without a schedule, digests are written when they are ordered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "external_id": "ada",
                    "name": "Ada",
                    "email": "ada@example.org",
                    "profile": {"interests": ["graph neural networks"], "exclude": ["blockchain"]},
                    "timezone": "Europe/Berlin",
                    "send_at": "07:00",
                    "weekdays": [1, 2, 3, 4, 5],
                }
            ]
        }
    )

    name: ShortText
    welcome: bool = Field(False, description="Whether a first mail says hello.")


class ImportedReader(ReaderRequest):
    """A line of an import: known by its external_id."""

    external_id: ExternalId


class ReaderView(BaseModel):
    """A reader, as callers see it."""

    reader_id: UUID
    external_id: str
    user_id: UUID | None
    name: str
    email: str | None
    profile: ReaderProfile
    timezone: str | None
    send_at: str | None
    weekdays: list[int]
    when_empty: WhenEmpty
    status: ReaderStatus
    status_reason: str | None
    next_due_at: datetime | None = Field(description="When the next digest is written.")
    schedule_problem: str | None = Field(description="Why none will be, though the schedule asks for it.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, reader: Reader) -> Self:
        """Show `reader`."""
        fields = {name: getattr(reader, name) for name in cls.model_fields if name not in {"send_at", "weekdays"}}
        return cls(**fields, send_at=_clock_time(reader.send_at), weekdays=list(reader.weekdays))


EXPORTED = frozenset(ReaderChange.model_fields)


def exported(reader: Reader) -> str:
    """Write `reader` as the line that an import takes."""
    return ReaderView.of(reader).model_dump_json(include=set(EXPORTED), exclude_none=True, exclude_unset=True)


class ReaderList(BaseModel):
    """A page of readers, by their ids."""

    readers: list[ReaderView]
    next_cursor: UUID | None = Field(description=NEXT_CURSOR)


class RefusedLine(BaseModel):
    """A line of an import that nothing came of."""

    line: int = Field(ge=1)
    reason: str


class ImportReport(BaseModel):
    """What became of an import's lines; those that were refused can be sent again by themselves."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: list[RefusedLine] = []


def _clock_time(moment: time | None) -> str | None:
    return f"{moment:%H:%M}" if moment is not None else None
