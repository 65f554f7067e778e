"""The number of readers by status, as the operator's pages show it for all owners together."""

from app.pages.ops.overview import readers_by_status
from app.persistence.overview import Overview, ReaderCount
from tests.support.rows import OVERVIEW

COUNTS = (
    ReaderCount(owner="ada", status="active", readers=3),
    ReaderCount(owner="ada", status="paused", readers=1),
    ReaderCount(owner="eve", status="active", readers=4),
    ReaderCount(owner="eve", status="bounced", readers=2),
)


def test_readers_of_all_owners_are_counted_by_status() -> None:
    found = readers_by_status(Overview.model_validate(OVERVIEW | {"readers": COUNTS}))
    assert found == {"active": 7, "bounced": 2, "paused": 1}
    assert [*found] == ["active", "bounced", "paused"]
