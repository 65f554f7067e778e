"""The architecture rules, each with violations that the check must find."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("app", "worker")
MAX_LINES = 400
FACTORY = "app/client/factory.py"
PROVIDER = "app/tracing/provider.py"

Rule = Callable[[str, ast.Module], Iterator[str]]


@cache
def names_used(tree: ast.AST) -> Sequence[tuple[str, int]]:
    """Every dotted name in the code, such as `asyncio.to_thread` or `client.schema`, with its line."""
    return tuple(_names_used(tree))


def _names_used(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            yield ast.unparse(node), node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)


@cache
def calls(tree: ast.AST) -> Sequence[tuple[str, int]]:
    return tuple((ast.unparse(node.func), node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Call))


def matching(pattern: str, found: Iterable[tuple[str, int]], path: str) -> Iterator[str]:
    yield from (f"{path}:{line}: {name}" for name, line in found if re.search(pattern, name))


def one_client(path: str, tree: ast.Module) -> Iterator[str]:
    """Only the factory creates a client, with create_async_client."""
    if path != FACTORY:
        yield from matching(r"\bcreate_async_client$", names_used(tree), path)
    yield from matching(r"\b(acreate_client|create_client|create_sync_client)$", names_used(tree), path)
    yield from matching(r"\b(AsyncClient|AClient|SyncClient|Client)\.create$", names_used(tree), path)
    yield from matching(r"^(supabase\.)?(AsyncClient|AsyncSupabaseClient)$", calls(tree), path)


def no_blocking(path: str, tree: ast.Module) -> Iterator[str]:
    """No work is given to a thread, and no call sleeps or fetches synchronously."""
    offloading = r"(to_thread|run_in_executor|run_in_threadpool|run_sync|ThreadPoolExecutor|ProcessPoolExecutor)$"
    yield from matching(r"\b" + offloading, names_used(tree), path)
    yield from matching(
        r"^(threading|concurrent\.futures|multiprocessing|requests|urllib\.request)\b", names_used(tree), path
    )
    # Starlette runs these in threads.
    threaded = r"(FileResponse|StaticFiles|UploadFile|File|Form|BackgroundTasks?|WSGIMiddleware|GZipMiddleware)$"
    yield from matching(r"^(fastapi|starlette)\b.*\." + threaded, names_used(tree), path)
    yield from matching(r"\brequest\.form$", calls(tree), path)
    yield from matching(
        r"^(time\.sleep|httpx\.(get|post|put|patch|delete|request|stream|Client))$", names_used(tree), path
    )


def no_exporter(path: str, tree: ast.Module) -> Iterator[str]:
    """Only the provider of traces has what starts a thread: the SDK of OpenTelemetry, its exporter, its processor."""
    if path != PROVIDER:
        yield from matching(r"^opentelemetry\.(sdk|exporter)\b", names_used(tree), path)
        yield from matching(r"\b(BatchSpanProcessor|OTLPSpanExporter|TracerProvider)$", names_used(tree), path)
    # These create threads too, or make libraries write spans of their own.
    more = r"\b(Resource\.create|get_aggregated_resources|PeriodicExportingMetricReader|set_tracer_provider)$"
    yield from matching(more, names_used(tree), path)


def queries_in_persistence(path: str, tree: ast.Module) -> Iterator[str]:
    """Only app/persistence builds queries."""
    if not path.startswith("app/persistence/"):
        builders = r"(\.(table|from_|rpc)|\bpostgrest\.\w+)$"
        allowed = r"postgrest\.(session|aclose|exceptions)$" if path == FACTORY else r"(?!)"
        found = matching(builders, calls(tree), path)
        yield from (violation for violation in found if not re.search(allowed, violation))


def no_shared_state_changes(path: str, tree: ast.Module) -> Iterator[str]:
    """No code rewrites the shared client's headers or uses a response form that hides errors."""
    yield from matching(r"\.(schema|single|maybe_single)$", (c for c in calls(tree) if "services" not in c[0]), path)
    yield from matching(
        r"\.(sign_in\w*|sign_up|sign_out|set_session|refresh_session|set_auth)$", names_used(tree), path
    )
    yield from matching(r"postgrest\.auth$", names_used(tree), path)


def no_emulator(path: str, tree: ast.Module) -> Iterator[str]:
    """The service does not import its emulator."""
    yield from matching(r"^embedded\b", names_used(tree), path)


