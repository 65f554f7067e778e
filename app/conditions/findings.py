"""How each condition is found in the facts about the service. catalog.py lists the conditions."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Final

from app.conditions.condition import Found, Observation
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


def from_facts(find: Callable[[HealthFacts], Iterable[Found]]) -> Callable[[Observation], Iterable[Found]]:
    """Return `find` for observations. Without facts, only the database's own conditions can be judged."""

    def found(observation: Observation) -> Iterable[Found]:
        return [] if isinstance(observation.facts, SupabaseError) else find(observation.facts)

    return found


def database_unreachable(observation: Observation) -> Iterator[Found]:
    """Any error of the database but an older schema."""
    error = observation.facts
    if isinstance(error, SupabaseError) and not isinstance(error, SchemaOutdated):
        yield Found(f"The database does not respond, or refuses the request: {_short(str(error))}")


def schema_behind(observation: Observation) -> Iterator[Found]:
    """A schema that is older than the code, or so old that it has no facts."""
    facts = observation.facts
    if isinstance(facts, SchemaOutdated):
        yield Found(_short(str(facts)))
    elif not isinstance(facts, SupabaseError) and facts.schema_version < NEEDED_VERSION:
        yield Found(f"The database's schema has version {facts.schema_version}, this code needs {NEEDED_VERSION}.")


def no_worker(facts: HealthFacts) -> Iterator[Found]:
    """No worker with a valid lease."""
    if any(worker.alive for worker in facts.workers):
        return
    if not facts.workers:
        yield Found("No worker is running: no task is processed.")
        return
    last = min(facts.workers, key=lambda worker: worker.last_seen_seconds)
    since = facts.at - timedelta(seconds=last.last_seen_seconds)
    ago = duration(last.last_seen_seconds)
    yield Found(f"No worker is alive: no task is processed. The last one, {last.host}, was seen {ago} ago.", since)


def worker_lost(facts: HealthFacts) -> Iterator[Found]:
    """Workers whose lease has expired, while others are alive."""
    if not any(worker.alive for worker in facts.workers):
        return
    for worker in facts.workers:
        if not worker.alive:
            since = facts.at - timedelta(seconds=worker.last_seen_seconds)
            ago = duration(worker.last_seen_seconds)
            yield Found(f"The worker {worker.host} was last seen {ago} ago. Other workers take over its tasks.", since)


def _failing(facts: HealthFacts) -> list[SourceHealth]:
    return [source for source in facts.sources if source.failing_since is not None]


def all_sources_failing(facts: HealthFacts) -> Iterator[Found]:
    """The last read of each source failed."""
    failing = _failing(facts)
    if failing and len(failing) == len(facts.sources):
        since = max(source.failing_since for source in failing if source.failing_since is not None)
        errors = "; ".join(f"{source.name}: {_short(source.error)}" for source in failing[:3])
        yield Found(f"No source can be read. {errors}", since)


def source_failing(facts: HealthFacts) -> Iterator[Found]:
    """The last read of some sources failed."""
    failing = _failing(facts)
    if len(failing) < len(facts.sources):
        for source in failing:
            yield Found(f"The source {source.name} cannot be read: {_short(source.error)}", source.failing_since)


def mail_failing(facts: HealthFacts) -> Iterator[Found]:
    """More attempts of the last 15 minutes failed than succeeded."""
    mails = facts.deliveries
    if mails.failed > mails.completed:
        cause = f": {_short(mails.error)}" if mails.error else "."
        counts = f"{figure(mails.failed)} failed and {figure(mails.completed)} succeeded"
        yield Found(f"Mails fail. Of the attempts in the last 15 minutes, {counts}{cause}")


def missing_everywhere(setting: str, text: str) -> Callable[[HealthFacts], Iterator[Found]]:
    """Return what finds a setting that every live worker lacks."""

    def find(facts: HealthFacts) -> Iterator[Found]:
        alive = [worker for worker in facts.workers if worker.alive]
        if alive and all(setting in worker.not_configured for worker in alive):
            yield Found(text)

    return find


def readers_overdue(facts: HealthFacts) -> Iterator[Found]:
    """Readers whose digest is 10 minutes late and has no task."""
    if facts.overdue_readers:
        number = count_up_to(_MOST_COUNTED, facts.overdue_readers)
        yield Found(f"{number} readers are due for more than 10 minutes, and no digest has been started for them.")


