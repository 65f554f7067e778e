"""The actors of operators' calls."""

from uuid import uuid4

from app.persistence.operator import Actor


def by() -> Actor:
    """An action of the admin `root` with a new id."""
    return Actor(uuid4(), "root")