RULES: dict[Rule, list[tuple[str, str]]] = {
    one_client: [
        ("app/main.py", "from supabase import create_async_client"),
        ("app/main.py", "client = await supabase.create_async_client(url, key)"),
        ("app/main.py", "from supabase import acreate_client"),
        ("app/client/factory.py", "from supabase import create_client"),
        ("app/main.py", "client = await AsyncClient.create(url, key)"),
        ("worker/runner.py", "client = AsyncClient(url, key)"),
        ("worker/runner.py", "client = supabase.AsyncClient(url, key)"),
    ],
    no_blocking: [
        ("app/main.py", "await asyncio.to_thread(work)"),
        ("app/main.py", "from asyncio import to_thread"),
        ("app/main.py", "loop.run_in_executor(None, work)"),
        ("app/main.py", "pool = ThreadPoolExecutor()"),
        ("app/main.py", "import concurrent.futures"),
        ("app/main.py", "from starlette.concurrency import run_in_threadpool"),
        ("app/main.py", "from fastapi.responses import FileResponse"),
        ("app/main.py", "from fastapi import UploadFile"),
        ("app/main.py", "form = await request.form()"),
        ("app/main.py", "time.sleep(1)"),
        ("app/main.py", "import requests"),
        ("app/main.py", "httpx.get(url)"),
    ],
    no_exporter: [
        ("app/main.py", "from opentelemetry.sdk.trace import TracerProvider"),
        ("app/tracing/spans.py", "import opentelemetry.exporter.otlp.proto.http.trace_exporter"),
        ("app/tracing/export.py", "BatchSpanProcessor(exporter)"),
        (PROVIDER, "Resource.create({})"),
        (PROVIDER, "trace.set_tracer_provider(provider)"),
        (PROVIDER, "PeriodicExportingMetricReader(exporter)"),
    ],
    queries_in_persistence: [
        ("app/api/tasks.py", "await client.table('tasks').select('*').execute()"),
        ("worker/runner.py", "await self._client.rpc('sync_worker', {}).execute()"),
        ("app/services.py", "client.postgrest.from_('tasks')"),
        (FACTORY, "client.postgrest.rpc('x', {})"),
    ],
    no_shared_state_changes: [
        ("app/persistence/tasks.py", "client.schema('private')"),
        ("app/persistence/tasks.py", "query.single()"),
        ("app/persistence/tasks.py", "query.maybe_single()"),
        ("app/main.py", "await client.auth.sign_in_with_password({})"),
        ("app/main.py", "client.postgrest.auth(token)"),
    ],
    no_emulator: [
        ("app/main.py", "import embedded"),
        ("worker/runner.py", "from embedded.postgrest.gateway import app"),
    ],
}


@cache
def sources() -> list[tuple[str, ast.Module]]:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return [(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())) for file in files]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule) -> None:
    assert [violation for path, tree in sources() for violation in rule(path, tree)] == []


@pytest.mark.parametrize(
    ("rule", "path", "violation"),
    [(rule, path, violation) for rule, violations in RULES.items() for path, violation in violations],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_rule_finds_a_violation(rule: Rule, path: str, violation: str) -> None:
    assert list(rule(path, ast.parse(violation)))


def test_the_factory_is_the_one_caller() -> None:
    (tree,) = (tree for path, tree in sources() if path == FACTORY)
    assert [name for name, _ in calls(tree) if name.endswith("create_async_client")] == ["create_async_client"]


@cache
def python_files() -> dict[str, str]:
    """Path and text of every Python file of ours."""
    packages = (*PACKAGES, "embedded", "scripts", "benchmarks", "tests")
    files = [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in files}


def test_no_file_exceeds_the_line_limit() -> None:
    long = {path: count for path, text in python_files().items() if (count := len(text.splitlines())) > MAX_LINES}
    assert long == {}


def test_every_module_has_a_docstring() -> None:
    silent = [path for path, text in python_files().items() if not has_docstring(text)]
    assert silent == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What it is for."""\nimport ast\n', True),
        ('# A comment.\n\n"""What it is for."""\n', True),
        ('""" """\n', False),
        ('import ast\n"""Too late."""\n', False),
        ('"name".upper()\n', False),
        ("", False),
    ],
)
def test_a_docstring_is_the_first_statement(source: str, *, found: bool) -> None:
    assert has_docstring(source) is found


def has_docstring(source: str) -> bool:
    """Whether the first statement is a text. Reads nothing after it: to parse all files takes seconds."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}
    tokens = (token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in skipped)
    first, second = next(tokens), next(tokens, None)
    is_statement = first.type == tokenize.STRING and second is not None and second.type == tokenize.NEWLINE
    return is_statement and bool(ast.literal_eval(first.string).strip())


def test_supabase_folder_holds_no_python() -> None:
    """A Python file in this folder would shadow the library's package."""
    assert list((ROOT / "supabase").rglob("*.py")) == []


def test_every_noqa_has_a_reason() -> None:
    assert without_reason("x()  # noqa: E501\ny()  # type: ignore[misc]\nz()  # noqa: E501  (its reason)") == [1, 2]
    found = [f"{path}:{line}" for path, text in python_files().items() for line in without_reason(text)]
    assert found == []


BARE = re.compile(r"# (noqa(: *[A-Z0-9, ]+)?|type: *ignore(\[[a-z, -]+\])?)[ \t]*$", re.MULTILINE)


def without_reason(source: str) -> list[int]:
    """Lines that turn a checker off without a reason."""
    if not BARE.search(source):
        return []
    comments = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.start[0] for token in comments if token.type == tokenize.COMMENT and BARE.search(token.string)]
