"""The lengths of the pages' fields: the models' limits, and those of values that only the pages have."""

from collections.abc import Mapping
from typing import Final

from app.api.reader_models import MAX_EXTERNAL_ID, MAX_TIMEZONE
from app.config.mail_address import MAX_ADDRESS
from app.persistence.digests import MAX_QUERY

MAX_FILTER: Final = 200
"""Characters of a text in the filter of a list."""
MAX_REASON: Final = 500
"""Characters of the reason for a pause."""

LIMITS: Final[Mapping[str, int]] = {
    "external_id": MAX_EXTERNAL_ID,
    "email": MAX_ADDRESS,
    "library": 30,
    "library_key": 100,
    "timezone": MAX_TIMEZONE,
    "query": MAX_QUERY,
    "filter": MAX_FILTER,
    "reason": MAX_REASON,
    "task_id": 36,
    "number": 12,
}
"""The value of `maxlength` by field, for the templates."""
