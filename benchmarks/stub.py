"""`python -m benchmarks.stub SECONDS`: a loopback PostgREST with one task, which delays each response.

It simulates a distant Supabase project. It does almost no work, so that the benchmark measures the client: httptools
parses the requests, nothing queues, and all connections are served in parallel.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import httptools
import uvloop

from app.models.tasks import Task
from app.persistence.schema import NEEDED_VERSION
from benchmarks.report import ROOT

TASK_ID = "7b1f2c52-6d53-4a5e-9d0a-0d5f0c4f6a11"
MOMENT = "2026-11-23T06:00:00+00:00"
_VALUES = {
    "task_id": TASK_ID,
    "kind": "digest",
    "status": "running",
    "priority": 1,
    "run_at": MOMENT,
    "message": "ranking 412 papers",
    "progress": 0.4,
    "source_date": "2026-11-22",
    "attempt": 1,
    "max_attempts": 5,
    "cancel_requested": False,
    "created_at": MOMENT,
    "started_at": MOMENT,
    "updated_at": MOMENT,
}
TASK = Task.model_validate(_VALUES).model_dump(mode="json", exclude={"payload", "result"})
ANSWERS = {
    b"/rest/v1/task_records": [TASK],
    b"/rest/v1/rpc/create_tasks": {"outcome": "created", "created_at": MOMENT},
    b"/rest/v1/rpc/schema_version": NEEDED_VERSION,
    b"/rest/v1/rpc/sync_worker": {"number": 1, "token": TASK_ID, "response": {}, "claimed": []},
}


def _rendered(answer: object) -> bytes:
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


RENDERED = {path: _rendered(answer) for path, answer in ANSWERS.items()}
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._path = b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's call."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        """asyncio's call."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """httptools' call."""
        self._path = url.partition(b"?")[0]

    def on_message_complete(self) -> None:
        """httptools' call."""
        answer = RENDERED.get(self._path, NOT_FOUND)
        asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)


async def serve(delay: float) -> None:
    """Listen on a free port, print its URL, and serve until the process is stopped."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(delay), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def running(delay: float) -> Iterator[str]:
    """Run the stub as a separate process; yields its URL."""
    command = [sys.executable, "-m", "benchmarks.stub", str(delay)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1])))
