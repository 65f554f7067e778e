"""Settings of the API."""

from typing import Self

from pydantic import Field, model_validator

from app.config.shared import Settings
from app.config.values import ApiKeys, Names, PrivatePort, TraceUrl, WebhookSecrets


class ApiSettings(Settings):
    """The API's settings, in addition to the shared ones."""

    api_keys: ApiKeys = Field(
        description="keys for the header X-API-Key as caller:key, separated by commas; a key has at least 16 "
        "characters; a caller may have several keys; a key without a caller belongs to the caller `default`"
    )
    admins: Names = Field(
        (), description="callers of API_KEYS who see all data and may use /v1/admin, separated by commas"
    )
    daily_digests: int | None = Field(
        None, ge=0, description="digests that a caller may create per UTC day, 0 or more; unlimited if unset"
    )
    sign_ups_per_hour: int = Field(
        60, ge=1, le=10_000, description="sign-ups that /subscribe accepts in an hour, 1 to 10000"
    )
    sign_ups_per_network: int = Field(
        5,
        ge=1,
        le=10_000,
        description="sign-ups that it accepts in an hour from one network (/24 of IPv4, /56 of IPv6), 1 to 10000",
    )
    client_address_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,100}$",
        description="the header in which your proxy sends the client's address, such as Fly-Client-IP or "
        "X-Forwarded-For, of which the last address counts; if unset, the address of the connection counts. Set it "
        "only if all requests pass through that proxy",
    )
    resend_webhook_secret: WebhookSecrets = Field(
        (),
        description="secrets that verify Resend's webhook: whsec_ and base64, separated by commas; without one the "
        "webhook is refused",
    )
    host: str = Field("127.0.0.1", description="the address to listen on, such as 0.0.0.0")
    port: int = Field(8000, ge=0, le=65535, description="the port to listen on, 1 to 65535, or 0 for any free one")
    metrics_port: PrivatePort | None = Field(
        None,
        description="a second port that serves /metrics without a key; do not route it to callers; none if unset",
    )
    metrics_host: str = Field("127.0.0.1", description="the address for METRICS_PORT, such as 0.0.0.0")
    trace_url: TraceUrl | None = Field(
        None,
        description="the page of a trace, with {trace_id} in place of its id, such as "
        "https://traces.example.org/trace/{trace_id}; the operators' page of a task links to it; no link if unset",
    )

    @model_validator(mode="after")
    def _admins_have_keys(self) -> Self:
        unknown = sorted(set(self.admins) - {name for name, _ in self.api_keys})
        if unknown:
            raise ValueError(f"ADMINS contains {', '.join(unknown)}, without a key in API_KEYS: add one as name:key.")
        return self
