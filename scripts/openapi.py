"""`make openapi`: writes the API's description to docs/openapi.json, for client generators."""

import json
from pathlib import Path
from typing import Any

from app.main import create_app

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def written(document: dict[str, Any]) -> str:
    """The file's text: one value per line, so that a diff shows each change."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(written(create_app().openapi()), encoding="utf-8")
