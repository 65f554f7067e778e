"""Papers of a fake arXiv, when arXiv announces them, and the documents of its three access paths."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
ATOM = 'xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom"'
OPENSEARCH = 'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
OAI = "http://www.openarchives.org/OAI/2.0/"


@dataclass(frozen=True)
class Paper:
    """A paper, and how often it was replaced since; its categories begin with the primary one."""

    identifier: str
    submitted: datetime
    categories: tuple[str, ...] = ("cs.AI",)
    replaced: datetime | None = None
    title: str = ""
    comment: str = ""

    @property
    def name(self) -> str:
        return self.title or f"The paper {self.identifier} of a fake arXiv"

    def has(self, category: str) -> bool:
        """Whether it is in a category or archive."""
        return any(each == category or each.startswith(f"{category}.") for each in self.categories)


def announcement(submitted: datetime) -> datetime:
    """The next deadline (Monday to Friday, 14:00 Eastern) after this moment, announced at 20:00; Friday's on Sunday."""
    day = submitted.astimezone(EASTERN).date()
    while True:
        deadline = datetime.combine(day, time(14), EASTERN)
        if submitted < deadline and f"{day:%a}" not in {"Sat", "Sun"}:
            announced = day + timedelta(days=2 if f"{day:%a}" == "Fri" else 0)
            return datetime.combine(announced, time(20), EASTERN)
        day += timedelta(days=1)


def listing_date(submitted: datetime) -> date:
    """The date of the daily listing that has what was submitted at this moment."""
    return announcement(submitted).date() + timedelta(days=1)


def in_api_from(paper: Paper) -> datetime:
    """The midnight (Eastern) after the announcement."""
    return datetime.combine(listing_date(paper.submitted), time(0), EASTERN)


def in_oai_from(paper: Paper) -> datetime:
    """Typically around 22:30 Eastern on the day of the announcement."""
    return announcement(paper.submitted) + timedelta(hours=2, minutes=30)


def datestamp(paper: Paper) -> date:
    """The day (UTC) of the record's last change."""
    return max(in_oai_from(paper), paper.replaced or in_oai_from(paper)).astimezone(UTC).date()


def atom_page(found: list[Paper], start: int, size: int) -> str:
    entries = "".join(
        f"<entry><id>http://arxiv.org/abs/{paper.identifier}v1</id><title>{escape(paper.name)}</title>"
        f"<published>{paper.submitted.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}</published>"
        f"<summary>About p&lt;q in {paper.identifier}.</summary>"
        "<author><name>Ada First</name></author><author><name>Bo Second</name></author>"
        + (f"<arxiv:comment>{escape(paper.comment)}</arxiv:comment>" if paper.comment else "")
        + "".join(f'<category term="{name}"/>' for name in paper.categories)
        + "</entry>"
        for paper in found[start : start + size]
    )
    total = f"<opensearch:totalResults>{len(found)}</opensearch:totalResults>"
    return f"<feed {ATOM} {OPENSEARCH}>{total}{entries}</feed>"


def rss(listed: list[tuple[str, Paper]], day: date) -> str:
    midnight = format_datetime(datetime.combine(day, time(0), EASTERN))
    items = "".join(
        f"<item><title>{escape(paper.name)}</title><link>https://arxiv.org/abs/{paper.identifier}</link>"
        f"<description>arXiv:{paper.identifier}v1 Announce Type: {kind} \nAbstract: About p&lt;q in {paper.identifier}."
        f'</description><guid isPermaLink="false">oai:arXiv.org:{paper.identifier}v1</guid>'
        + "".join(f"<category>{name}</category>" for name in paper.categories)
        + f"<pubDate>{midnight}</pubDate><arxiv:announce_type>{kind}</arxiv:announce_type>"
        "<dc:creator>Ada First, Bo Second</dc:creator></item>"
        for kind, paper in listed
    )
    spaces = 'xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    return f'<rss {spaces} version="2.0"><channel><title>t</title><pubDate>{midnight}</pubDate>{items}</channel></rss>'


def oai_document(inside: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><OAI-PMH xmlns="{OAI}"><request>x</request>{inside}</OAI-PMH>'


def oai_records(page: list[Paper], token: str | None, expires: datetime) -> str:
    """A page of records in the format arXivRaw. `token` None: the list has one page; empty: this is the last page."""
    records = "".join(map(_record, page))
    end = "" if token is None else "<resumptionToken/>"
    if token:
        end = f"<resumptionToken expirationDate='{expires:%Y-%m-%dT%H:%M:%SZ}'>{escape(token)}</resumptionToken>"
    return oai_document(f"<ListRecords>{records}{end}</ListRecords>")


def _record(paper: Paper) -> str:
    versions = [paper.submitted, *([paper.replaced] if paper.replaced else [])]
    dates = "".join(
        f'<version version="v{number}"><date>{moment.astimezone(UTC):%a, %d %b %Y %H:%M:%S GMT}</date>'
        "<size>9kb</size></version>"
        for number, moment in reversed(list(enumerate(versions, start=1)))
    )
    return (
        f"<record><header><identifier>oai:arXiv.org:{paper.identifier}</identifier>"
        f"<datestamp>{datestamp(paper)}</datestamp></header><metadata>"
        f'<arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><id>{paper.identifier}</id><submitter>Ada</submitter>{dates}'
        f"<title>{escape(paper.name)}</title>"
        "<authors>Ada First (1 and 2), Bo Second (2) ((1) Here, (2) There)</authors>"
        f"<categories>{' '.join(paper.categories)}</categories>"
        + (f"<comments>{escape(paper.comment)}</comments>" if paper.comment else "")
        + f"<abstract>  About p&lt;q in {paper.identifier}.\n</abstract></arXivRaw></metadata></record>"
    )
