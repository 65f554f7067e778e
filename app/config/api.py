"""Settings of the API alone."""

from typing import Self

from pydantic import Field, model_validator

from app.config.shared import Settings
from app.config.values import ApiKeys, Names, PrivatePort, WebhookSecrets


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
    resend_webhook_secret: WebhookSecrets = Field(
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
