"""FastAPI writes no spans of a request, which would contain its path with a reader's token."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys, httpx
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, provider = InMemorySpanExporter(), TracerProvider(resource=Resource({}))
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
from fastapi import FastAPI
from app.main import create_app

async def request(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
        return (await http.get("/nowhere/the-token")).status_code

for app in (create_app(), FastAPI()):
    status = asyncio.run(request(app))
    print("found", status, len(exporter.get_finished_spans()) > 0)
"""


def test_only_fastapis_own_telemetry_would_write_spans() -> None:
    """In another process, because a global provider cannot be replaced."""
    command = [sys.executable, "-c", PROGRAM]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in found.stdout.splitlines() if line.startswith("found")]
    assert lines == ["found 404 False", "found 404 True"], found.stderr
