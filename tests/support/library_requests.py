"""The requests of connected libraries and their syncs."""

from datetime import timedelta

from pydantic import SecretStr

from app.persistence.library_syncs import LibrarySyncs, refused_row
from app.persistence.reader_libraries import LibraryProblem, ReaderLibraries
from tests.support.requests import ONE, TWO, rpc, select

HOUR = timedelta(hours=1)
CLAIM = {"p_token": str(ONE), "p_seconds": 120.0}
ROW = {"key": "A", "version": 1, "reason": "no"}


LIBRARIES = [
    rpc(f"read the library of reader {ONE}", lambda c: ReaderLibraries(c).get(ONE), "read_library", p_reader=str(ONE)),
    rpc(f"begin the check of a key for reader {ONE}", lambda c: ReaderLibraries(c).begin_check(ONE, TWO),
        "begin_key_check", p_reader=str(ONE), p_check=str(TWO), p_interval_seconds=10.0),
    rpc(f"connect a library to reader {ONE}",
        lambda c: ReaderLibraries(c).connect(ONE, "users/1", ["a\0"], SecretStr("k")),
        "connect_library", p_reader=str(ONE), p_library="users/1", p_collections=["a"], p_key="k"),
    rpc(f"connect a library to reader {ONE}", lambda c: ReaderLibraries(c).connect(ONE, "users/1", [], None),
        "connect_library", p_reader=str(ONE), p_library="users/1", p_collections=[], p_key=None),
    rpc(f"disconnect the library of reader {ONE}", lambda c: ReaderLibraries(c).disconnect(ONE, keep_papers=True),
        "disconnect_library", p_reader=str(ONE), p_keep=True),
    rpc("compare 1 libraries of the readers file", lambda c: ReaderLibraries(c).changed_in_file("web", {"a": {}}),
        "changed_file_libraries", p_owner="web", p_entries=[{"external_id": "a", "library": {}}]),
    rpc(f"record the library of reader {ONE} in the readers file",
        lambda c: ReaderLibraries(c).record_file_library(ONE, {"id": "users/1"}),
        "record_file_library", p_reader=str(ONE), p_library={"id": "users/1"}),
    rpc("claim a library to sync", lambda c: LibrarySyncs(c).claim(ONE), "claim_library", **CLAIM),
    rpc("renew a claim", lambda c: LibrarySyncs(c).hold(ONE), "hold_library", **CLAIM),
    rpc("read the versions of a library's entries", lambda c: LibrarySyncs(c).versions(ONE),
        "library_versions", **CLAIM),
    rpc("record 1 entries of a library", lambda c: LibrarySyncs(c).record(ONE, [refused_row("A", 1, "no\0")]),
        "record_library_entries", **CLAIM, p_entries=[ROW]),
    rpc("remove 1 entries of a library", lambda c: LibrarySyncs(c).remove(ONE, ["A"]),
        "remove_library_entries", **CLAIM, p_keys=["A"]),
    rpc("end the sync of a library", lambda c: LibrarySyncs(c).complete(ONE, 7, again=HOUR),
        "end_library_sync", p_token=str(ONE), p_version=7, p_problem_kind=None, p_problem=None, p_seconds=3600.0),
    rpc("end the sync of a library", lambda c: LibrarySyncs(c).fail(ONE, LibraryProblem.EMPTY, "no\0", again=HOUR),
        "end_library_sync", p_token=str(ONE), p_version=None, p_problem_kind="empty", p_problem="no",
        p_seconds=3600.0),
    rpc("end the sync of a library", lambda c: LibrarySyncs(c).postpone(ONE, again=HOUR),
        "end_library_sync", p_token=str(ONE), p_version=None, p_problem_kind=None, p_problem=None, p_seconds=3600.0),
]  # fmt: skip

LIBRARY_READS = [
    select("read the problems of libraries", lambda c: ReaderLibraries(c).issues([ONE, TWO]), "reader_libraries",
           {"select": "reader_id,library,problem_kind,problem", "reader_id": f"in.({ONE},{TWO})"}),
]  # fmt: skip
