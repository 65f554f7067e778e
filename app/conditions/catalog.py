"""The list of conditions, most serious first.

The health line, `/v1/admin/health`, the metric `broadsheet_condition` and docs/alerts.yml are generated from it.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Final

from app.conditions.condition import Condition, Found, Observation, Severity
from app.errors import SchemaOutdated, SupabaseError
from app.formatting import count_up_to, duration, figure
from app.persistence.health import HealthFacts, SourceHealth
from app.persistence.schema import NEEDED_VERSION

QUEUE_DELAY: Final = 120.0
"""Seconds for which a ready task may wait for a worker."""

CLOCK_TOLERANCE: Final = timedelta(seconds=30)
"""How much a process's clock may differ from the database's. The time of the call is included."""

LOWEST_RATE: Final = 0.9
"""The lowest delivery rate of a day that is no problem, if at least `FEWEST_DUE` readers were due."""

FEWEST_DUE: Final = 10

_MAX_ERROR: Final = 200
_MOST_COUNTED: Final = 1000
"""The SQL function `operator_health` counts no more readers and libraries."""


def _from_facts(find: Callable[[HealthFacts], Iterable[Found]]) -> Callable[[Observation], Iterable[Found]]:
    """Return `find` for observations. Without facts, only the database's own conditions can be judged."""

    def found(observation: Observation) -> Iterable[Found]:
        return [] if isinstance(observation.facts, SupabaseError) else find(observation.facts)

    return found


def _database_unreachable(observation: Observation) -> Iterator[Found]:
    error = observation.facts
    if isinstance(error, SupabaseError) and not isinstance(error, SchemaOutdated):
        yield Found(f"The database does not respond, or refuses the request: {_short(str(error))}")


def _schema_behind(observation: Observation) -> Iterator[Found]:
    facts = observation.facts
    if isinstance(facts, SchemaOutdated):
        yield Found(_short(str(facts)))
    elif not isinstance(facts, SupabaseError) and facts.schema_version < NEEDED_VERSION:
        yield Found(f"The database's schema has version {facts.schema_version}, this code needs {NEEDED_VERSION}.")


def _no_worker(facts: HealthFacts) -> Iterator[Found]:
    if any(worker.alive for worker in facts.workers):
        return
    if not facts.workers:
        yield Found("No worker is running: no task is processed.")
        return
    last = min(facts.workers, key=lambda worker: worker.last_seen_seconds)
    since = facts.at - timedelta(seconds=last.last_seen_seconds)
    ago = duration(last.last_seen_seconds)
    yield Found(f"No worker is alive: no task is processed. The last one, {last.host}, was seen {ago} ago.", since)


def _worker_lost(facts: HealthFacts) -> Iterator[Found]:
    if not any(worker.alive for worker in facts.workers):
        return
    for worker in facts.workers:
        if not worker.alive:
            since = facts.at - timedelta(seconds=worker.last_seen_seconds)
            ago = duration(worker.last_seen_seconds)
            yield Found(f"The worker {worker.host} was last seen {ago} ago. Other workers take over its tasks.", since)


def _failing(facts: HealthFacts) -> list[SourceHealth]:
    return [source for source in facts.sources if source.failing_since is not None]


def _all_sources_failing(facts: HealthFacts) -> Iterator[Found]:
    failing = _failing(facts)
    if failing and len(failing) == len(facts.sources):
        since = max(source.failing_since for source in failing if source.failing_since is not None)
        errors = "; ".join(f"{source.name}: {_short(source.error)}" for source in failing[:3])
        yield Found(f"No source can be read. {errors}", since)


def _source_failing(facts: HealthFacts) -> Iterator[Found]:
    failing = _failing(facts)
    if len(failing) < len(facts.sources):
        for source in failing:
            yield Found(f"The source {source.name} cannot be read: {_short(source.error)}", source.failing_since)


def _mail_failing(facts: HealthFacts) -> Iterator[Found]:
    mails = facts.deliveries
    if mails.failed > mails.completed:
        cause = f": {_short(mails.error)}" if mails.error else "."
        counts = f"{figure(mails.failed)} failed and {figure(mails.completed)} succeeded"
        yield Found(f"Mails fail. Of the attempts in the last 15 minutes, {counts}{cause}")


def _missing_everywhere(setting: str, text: str) -> Callable[[HealthFacts], Iterator[Found]]:
    def find(facts: HealthFacts) -> Iterator[Found]:
        alive = [worker for worker in facts.workers if worker.alive]
        if alive and all(setting in worker.not_configured for worker in alive):
            yield Found(text)

    return find


