"""Who calls, as the routes of readers and deliveries ask for it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from app.persistence.tasks import CALLER


@dataclass(frozen=True)
class Caller:
    """A named caller; an admin sees and settles what is anybody's."""

    name: str
    admin: bool

    @property
    def sees(self) -> str | None:
        """Whose things the caller sees: its own, or (None) everybody's."""
        return None if self.admin else self.name


def _caller() -> Caller:
    return Caller(CALLER, admin=True)


CallerOf = Annotated[Caller, Depends(_caller)]
