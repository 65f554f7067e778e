"""The readers file of one person who gave interests instead of a file."""

import json
import os
from pathlib import Path
from zoneinfo import ZoneInfo

from app.models.profiles import Profile

ADDRESS = "you@example.org"
"""The address of mails that are written to a folder."""
LOCALTIME = Path("/etc/localtime")


def one_reader_file(folder: Path, profile: Profile, email: str) -> Path:
    """Write the file and return its path. The reader is due once on each day on which the program runs.

    JSON's texts and lists of texts are TOML.
    """
    values = {
        "key": "you",
        "name": profile.name,
        "email": email,
        "interests": profile.interests,
        "categories": profile.categories,
        "timezone": local_timezone(),
        # The last minute of the day: whenever the program runs, the digest is that day's.
        "time": "23:59",
    }
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    file = folder / "you.toml"
    file.write_text("\n".join(["[[reader]]", *lines, ""]), encoding="utf-8")
    return file


def local_timezone() -> str:
    """Return the IANA name of this machine's time zone, or UTC."""
    names = [os.environ.get("TZ", ""), LOCALTIME.resolve().as_posix().partition("zoneinfo/")[2]]
    return next((name for name in names if "/" in name and _is_known(name)), "UTC")


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return False
    return True
