"""The best of an edition for one reader: near-duplicates removed, each item with a score and a reason."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.digest.duplicates import SeenBefore, preference
from app.digest.profile_terms import ProfileTerms, Stems
from app.digest.scoring import Fit, Scoring
from app.digest.vocabulary import Vocabulary
from app.models import Article, ArticleKind, Profile

# Some 5 ms of work; the loop has its turn between two of them.
CHUNK: Final = 50


@dataclass(frozen=True, slots=True)
class RankingSettings:
    """How many items a digest holds."""

    papers: int = 12
    news: int = 6


@dataclass(frozen=True, slots=True)
class Ranked:
    """An article chosen for a digest."""

    article: Article
    fit: Fit


@dataclass(frozen=True, slots=True)
class Ranking:
    """The chosen items, best first; of `considered` articles, `duplicates` repeated another."""

    papers: tuple[Ranked, ...]
    news: tuple[Ranked, ...]
    considered: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class _Text:
    article: Article
    words: list[int]
    title_words: int


async def rank(articles: Sequence[Article], profile: Profile, settings: RankingSettings) -> Ranking:
    """Choose a reader's papers and news from an edition; each kind is ranked by itself, against its own best.

    Needs no key and no network. The loop has its turn after every `CHUNK` articles.
    """
    stems = Stems()
    terms = ProfileTerms.of(profile, stems)
    vocabulary = Vocabulary(terms.all, stems)
    texts = await _read(articles, vocabulary)
    kept = await _without_repeats(texts)
    chosen = {}
    for kind, most in ((ArticleKind.PAPER, settings.papers), (ArticleKind.NEWS, settings.news)):
        of_kind = [text for text in kept if text.article.kind is kind]
        chosen[kind] = _best(of_kind, profile, terms, vocabulary, most)
        await asyncio.sleep(0)
    return Ranking(chosen[ArticleKind.PAPER], chosen[ArticleKind.NEWS], len(articles), len(articles) - len(kept))


async def _read(articles: Sequence[Article], vocabulary: Vocabulary) -> list[_Text]:
    texts: list[_Text] = []
    for number, article in enumerate(articles, start=1):
        title = vocabulary.words(article.title)
        texts.append(_Text(article, title + vocabulary.words(article.abstract), len(title)))
        if number % CHUNK == 0:
            await asyncio.sleep(0)
    return texts


async def _without_repeats(texts: list[_Text]) -> list[_Text]:
    """Keep of each story the copy worth most, in the order of the edition."""
    seen = SeenBefore()
    kept: list[int] = []
    for count, number in enumerate(sorted(range(len(texts)), key=lambda n: preference(texts[n].article)), start=1):
        text = texts[number]
        if not seen.repeats(text.article, text.words, text.title_words):
            kept.append(number)
        if count % CHUNK == 0:
            await asyncio.sleep(0)
    return [texts[number] for number in sorted(kept)]


def _best(
    texts: list[_Text], profile: Profile, terms: ProfileTerms, vocabulary: Vocabulary, most: int
) -> tuple[Ranked, ...]:
    from app.digest.bm25 import TermScores  # noqa: PLC0415  -- it brings numpy, which the API process does without

    found = TermScores(terms.all, [vocabulary.terms(text.words) for text in texts])
    articles = [text.article for text in texts]
    scoring = Scoring(articles, profile, terms, found)

    def order(number: int) -> tuple[float, float, str]:
        published = articles[number].published_at
        return (-scoring.scores[number], -published.timestamp() if published else 0.0, articles[number].external_id)

    chosen = sorted(range(len(articles)), key=order)[:most]
    return tuple(Ranked(articles[number], scoring.fit(number)) for number in chosen)
