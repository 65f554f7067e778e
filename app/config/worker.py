"""Settings of the worker alone."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from app.config.fetch_times import AFTER_ARXIV
from app.config.shared import Settings
from app.config.values import DailyTimes, Feeds, HttpAddress, MailAddress, MailUrl, Names, PrivatePort, Seconds


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
    poll_interval: float = Field(
        0.4, ge=0.1, le=60, description="seconds between two looks for work while there is none, at most, 0.1 to 60"
    )
    worker_port: PrivatePort | None = Field(
        None, description="a port for the worker's own /healthz and /metrics; none if unset"
    )
    worker_host: str = Field("127.0.0.1", description="the address for WORKER_PORT, such as 0.0.0.0")
    daily_fetch_at: DailyTimes = Field(
        AFTER_ARXIV,
        description="times of day, and their time zone if it is not UTC, at which the last four days are fetched; off "
        "for never",
    )
    digest_max_wait_hours: float = Field(
        6.0,
        ge=0,
        le=24,
        description="hours that a reader's digest waits while no source can be read, within the reader's day, 0 to 24",
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
    newsapi_base_url: HttpAddress = Field("https://newsapi.org", description="the address of NewsAPI")
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
    task_retention_days: int = Field(30, ge=1, le=3650, description="days that finished tasks are kept, 1 to 3650")
    edition_retention_days: int = Field(
        90, ge=1, le=3650, description="days that an edition is kept after its last fetch, 1 to 3650"
    )
    digest_retention_days: int = Field(
        730, ge=1, le=36500, description="days that a reader's digests are kept, 1 to 36500"
    )
    delivery_retention_days: int = Field(
        90, ge=30, le=3650, description="days that deliveries are kept, and at least as long as their tasks, 30 to 3650"
    )

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
