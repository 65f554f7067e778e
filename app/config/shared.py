"""Settings that both processes use. The description of a field documents its environment variable."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.config.values import HttpAddress, Seconds, Secrets, SupabaseKey, WebhookSecrets


class SupabaseSettings(BaseSettings):
    """The Supabase project's URL and key, timeouts and retries."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    supabase_url: HttpAddress = Field(description="the project's URL, such as https://abcdefgh.supabase.co")
    supabase_key: SupabaseKey = Field(description="the server's key: sb_secret_... or the legacy service_role JWT")
    supabase_read_timeout: Seconds = Field(
        # Supabase cancels an API statement after 8 s; a shorter timeout would discard responses that still arrive.
        10.0,
        description="seconds to wait for the next byte of a response, above 0, up to 3600",
    )
    supabase_call_timeout: Seconds = Field(
        20.0, description="seconds for one call with all its retries, above 0, up to 3600"
    )
    supabase_retries: int = Field(3, ge=0, le=10, description="retries of a call, 0 to 10")
    supabase_max_connections: int = Field(
        100, ge=1, le=1000, description="maximum number of open connections, 1 to 1000"
    )


class Settings(SupabaseSettings):
    """Settings that the API and the worker share."""

    webhook_secret: WebhookSecrets = Field(
        (),
        description="secrets that sign callbacks (Standard Webhooks): whsec_ and 24 to 64 bytes in base64, separated "
        "by commas; without one there are no callbacks",
    )
    callbacks_to_private_addresses: bool = Field(
        False, description="true allows callbacks over http and to private addresses (for development)"
    )

    operator_callback_url: SecretStr | None = Field(
        None,
        description="a URL that gets a signed callback when a condition of the health line begins and ends, with a "
        "text that chat programs show; needs WEBHOOK_SECRET; none if unset",
    )
    public_url: HttpAddress | None = Field(
        None,
        description="the API's public URL, such as https://digest.example.org, used for links in mails; if unset, "
        "mails have no such links, and readers unsubscribe by a mail to MAIL_FROM",
    )
    link_secret: Secrets = Field(
        (),
        description="secrets that sign readers' links, each with at least 16 characters, separated by commas; the "
        "first one signs, all of them verify",
    )

    user_agent: str = Field(
        "Broadsheet (personal research digests)",
        description="the User-Agent header for sources and Zotero; include contact details",
    )
    zotero_base_url: HttpAddress = Field(
        "https://api.zotero.org", description="the URL of Zotero's API, which gets the keys of readers' libraries"
    )
    public_sign_up: bool = Field(
        False,
        description="true opens the page /subscribe, where people sign up for digests; needs PUBLIC_URL, LINK_SECRET "
        "and, on the workers, MAIL_URL",
    )

    environment: Literal["development", "production"] = Field(
        "development", description="development (readable logs) or production (JSON logs)"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @property
    def has_links(self) -> bool:
        """Whether mails have signed links to pages."""
        return self.public_url is not None and bool(self.link_secret)

    @model_validator(mode="after")
    def _sign_up_has_links(self) -> Self:
        values = {"PUBLIC_URL": self.public_url, "LINK_SECRET": self.link_secret}
        missing = [name for name, value in values.items() if not value]
        if self.public_sign_up and missing:
            raise ValueError(
                f"PUBLIC_SIGN_UP is true without {' and '.join(missing)}: everyone who signs up gets a mail with a "
                "signed link to a page. Set it, or set PUBLIC_SIGN_UP=false."
            )
        return self
