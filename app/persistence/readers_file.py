"""Readers from a file: stores what changed in the file, and finds or pauses the readers that are no longer in it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import SecretStr

from app.persistence.json_values import clean
from app.persistence.readers import UpsertResult
from app.persistence.repository import Repository

BATCH = 200


class FileLibrary(NamedTuple):
    """A library of the file, with its key."""

    id: str
    key: SecretStr
    collections: tuple[str, ...]

    @property
    def stored(self) -> dict[str, Any]:
        """What is stored to notice a change of the file: a digest in place of the key."""
        digest = hashlib.sha256(self.key.get_secret_value().encode()).hexdigest()
        return {"id": self.id, "collections": list(self.collections), "key_sha256": digest}


class FileEntry(NamedTuple):
    """A reader of the file: its key, which is the external_id, its complete values, with defaults, and its library."""

    key: str
    values: Mapping[str, Any]
    library: FileLibrary | None = None


class ReadersFile(Repository):
    """Applies a readers file to the readers of an owner. Repetitions change nothing."""

    async def apply(self, owner: str, entries: Sequence[FileEntry], defaults: Mapping[str, Any]) -> list[UpsertResult]:
        """Create readers, or write the values that changed in the file since it was applied; never their status.

        `defaults` are the values of an entry that has only a key and a name. Each reader succeeds or fails
        independently; results are in order. Raises `SupabaseError`; batches done before the error stay done.
        """
        results: list[UpsertResult] = []
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            rows = [{"reader_id": str(uuid4()), "external_id": each.key, "values": each.values} for each in batch]
            results += await self._call(
                "apply_readers_file",
                f"apply {len(batch)} reader(s) of the readers file",
                list[UpsertResult],
                p_owner=owner,
                p_defaults=clean(dict(defaults)),
                p_readers=[clean(row) for row in rows],
            )
        return results

    async def missing(self, owner: str, keys: Sequence[str], *, pause: bool) -> list[str]:
        """Return the keys of active readers that were in the file and are not among `keys`. With `pause`, pause them.

        Raises `SupabaseError`.
        """
        action, found = "find the readers that are no longer in the readers file", list[str]
        return await self._call(
            "readers_missing_in_file", action, found, p_owner=owner, p_keys=list(keys), p_pause=pause
        )
