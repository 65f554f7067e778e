"""A complete digest, from feeds served on loopback to the page."""

import html
from datetime import date
from pathlib import Path

from app.digest.rendering import DigestRenderer
from app.external.client import open_external
from app.models.digests import Digest
from app.models.profiles import Profile
from app.sources.feeds import FeedSettings
from embedded.commands.profiles import read_profile
from embedded.sample.server import serve_sample
from tests.support.analysis import digest_of, read_from
from tests.support.fixture_types import ReadFile, Serve
from tests.support.source_responses import reply


async def test_recorded_arxiv_responses_become_a_digest(serve: Serve, recorded: ReadFile) -> None:
    answer = recorded("arxiv-api-query.xml").replace(b">7432<", b">10<")
    server, feed = await serve(reply(answer)), await serve(reply(recorded("arxiv-atom-cs.AI.xml")))
    reader = Profile(name="Ada", interests=("proton radius", "question answering"), categories=("nucl-ex",))
    async with open_external() as client:
        sources = read_from(client, server.url, (FeedSettings("arXiv", feed.url),), date(2025, 8, 20))
        digest = await digest_of(sources, date(2025, 8, 20), reader)
    titles = [item.article.title for item in digest.papers]
    assert len(titles) == 5, "an article with only one word of an interest is not sent"
    assert "Avoiding common pitfalls and misconceptions in extractions of the proton radius" in titles[:3]
    assert "Mitigating Easy Option Bias in Multiple-Choice Question Answering" in titles[:4]
    page = html.unescape(await DigestRenderer().render(digest))
    assert all(title in page for title in titles)


ROOT = Path(__file__).parents[3]
BEST = {
    "Message Passing That Forgets: Graph Neural Networks with Bounded Memory on Streaming Graphs",
    "Protein Structure Prediction Without Alignments for Orphan Families",
    "Machine-Learned Potentials Know When They Do Not Know",
    "How Robust Are Robustness Benchmarks? A Year of Quiet Failures",
    "Kernel Methods Strike Back: Tabular Data at a Million Rows",
    "Conformal Prediction When the Future Is Not Like the Past",
    "Small Models, Long Evenings: Distilling Reasoning Traces on a Single Consumer GPU",
    "Optimal Transport on a Phone: Sinkhorn Iterations in Eight Bits",
    "Video Diffusion at the Speed of Sketching",
    "Photonic Tensor Cores That Calibrate Themselves While Computing",
}
"""The papers of the sample that the reader of profiles/example.toml would pick by hand."""


async def test_the_samples_best_ten_are_those_picked_by_hand() -> None:
    day, profile = date(2025, 3, 4), read_profile(ROOT / "profiles" / "example.toml")
    async with serve_sample(day) as hosts, open_external() as client:
        digest = await digest_of(read_from(client, hosts.arxiv_base_url, hosts.feeds, day), day, profile)
    assert {item.article.title for item in digest.papers[:10]} == BEST


async def test_the_sample_becomes_a_digest_marked_as_sample(sample_digest: Digest) -> None:
    assert (len(sample_digest.papers), len(sample_digest.news), sample_digest.considered) == (3, 0, 53)
    assert sample_digest.papers[0].reason == "matches: graph neural networks, robustness; category cs.LG"
    page = await DigestRenderer().render(sample_digest)
    assert "Sample edition." in page
    assert len(page.encode()) < 100_000
    assert "<script" not in page
