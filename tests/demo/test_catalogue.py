"""The demo's invented house."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsync.cli.demo.catalogue import (
    FLAGSHIP,
    LOCATIONS,
    PLACE,
    WAREHOUSE,
    Catalogue,
    from_last_batch,
    make_catalogue,
    org_seed,
    shop_seed,
)

seeds = st.integers(min_value=0, max_value=10**9)


@pytest.fixture(scope="module")
def house() -> Catalogue:
    return make_catalogue(1)


def test_the_same_seed_gives_the_same_house(house: Catalogue) -> None:
    """So that a story can be told again."""
    assert make_catalogue(1) == house
    assert make_catalogue(2) != house


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_every_house_has_three_hundred_articles_with_whole_small_stock(seed: int) -> None:
    """SKUs are unique, locations known, quantities never negative and mostly small."""
    articles = make_catalogue(seed).articles
    assert len({article.sku for article in articles}) == len(articles) == 300
    assert all("|" not in article.sku and article.sku == article.sku.strip() for article in articles)
    assert all(set(article.stock) <= set(LOCATIONS) for article in articles)
    units = [units for article in articles for units in article.stock.values()]
    assert min(units) == 0
    assert sum(amount <= 3 for amount in units) > len(units) / 2
    assert all(article.price > 0 for article in articles)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_each_last_handbag_is_one_unit_in_the_warehouse(seed: int) -> None:
    """One piece in the whole house, and nowhere else."""
    house = make_catalogue(seed)
    assert set(house.last) == {"gated", "allocated", "mirrored"}
    for sku in house.last.values():
        stock = house.article(sku).stock
        assert stock[WAREHOUSE] == sum(stock.values()) == 1


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_every_house_has_what_the_story_needs(seed: int) -> None:
    """A handbag and a pair of shoes to sell, deep silk to trade, and articles for the tills alone."""
    house = make_catalogue(seed)
    assert any(
        article.stock[FLAGSHIP] and article.stock[WAREHOUSE] and sum(article.stock.values()) > 2
        for article in house.family("handbag")
    )
    assert any(
        article.stock[WAREHOUSE] and sum(article.stock.values()) > 2 for article in house.family("shoes")
    )
    assert all(article.stock[WAREHOUSE] >= 14 for article in house.family("silk"))
    assert sum(article.stock[FLAGSHIP] > 0 for article in house.articles) > 150


def test_no_last_handbag_is_among_its_family(house: Catalogue) -> None:
    """So that no other chapter sells it."""
    assert not {article.sku for article in house.family("handbag")} & set(house.last.values())


def test_the_orgs_seed_has_a_level_for_each_article_and_location(house: Catalogue) -> None:
    """With the same units."""
    levels = org_seed(house)["levels"]
    assert {(row["sku"], row["location"]): row["on_hand"] for row in levels} == {
        (article.sku, location): units
        for article in house.articles
        for location, units in article.stock.items()
    }


def test_yesterdays_batch_is_partly_wrong_and_never_shows_a_last_handbag(house: Catalogue) -> None:
    """A storefront that was told about stock in batches."""
    rows = shop_seed(house, from_last_batch(1, house))["variants"]
    shown = {row["sku"]: row["available"][PLACE] for row in rows}
    told = {
        article.sku: article.stock.get(FLAGSHIP, 0) + article.stock.get(WAREHOUSE, 0)
        for article in house.articles
    }
    assert len(shown) == 300
    assert min(shown.values()) == 0
    assert 50 < sum(shown[sku] != units for sku, units in told.items()) < 250
    assert all(shown[sku] == 0 for sku in house.last.values())
