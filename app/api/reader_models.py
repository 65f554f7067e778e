"""The models of requests and responses about readers."""

from datetime import datetime, time
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from app.api.models import RequestBody
from app.api.paging import NEXT_CURSOR
from app.config.mail_address import MAX_ADDRESS, checked_address
from app.models.profiles import known_categories
from app.models.values import ShortText
from app.persistence.readers import Reader, ReaderProfile, ReaderStatus, WhenEmpty

MAX_EXTERNAL_ID = 200
MAX_TIMEZONE = 100

ExternalId = Annotated[
    str, Field(pattern=rf"^[\x21-\x7e]{{1,{MAX_EXTERNAL_ID}}}$", description="Your id of the reader.")
]
Email = Annotated[
    str,
    Field(
        max_length=MAX_ADDRESS,
        description="The e-mail address. An internationalized domain is stored as `xn--...`.",
        examples=["ada@example.org"],
    ),
    AfterValidator(checked_address),
]
TimeZone = Annotated[str, Field(max_length=MAX_TIMEZONE, description="An IANA time zone.", examples=["Europe/Berlin"])]
TimeOfDay = Annotated[
    str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="The local time of the digest.", examples=["07:00"])
]
Weekdays = Annotated[
    list[Annotated[int, Field(ge=1, le=7)]],
    Field(min_length=1, max_length=7, description="Monday is 1.", json_schema_extra={"uniqueItems": True}),
]

NEVER_NULL = ("name", "profile", "weekdays", "when_empty", "status", "external_id")


class ReaderProfileRequest(ReaderProfile):
    """A profile in a request: unknown fields and categories are refused."""

    model_config = ConfigDict(extra="forbid")

    _categories_are_known = field_validator("categories", mode="before")(known_categories)


class ReaderChange(RequestBody):
    """A change of a reader. The profile is replaced as a whole; all other fields change one by one."""

    external_id: ExternalId | None = None
    user_id: UUID | None = Field(None, description="The Supabase Auth user who may read and change this reader.")
    name: ShortText | None = None
    email: Email | None = None
    profile: ReaderProfileRequest | None = None
    timezone: TimeZone | None = None
    send_at: TimeOfDay | None = None
    weekdays: Weekdays | None = None
    when_empty: WhenEmpty | None = Field(
        None, description="On a day without new items: send a one-line mail (`notify`), or none (`skip`)."
    )
    status: ReaderStatus | None = None
    status_reason: Annotated[str, Field(max_length=2000)] | None = None

    @model_validator(mode="after")
    def _required_fields_are_not_null(self) -> Self:
        missing = [name for name in NEVER_NULL if name in self.model_fields_set and getattr(self, name) is None]
        if missing:
            raise ValueError(f"{', '.join(missing)} cannot be null: omit fields that should not change")
        return self

    @property
    def columns(self) -> dict[str, Any]:
        """The sent fields as database columns."""
        return self.model_dump(mode="json", exclude_unset=True)


class ReaderRequest(ReaderChange):
    """A new reader. Without a schedule, the reader gets digests only on request."""

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
    welcome: bool = Field(
        False, description="Whether to send a welcome mail; with `confirm`, it follows the confirmation."
    )
    confirm: bool = Field(
        False,
        description="Whether the reader must confirm the e-mail address: one mail with a link to a button is sent, and "
        "until the button is pressed the reader is `unconfirmed` and gets nothing else.",
    )

    @model_validator(mode="after")
    def _confirmation_has_an_address(self) -> Self:
        if self.needs_confirmation and self.email is None:
            raise ValueError("confirm needs an email, to which the confirmation mail is sent")
        return self

    @property
    def needs_confirmation(self) -> bool:
        """Whether the reader gets a confirmation mail. An exported reader that is unconfirmed does."""
        return self.confirm or self.status is ReaderStatus.UNCONFIRMED


class ImportedReader(ReaderRequest):
    """A line of an import; `external_id` identifies the reader."""

    external_id: ExternalId


class ReaderView(BaseModel):
    """A reader as callers see it."""

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
    next_due_at: datetime | None = Field(description="The time of the next digest.")
    schedule_problem: str | None = Field(description="Why no digest is due although there is a schedule.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, reader: Reader) -> Self:
        """Build the view of `reader`."""
        fields = {name: getattr(reader, name) for name in cls.model_fields if name not in {"send_at", "weekdays"}}
        return cls(**fields, send_at=_clock_time(reader.send_at), weekdays=list(reader.weekdays))


EXPORTED = frozenset(ReaderChange.model_fields)


def exported(reader: Reader) -> str:
    """Write `reader` as a line for an import."""
    return ReaderView.of(reader).model_dump_json(include=set(EXPORTED), exclude_none=True, exclude_unset=True)


class ReaderList(BaseModel):
    """A page of readers, ordered by id."""

    readers: list[ReaderView]
    next_cursor: UUID | None = Field(description=NEXT_CURSOR)


class RefusedLine(BaseModel):
    """A refused line of an import."""

    line: int = Field(ge=1)
    reason: str


class ImportReport(BaseModel):
    """The result of an import. Refused lines can be corrected and sent again alone."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: list[RefusedLine] = []


def _clock_time(moment: time | None) -> str | None:
    return f"{moment:%H:%M}" if moment is not None else None
