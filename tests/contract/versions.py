"""The rule by which a contract test runs on both PostgreSQL versions with POSTGRESQL=all."""

from typing import Final

DIFFERING: Final = frozenset({"explained", "deadlocks", "somebody_waits", "pgtap", "comparable", "RULES"})
"""What a test file imports or defines if its results can depend on PostgreSQL's version.

These are plans, locks, the catalog, and the effects of every persistence method. The other files test what is around
them, so either version is good enough.
"""
