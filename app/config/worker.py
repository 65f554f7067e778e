"""Settings of the worker."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from app.config.fetch_times import AFTER_ARXIV
from app.config.shared import Settings
from app.config.values import (
    ArxivCategories,
    BiorxivCategories,
    DailyTimes,
    Feeds,
    HttpAddress,
    MailAddress,
    MailUrl,
    PrivatePort,
    Seconds,
)


class WorkerSettings(Settings):
    """The worker's settings, in addition to the shared ones."""

    concurrency: int = Field(10, ge=1, le=1000, description="concurrent tasks of a worker, 1 to 1000")
    callback_slots: int | None = Field(
        None, ge=1, le=1000, description="maximum concurrent callbacks, 1 to 1000; a third of CONCURRENCY if unset"
    )
    lease_seconds: Seconds = Field(
        60.0, description="seconds until a lease expires without renewal, at least three times SUPABASE_CALL_TIMEOUT"
    )
    grace_period: Seconds = Field(
        25.0, description="seconds for running tasks to finish after SIGTERM, above 0, up to 3600"
    )
    poll_interval: float = Field(
        0.4, ge=0.1, le=60, description="maximum seconds between two queue polls while the worker is idle, 0.1 to 60"
    )
    worker_port: PrivatePort | None = Field(
        None, description="a port that serves the worker's /healthz and /metrics; none if unset"
    )
    worker_host: str = Field("127.0.0.1", description="the address for WORKER_PORT, such as 0.0.0.0")
    daily_fetch_at: DailyTimes = Field(
        AFTER_ARXIV,
        description="times of day at which the last four days are fetched, such as 00:30,06:30 America/New_York; the "
        "time zone is UTC if omitted; off disables scheduled fetches",
    )
    digest_max_wait_hours: float = Field(
        6.0,
        ge=0,
        le=24,
        description="maximum hours that a digest waits while no source can be read, within the reader's day, 0 to 24",
    )
    arxiv_base_url: HttpAddress | None = Field(
        None,
        description="the URL of a server with arXiv's /api/query, /rss and /oai; if unset, arXiv's own three hosts",
    )
    arxiv_categories: ArxivCategories = Field(
        ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "stat.ML"), description="arXiv categories, separated by commas"
    )
    biorxiv_categories: BiorxivCategories = Field(
        (),
        description="categories of bioRxiv and medRxiv, such as biorxiv/cell_biology,medrxiv/oncology, or a server "
        "alone for all of its categories; neither is read if unset",
    )
    biorxiv_base_url: HttpAddress = Field(
        "https://api.biorxiv.org", description="the URL of the API of bioRxiv and medRxiv"
    )
    crossref_base_url: HttpAddress = Field(
        "https://api.crossref.org", description="the URL of Crossref's API, which knows papers by DOI"
    )
    contact_email: MailAddress | None = Field(
        None, description="the address that Crossref may contact, sent with requests; the one in MAIL_FROM if unset"
    )
    feeds: Feeds = Field(
        (), description="feeds of news or papers as name=URL, separated by commas; a few science feeds if unset"
    )
    mail_url: MailUrl | None = Field(
        None,
        description="how mails are sent: smtp://user:password@host:587 (STARTTLS is required except for localhost), "
        "smtps://..., resend:KEY, or folder:PATH; no mails are sent if unset",
    )
    mail_from: MailAddress | None = Field(
        None, description="the sender of mails, such as Broadsheet <digest@example.org>"
    )
    mail_rate: float = Field(
        10.0, gt=0, le=1000, description="maximum mails per second of each worker, above 0, up to 1000"
    )
    mail_connections: int = Field(2, ge=1, le=50, description="concurrent mail connections of each worker, 1 to 50")
    newsapi_key: SecretStr | None = Field(None, description="the API key of NewsAPI; without it NewsAPI is not used")
    newsapi_base_url: HttpAddress = Field("https://newsapi.org", description="the URL of NewsAPI")
    newsapi_query: str | None = Field(None, description="the query for NewsAPI, in its query language")
    openai_api_key: SecretStr | None = Field(
        None, description="the API key of an OpenAI-compatible model; without it digests quote the abstracts"
    )
    openai_base_url: HttpAddress = Field("https://api.openai.com/v1", description="the URL of the model's API")
    openai_model: str = Field("gpt-4o-mini", description="the model's name")
    openai_answer_format: Literal["auto", "json_schema", "json_object", "text"] = Field(
        "auto",
        description="how the model is asked for JSON: json_schema, json_object or text (only in the instructions); "
        "auto uses the first of these that the server accepts",
    )
    openai_max_output_tokens: int = Field(
        8_000,
        ge=256,
        le=200_000,
        description="maximum tokens of one response, reasoning included, 256 to 200000; at most a third of "
        "MODEL_MAX_TOKENS is used",
    )
    openai_reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None,
        description="how much a model reasons before it responds: none, minimal, low, medium, high or xhigh, as far as "
        "the model supports it; not sent if unset",
    )
    model_max_calls: int = Field(24, ge=0, le=1000, description="maximum model calls per digest, 0 to 1000")
    model_max_tokens: int = Field(
        60_000, ge=0, le=10_000_000, description="maximum tokens per digest, input and output together, 0 to 10000000"
    )
    task_retention_days: int = Field(30, ge=1, le=3650, description="days until finished tasks are removed, 1 to 3650")
    edition_retention_days: int = Field(
        90, ge=1, le=3650, description="days until an edition is removed after its last fetch, 1 to 3650"
    )
    digest_retention_days: int = Field(
        730, ge=1, le=36500, description="days until a reader's digests are removed, 1 to 36500"
    )
    delivery_retention_days: int = Field(
        90, ge=30, le=3650, description="days until deliveries are removed, never before their tasks, 30 to 3650"
    )

    @model_validator(mode="after")
    def _mail_settings_are_complete(self) -> Self:
        if self.mail_url is not None and self.mail_from is None:
            raise ValueError("MAIL_URL is set without MAIL_FROM: every mail needs a sender.")
        if self.mail_url is not None and self.public_url is not None and not self.link_secret:
            raise ValueError(
                "MAIL_URL and PUBLIC_URL are set without LINK_SECRET, which signs the links in mails. Without "
                "PUBLIC_URL, mails have no links to pages, and readers unsubscribe by a mail to MAIL_FROM."
            )
        return self

    @model_validator(mode="after")
    def _sign_up_has_mail(self) -> Self:
        if self.public_sign_up and self.mail_url is None:
            raise ValueError(
                "PUBLIC_SIGN_UP is true without MAIL_URL: this worker could not send the confirmation mails. Set "
                "MAIL_URL and MAIL_FROM, or set PUBLIC_SIGN_UP=false."
            )
        return self

    @model_validator(mode="after")
    def _lease_outlasts_retries(self) -> Self:
        if self.lease_seconds < 3 * self.supabase_call_timeout:
            raise ValueError(
                f"LEASE_SECONDS is {self.lease_seconds:g}, less than three times SUPABASE_CALL_TIMEOUT "
                f"({self.supabase_call_timeout:g}): a lease could expire while one call is retried."
            )
        return self