def _readers_overdue(facts: HealthFacts) -> Iterator[Found]:
    if facts.overdue_readers:
        number = count_up_to(_MOST_COUNTED, facts.overdue_readers)
        yield Found(f"{number} readers are due for more than 10 minutes, and no digest has been started for them.")


def _delivery_rate_low(facts: HealthFacts) -> Iterator[Found]:
    rate = facts.delivery_rate
    if rate is not None and rate.due >= FEWEST_DUE and rate.delivered < LOWEST_RATE * rate.due:
        skipped = "".join(f", {figure(each.readers)} skipped ({_short(each.reason)})" for each in rate.skipped)
        counts = f"{figure(rate.sent)} sent, {figure(rate.late)} late, {figure(rate.missing)} missing{skipped}"
        # Rounded down: 89.9 % is not 90 %.
        yield Found(
            f"Only {100 * rate.delivered // rate.due} % of today's {figure(rate.due)} digests arrived: {counts}."
        )


def _library_keys_refused(facts: HealthFacts) -> Iterator[Found]:
    if facts.refused_libraries:
        number = count_up_to(_MOST_COUNTED, facts.refused_libraries)
        yield Found(f"Zotero refuses the keys of libraries: {number}. Their papers no longer follow the libraries.")


def _queue_delayed(facts: HealthFacts) -> Iterator[Found]:
    if not any(worker.alive for worker in facts.workers):
        return  # `no_worker` is the cause
    mail = any(worker.alive and "MAIL_URL" not in worker.not_configured for worker in facts.workers)
    for kind in facts.kinds:
        waits_on_purpose = kind.paused is not None or (kind.kind == "delivery" and not mail)
        if not waits_on_purpose and kind.oldest_seconds is not None and kind.oldest_seconds > QUEUE_DELAY:
            since = facts.at - timedelta(seconds=kind.oldest_seconds)
            yield Found(f"A ready {kind.kind} task has waited {duration(kind.oldest_seconds)} for a worker.", since)


def _model_failing(facts: HealthFacts) -> Iterator[Found]:
    model = facts.model
    if model.blocked is not None:
        yield Found(f"The language model is not called: {_short(model.blocked)}. Digests quote the abstracts.")
    elif model.failures * 2 > model.calls:
        counts = f"{figure(model.failures)} of {figure(model.calls)} calls"
        yield Found(f"The language model fails: {counts} in the last 15 minutes. Digests quote the abstracts.")


def _model_fallback(facts: HealthFacts) -> Iterator[Found]:
    if fallbacks := facts.model.fallbacks:
        reasons = ", ".join(f"{each.reason.replace('_', ' ')} {figure(each.items)}" for each in fallbacks)
        items = figure(sum(each.items for each in fallbacks))
        yield Found(f"In the last hour, {items} items got excerpts instead of the model's summaries: {reasons}.")


def _deliveries_in_doubt(facts: HealthFacts) -> Iterator[Found]:
    if facts.deliveries.in_doubt:
        yield Found(f"Mails in doubt: {figure(facts.deliveries.in_doubt)}. They may or may not have been sent.")


def _deliveries_paused(facts: HealthFacts) -> Iterator[Found]:
    if facts.deliveries.paused is not None:
        yield Found(f"No mail is sent, because sending is paused: {_short(facts.deliveries.paused)}")


def _kind_paused(facts: HealthFacts) -> Iterator[Found]:
    for kind in facts.kinds:
        if kind.paused is not None:
            yield Found(f"{kind.kind.capitalize()} tasks are paused: {_short(kind.paused)}")


def _clock_differs(observation: Observation) -> Iterator[Found]:
    if not isinstance(observation.facts, SupabaseError):
        difference = observation.observed_at - observation.facts.at
        if abs(difference) > CLOCK_TOLERANCE:
            way = "ahead of" if difference > timedelta(0) else "behind"
            seconds = duration(abs(difference).total_seconds())
            yield Found(f"The clock of the process that reports this is {seconds} {way} the database's.")


def _short(error: str | None) -> str:
    text = " ".join((error or "without an error message").split())
    return text if len(text) <= _MAX_ERROR else f"{text[:_MAX_ERROR]}\N{HORIZONTAL ELLIPSIS}"


