"""The request of each read and write of a table: rows, columns, order and limit."""

from app.persistence.deliveries import Deliveries
from app.persistence.digests import Digests
from app.persistence.editions import Editions
from app.persistence.operator import Operator
from app.persistence.paging import encode_cursor
from app.persistence.reader_papers import ReaderPapers
from app.persistence.readers import Readers, ReaderStatus
from app.persistence.tasks import TaskStateManager
from tests.support.import_requests import IMPORT_READS, IMPORT_WRITES
from tests.support.library_requests import LIBRARY_READS
from tests.support.requests import AT, DAY, MOMENT, ONE, TWO, RequestCase, select

READER = (
    "reader_id,owner,external_id,user_id,name,email,profile,timezone,send_at,weekdays,when_empty,status,status_reason,"
    "next_due_at,schedule_problem,created_at,updated_at"
)
DELIVERY = (
    "delivery_id,owner,reader_id,kind,local_day,digest_id,task_id,status,reason,provider_id,resolved_by,created_at,"
    "begun_at,ended_at"
)
PAPER = (
    "kind,title,abstract,authors,url,published_at,arxiv_id,doi,origin,publication,paper_id,liked,rated_at,saved_at,"
    "looked_up_at,created_at"
)
EDITION = "source_date,status,counts,errors,complete,complete_from,fetched_at,created_at,updated_at"
ARTICLE = (
    "source,external_id,kind,title,abstract,authors,url,pdf_url,categories,published_at,arxiv_id,doi,journal_ref,comment,"
    "code_url"
)
DAYS = {"select": "local_day,papers,news,first_title", "reader_id": f"eq.{ONE}", "papers": "not.is.null"}
AUDIT = {"select": "audit_id,created_at,actor,action,details", "order": "created_at.desc,audit_id.desc"}
AFTER_ENTRY = f'(created_at.lt."{AT}",and(created_at.eq."{AT}",audit_id.lt.{ONE}))'

