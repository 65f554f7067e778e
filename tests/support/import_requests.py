"""The requests of uploads and imports of libraries."""

from app.models.tasks import TaskKind
from app.persistence.idempotency_keys import CallerKey
from app.persistence.imports import Imports, accepted_row, rejected_row
from app.persistence.new_task import NewTask
from app.persistence.outcomes import Lease
from app.persistence.reader_papers import PaperInput
from app.persistence.uploads import Uploads
from tests.support.requests import ONE, TWO, RequestCase, rpc, select

TASK = NewTask(ONE, TaskKind.IMPORT, {"reader_id": str(TWO)}, None, key=CallerKey("k", {"a": 1}))
PAPER = PaperInput(keys=("a",), title="A\0b")
ROW = {
    "keys": ["a"], "kind": "paper", "title": "Ab", "abstract": "", "authors": [], "url": None, "published_at": None,
    "arxiv_id": None, "doi": None, "origin": "manual", "vector": "", "publication": None, "liked": True,
}  # fmt: skip

IMPORTS = [
    rpc(f"begin an upload for reader {TWO}", lambda c: Uploads(c).open(ONE, "web", TWO, CallerKey("k"), receiving=7),
        "open_upload", p_upload=str(ONE), p_owner="web", p_reader=str(TWO), p_key="caller:k", p_receiving=7),
    rpc(f"begin an upload for reader {TWO}", lambda c: Uploads(c).open(ONE, "web", TWO, None),
        "open_upload", p_upload=str(ONE), p_owner="web", p_reader=str(TWO), p_key=None, p_receiving=4),
    rpc(f"store piece 3 of upload {ONE}", lambda c: Uploads(c).append(ONE, 3, b"\0\xff"),
        "append_piece", p_upload=str(ONE), p_number=3, p_content="AP8="),
    rpc(f"end upload {ONE}", lambda c: Uploads(c).finish(TASK, "web", TWO, 3),
        "finish_upload", p_upload=str(ONE), p_owner="web", p_pieces=3,
        p_tasks=[TASK.as_row() | {"reader_id": str(TWO)}]),
    rpc(f"begin import {ONE}", lambda c: Imports(c).begin(ONE, "v1"),
        "begin_import", p_task=str(ONE), p_code_version="v1"),
    rpc(f"read piece 3 of import {ONE}", lambda c: Imports(c).piece(ONE, 3),
        "read_piece", p_task=str(ONE), p_number=3),
    rpc(f"record 2 entries of import {ONE}",
        lambda c: Imports(c).record(
            Lease(ONE, TWO), 5, [accepted_row(1, "k\0", PAPER, {"liked": True}), rejected_row(2, "l\0", "no\0")]),
        "import_entries", p_task=str(ONE), p_lease_token=str(TWO), p_from=5,
        p_entries=[{"line": 1, "key": "k", "paper": ROW}, {"line": 2, "key": "l", "reason": "no"}]),
]  # fmt: skip

IMPORT_READS = [
    select(f"read the report of import {ONE}", lambda c: Imports(c).report(ONE),
           "tasks", {"select": "kind,result", "task_id": f"eq.{ONE}", "kind": "eq.import", "limit": "1"}),
    select(f"read the newest import of reader {ONE}", lambda c: Imports(c).newest(ONE),
           "task_records", {"select": "*", "reader_id": f"eq.{ONE}", "kind": "eq.import",
                            "order": "created_at.desc", "limit": "1"}),
]  # fmt: skip

IMPORT_WRITES = [
    RequestCase(f"remove upload {ONE}", lambda c: Uploads(c).discard(ONE),
                "/rest/v1/uploads", {"upload_id": f"eq.{ONE}", "received": "eq.false"}, {}, "DELETE"),
]  # fmt: skip
