"""The arguments of each call about a reader's own data."""

from app.persistence.own_data import OwnData
from tests.support.requests import ONE, TWO, rpc

LINK = {"p_link": str(ONE), "p_reader": str(TWO)}
OWN_DATA = [
    rpc(f"request a link for reader {TWO}", lambda c: OwnData(c).request_link(ONE, TWO, "delete_link"),
        "request_link", **LINK, p_kind="delete_link"),
    rpc(f"check a link of reader {TWO}", lambda c: OwnData(c).link_is_valid(ONE, TWO, "download_link"),
        "link_is_valid", **LINK, p_kind="download_link"),
    rpc(f"begin to delete the data of reader {TWO}", lambda c: OwnData(c).begin_erasure(ONE, TWO),
        "begin_erasure", **LINK),
    rpc(f"delete the data of reader {TWO}", lambda c: OwnData(c).erase(TWO), "erase_reader", p_reader=str(TWO)),
    rpc("list the readers to delete", lambda c: OwnData(c).to_erase(), "readers_to_erase", p_limit=100),
    rpc(f"read the papers of reader {TWO}", lambda c: OwnData(c).rows(TWO, "papers"),
        "own_data", p_reader=str(TWO), p_section="papers", p_after=None, p_limit=500),
    rpc(f"read the tasks of reader {TWO}", lambda c: OwnData(c).rows(TWO, "tasks", "x"),
        "own_data", p_reader=str(TWO), p_section="tasks", p_after="x", p_limit=500),
]  # fmt: skip
