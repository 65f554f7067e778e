"""Names and phrases that the project has replaced are not used again: `tests/data/retired_names.txt` lists them."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = "tests/data/retired_names.txt"
NOT_OURS = ("*.lock", "tests/data/feeds/*", "embedded/sample/*.toml", "tests/unit/test_retired_names.py", LIST)
"""Files whose text others write or that is invented prose, and the list itself."""


@dataclass(frozen=True)
class Retired:
    """One line of the list. A name is matched exactly; a phrase in any case, also in identifiers and over line ends."""

    name: str
    replacement: str
    status: str
    allowed: tuple[str, ...]
    is_phrase: bool

    @property
    def pattern(self) -> re.Pattern[str]:
        if not self.is_phrase:
            return re.compile(rf"(?<![\w.-]){re.escape(self.name)}(?!\w)")
        words = r"(?:[\s_]+(?:#|--|//)?\s*)".join(map(re.escape, self.name.split()))
        return re.compile(rf"(?<![^\W_]){words}(?![^\W_])", re.IGNORECASE)

    def uses(self, files: dict[str, str]) -> list[str]:
        """FILE:LINE of each use where it is not allowed; line 0 is the file's path."""
        longest = max(self.name.lower().split(), key=len)
        return [
            f"{path}:{text.count(chr(10), 0, found.start())}: {found[0]!r}, use {self.replacement!r}"
            for path, text in files.items()
            # To look for one word takes a hundredth of the expression's time, and most files do not contain it.
            if longest in lowered(text)
            if not any(fnmatch(path, pattern) for pattern in self.allowed)
            for found in self.pattern.finditer(text)
        ]


@cache
def lowered(text: str) -> str:
    return text.lower()


def retired_names(text: str) -> Iterator[Retired]:
    is_phrase = False
    for line in text.splitlines():
        if line in {"[names]", "[phrases]"}:
            is_phrase = line == "[phrases]"
        elif line and not line.startswith("#"):
            name, replacement, status, *allowed = (part.strip() for part in line.split("|"))
            assert status in {"enforced", "pending"}, line
            yield Retired(name, replacement, status, tuple(allowed[0].split()) if allowed else (), is_phrase)


@cache
def tracked_files() -> dict[str, str]:
    """Path and text of every tracked text file of ours; the path is the first line of the text."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    found = {}
    for path in listed:
        if path and (ROOT / path).is_file() and not any(fnmatch(path, pattern) for pattern in NOT_OURS):
            content = (ROOT / path).read_bytes()
            if b"\0" not in content:
                found[path] = f"{path}\n{content.decode('utf-8', errors='replace')}"
    return found


RETIRED = list(retired_names((ROOT / LIST).read_text(encoding="utf-8")))


def test_no_retired_name_is_used() -> None:
    """One test, because each of two hundred takes longer than its search."""
    enforced = [retired for retired in RETIRED if retired.status == "enforced"]
    assert len(enforced) > 200
    assert [use for retired in enforced for use in retired.uses(tracked_files())] == []


def test_each_retired_name_is_listed_once() -> None:
    names = [retired.name for retired in RETIRED]
    assert len(names) == len(set(names))
    assert all(retired.replacement for retired in RETIRED)


@pytest.mark.parametrize(
    ("section", "name", "text", "is_found"),
    [
        ("names", "take_turn", "await take_turn()", True),
        ("names", "take_turn", "await take_turns()", False),
        ("names", "public.orders", "select from public.orders;", True),
        ("names", "Wish", "a wish", False),
        ("phrases", "for good", "# It ends for\n    # good.", True),
        ("phrases", "for good", "def test_it_ends_for_good() -> None:", True),
        ("phrases", "room", "FOR EACH ROOM.", True),
        ("phrases", "room", "broom rooms", False),
    ],
)
def test_the_check_finds_whole_names_only(section: str, name: str, text: str, is_found: bool) -> None:
    (retired,) = retired_names(f"[{section}]\n{name} | other | enforced")
    assert bool(retired.uses({"file.py": f"file.py\n{text}"})) == is_found


def test_a_name_is_accepted_where_it_is_allowed() -> None:
    (retired,) = retired_names("[phrases]\nroom | package | enforced | docs/*.md")
    assert retired.uses({"docs/a.md": "docs/a.md\nroom"}) == []
    assert retired.uses({"app/a.py": "app/a.py\na\nroom"}) == ["app/a.py:2: 'room', use 'package'"]
