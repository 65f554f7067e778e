"""What a reader can say of each item of a digest, and the link in the mail for each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from app.links import Link, Links
from app.models import Article
from app.persistence.item_keys import strongest_key

ITEM_ACTIONS: Final = {"more": "More like this", "less": "Not for me", "save": "Save"}
"""Each a purpose for which a link is signed, local_service with the item's name, and what its button says."""


def item_name(article: Article) -> str:
    """Return 16 characters by which an item is known in the addresses of its reader's pages, the same each time."""
    return blake2b(strongest_key(article).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class ItemLinks:
    """The links of one mail's items, all signed as `link` says; each is signed once, for the text and the page."""

    links: Links
    link: Link
    # By identity, of which the kept article makes sure: to hash a whole article takes as long as to sign its links.
    _signed: dict[int, tuple[Article, Sequence[tuple[str, str]]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def of(self, article: Article) -> Sequence[tuple[str, str]]:
        """Return what can be said of it, each with the address of the page that has this one button."""
        if id(article) not in self._signed:
            name = item_name(article)
            acts = [(label, self.links.url(f"{act}:{name}", self.link)) for act, label in ITEM_ACTIONS.items()]
            self._signed[id(article)] = (article, acts)
        return self._signed[id(article)][1]
