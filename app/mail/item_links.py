"""The feedback actions on items of a digest, and their links in a mail."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from app.links import Link, Links
from app.models.articles import Article
from app.models.item_keys import strongest_key

ITEM_ACTIONS: Final = {"more": "More like this", "less": "Not for me", "save": "Save"}
"""Button label by action. A link's purpose is the action and the item's name."""


def item_name(article: Article) -> str:
    """Return the stable 16-character name of an item in URLs."""
    return blake2b(strongest_key(article).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class ItemLinks:
    """The links of one mail's items, signed for `link`. Each is signed once, however often the page is rendered."""

    links: Links
    link: Link
    # Keyed by identity, which keeping the article makes safe: hashing an article takes as long as signing its links.
    _signed: dict[int, tuple[Article, Sequence[tuple[str, str]]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def of(self, article: Article) -> Sequence[tuple[str, str]]:
        """Return the label and the address of each action's page."""
        if id(article) not in self._signed:
            name = item_name(article)
            signed = [(label, self.links.url(f"{action}:{name}", self.link)) for action, label in ITEM_ACTIONS.items()]
            self._signed[id(article)] = (article, signed)
        return self._signed[id(article)][1]
