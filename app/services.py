"""The one place where the parts of the service are put together around the client."""

from dataclasses import dataclass
from typing import Self

from supabase import AsyncClient

from app.persistence.schema import Schema


@dataclass(frozen=True)
class Services:
    """What the API's routes and the worker's handlers work with."""

    schema: Schema

    @classmethod
    def build(cls, client: AsyncClient) -> Self:
        """Build every part on the one client."""
        return cls(schema=Schema(client))
