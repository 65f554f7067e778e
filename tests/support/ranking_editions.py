"""An invented edition of a usual size: subjects that share words, and other papers that match no interest."""

from collections.abc import Sequence
from random import Random

from app.models.articles import Article
from app.models.profiles import Profile
from tests.support.articles import MakeArticle

COMMON_TEXT = """
    we propose a novel method that improves results on data and show experiments with models for learning a task in
    which structure and design of systems matter to performance across settings and evaluation of approaches"""
COMMON = COMMON_TEXT.split()
SUBJECTS = {
    "vision": "image segmentation camera pixel detector scene depth object video visual pose face lidar tracking",
    "soil": "soil rain seed crop harvest plough field farm irrigation drought yield fertiliser pest weather",
    "databases": "table schema query join transaction storage columnar index relational engine optimizer log replica",
    "physics": "quark lepton boson collider decay symmetry gauge field lattice phase plasma neutrino flux magnet",
    "law": "court statute ruling contract liability judge appeal evidence tort jurisdiction plaintiff treaty clause",
}
TEXT_TO_SQL = (
    "text-to-SQL parser that maps natural language questions to SQL queries over a relational schema of tables"
)


def filling(make_article: MakeArticle, count: int, seed: int = 1) -> list[Article]:
    """Papers on subjects that no test uses."""
    dice = Random(seed)
    articles = []
    for number in range(count):
        words = SUBJECTS[list(SUBJECTS)[number % len(SUBJECTS)]].split()
        text = [
            *dice.choices(COMMON, k=50),
            *dice.choices(words, k=25),
            *(f"rare{dice.randrange(3_000)}" for _ in range(20)),
        ]
        dice.shuffle(text)
        title = " ".join([*dice.sample(words, 4), f"rare{dice.randrange(3_000)}"])
        articles.append(make_article(title=title, abstract=" ".join(text)))
    return articles


def text_to_sql(make_article: MakeArticle, number: int) -> Article:
    """One of many papers on the same subject, each with distinct words."""
    dice = Random(number)
    own = " ".join(f"own{dice.randrange(500)}" for _ in range(12))
    common = " ".join(dice.choices(COMMON, k=40))
    return make_article(
        title=f"A text-to-SQL parser, {own[:12]}", abstract=f"{TEXT_TO_SQL}. {common} {own}. {TEXT_TO_SQL}"
    )


def asking(*interests: str, exclude: Sequence[str] = ()) -> Profile:
    return Profile(name="Ada", interests=interests, exclude=tuple(exclude))