CONDITIONS: Final = (
    Condition(
        "database_unreachable", Severity.CRITICAL,
        "Supabase is unreachable or refuses the key",
        "Open /readyz, which names the cause. If it is an outage, wait: nothing is lost.",
        "2m", _database_unreachable,
    ),
    Condition(
        "schema_behind", Severity.CRITICAL,
        "the database's schema is older than the code",
        "Apply the migrations: `make migrate` or `supabase db push`.",
        "2m", _schema_behind,
    ),
    Condition(
        "no_worker", Severity.CRITICAL,
        "no worker is alive, so no task is processed",
        "Start a worker (`make worker`, or `fly machine start`), and read the end of the last one's log.",
        "2m", _from_facts(_no_worker),
    ),
    Condition(
        "all_sources_failing", Severity.CRITICAL,
        "no source can be read, so digests have nothing new",
        "Check the workers' access to the internet. Fetches are retried for 24 hours.",
        "15m", _from_facts(_all_sources_failing),
    ),
    Condition(
        "mail_failing", Severity.CRITICAL,
        "more attempts to send mails fail than succeed",
        "Check the mail server and the password in MAIL_URL. Mails are retried until the reader's next one is due.",
        "5m", _from_facts(_mail_failing),
    ),
    Condition(
        "readers_overdue", Severity.CRITICAL,
        "readers are due, but no digest has been started for them",
        "Read the workers' log for `schedule postponed`, and start a worker if none is running.",
        "5m", _from_facts(_readers_overdue),
    ),
    Condition(
        "delivery_rate_low", Severity.CRITICAL,
        "less than 90 % of the digests of readers due today were delivered",
        "Correct the other problems first. Then look into the failed tasks at /ops/tasks and the failed mails.",
        "10m", _from_facts(_delivery_rate_low),
    ),
    Condition(
        "queue_delayed", Severity.WARNING,
        "ready tasks wait: there are too few workers, or they are stuck",
        "Add workers, or raise CONCURRENCY. A worker that is alive but claims nothing must be restarted.",
        "5m", _from_facts(_queue_delayed),
    ),
    Condition(
        "mail_not_configured", Severity.WARNING,
        "no worker can send mails",
        "Set MAIL_URL on a worker. Mails that wait are then sent, unless the reader's next one is due.",
        "5m", _from_facts(_missing_everywhere("MAIL_URL", "No worker can send mails: MAIL_URL is not set.")),
    ),
    Condition(
        "fetch_not_scheduled", Severity.WARNING,
        "no worker starts the daily fetch",
        "Set DAILY_FETCH_AT on a worker, or post fetches to the API.",
        "5m",
        _from_facts(_missing_everywhere("DAILY_FETCH_AT", "No worker starts the daily fetch: DAILY_FETCH_AT is off.")),
    ),
    Condition(
        "source_failing", Severity.WARNING,
        "a source cannot be read; editions are partial and name it",
        "Wait if the source has an outage. Remove a source that no longer exists from FEEDS.",
        "1h", _from_facts(_source_failing),
    ),
    Condition(
        "model_failing", Severity.WARNING,
        "the language model fails, so digests quote the abstracts",
        "Check OPENAI_API_KEY, the account's limits and the model server's status.",
        "15m", _from_facts(_model_failing),
    ),
    Condition(
        "model_fallback", Severity.WARNING,
        "digests have excerpts instead of the model's summaries",
        "docs/MODELS.md says what to do for each reason.",
        "10m", _from_facts(_model_fallback),
    ),
    Condition(
        "deliveries_in_doubt", Severity.WARNING,
        "mails may or may not have been sent",
        "Look into the mail provider's log, and resolve them at /ops/deliveries.",
        "5m", _from_facts(_deliveries_in_doubt),
    ),
    Condition(
        "worker_lost", Severity.WARNING,
        "a worker ended without releasing its tasks; other workers take them over",
        "Read the end of its log. If it does not return, restart its machine.",
        "1m", _from_facts(_worker_lost),
    ),
    Condition(
        "deliveries_paused", Severity.WARNING,
        "no mail is sent, because sending is paused",
        "Resume sending at /ops/deliveries when the reason no longer applies.",
        "1h", _from_facts(_deliveries_paused),
    ),
    Condition(
        "clock_differs", Severity.WARNING,
        "the clock of a process differs from the database's by more than 30 seconds",
        "Correct the machine's clock (NTP). Receivers may refuse the signatures of callbacks.",
        "10m", _clock_differs,
    ),
    Condition(
        "library_keys_refused", Severity.NOTICE,
        "Zotero refuses the keys of readers' libraries",
        "The readers' pages ask for another key; /ops/readers names them. If there are many, check ZOTERO_BASE_URL.",
        "1h", _from_facts(_library_keys_refused),
    ),
    Condition(
        "kind_paused", Severity.NOTICE,
        "a kind of task is paused",
        "Resume it at /ops when the reason no longer applies.",
        "1h", _from_facts(_kind_paused),
    ),
)  # fmt: skip
"""All conditions, most serious first."""