TABLE_READS = [
    select(f"read task {ONE}", lambda c: TaskStateManager(c).get_task(ONE, owner="web"),
           "task_records", {"select": "*", "task_id": f"eq.{ONE}", "owner": "eq.web", "limit": "1"}),
    select("read edition 2026-01-02", lambda c: Editions(c).get_edition(DAY),
           "editions", {"select": EDITION, "source_date": "eq.2026-01-02", "limit": "1"}),
    select("list editions", lambda c: Editions(c).list_editions(),
           "editions", {"select": EDITION, "order": "source_date.desc", "limit": "30"}),
    select("list editions", lambda c: Editions(c).list_editions(before=DAY, limit=7),
           "editions", {"select": EDITION, "source_date": "lt.2026-01-02", "order": "source_date.desc", "limit": "7"}),
    select("read articles of 2026-01-02", lambda c: Editions(c).get_articles(DAY),
           "articles", {"select": ARTICLE, "source_date": "eq.2026-01-02", "order": "source,external_id",
                        "offset": "0", "limit": "1000"}),
    select(f"read delivery {ONE}", lambda c: Deliveries(c).get(ONE),
           "deliveries", {"select": DELIVERY, "delivery_id": f"eq.{ONE}", "limit": "1"}),
    select(f"read delivery {ONE}", lambda c: Deliveries(c).get(ONE, "web"),
           "deliveries", {"select": DELIVERY, "delivery_id": f"eq.{ONE}", "owner": "eq.web", "limit": "1"}),
    select(f"read the digest of task {ONE}", lambda c: Digests(c).get(ONE),
           "digests", {"select": "digest", "task_id": f"eq.{ONE}", "limit": "1"}),
    select(f"read the digest of reader {ONE}", lambda c: Digests(c).for_day(ONE, DAY),
           "digests", {"select": "digest", "reader_id": f"eq.{ONE}", "local_day": "eq.2026-01-02", "limit": "1"}),
    select(f"list the digests of reader {ONE}", lambda c: Digests(c).list_days(ONE),
           "digests", DAYS | {"order": "local_day.desc", "limit": "60"}),
    select(f"list the digests of reader {ONE}", lambda c: Digests(c).list_days(ONE, before=DAY, limit=501),
           "digests", DAYS | {"local_day": "lt.2026-01-02", "order": "local_day.desc", "limit": "500"}),
    select(f"find the newest digest of reader {ONE}", lambda c: Digests(c).newest_digest(ONE),
           "digests", {"select": "task_id,created_at", "reader_id": f"eq.{ONE}", "papers": "not.is.null",
                       "order": "local_day.desc", "limit": "1"}),
    select("list pauses", lambda c: Operator(c).pauses(),
           "pauses", {"select": "*", "ended_at": "is.null", "order": "started_at"}),
    select("read the audit", lambda c: Operator(c).audit_entries(), "audit", AUDIT | {"limit": "51"}),
    select("read the audit", lambda c: Operator(c).audit_entries(limit=3, cursor=encode_cursor(MOMENT, ONE)),
           "audit", AUDIT | {"or": AFTER_ENTRY, "limit": "4"}),
    select(f"read paper {TWO}", lambda c: ReaderPapers(c).get(ONE, TWO),
           "reader_papers", {"select": PAPER, "reader_id": f"eq.{ONE}", "paper_id": f"eq.{TWO}", "limit": "1"}),
    select(f"read reader {ONE}", lambda c: Readers(c).get(ONE),
           "readers", {"select": READER, "reader_id": f"eq.{ONE}", "limit": "1"}),
    select(f"read reader {ONE}", lambda c: Readers(c).get(ONE, "web"),
           "readers", {"select": READER, "reader_id": f"eq.{ONE}", "owner": "eq.web", "limit": "1"}),
    select("list readers", lambda c: Readers(c).page(None),
           "readers", {"select": READER, "order": "reader_id", "limit": "50"}),
    select("list readers",
           lambda c: Readers(c).page("web", after=ONE, limit=501, status=ReaderStatus.PAUSED, external_id="u7"),
           "readers", {"select": READER, "owner": "eq.web", "status": "eq.paused", "external_id": "eq.u7",
                       "reader_id": f"gt.{ONE}", "order": "reader_id", "limit": "500"}),
    select("list readers", lambda c: anext(Readers(c).pages("web")),
           "readers", {"select": READER, "owner": "eq.web", "order": "reader_id", "limit": "500"}),
    select(f"read the link generation of reader {ONE}", lambda c: Readers(c).link_generation(ONE),
           "readers_private", {"select": "link_generation", "reader_id": f"eq.{ONE}", "limit": "1"}),
    *IMPORT_READS,
    *LIBRARY_READS,
]  # fmt: skip

AMONG = {ReaderStatus.PAUSED, ReaderStatus.ACTIVE}
TABLE_WRITES = [
    RequestCase(f"change reader {ONE}", lambda c: Readers(c).change(ONE, {"name": "A\0da"}),
          "/rest/v1/readers", {"reader_id": f"eq.{ONE}"}, {"name": "Ada"}, "PATCH"),
    RequestCase(f"change reader {ONE}", lambda c: Readers(c).change(ONE, {"timezone": None}, "web"),
          "/rest/v1/readers", {"reader_id": f"eq.{ONE}", "owner": "eq.web"}, {"timezone": None}, "PATCH"),
    RequestCase(f"change the status of reader {ONE}",
          lambda c: Readers(c).change_status(ONE, ReaderStatus.BOUNCED, "no such box", from_statuses=AMONG),
          "/rest/v1/readers", {"reader_id": f"eq.{ONE}", "status": "in.(active,paused)"},
          {"status": "bounced", "status_reason": "no such box"}, "PATCH"),
    RequestCase(f"revoke the links of reader {ONE}", lambda c: Readers(c).revoke_links(ONE, 4),
          "/rest/v1/readers_private", {"reader_id": f"eq.{ONE}", "link_generation": "eq.4"}, {"link_generation": 5},
          "PATCH"),
    *IMPORT_WRITES,
]  # fmt: skip
