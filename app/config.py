"""Settings of both processes, from the environment and `.env`; each variable is documented where it is declared."""

import base64
import json
import re
from collections.abc import Sequence
from datetime import time
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import ConfigurationError
from app.mail_address import Mailbox
from app.mail_url import parse_mail_url

LEGACY_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
SECRET_KEY = re.compile(r"sb_secret_[\w-]+")
CALLER_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")
TIME_OF_DAY = re.compile(r"\d\d:\d\d(:\d\d)?")
WEBHOOK_SECRET_BYTES = range(24, 65)

DEFAULT_CALLER, SYSTEM = "default", "system"
"""Whose keys those without a name are, and who owns what the service asks of itself."""


def is_legacy_jwt(key: str) -> bool:
    """Whether `key` has the form of Supabase's old keys, a JWT; the new ones begin with `sb_`."""
    return LEGACY_JWT.fullmatch(key) is not None


def _http_address(value: str) -> str:
    """Check that `value` is an http(s) address; without the trailing slash, for the client appends `/rest/v1`."""
    TypeAdapter(HttpUrl).validate_python(value)
    return value.rstrip("/")


def _supabase_key(value: SecretStr) -> SecretStr:
    """Check the form of the key, so that a key of another kind is refused with a reason before it is sent anywhere."""
    key = value.get_secret_value()
    if not (SECRET_KEY.fullmatch(key) or is_legacy_jwt(key)):
        raise ValueError("this is neither a secret key nor a JWT")
    return value


def _time_of_day(value: object) -> object:
    """Check the form of a time: pydantic would also take a zone, and a number as seconds since midnight."""
    if isinstance(value, str) and not TIME_OF_DAY.fullmatch(value):
        raise ValueError("this is no time of day as HH:MM; it is UTC, without a zone")
    return value


def _webhook_secret(value: SecretStr) -> SecretStr:
    """Check a secret of Standard Webhooks, as its specification has it: whsec_ and 24 to 64 bytes in base64."""
    prefix, found, encoded = value.get_secret_value().partition("whsec_")
    try:
        length = len(base64.b64decode(encoded, validate=True))
    except ValueError:
        length = 0
    if prefix or not found or length not in WEBHOOK_SECRET_BYTES:
        raise ValueError("this is no secret of Standard Webhooks")
    return value


def _split(value: object) -> object:
    """Read a comma-separated variable as a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_keys(value: object) -> object:
    """Read `name:key,key` as pairs; a key without a name is the default caller's."""
    parts = _split(value)
    return [_named(part) if isinstance(part, str) else part for part in parts] if isinstance(parts, list) else parts


def _named(part: str) -> tuple[str, str]:
    name, colon, key = part.partition(":")
    return (name.strip(), key.strip()) if colon else (DEFAULT_CALLER, part)


def _caller_name(value: str) -> str:
    """Check a caller's name, which goes into rows, logs and metrics."""
    if not CALLER_NAME.fullmatch(value):
        raise ValueError("a caller's name is 1 to 32 of a-z, 0-9, - and _, beginning with a letter")
    if value == SYSTEM:
        raise ValueError(f"{SYSTEM!r} is the service itself, and no caller's name")
    return value


def _one_caller_each(keys: tuple[tuple[str, SecretStr], ...]) -> tuple[tuple[str, SecretStr], ...]:
    """Refuse a key that is there twice: whose request would it be?"""
    if len({key.get_secret_value() for _, key in keys}) < len(keys):
        raise ValueError("a key is there twice")
    return keys


def _split_feeds(value: object) -> object:
    """Read `name=address,name=address` as pairs."""
    parts = _split(value)
    return (
        [part.partition("=")[::2] if isinstance(part, str) else part for part in parts]
        if isinstance(parts, list)
        else parts
    )


def _mail_url(value: SecretStr) -> SecretStr:
    """Check that `value` names a way to send mails."""
    parse_mail_url(value.get_secret_value())
    return value


def _mailbox(value: str) -> str:
    """Check that `value` is an address, with or without a name."""
    Mailbox.parse(value)
    return value