def delivery_rate_low(facts: HealthFacts) -> Iterator[Found]:
    """Less than `LOWEST_RATE` of the digests that were due today arrived."""
    rate = facts.delivery_rate
    if rate is not None and rate.due >= FEWEST_DUE and rate.delivered < LOWEST_RATE * rate.due:
        skipped = "".join(f", {figure(each.readers)} skipped ({_short(each.reason)})" for each in rate.skipped)
        counts = f"{figure(rate.sent)} sent, {figure(rate.late)} late, {figure(rate.missing)} missing{skipped}"
        # Rounded down: 89.9 % is not 90 %.
        yield Found(
            f"Only {100 * rate.delivered // rate.due} % of today's {figure(rate.due)} digests arrived: {counts}."
        )


def library_keys_refused(facts: HealthFacts) -> Iterator[Found]:
    """Connected libraries whose key Zotero refuses."""
    if facts.refused_libraries:
        number = count_up_to(_MOST_COUNTED, facts.refused_libraries)
        yield Found(f"Zotero refuses the keys of libraries: {number}. Their papers no longer follow the libraries.")


def erasures_unfinished(facts: HealthFacts) -> Iterator[Found]:
    """Deletions of data that readers began more than an hour ago."""
    if facts.unfinished_erasures:
        number = count_up_to(_MOST_COUNTED, facts.unfinished_erasures)
        yield Found(f"The data of readers who deleted it is still there after more than an hour: {number}.")


def queue_delayed(facts: HealthFacts) -> Iterator[Found]:
    """Ready tasks that wait longer than `QUEUE_DELAY`, although they could run."""
    if not any(worker.alive for worker in facts.workers):
        return  # `no_worker` is the cause
    mail = any(worker.alive and "MAIL_URL" not in worker.not_configured for worker in facts.workers)
    for kind in facts.kinds:
        waits_on_purpose = kind.paused is not None or (kind.kind == "delivery" and not mail)
        if not waits_on_purpose and kind.oldest_seconds is not None and kind.oldest_seconds > QUEUE_DELAY:
            since = facts.at - timedelta(seconds=kind.oldest_seconds)
            yield Found(f"A ready {kind.kind} task has waited {duration(kind.oldest_seconds)} for a worker.", since)


def model_failing(facts: HealthFacts) -> Iterator[Found]:
    """The model's circuit breaker is open, or more than half of the calls of the last 15 minutes failed."""
    model = facts.model
    if model.blocked is not None:
        yield Found(f"The language model is not called: {_short(model.blocked)}. Digests quote the abstracts.")
    elif model.failures * 2 > model.calls:
        counts = f"{figure(model.failures)} of {figure(model.calls)} calls"
        yield Found(f"The language model fails: {counts} in the last 15 minutes. Digests quote the abstracts.")


def model_fallback(facts: HealthFacts) -> Iterator[Found]:
    """Items of the last hour that got excerpts."""
    if fallbacks := facts.model.fallbacks:
        reasons = ", ".join(f"{each.reason.replace('_', ' ')} {figure(each.items)}" for each in fallbacks)
        items = figure(sum(each.items for each in fallbacks))
        yield Found(f"In the last hour, {items} items got excerpts instead of the model's summaries: {reasons}.")


def deliveries_in_doubt(facts: HealthFacts) -> Iterator[Found]:
    """Mails that may or may not have been sent."""
    if facts.deliveries.in_doubt:
        yield Found(f"Mails in doubt: {figure(facts.deliveries.in_doubt)}. They may or may not have been sent.")


def deliveries_paused(facts: HealthFacts) -> Iterator[Found]:
    """Sending is paused."""
    if facts.deliveries.paused is not None:
        yield Found(f"No mail is sent, because sending is paused: {_short(facts.deliveries.paused)}")


def kind_paused(facts: HealthFacts) -> Iterator[Found]:
    """Kinds of tasks that are paused."""
    for kind in facts.kinds:
        if kind.paused is not None:
            yield Found(f"{kind.kind.capitalize()} tasks are paused: {_short(kind.paused)}")


def clock_differs(observation: Observation) -> Iterator[Found]:
    """The process's clock differs from the database's by more than `CLOCK_TOLERANCE`."""
    if not isinstance(observation.facts, SupabaseError):
        difference = observation.observed_at - observation.facts.at
        if abs(difference) > CLOCK_TOLERANCE:
            way = "ahead of" if difference > timedelta(0) else "behind"
            seconds = duration(abs(difference).total_seconds())
            yield Found(f"The clock of the process that reports this is {seconds} {way} the database's.")


def _short(error: str | None) -> str:
    text = " ".join((error or "without an error message").split())
    return text if len(text) <= _MAX_ERROR else f"{text[:_MAX_ERROR]}\N{HORIZONTAL ELLIPSIS}"
