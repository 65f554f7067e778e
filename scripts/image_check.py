"""Follows the Dockerfile in an empty directory, then starts the result: `make image-check`.

It needs no container engine: each stage becomes a folder, COPY copies files (except those of .dockerignore), RUN runs
commands with the image's absolute paths moved into the stage's folder. A file or package that the Dockerfile omits is
therefore missing here too. Steps that need a container (users, system packages) are skipped and reported.

It reads the Dockerfile instead of a separate list of steps, because such a list would not detect a missing COPY. It
supports only the instructions of our Dockerfile.
"""

import argparse
import fnmatch
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

CONTAINER_ONLY = ("useradd", "groupadd", "apt-get", "chown")
READY_WITHIN = 30.0
KEPT_ENVIRONMENT = ("LANG", "TMPDIR", "SSL_CERT_FILE", "HOME")


class RecipeError(Exception):
    """A step of the Dockerfile failed; the message names the line and the reason."""


@dataclass
class Stage:
    """A stage of the Dockerfile as a folder; `root` represents `/`."""

    name: str
    root: Path
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        """The path in the stage's folder of an absolute path, or of one relative to the working directory."""
        return self.root / os.path.normpath(Path(self.workdir) / path).lstrip("/")

    def run(self, arguments: list[str], **variables: str) -> "subprocess.Popen[str]":
        """Start a program in the stage's working directory, with the image's environment only."""
        kept = {k: v for k, v in os.environ.items() if k in KEPT_ENVIRONMENT or k.startswith("PIP_")}
        path = self.moved(self.environment.get("PATH", "")).replace("$PATH", os.environ["PATH"])
        environment = kept | self.environment | {"PATH": path or os.environ["PATH"]} | variables
        return subprocess.Popen(arguments, cwd=self.inside("."), env=environment, text=True)

    def moved(self, text: str) -> str:
        """`text` with the image's absolute paths changed to paths in the stage's folder."""
        for top in ("/opt/", "/srv/"):
            text = text.replace(top, f"{self.root}{top}")
        return text


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Read the Dockerfile into (instruction, argument) pairs; continued lines are joined."""
    text = dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return [(word.upper(), rest.strip()) for word, _, rest in pairs]


def ignored(context: Path, path: Path) -> bool:
    """Whether .dockerignore keeps `path` out of the build; the last pattern that matches decides."""
    relative = path.relative_to(context).as_posix()
    parents = ["/".join(relative.split("/")[:n]) for n in range(1, relative.count("/") + 2)]
    out = False
    for line in (context / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.lstrip("!").removeprefix("**/")
        candidates = [p.rpartition("/")[2] for p in parents] if "**/" in line else parents
        if any(fnmatch.fnmatch(c, pattern) for c in candidates):
            out = not line.startswith("!")
    return out


class Recipe:
    """Follows one Dockerfile below `where`; `installed` is a virtual environment to use instead of running pip."""

    def __init__(self, dockerfile: Path, context: Path, where: Path, installed: Path | None = None) -> None:
        self._dockerfile = dockerfile
        self._context = context
        self._where = where
        self._installed = installed
        self._stages: list[Stage] = []

    def follow(self) -> Stage:
        """Follow every instruction; returns the last stage. Raises `RecipeError`."""
        for word, rest in instructions(self._dockerfile):
            print(f"  {word} {rest}", flush=True)
            getattr(self, f"_{word.lower()}", self._skip)(rest)
        return self._stages[-1]

    @property
    def _stage(self) -> Stage:
        return self._stages[-1]

    def _from(self, rest: str) -> None:
        name = rest.rpartition(" AS ")[2] if " AS " in rest else str(len(self._stages))
        root = self._where / name
        root.mkdir(parents=True)
        self._stages.append(Stage(name, root))

    def _workdir(self, rest: str) -> None:
        self._stage.workdir = rest
        self._stage.inside(".").mkdir(parents=True, exist_ok=True)

    def _env(self, rest: str) -> None:
        self._stage.environment |= dict(pair.split("=", 1) for pair in rest.split())

    def _cmd(self, rest: str) -> None:
        self._stage.command = json.loads(rest)

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        origin = next((s for s in self._stages if f"--from={s.name}" in sources), None)
        for source in (s for s in sources if not s.startswith("--")):
            into = self._stage.inside(target)
            if origin is not None and self._installed is not None:
                into.parent.mkdir(parents=True, exist_ok=True)
                into.symlink_to(origin.inside(source).resolve())
            elif origin is not None:
                shutil.copytree(origin.inside(source), into, symlinks=True)
            else:
                self._copy_from_context(source, into / source if target.endswith("/") else into)

    def _copy_from_context(self, source: str, into: Path) -> None:
        path = self._context / source
        if not path.exists() or ignored(self._context, path):
            raise RecipeError(f"COPY {source}: it is not in the build context (see .dockerignore)")
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        for file in (f for f in files if not ignored(self._context, f)):
            place = into / file.relative_to(path) if path.is_dir() else into
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)

    def _run(self, rest: str) -> None:
        if rest.startswith(CONTAINER_ONLY):
            print("    skipped: needs a container")
        elif self._installed is not None and "-m venv" in rest:
            self._stage.inside("/opt").mkdir()
            self._stage.inside("/opt/venv").symlink_to(self._installed.resolve())
        elif self._installed is not None and "pip install" in rest:
            print("    skipped: --installed")
        elif status := self._stage.run(["sh", "-ec", self._stage.moved(rest)]).wait():
            raise RecipeError(f"RUN {rest}: exit status {status}")

    def _skip(self, rest: str) -> None:
        """USER, EXPOSE and similar instructions have no effect here."""


def require_healthz(stage: Stage) -> None:
    """Start the image's command with an unreachable Supabase and wait for /healthz. Raises `RecipeError`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_KEY": "sb_secret_image_check", "API_KEYS": "x" * 32}
    process = stage.run(stage.command, PORT=str(port), **settings)
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz", process)
    finally:
        process.terminate()
        status = process.wait(timeout=READY_WITHIN)
    if status != 0:
        raise RecipeError(f"{' '.join(stage.command)} exited with status {status} after SIGTERM")


def _wait_for(address: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1) as response:  # noqa: S310  (loopback)
                print(f"  GET /healthz: {response.status} {response.read().decode()}")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RecipeError(f"no response from {address} (exit status of the API: {process.poll()})")


def main() -> int:
    """Follow the Dockerfile and start the result; return 0 if every step worked."""
    parser = argparse.ArgumentParser(description="Check the Dockerfile without a container engine.")
    parser.add_argument("--dockerfile", type=Path, default=Path("Dockerfile"))
    parser.add_argument("--context", type=Path, default=Path())
    parser.add_argument("--installed", type=Path, help="use this virtual environment instead of running pip")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="broadsheet-image-") as where:
        try:
            recipe = Recipe(options.dockerfile, options.context.resolve(), Path(where).resolve(), options.installed)
            require_healthz(recipe.follow())
        except RecipeError as error:
            print(f"image check FAILED: {error}")
            return 1
    print("image check passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
