"""`make openapi`: writes the API's description to docs/openapi.json, from which clients are made without running it."""

import json
from pathlib import Path
from typing import Any

from app.main import create_app

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def written(document: dict[str, Any]) -> str:
    """The document as the file has it: a line a value, so that a change shows as what it is."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(written(create_app().openapi()), encoding="utf-8")
