"""`/v1/readers/{id}/library`: the library at Zotero that counts as a reader's liked papers."""

from http import HTTPStatus
from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, field_validator

from app.api.auth import CallerOf
from app.api.models import RequestBody
from app.api.problems import Problem
from app.api.tasks import BODY_ERRORS, COMMON_ERRORS, NOT_FOUND, ServicesOf
from app.errors import NotFound
from app.libraries.connection import LibraryConnections
from app.models.libraries import CollectionPatterns, LibraryId, LibraryKey, checked_key
from app.persistence.reader_libraries import ConnectedLibrary, LibraryProblem

TOO_OFTEN: dict[int | str, dict[str, Any]] = {
    429: {"model": Problem, "description": "Another key was given for this reader a few seconds ago"}
}

router = APIRouter(prefix="/v1/readers/{reader_id}/library", tags=["readers"], responses=COMMON_ERRORS | NOT_FOUND)


class LibraryNotFound(NotFound):
    """No library is connected to the reader."""


class LibraryRequest(RequestBody):
    """A library to connect. Without `key`, the stored key of the same library is used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "users/475425", "key": "P9NiFoyLeZu2bZNvvuQPDWsd", "collections": ["Thesis/**"]}]
        }
    )

    id: LibraryId
    key: LibraryKey | None = None
    collections: CollectionPatterns = ()

    @field_validator("key")
    @classmethod
    def _checked_key(cls, value: SecretStr | None) -> SecretStr | None:
        return checked_key(value) if value is not None else None


class LibraryView(BaseModel):
    """A connected library, without its key."""

    id: str
    collections: list[str]
    connected_at: AwareDatetime
    synced_at: AwareDatetime | None = Field(description="When it was read completely last.")
    next_sync_at: AwareDatetime
    is_syncing: bool
    problem_kind: LibraryProblem | None = Field(description="Why the last sync was not complete.")
    problem: str | None
    failing_since: AwareDatetime | None
    papers: int = Field(description="Entries that are papers of the reader.")
    rejected: int = Field(description="Entries that are not papers, or cannot be identified.")
    removed: int = Field(description="Entries whose papers the reader has removed here; they do not return.")

    @classmethod
    def of(cls, library: ConnectedLibrary) -> Self:
        """Build the view of `library`."""
        return cls.model_validate(library.model_dump(exclude={"reader_id", "library"}) | {"id": library.library})


async def get_connections(request: Request) -> LibraryConnections:
    """Return what connects libraries in the running application."""
    return cast(LibraryConnections, request.app.state.library_connections)


ConnectionsOf = Annotated[LibraryConnections, Depends(get_connections)]


@router.put("", responses=BODY_ERRORS | TOO_OFTEN)
async def connect_library(
    reader_id: UUID, body: LibraryRequest, caller: CallerOf, services: ServicesOf, connections: ConnectionsOf
) -> LibraryView:
    """Connect a Zotero library, whose papers then count as liked papers, or change its collections or key.

    Zotero checks the key first: a wrong key, or one that may not read the library, gives 422, and nothing changes. The
    papers of a library that was connected before are removed, unless the reader rated them too. If Zotero cannot be
    reached, the response is 503.
    """
    await services.readers.get(reader_id, caller.visible_owner)
    await connections.connect(reader_id, body.id, body.collections, body.key)
    return await get_library(reader_id, caller, services)


@router.get("")
async def get_library(reader_id: UUID, caller: CallerOf, services: ServicesOf) -> LibraryView:
    """Get the connected library and the state of its syncs."""
    await services.readers.get(reader_id, caller.visible_owner)
    library = await services.libraries.get(reader_id)
    if library is None:
        raise LibraryNotFound(f"No library is connected to reader {reader_id}.")
    return LibraryView.of(library)


@router.delete("", status_code=HTTPStatus.NO_CONTENT)
async def disconnect_library(
    reader_id: UUID,
    caller: CallerOf,
    services: ServicesOf,
    papers: Annotated[
        Literal["remove", "keep"],
        Query(description="What happens to papers that are liked only because the library has them."),
    ] = "remove",
) -> None:
    """Disconnect the library and delete its key."""
    await services.readers.get(reader_id, caller.visible_owner)
    await services.libraries.disconnect(reader_id, keep_papers=papers == "keep")
