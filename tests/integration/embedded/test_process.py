"""The emulator as a process: its ready line, a clean end, data that survives a kill, and refused configurations."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from embedded.loopback import free_port
from embedded.postgres.programs import Programs, bundled_binaries
from embedded.stack import Ready, Stack, StackOptions
from tests.support.stack_process import StackProcess, postgres_over

NOBODY = 65534
FIRST = "20260101000000_first.sql"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def folder(stack_folder: Path) -> Iterator[Path]:
    """An empty folder that an unprivileged PostgreSQL can enter."""
    folder = stack_folder / uuid4().hex
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def migrations(folder: Path) -> Path:
    """A folder with one migration: table `notes` for the service role."""
    return first_migration(folder)


@pytest.fixture(scope="module")
def used(own_folder: Path) -> Path:
    """A folder in which an emulator has run, for tests that are not about the first start; each has its own notes."""
    own_folder.mkdir()
    with StackProcess(own_folder / "data", first_migration(own_folder)).running():
        return own_folder


def first_migration(folder: Path) -> Path:
    migrations = folder / "migrations"
    migrations.mkdir()
    (migrations / FIRST).write_text(
        "create table public.notes (id int primary key);"
        "grant usage on schema public to service_role;"
        "grant select, insert on public.notes to service_role;"
    )
    return migrations


def add_note(ready: Ready, number: int) -> None:
    answer = httpx.post(f"{ready.url}/rest/v1/notes", json={"id": number}, headers={"apikey": ready.secret_key})
    assert answer.status_code == 201, answer.text


def notes(ready: Ready) -> list[int]:
    answer = httpx.get(f"{ready.url}/rest/v1/notes?order=id", headers={"apikey": ready.secret_key})
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()]


def refusal(process: StackProcess) -> str:
    """The message of a start that must fail, without a traceback."""
    with pytest.raises(AssertionError) as caught:
        process.start()
    assert process.process is not None
    assert process.process.returncode == 1
    message = str(caught.value)
    assert message.startswith("embedded: ")
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_one_line_and_ends_cleanly(used: Path, how: signal.Signals) -> None:
    running = StackProcess(used / "data", used / "migrations")
    ready = running.start()
    add_note(ready, how)
    assert len(postgres_over(used / "data")) == 1
    assert running.process is not None
    running.process.send_signal(how)
    rest, errors = running.process.communicate()
    assert (running.process.returncode, rest, errors) == (0, "", "")
    assert postgres_over(used / "data") == []


def test_keys_and_data_survive_a_restart(used: Path) -> None:
    running = StackProcess(used / "data", used / "migrations")
    with running.running() as first:
        add_note(first, 100)
    with running.running() as second:
        assert 100 in notes(second)
        query = "select rolsuper from pg_roles where rolname = current_user"
        psql = [str(bundled_binaries() / "psql"), "--no-psqlrc", "-Atc", query, second.database_url]
        assert subprocess.check_output(psql, text=True) == "t\n"
    assert (first.url, first.secret_key, first.service_role_key) == (
        second.url,
        second.secret_key,
        second.service_role_key,
    )


@pytest.mark.parametrize("database_too", [False, True], ids=["gateway alone", "database too"])
def test_after_a_kill_the_next_start_has_all_data(used: Path, database_too: bool) -> None:
    note = 200 + database_too
    running = StackProcess(used / "data", used / "migrations", durable=True)
    ready = running.start()
    add_note(ready, note)
    (left,) = postgres_over(used / "data")
    assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    if database_too:
        os.kill(left, signal.SIGKILL)
    with running.running() as again:
        assert note in notes(again)
        (server,) = postgres_over(used / "data")
        assert server != left
    assert postgres_over(used / "data") == []


def test_a_leftover_server_is_replaced(used: Path) -> None:
    """A case in which the kernel does not stop the server with its parent, or has not yet."""
    data = used / "data"
    running = StackProcess(data, used / "migrations")
    with running.running() as ready:
        add_note(ready, 300)
    account = Programs(bundled_binaries()).identity
    arguments = ["-D", str(data / "cluster"), "-c", "unix_socket_directories=", "-c", f"port={free_port()}"]
    command = [str(bundled_binaries() / "postgres"), *arguments]
    left = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **account)
    assert left.stderr is not None
    for line in left.stderr:
        if "ready to accept connections" in line:
            break
    with running.running() as ready:
        assert left.wait() == 0
        assert 300 in notes(ready)
    left.stderr.close()


def test_an_incomplete_cluster_is_created_again(folder: Path, migrations: Path) -> None:
    unfinished = folder / "data" / "cluster.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18")
    with StackProcess(folder / "data", migrations).running() as ready:
        assert notes(ready) == []


def test_it_ends_with_a_message_when_the_database_ends(used: Path) -> None:
    running = StackProcess(used / "data", used / "migrations")
    running.start()
    os.kill(postgres_over(used / "data")[0], signal.SIGQUIT)
    assert running.process is not None
    _, message = running.process.communicate()
    assert running.process.returncode == 1
    assert message.startswith("embedded: PostgreSQL stopped unexpectedly")


def test_two_can_run_but_not_on_one_folder(folder: Path, migrations: Path, used: Path) -> None:
    with (
        StackProcess(used / "data", migrations).running() as one,
        StackProcess(folder / "b", migrations).running() as two,
    ):
        add_note(one, 400)
        assert (400 in notes(one), notes(two)) == (True, [])
        assert f"{used / 'data'} is in use by another emulator" in refusal(StackProcess(used / "data", migrations))
        assert one.secret_key != two.secret_key
        foreign = httpx.get(f"{two.url}/rest/v1/notes", headers={"authorization": f"Bearer {one.service_role_key}"})
        assert foreign.status_code == 401


def test_a_port_in_use_is_named_and_no_server_remains(used: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(StackProcess(used / "data", used / "migrations", port=port))
    assert f"port {port} cannot be used" in message
    assert postgres_over(used / "data") == []


def test_a_path_too_long_for_a_socket_works(folder: Path, migrations: Path) -> None:
    data = folder / ("long " * 20) / ("é" * 40)
    assert len(os.fsencode(data)) > 108
    with StackProcess(data, migrations).running() as ready:
        assert notes(ready) == []


def test_a_changed_migration_is_refused(migrations: Path, used: Path) -> None:
    (migrations / FIRST).write_text("create table public.other (id int primary key)")
    message = refusal(StackProcess(used / "data", migrations))
    assert FIRST.removesuffix(".sql") in message
    assert "has changed since it was applied" in message
    assert postgres_over(used / "data") == []


def test_a_broken_migration_is_rolled_back_and_named(folder: Path, migrations: Path) -> None:
    broken = migrations / "20260102000000_broken.sql"
    broken.write_text("create table public.half (id int); select nonsense")
    running = StackProcess(folder / "data", migrations)
    message = refusal(running)
    assert 'migration 20260102000000_broken failed: column "nonsense" does not exist' in message
    broken.write_text("create table public.half (id int)")
    with running.running() as ready:
        assert notes(ready) == []


@as_root
def test_root_can_start_it_as_another_user(folder: Path, migrations: Path) -> None:
    data = folder / "data"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    with StackProcess(data, migrations, through=as_nobody()).running() as ready:
        add_note(ready, 1)
        assert notes(ready) == [1]
        assert {path.stat().st_uid for path in data.iterdir()} == {NOBODY}


@as_root
async def test_root_can_keep_the_programs_in_a_private_folder(folder: Path) -> None:
    installation = bundled_binaries().parent
    package = folder / "closed" / installation.parent.name
    shutil.copytree(installation, package / installation.name, copy_function=linked)
    libraries = installation.parent.with_name(f"{installation.parent.name}.libs")
    shutil.copytree(libraries, package.with_name(libraries.name), copy_function=linked)
    (folder / "closed").chmod(0o700)
    stack = Stack(StackOptions(folder / "data", 0, binaries=package / installation.name / "bin", durable=False))
    for _ in ("copied", "found again"):
        ready = await stack.start()
        connection = await asyncpg.connect(ready.database_url)
        assert await connection.fetchval("select 1") == 1
        await connection.close()
        await stack.stop()
    assert names_in(folder) == {"closed", "data"}


@as_root
def test_a_folder_without_access_for_the_user_is_refused(folder: Path, migrations: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    message = refusal(StackProcess(closed / "data", migrations))
    assert f"the user nobody cannot enter {closed / 'data'}" in message


def as_nobody() -> list[str]:
    """The command that runs this interpreter as `nobody`, with access to it also below root's home."""
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for reading in ([], ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]):
        try:
            version = subprocess.check_output(
                [*become, *reading, sys.executable, "-c", "import sys; print(sys.base_prefix)"], text=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        if version.strip() == sys.base_prefix:
            return [*become, *reading]
    pytest.skip("nobody else can run this interpreter")


def linked(source: str, copy: str) -> None:
    """A second name of the file; a copy if the folders are on different file systems."""
    try:
        os.link(source, copy)
    except OSError:
        shutil.copy2(source, copy)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
