"""`python -m benchmarks.traced_digests READY COLLECTOR RATIO`: CPU milliseconds per digest, with and without traces.

READY is the line that the emulator prints; its database has the edition of `benchmarks.digest`. Blocks of digests with
and without traces alternate in this one process, so that other programs disturb both alike. The export of a block's
spans is part of it. Prints the medians as one line of JSON.
"""

import asyncio
import json
import statistics
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from random import Random
from typing import Final
from uuid import uuid4

import uvloop
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.config import SupabaseSettings
from app.digest.analysis import ExtractiveAnalyst
from app.digest.scheduled import ScheduledDigests
from app.digest.service import DigestService
from app.models.tasks import TaskKind
from app.persistence.new_task import NewTask
from app.persistence.outcomes import Completed, Lease
from app.persistence.queue import ClaimedTask
from app.process.gc_freeze import freeze_loaded_objects
from app.services import Services
from app.tracing.current import using_spans
from app.tracing.provider import TraceIds
from app.tracing.spans import Spans
from benchmarks.digest import DAY, new_digests
from embedded.stack import Ready
from worker.attempt_spans import choose_perform
from worker.handlers.digest import DigestHandler
from worker.job import Handler, Job

BLOCK, AT_ONCE, PAIRS = 40, 10, 100
LIMIT: Final = timedelta(minutes=5)


def handler_of(client: AsyncClient) -> Handler:
    """The handler of digests without a model."""
    services, analyst = Services.build(client), ExtractiveAnalyst()
    scheduled = ScheduledDigests(services.items, services.tasks, analyst)
    return Handler(DigestHandler(DigestService(services.editions, services.tasks, analyst), scheduled), LIMIT)


async def write(handler: Handler, new: NewTask) -> None:
    """Write one digest as a worker does, without its queue."""
    task = ClaimedTask(Lease(uuid4(), uuid4()), TaskKind.DIGEST, 1, 5, timedelta(0), DAY, dict(new.payload))
    outcome = await choose_perform()(Job(task, 0.0, lambda *_: None), handler, Random(1))
    assert isinstance(outcome, Completed), outcome


async def block(handler: Handler) -> None:
    """Write a block of digests."""
    tasks = new_digests()[:BLOCK]
    for at in range(0, BLOCK, AT_ONCE):
        await asyncio.gather(*(write(handler, task) for task in tasks[at : at + AT_ONCE]))


async def measure(ready: Ready, provider: TracerProvider) -> dict[str, float]:
    """Measure the blocks in turn; returns the medians, and the median of the pairs' ratios."""
    settings = SupabaseSettings.model_validate({"supabase_url": ready.url, "supabase_key": ready.secret_key})
    spans, spent = Spans(provider.get_tracer("benchmark")), dict[bool, list[float]]({True: [], False: []})
    async with AsyncExitStack() as opened:
        handlers = {False: handler_of(await opened.enter_async_context(open_supabase(settings)))}
        with using_spans(spans):
            handlers[True] = handler_of(await opened.enter_async_context(open_supabase(settings)))
        for number in range(PAIRS + 1):
            for traced in (True, False) if number % 2 else (False, True):
                began = time.process_time()
                with ExitStack() as traces:
                    if traced:
                        traces.enter_context(using_spans(spans))
                        traces.callback(provider.force_flush)
                    await block(handlers[traced])
                if number > 0:  # the first pair builds the edition's index
                    spent[traced].append((time.process_time() - began) / BLOCK * 1e3)
            if number == 0:
                freeze_loaded_objects()
    pairs = zip(spent[True], spent[False], strict=True)
    return {
        "traced_ms": statistics.median(spent[True]),
        "plain_ms": statistics.median(spent[False]),
        "pairs": statistics.median(traced / plain - 1 for traced, plain in pairs),
    }


def main(ready: Ready, collector: str, ratio: float) -> None:
    """Measure and print."""
    sampler = ParentBased(TraceIdRatioBased(ratio))
    provider = TracerProvider(sampler, Resource({}), shutdown_on_exit=False, id_generator=TraceIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{collector}/v1/traces")))
    print(json.dumps(uvloop.run(measure(ready, provider))), flush=True)
    provider.shutdown()


if __name__ == "__main__":
    main(Ready(**json.loads(sys.argv[1])), sys.argv[2], float(sys.argv[3]))
