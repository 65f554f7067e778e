"""Settings of both processes; each variable is documented where it is declared."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.config.values import HttpAddress, Seconds, Secrets, SupabaseKey, WebhookSecrets


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
