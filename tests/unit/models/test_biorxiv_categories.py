"""The categories of bioRxiv and medRxiv: each is accepted as a person writes it."""

import pytest

from app.models.biorxiv_categories import CATEGORIES, parse_category


@pytest.mark.parametrize(("server", "count"), [("biorxiv", 27), ("medrxiv", 51)])
def test_a_server_has_its_categories_in_order(server: str, count: int) -> None:
    categories = CATEGORIES[server]
    assert list(categories) == sorted(set(categories))
    assert len(categories) == count


@pytest.mark.parametrize("server", ["biorxiv", "medrxiv"])
def test_each_category_is_accepted_in_any_form(server: str) -> None:
    for name in CATEGORIES[server]:
        forms = {parse_category(f"{server}/{form}") for form in (name, name.replace(" ", "_"), name.upper())}
        assert forms == {(server, name)}
