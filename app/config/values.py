"""The types of settings: how each environment variable is parsed and validated."""

import base64
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr, TypeAdapter
from pydantic_settings import NoDecode

from app.config.fetch_times import FetchTimes, fetch_times
from app.config.mail_address import Mailbox
from app.config.mail_url import parse_mail_url
from app.models.biorxiv_categories import parse_category
from app.models.profiles import known_categories

LEGACY_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
SECRET_KEY = re.compile(r"sb_secret_[\w-]+")
CALLER_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")
WEBHOOK_SECRET_BYTES = range(24, 65)

DEFAULT_CALLER, SYSTEM = "default", "system"
"""The caller of keys without a name, and the owner of the service's own tasks."""


def is_legacy_jwt(key: str) -> bool:
    """Whether `key` is a JWT, the form of Supabase's legacy keys; new keys begin with `sb_`."""
    return LEGACY_JWT.fullmatch(key) is not None


def _http_address(value: str) -> str:
    """Check that `value` is an http(s) URL; remove the trailing slash, because the client appends `/rest/v1`."""
    TypeAdapter(HttpUrl).validate_python(value)
    return value.rstrip("/")


def _supabase_key(value: SecretStr) -> SecretStr:
    """Check the form of the key, so that a wrong kind of key is refused before it is sent."""
    key = value.get_secret_value()
    if not (SECRET_KEY.fullmatch(key) or is_legacy_jwt(key)):
        raise ValueError("it is neither a secret key nor a JWT")
    return value


def _webhook_secret(value: SecretStr) -> SecretStr:
    """Check a secret as Standard Webhooks specifies it: whsec_ and 24 to 64 bytes in base64."""
    prefix, found, encoded = value.get_secret_value().partition("whsec_")
    try:
        length = len(base64.b64decode(encoded, validate=True))
    except ValueError:
        length = 0
    if prefix or not found or length not in WEBHOOK_SECRET_BYTES:
        raise ValueError("it is not a Standard Webhooks secret")
    return value


def _split(value: object) -> object:
    """Parse a comma-separated variable as a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_keys(value: object) -> object:
    """Parse `name:key,key` as pairs; a key without a name belongs to the default caller."""
    parts = _split(value)
    return [_named(part) if isinstance(part, str) else part for part in parts] if isinstance(parts, list) else parts


def _named(part: str) -> tuple[str, str]:
    name, colon, key = part.partition(":")
    return (name.strip(), key.strip()) if colon else (DEFAULT_CALLER, part)


def _caller_name(value: str) -> str:
    """Check a caller's name, which is used in rows, logs and metrics."""
    if not CALLER_NAME.fullmatch(value):
        raise ValueError("a caller's name has 1 to 32 characters of a-z, 0-9, - and _ and begins with a letter")
    if value == SYSTEM:
        raise ValueError(f"{SYSTEM!r} is reserved for the service itself")
    return value


def _one_caller_each(keys: tuple[tuple[str, SecretStr], ...]) -> tuple[tuple[str, SecretStr], ...]:
    """Refuse a duplicate key, because it would not identify one caller."""
    if len({key.get_secret_value() for _, key in keys}) < len(keys):
        raise ValueError("a key occurs twice")
    return keys


def _split_feeds(value: object) -> object:
    """Parse `name=URL,name=URL` as pairs."""
    parts = _split(value)
    return (
        [part.partition("=")[::2] if isinstance(part, str) else part for part in parts]
        if isinstance(parts, list)
        else parts
    )


def _split_biorxiv(value: object) -> object:
    """Parse `biorxiv/cell_biology,medrxiv` as pairs of a server and one of its categories (None: all)."""
    parts = _split(value)
    return (
        [parse_category(part) if isinstance(part, str) else part for part in parts]
        if isinstance(parts, list)
        else parts
    )


def _mail_url(value: SecretStr) -> SecretStr:
    """Check that `value` is a valid MAIL_URL."""
    parse_mail_url(value.get_secret_value())
    return value


def _trace_url(value: str) -> str:
    """Check that `value` is an http(s) URL with one {trace_id} after its host, and no other braces."""
    before, found, after = value.partition("{trace_id}")
    if not found or set("{}") & set(before + after):
        raise ValueError("it does not contain {trace_id} once, or it contains other braces")
    filled = TypeAdapter(HttpUrl).validate_python(before + "0" * 32 + after)
    if filled.host and "0" * 32 in filled.host:
        raise ValueError("{trace_id} is in the host")
    return value


def _mailbox(value: str) -> str:
    """Check that `value` is an e-mail address, with or without a name."""
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
ArxivCategories = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(known_categories)]
BiorxivCategories = Annotated[tuple[tuple[str, str | None], ...], NoDecode, BeforeValidator(_split_biorxiv)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
DailyTimes = Annotated[FetchTimes, NoDecode, BeforeValidator(fetch_times)]
TraceUrl = Annotated[str, AfterValidator(_trace_url)]
PrivatePort = Annotated[int, Field(ge=0, le=65535)]
