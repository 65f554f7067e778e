"""Two spellings of an interest give the same digest, and an exclusion applies to all spellings."""

import re
from collections.abc import Sequence

import pytest

from app.models.articles import Article
from app.ranking.ranking import RankingSettings
from tests.support.articles import ALL, MakeArticle, ranked
from tests.support.ranking_editions import asking, filling

TEN = RankingSettings(papers=10)
WRITTEN = {
    "llm": ("LLMs", "LLM-based agents", "large language models", "a large language model", "CodeLLM"),
    "gnn": ("GNNs", "graph neural networks", "a GNN", "Graph Neural Network (GNN)", "graph neural nets of a GNN"),
    "nerf": ("NeRF", "neural radiance fields", "NeRFs", "Neural Radiance Fields (NeRF)"),
    "rlhf": ("RLHF", "reinforcement learning from human feedback", "Reinforcement Learning from Human Feedback (RLHF)"),
    "opt": ("optimisation", "optimization", "optimising", "optimized"),
    "beh": ("behaviour", "behavior", "behavioural", "Behaviors"),
    "mm": ("multi-modal", "multimodal", "Multi-Modal"),
    "ft": ("fine-tuning", "finetuning", "Fine-tuning", "fine-tuned"),
    "pt": ("pre-training", "pretraining", "Pre-training"),
}  # fmt: skip


@pytest.fixture
def edition(make_article: MakeArticle) -> list[Article]:
    subjects = [
        make_article(
            title=f"{form} in case n{name}{number}", abstract=f"On {form} for thing{number}. " + "Of this. " * number
        )
        for name, forms in WRITTEN.items()
        for number, form in enumerate(forms * 3)
    ]
    return [*subjects, *filling(make_article, 150)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LLM", "LLMs"),
        ("llm", "Large Language Models"),
        ("GNN", "graph neural networks"),
        ("NeRF", "neural radiance fields"),
        ("RLHF", "reinforcement learning from human feedback"),
        ("optimisation", "optimization"),
        ("behaviour", "behavior"),
        ("multi-modal", "multimodal"),
        ("fine-tuning", "finetuning"),
        ("pre-training", "pretraining"),
    ],
)
async def test_two_spellings_of_an_interest_are_one(edition: list[Article], one: str, other: str) -> None:
    found = [
        {item.article.external_id for item in (await ranked(edition, asking(each), TEN)).papers}
        for each in (one, other)
    ]
    assert len(found[0]) >= 8
    assert len(found[0] & found[1]) >= 8


@pytest.mark.parametrize(
    ("excluded", "forms"),
    [
        ("LLM", r"LLM|large language model"),
        ("large language models", r"LLM|large language model"),
        ("GNNs", r"GNN|graph neural network"),
        ("optimisation", r"optimi[sz]"),
        ("Behavior", r"behaviou?r"),
        ("multimodal", r"multi.?modal"),
        ("fine tuning", r"fine.?tun"),
        ("pre-training", r"pre.?train"),
    ],
)
async def test_nothing_excluded_gets_through_in_any_spelling(edition: list[Article], excluded: str, forms: str) -> None:
    everything = tuple(form for each in WRITTEN.values() for form in each[:3])
    reader = asking(*everything, exclude=[excluded])
    shown = [item.article.title for item in (await ranked(edition, reader, ALL)).papers]
    assert shown
    assert [title for title in shown if re.search(forms, title, re.IGNORECASE)] == []


async def shown_of(articles: Sequence[Article], *interests: str) -> list[str]:
    return [item.article.title for item in (await ranked(articles, asking(*interests))).papers]


@pytest.mark.parametrize(
    ("interest", "title", "other"),
    [
        ("R", "Statistics in R", "Regions of rain"),
        ("r", "Statistics in R", "Regions of rain"),
        ("C++", "Modules of C++", "Modules of C"),
        ("C#", "Classes in C#", "Classes in C"),
        ("$\\alpha$-stable", "On \u03b1-stable laws", "On barns"),
        ("Poincare", "A Poincaré section", "A point on a section"),
        ("Poincaré", "A Poincar\\'e section", "A point on a section"),
        ("机器学习", "深度机器学习方法", "土壤与降雨的研究"),
        ("大语言模型的推理", "关于大语言模型的推理能力", "土壤与降雨的研究"),
        ("自然言語処理", "最近の自然言語処理", "土と雨について"),
        ("자연어 처리", "한국어 자연어 처리 연구", "토양과 비"),
        (
            "maschinelles Lernen",
            "Über maschinelles Lernen und die Folgen mit der Zeit",
            "Über Böden und der Regen mit Folgen",
        ),
    ],
)
async def test_interests_in_signs_and_other_languages_are_found(
    make_article: MakeArticle, interest: str, title: str, other: str
) -> None:
    edition = [make_article(title=title), make_article(title=other), *filling(make_article, 60)]
    assert await shown_of(edition, interest) == [title]


async def test_a_spelling_that_papers_had_before_is_one_with_them(make_article: MakeArticle) -> None:
    edition = [make_article(title="Differentiable rendering"), make_article(title="Differential privacy of a census")]
    assert await shown_of([*edition, *filling(make_article, 100)], "differential privacy") == [
        "Differential privacy of a census"
    ]
