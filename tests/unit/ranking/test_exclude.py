"""Excluded phrases: an article with one in its title or abstract is not shown."""

import pytest

from app.models.profiles import Profile
from tests.support.articles import MakeArticle, ranked

GOOD = "Graph neural networks on graphs."


@pytest.mark.parametrize("phrase", ["language model", "traffic"])
@pytest.mark.parametrize(
    ("title", "abstract"),
    [
        ("Graph neural networks: {phrase}s", GOOD),
        ("Graph neural networks", GOOD + " We compare them with a {phrase}."),
        ("Graph neural networks", "A {phrase} first. " + GOOD),
    ],
    ids=["title", "end of the abstract", "begin of the abstract"],
)
async def test_a_phrase_excludes_wherever_it_stands(
    make_article: MakeArticle, phrase: str, title: str, abstract: str
) -> None:
    excluded = make_article(title=title.format(phrase=phrase), abstract=abstract.format(phrase=phrase))
    other = make_article(title="Graph neural networks of proteins", abstract=GOOD)
    profile = Profile(name="Ada", interests=("graph neural networks",))
    both = {item.article.title for item in (await ranked([excluded, other], profile)).papers}
    assert both == {excluded.title, other.title}
    profile = profile.model_copy(update={"exclude": (phrase,)})
    assert [item.article.title for item in (await ranked([excluded, other], profile)).papers] == [other.title]


async def test_a_phrase_is_not_put_together_of_title_and_abstract(make_article: MakeArticle) -> None:
    article = make_article(title="Graph neural networks and language", abstract=f"Model graphs. {GOOD}")
    profile = Profile(name="Ada", interests=("graph neural networks",), exclude=("language model",))
    assert [item.article.title for item in (await ranked([article], profile)).papers] == [article.title]