HttpAddress = Annotated[str, AfterValidator(_http_address)]
SupabaseKey = Annotated[SecretStr, AfterValidator(_supabase_key)]
ApiKey = Annotated[SecretStr, Field(min_length=16)]
CallerName = Annotated[str, AfterValidator(_caller_name)]
ApiKeys = Annotated[
    tuple[tuple[CallerName, ApiKey], ...],
    Field(min_length=1),
    NoDecode,
    BeforeValidator(_split_keys),
    AfterValidator(_one_caller_each),
]
WebhookSecret = Annotated[SecretStr, AfterValidator(_webhook_secret)]
WebhookSecrets = Annotated[tuple[WebhookSecret, ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[Annotated[SecretStr, Field(min_length=16)], ...], NoDecode, BeforeValidator(_split)]
MailUrl = Annotated[SecretStr, AfterValidator(_mail_url)]
MailAddress = Annotated[str, AfterValidator(_mailbox)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Feeds = Annotated[tuple[tuple[str, HttpAddress], ...], NoDecode, BeforeValidator(_split_feeds)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
UtcTime = Annotated[time, BeforeValidator(_time_of_day)]
UtcTimes = Annotated[tuple[UtcTime, ...], NoDecode, BeforeValidator(_split), Field(max_length=24)]
PrivatePort = Annotated[int, Field(ge=0, le=65535)]


class SupabaseSettings(BaseSettings):
    """How to reach the Supabase project, and how long to try."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    supabase_url: HttpAddress = Field(description="the project's address, such as https://abcdefgh.supabase.co")
    supabase_key: SupabaseKey = Field(description="the server's key: sb_secret_... or the legacy service_role JWT")
    supabase_connect_timeout: Seconds = Field(3.0, description="seconds to connect, from above 0 to 3600")
    supabase_read_timeout: Seconds = Field(
        # Supabase ends an API statement after 8 s; less would give up on answers that are still coming.
        10.0,
        description="seconds to wait for the next byte of an answer, from above 0 to 3600",
    )
    supabase_pool_timeout: Seconds = Field(
        5.0, description="seconds to get a connection when all are busy, connecting included, from above 0 to 3600"
    )
    supabase_call_timeout: Seconds = Field(
        20.0, description="seconds for one call with all its retries, from above 0 to 3600"
    )
    supabase_retries: int = Field(3, ge=0, le=10, description="how often a call is repeated, 0 to 10")
    supabase_retry_backoff: float = Field(
        0.1, ge=0, le=10, description="seconds before the first repetition, doubled for each next one, 0 to 10"
    )
    supabase_max_connections: int = Field(100, ge=1, le=1000, description="open connections at most, 1 to 1000")


class Settings(SupabaseSettings):
    """What the API and the worker have in common."""

    webhook_secret: WebhookSecrets = Field(
        (),
        description="what signs callbacks (Standard Webhooks): whsec_ and 24 to 64 bytes in base64; several with "
        "commas; none if unset",
    )
    callbacks_to_private_addresses: bool = Field(
        False, description="true to allow callbacks over http and to private addresses (for development)"
    )

    public_url: HttpAddress | None = Field(
        None, description="the API's address for readers, such as https://digest.example.org; links in mails lead there"
    )
    link_secret: Secrets = Field(
        (),
        description="what signs readers' links: 16 characters or more; of several, with commas, the first signs",
    )

    environment: Literal["development", "production"] = Field(
        "development", description="development (readable logs) or production (JSON logs)"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")


class ApiSettings(Settings):
    """What the API needs besides."""

    api_keys: ApiKeys = Field(
        description="the keys that callers send in X-API-Key as caller:key, separated by commas, each key of 16 "
        "characters or more; several a caller; a key alone is `default`'s"
    )
    admins: Names = Field((), description="callers of API_KEYS who see everything and operate /v1/admin")
    daily_digests: int | None = Field(
        None, ge=0, description="digests that a caller may order in a UTC day; as many as it likes if unset"
    )
    mail_webhook_secret: WebhookSecrets = Field(
        (),
        description="what signs Resend's webhook: whsec_ and base64, several with commas; it is refused without one",
    )
    host: str = Field("127.0.0.1", description="the address to listen on, such as 0.0.0.0")
    port: int = Field(8000, ge=0, le=65535, description="the port to listen on, 1 to 65535, or 0 for any free one")
    metrics_port: PrivatePort | None = Field(
        None, description="a second port, with /metrics for scrapers without a key; not to be routed; none if unset"
    )
    metrics_host: str = Field("127.0.0.1", description="the address for METRICS_PORT, such as 0.0.0.0")

    @model_validator(mode="after")
    def _admins_have_keys(self) -> Self:
        unknown = sorted(set(self.admins) - {name for name, _ in self.api_keys})
        if unknown:
            raise ValueError(f"ADMINS names {', '.join(unknown)}, of whom API_KEYS holds no key: add one as name:key.")
        return self


class WorkerSettings(Settings):
    """What the worker needs besides."""

    concurrency: int = Field(10, ge=1, le=1000, description="tasks at once, 1 to 1000")
    callback_slots: int | None = Field(
        None, ge=1, le=1000, description="of those, callbacks at most, 1 to 1000; a third of CONCURRENCY if unset"
    )
    fetch_slots: int | None = Field(
        None, ge=1, le=1000, description="of those, fetches at most, 1 to 1000; a fifth of CONCURRENCY if unset"
    )
    lease_seconds: Seconds = Field(
        60.0, description="seconds that a claim holds without renewal, at least three times SUPABASE_CALL_TIMEOUT"
    )
    grace_period: Seconds = Field(
        25.0, description="seconds that running tasks may take to finish after SIGTERM, from above 0 to 3600"
    )
    idle_wait: float = Field(
        0.4, ge=0.1, le=60, description="seconds between two looks for work while there is none, at most, 0.1 to 60"
    )
    worker_port: PrivatePort | None = Field(
        None, description="a port for the worker's own /healthz and /metrics; none if unset"
    )
    worker_host: str = Field("127.0.0.1", description="the address for WORKER_PORT, such as 0.0.0.0")
    daily_fetch_at: UtcTimes = Field(
        (),
        description="times of day in UTC, such as 06:00,18:30, to fetch the last four days; never by itself if unset",
    )
    user_agent: str = Field(
        "Broadsheet (personal research digests)", description="what sources are told; name a way to reach you"
    )
    arxiv_base_url: HttpAddress = Field("https://export.arxiv.org", description="the address of arXiv's query API")
    arxiv_categories: Names = Field(
        ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "stat.ML"), description="arXiv categories, separated by commas"
    )
    feeds: Feeds = Field((), description="feeds as name=address, separated by commas; a few science feeds if unset")
    mail_url: MailUrl | None = Field(
        None,
        description="how mails go: smtp://user:password@host:587 (with STARTTLS, but on this machine), smtps://..., "
        "resend:KEY, or folder:PATH; none goes without it",
    )
    mail_from: MailAddress | None = Field(
        None, description="whom mails come from, such as Broadsheet <digest@example.org>"
    )
    mail_rate: float = Field(
        10.0, gt=0, le=1000, description="mails a second from each worker, at most, from above 0 to 1000"
    )
    mail_connections: int = Field(2, ge=1, le=50, description="mails on their way at once from each worker, 1 to 50")
    newsapi_key: SecretStr | None = Field(None, description="a key of NewsAPI; without one it is not asked")
    newsapi_query: str | None = Field(None, description="what to ask NewsAPI for, in its query language")
    openai_api_key: SecretStr | None = Field(
        None, description="the key of an OpenAI-compatible model; without one digests quote the abstracts"
    )
    openai_base_url: HttpAddress = Field("https://api.openai.com/v1", description="the address of the model's API")
    openai_model: str = Field("gpt-4o-mini", description="the model's name")
    model_max_calls: int = Field(24, ge=0, le=1000, description="calls of the model for one digest, 0 to 1000")
    model_max_tokens: int = Field(
        60_000, ge=0, le=10_000_000, description="tokens for one digest, input and output, 0 to 10000000"
    )
    keep_tasks_days: int = Field(30, ge=1, le=3650, description="days that finished tasks are kept, 1 to 3650")
    keep_editions_days: int = Field(
        90, ge=1, le=3650, description="days that an edition is kept after its last fetch, 1 to 3650"
    )
    keep_digests_days: int = Field(730, ge=1, le=36500, description="days that a reader's digests are kept, 1 to 36500")

    @model_validator(mode="after")
    def _mails_have_what_they_need(self) -> Self:
        needed = {"MAIL_FROM": self.mail_from, "PUBLIC_URL": self.public_url, "LINK_SECRET": self.link_secret}
        missing = [name for name, value in needed.items() if not value]
        if self.mail_url is not None and missing:
            raise ValueError(
                f"MAIL_URL is set, but not {' and '.join(missing)}: "
                "every mail needs a sender and a signed link that ends it."
            )
        return self

    @model_validator(mode="after")
    def _lease_outlasts_retries(self) -> Self:
        if self.lease_seconds < 3 * self.supabase_call_timeout:
            raise ValueError(
                f"LEASE_SECONDS is {self.lease_seconds:g}, less than three times SUPABASE_CALL_TIMEOUT "
                f"({self.supabase_call_timeout:g}): a lease could run out while one call is repeated."
            )
        return self


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load_settings(kind: type[SettingsT]) -> SettingsT:
    """Read `kind` from the environment and `.env`.

    Raises `ConfigurationError` whose text names every wrong variable, what it holds and what is expected; a secret's
    value is never part of it.
    """
    try:
        return kind()
    except ValidationError as error:
        raise ConfigurationError(_explain(kind, error.errors())) from None


def _explain(kind: type[BaseSettings], problems: Sequence[ErrorDetails]) -> str:
    lines = [_explain_one(kind.model_fields.get(str(p["loc"][0])), p) for p in problems if p["loc"]]
    lines += [str(p["msg"]).removeprefix("Value error, ") for p in problems if not p["loc"]]
    count = "one setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    return "\n  ".join([f"Broadsheet cannot start: {count} wrong.", *lines]) + (
        "\nSet them in the environment or in .env; .env.example lists all of them."
    )


def _explain_one(field: FieldInfo | None, problem: ErrorDetails) -> str:
    name = str(problem["loc"][0]).upper()
    expected = field.description if field is not None else "a valid value"
    if problem["type"] == "missing":
        return f"{name} is not set. Expected: {expected}."
    reason = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name} is {_shown(field, problem['input'])}: {reason}. Expected: {expected}."


def _shown(field: FieldInfo | None, value: Any) -> str:
    if field is None or _holds_secret(field.annotation):
        return "set to a value that is not shown"
    return json.dumps(value, default=str)


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_holds_secret(inner) for inner in get_args(annotation))
