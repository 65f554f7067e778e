"""The list of conditions, most serious first.

The health line, `/v1/admin/health`, the metric `broadsheet_condition` and docs/alerts.yml are generated from it.
"""

from typing import Final

from app.conditions import findings
from app.conditions.condition import Condition, Severity
from app.conditions.findings import from_facts

CONDITIONS: Final = (
    Condition(
        "database_unreachable", Severity.CRITICAL,
        "Supabase is unreachable or refuses the key",
        "Open /readyz, which names the cause. If it is an outage, wait: nothing is lost.",
        "2m", findings.database_unreachable,
    ),
    Condition(
        "schema_behind", Severity.CRITICAL,
        "the database's schema is older than the code",
        "Apply the migrations: `make migrate` or `supabase db push`.",
        "2m", findings.schema_behind,
    ),
    Condition(
        "no_worker", Severity.CRITICAL,
        "no worker is alive, so no task is processed",
        "Start a worker (`make worker`, or `fly machine start`), and read the end of the last one's log.",
        "2m", from_facts(findings.no_worker),
    ),
    Condition(
        "all_sources_failing", Severity.CRITICAL,
        "no source can be read, so digests have nothing new",
        "Check the workers' access to the internet. Fetches are retried for 24 hours.",
        "15m", from_facts(findings.all_sources_failing),
    ),
    Condition(
        "mail_failing", Severity.CRITICAL,
        "more attempts to send mails fail than succeed",
        "Check the mail server and the password in MAIL_URL. Mails are retried until the reader's next one is due.",
        "5m", from_facts(findings.mail_failing),
    ),
    Condition(
        "readers_overdue", Severity.CRITICAL,
        "readers are due, but no digest has been started for them",
        "Read the workers' log for `schedule postponed`, and start a worker if none is running.",
        "5m", from_facts(findings.readers_overdue),
    ),
    Condition(
        "delivery_rate_low", Severity.CRITICAL,
        "less than 90 % of the digests of readers due today were delivered",
        "Correct the other problems first. Then look into the failed tasks at /ops/tasks and the failed mails.",
        "10m", from_facts(findings.delivery_rate_low),
    ),
    Condition(
        "queue_delayed", Severity.WARNING,
        "ready tasks wait: there are too few workers, or they are stuck",
        "Add workers, or raise CONCURRENCY. A worker that is alive but claims nothing must be restarted.",
        "5m", from_facts(findings.queue_delayed),
    ),
    Condition(
        "mail_not_configured", Severity.WARNING,
        "no worker can send mails",
        "Set MAIL_URL on a worker. Mails that wait are then sent, unless the reader's next one is due.",
        "5m", from_facts(findings.missing_everywhere("MAIL_URL", "No worker can send mails: MAIL_URL is not set.")),
    ),
    Condition(
        "fetch_not_scheduled", Severity.WARNING,
        "no worker starts the daily fetch",
        "Set DAILY_FETCH_AT on a worker, or post fetches to the API.",
        "5m",
        from_facts(
            findings.missing_everywhere("DAILY_FETCH_AT", "No worker starts the daily fetch: DAILY_FETCH_AT is off.")
        ),
    ),
    Condition(
        "source_failing", Severity.WARNING,
        "a source cannot be read; editions are partial and name it",
        "Wait if the source has an outage. Remove a source that no longer exists from FEEDS.",
        "1h", from_facts(findings.source_failing),
    ),
    Condition(
        "model_failing", Severity.WARNING,
        "the language model fails, so digests quote the abstracts",
        "Check OPENAI_API_KEY, the account's limits and the model server's status.",
        "15m", from_facts(findings.model_failing),
    ),
    Condition(
        "model_fallback", Severity.WARNING,
        "digests have excerpts instead of the model's summaries",
        "docs/MODELS.md says what to do for each reason.",
        "10m", from_facts(findings.model_fallback),
    ),
    Condition(
        "deliveries_in_doubt", Severity.WARNING,
        "mails may or may not have been sent",
        "Look into the mail provider's log, and resolve them at /ops/deliveries.",
        "5m", from_facts(findings.deliveries_in_doubt),
    ),
    Condition(
        "worker_lost", Severity.WARNING,
        "a worker ended without releasing its tasks; other workers take them over",
        "Read the end of its log. If it does not return, restart its machine.",
        "1m", from_facts(findings.worker_lost),
    ),
    Condition(
        "deliveries_paused", Severity.WARNING,
        "no mail is sent, because sending is paused",
        "Resume sending at /ops/deliveries when the reason no longer applies.",
        "1h", from_facts(findings.deliveries_paused),
    ),
    Condition(
        "erasures_unfinished", Severity.WARNING,
        "the data of readers who deleted it is still there",
        "Read the workers' log for `erasures`, and start a worker if none is running.",
        "5m", from_facts(findings.erasures_unfinished),
    ),
    Condition(
        "clock_differs", Severity.WARNING,
        "the clock of a process differs from the database's by more than 30 seconds",
        "Correct the machine's clock (NTP). Receivers may refuse the signatures of callbacks.",
        "10m", findings.clock_differs,
    ),
    Condition(
        "library_keys_refused", Severity.NOTICE,
        "Zotero refuses the keys of readers' libraries",
        "The readers' pages ask for another key; /ops/readers names them. If there are many, check ZOTERO_BASE_URL.",
        "1h", from_facts(findings.library_keys_refused),
    ),
    Condition(
        "kind_paused", Severity.NOTICE,
        "a kind of task is paused",
        "Resume it at /ops when the reason no longer applies.",
        "1h", from_facts(findings.kind_paused),
    ),
)  # fmt: skip
"""All conditions, most serious first."""
