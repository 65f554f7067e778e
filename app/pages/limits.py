"""The limits of the pages' fields: those of the models, and of values that only the pages have."""

from collections.abc import Mapping
from typing import Any, Final

from app.api.reader_models import MAX_EXTERNAL_ID, MAX_TIMEZONE
from app.config.mail_address import MAX_ADDRESS
from app.persistence.digests import MAX_QUERY
from app.persistence.readers import ReaderProfile

MAX_FILTER: Final = 200
"""Characters of a text in the filter of a list."""
MAX_REASON: Final = 500
"""Characters of the reason for a pause."""

PROFILE_LIMITS: Final[Mapping[str, Any]] = ReaderProfile.model_json_schema()["properties"]
"""The JSON schema of each preference."""
SIZE_LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    field: (PROFILE_LIMITS[field]["minimum"], PROFILE_LIMITS[field]["maximum"]) for field in ("max_papers", "max_news")
}
"""The smallest and the largest value of a number."""
LIMITS: Final[Mapping[str, int]] = {
    "external_id": MAX_EXTERNAL_ID,
    "email": MAX_ADDRESS,
    "library": 30,
    "library_key": 100,
    "timezone": MAX_TIMEZONE,
    "goals": PROFILE_LIMITS["goals"]["maxLength"],
    "query": MAX_QUERY,
    "filter": MAX_FILTER,
    "reason": MAX_REASON,
    "task_id": 36,
    "number": 12,
}
"""The value of `maxlength` by field, for the templates."""
