"""What the org says of its products, and which policies hold for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from sfsync.domain.assortment import PLENTY, Assortment, ChannelPlan, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.products import Catalogue, Product, Wanted, priced

BAG = Product("01t1", "BAG-1", {"Family": "Handbags"}, frozenset({"iconic", "gold"}), 9_500.0)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), True),
        (Wanted({"Family": "Handbags"}), True),
        (Wanted({"Family": "handbags"}), False),
        (Wanted({"Family": "Handbags", "Line__c": "Heritage"}), False),  # each must fit; a blank one does not
        (Wanted(tags=("gold",)), True),
        (Wanted(tags=("silver", "gold")), True),  # one of them
        (Wanted(tags=("silver",)), False),
        (Wanted(price_from=9_500.0), True),
        (Wanted(price_from=9_500.01), False),
        (Wanted({"Family": "Handbags"}, ("silver",), 1.0), False),
    ],
)
def test_a_policy_holds_for_products_that_are_as_it_says(wanted: Wanted, fits: bool) -> None:
    """Values as they are written; all that is given must fit."""
    assert wanted.fits(BAG) is fits


def test_nothing_is_said_of_a_sku_without_a_product_and_a_product_without_a_price() -> None:
    """Only a policy that asks nothing of the product holds then."""
    assert Wanted().fits(None)
    assert not Wanted({"Family": "Handbags"}).fits(None)
    assert not Wanted(price_from=0.0).fits(Product("01t2", "BAG-2"))


def test_the_catalogue_tells_which_skus_have_changed() -> None:
    """New, the same again, another SKU, a second product of that SKU, and gone."""
    known = Catalogue()
    assert known.learn([BAG]) == {"BAG-1"}
    assert known.learn([BAG]) == set()
    renamed = Product("01t1", "BAG-9", BAG.fields)
    assert known.learn([renamed]) == {"BAG-1", "BAG-9"}
    assert (known.of("BAG-1"), known.of("BAG-9")) == (None, renamed)
    first = Product("01t0", "BAG-9", {"Family": "Belts"})
    known.learn([first])
    assert known.of("BAG-9") == first
    assert known.learn([Product("01t0", "", gone=True)]) == {"BAG-9"}
    assert known.of("BAG-9") == renamed
    assert known.learn([Product("01t7", "X", gone=True)]) == set()
    assert known.changes == 4


def test_a_policy_changes_when_the_product_does() -> None:
    """A bag becomes a handbag of the org: from now on it is asked for, and no longer divided."""
    told = Assortment(
        {"london": ChannelPlan("london", {"online": ("ECOM",)})},
        (
            PolicyRule(("*",), guarantee=Guarantee.GATED, product=Wanted({"Family": "Handbags"})),
            PolicyRule(("*",), guarantee=Guarantee.ALLOCATED, product=Wanted(tags=("drop",))),
        ),
    )
    assert told.policy("london", "BAG-1", PLENTY).guarantee is Guarantee.MIRRORED
    told.learn([Product("01t1", "BAG-1", tags=frozenset({"drop"}))])
    assert told.policy("london", "BAG-1", PLENTY).guarantee is Guarantee.ALLOCATED
    assert told.division("BAG-1", PLENTY) is not None
    assert told.learn([BAG]) == {"BAG-1"}
    assert told.policy("london", "BAG-1", PLENTY).guarantee is Guarantee.GATED
    assert told.division("BAG-1", PLENTY) is None


class Meanwhile(tuple[str, ...]):
    """Patterns; while somebody reads them, another thread learns of products."""

    def __new__(cls, patterns: tuple[str, ...], learnt: list[Callable[[], object]]) -> Meanwhile:
        """`learnt` is what happens at the next reading, once each."""
        made = super().__new__(cls, patterns)
        made.learnt = learnt
        return made

    learnt: list[Callable[[], object]]

    def __iter__(self) -> Iterator[str]:
        """The patterns as they were: whoever asks has begun with what was known before."""
        while self.learnt:
            self.learnt.pop()()
        return super().__iter__()


def test_what_was_decided_while_products_were_learnt_is_not_kept() -> None:
    """Transactions decide in threads of their own: an answer of before must not outlive the change."""
    learnt: list[Callable[[], object]] = []
    rule = PolicyRule(Meanwhile(("*",), learnt), guarantee=Guarantee.GATED, product=Wanted(tags=("drop",)))
    told = Assortment({"london": ChannelPlan("london", {"online": ("ECOM",)})}, (rule,))
    told.learn([Product("01t1", "BAG-1", tags=frozenset({"drop"}))])
    learnt.append(lambda: told.learn([Product("01t1", "BAG-1", gone=True)]))
    assert (
        told.policy("london", "BAG-1", PLENTY).guarantee is Guarantee.GATED
    )  # begun before: an answer of before
    assert told.policy("london", "BAG-1", PLENTY).guarantee is Guarantee.MIRRORED


def test_the_orgs_word_counts_and_a_shops_price_stands_in_where_the_org_has_none() -> None:
    """Whichever is heard first; a shop never says what a product is."""
    priceless = Product("01t2", "BAG-2", {"Family": "Handbags"})
    told = [priced("london", sku, 100.0) for sku in ("BAG-1", "BAG-2", "BAG-3")]
    for heard in ([BAG, priceless, *told], [*told, priceless, BAG]):
        catalogue = Catalogue()
        for product in heard:
            catalogue.learn([product])
        assert catalogue.of("BAG-1") == BAG
        found = [catalogue.of(sku) for sku in ("BAG-2", "BAG-3")]
        assert [(each and dict(each.fields), each and each.price) for each in found] == [
            ({"Family": "Handbags"}, 100.0),
            ({}, 100.0),
        ]
    assert catalogue.learn([priced("london", "BAG-3", 100.0)]) == set()
    assert catalogue.learn([priced("london", "BAG-3", 90.0)]) == {"BAG-3"}
    catalogue.learn([Product("01t2", "BAG-2", gone=True)])
    third = catalogue.of("BAG-2")
    assert third is not None
    assert (third.price, third.fields) == (100.0, {})


def test_what_is_counted_by_guarantee_is_what_each_policy_says() -> None:
    """Patterns, products, channels, the first rule that fits, one for scarce goods only, no way to ask."""
    rules = (
        PolicyRule(("*",), scarce_at=2, guarantee=Guarantee.ALLOCATED),
        PolicyRule(("BAG-[12]", "HAT"), ("london",), Guarantee.ALLOCATED),
        PolicyRule(("*",), guarantee=Guarantee.GATED, product=Wanted({"Family": "Handbags"})),
        PolicyRule(("B?LT-*",), safety_stock=2),
        PolicyRule(("*-2", "hat"), guarantee=Guarantee.GATED),
    )
    channels = {
        "london": ChannelPlan("london", {"online": ("ECOM",)}),
        "dubai": ChannelPlan("dubai", {"online": ("ECOM",)}, Guarantee.GATED),
        "mall": ChannelPlan("mall", {"online": ("ECOM",)}, asks=False),
    }
    house = Assortment(channels, rules)
    house.learn([BAG, Product("01t9", "SCARF", {"Family": "Handbags"})])
    skus = ["BAG-1", "BAG-2", "BAG-3", "BELT-1", "BELT-2", "BOLT-22", "HAT", "hat", "SCARF", "X.2", "A-2\n"]
    listed = [(channel, sku) for channel in (*channels, "gone") for sku in skus]
    counted = house.guarantees(listed)
    for channel in channels:
        each = Counter(house.policy(channel, sku, PLENTY).guarantee for sku in skus)
        assert counted[channel] == each, channel
    assert "gone" not in counted
