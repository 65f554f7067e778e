"""A digest contains no two articles with the same content, even if a rule selects both."""

from app.models.profiles import Profile
from app.ranking.ranking import RankingSettings
from tests.support.articles import MakeArticle, ranked

FOLLOWED = "Emmy Noether"
TEXT = (
    "We measure how glaciers move below their surface with a radar that listens to echoes of basal ice. "
    "Crevasses, meltwater channels and sediment change the returned signal, and a model of firn density explains them."
)

REWRITTEN = " ".join(reversed(TEXT.split()))
"""The same words in another order: the same content, but not a duplicate text."""


async def test_a_followed_author_is_shown_once_with_the_same_paper(make_article: MakeArticle) -> None:
    first = make_article(title="Radar echoes of basal ice", abstract=TEXT, authors=[FOLLOWED])
    again = make_article(title="Basal ice: radar echoes", abstract=REWRITTEN, authors=[FOLLOWED])
    other = make_article(title="Graph neural networks", abstract="Networks of graphs.", authors=[FOLLOWED])
    reader = Profile(name="Ada", interests=("graph neural networks",), authors=(FOLLOWED,))
    papers = (await ranked([first, again, other], reader, RankingSettings(papers=3))).papers
    titles = [item.article.title for item in papers]
    assert other.title in titles
    assert len({first.title, again.title} & set(titles)) == 1
