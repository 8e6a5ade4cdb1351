"""Policies that ask what a product is: by the org's own fields, followed as they change."""

from __future__ import annotations

from dataclasses import replace

from tests.flow.kit import House, house

from sfsync.domain.assortment import PLENTY, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.products import Product, Wanted

STOCK = {"BAG-1|ECOM": 5, "SCARF|ECOM": 5}
BAG = Product("01t1", "BAG-1", {"Family": "Handbags"})
RULES = (PolicyRule(("*",), safety_stock=3, product=Wanted({"Family": "Handbags"})),)


async def read(h: House) -> None:
    """What the org says now is read as it is once an hour."""
    await h.supervisor.products.read()
    await h.idle()


def at_start(h: House, *products: Product) -> None:
    h.org.has_products = True
    h.org.catalogue = {product.record_id: product for product in products}


async def test_a_change_of_a_product_changes_what_the_shops_show() -> None:
    """A bag is put into the family of handbags, of which three are kept back; then it is taken out."""
    async with house(STOCK, rules=RULES) as h:
        await h.stop()
        at_start(h)
        await h.start()
        await read(h)
        await h.shows("BAG-1", 5, 5)
        h.org.changed = {BAG.record_id: BAG}
        await read(h)
        await h.shows("BAG-1", 2, 2)
        await h.shows("SCARF", 5, 5)
        h.org.changed = {BAG.record_id: replace(BAG, gone=True)}
        await read(h)
        await h.shows("BAG-1", 5, 5)
        assert h.org.asked_for_products[0] is None  # whole at first, then what has changed
        assert None not in h.org.asked_for_products[-2:]


async def test_a_restart_without_the_org_decides_by_what_was_read_last() -> None:
    """Products stand in the store; what went while we were away is forgotten at the next reading."""
    async with house(STOCK, rules=RULES) as h:
        await h.stop()
        at_start(h, BAG)
        await h.start()
        await h.shows("BAG-1", 2, 2)
        await h.stop()
        h.org.cut_off = True
        await h.start()
        assert h.ctx.assortment.policy("london", "BAG-1", PLENTY).safety_stock == 3
        assert h.ctx.assortment.policy("london", "SCARF", PLENTY).guarantee is Guarantee.MIRRORED
        await h.stop()
        at_start(h)
        h.org.cut_off = False
        await h.start()
        await h.shows("BAG-1", 5, 5)
        assert await h.store.read(lambda tx: tx.products()) == []


async def test_a_product_that_becomes_a_drop_is_set_aside_and_given_back_afterwards() -> None:
    """Tagged in the org: divided between the shops, reserved there first; untagged: shared as before."""
    rules = (PolicyRule(("*",), guarantee=Guarantee.ALLOCATED, product=Wanted(tags=("drop",))),)
    async with house(STOCK, rules=rules) as h:
        await h.stop()
        at_start(h)
        await h.start()
        await read(h)
        await h.shows("BAG-1", 5, 5)
        drop = replace(BAG, tags=frozenset({"drop"}))
        h.org.changed = {BAG.record_id: drop}
        await read(h)
        await h.until(lambda: sum(shop.shelf["BAG-1"] for shop in h.shops.values()) == 5)
        assert h.org.numbers("BAG-1|ECOM") == (5, 5)
        h.org.changed = {BAG.record_id: BAG}
        await read(h)
        await h.shows("BAG-1", 5, 5)
        assert h.org.numbers("BAG-1|ECOM") == (5, 0)


async def test_a_policy_goes_by_the_price_that_one_shop_shows_where_the_org_has_none() -> None:
    """London's bag costs 5,000, of which three are kept back; Dubai's prices are in another currency."""
    dear = PolicyRule(("*",), safety_stock=3, product=Wanted(price_from=5_000.0))
    async with house(STOCK, rules=(dear,), price_channel="london") as h:
        await h.shows("BAG-1", 5, 5)
        h.shops["london"].prices = {"BAG-1": 5_000.0, "SCARF": 350.0}
        h.shops["dubai"].prices = {"SCARF": 18_350.0}
        await h.supervisor.resync.compare()
        await h.idle()
        await h.shows("BAG-1", 2, 2)
        await h.shows("SCARF", 5, 5)
        await h.stop()
        at_start(h, Product("01t1", "BAG-1", price=4_900.0))  # the org's word counts
        await h.start()
        await h.shows("BAG-1", 5, 5)
        await h.stop()
        h.org.cut_off = True
        await h.start()
        scarf = h.ctx.assortment.catalogue.of("SCARF")
        assert scarf is not None
        assert scarf.price == 350.0  # kept over a restart, though no product of the org


async def test_a_policy_goes_by_the_tags_that_one_shop_has_where_the_org_has_none() -> None:
    """London tags the bag as iconic, of which three are kept back; Dubai's tags do not count."""
    iconic = PolicyRule(("*",), safety_stock=3, product=Wanted(tags=("iconic",)))
    async with house(STOCK, rules=(iconic,), tags_channel="london", price_channel="dubai") as h:
        await h.shows("BAG-1", 5, 5)
        h.shops["london"].tags = {"BAG-1": frozenset({"iconic", "aw26"}), "SCARF": frozenset()}
        h.shops["dubai"].tags = {"SCARF": frozenset({"iconic"})}
        h.shops["dubai"].prices = {"BAG-1": 18_350.0}
        await h.supervisor.resync.compare()
        await h.idle()
        await h.shows("BAG-1", 2, 2)
        await h.shows("SCARF", 5, 5)
        bag = h.ctx.assortment.catalogue.of("BAG-1")
        assert bag is not None
        assert (bag.price, bag.tags) == (18_350.0, frozenset({"iconic", "aw26"}))
        h.shops["london"].tags = {"BAG-1": frozenset()}
        await h.supervisor.resync.compare()
        await h.shows("BAG-1", 5, 5)
        await h.stop()
        at_start(h, Product("01t1", "SCARF", tags=frozenset({"iconic"})))  # the org's word counts
        await h.start()
        await h.shows("SCARF", 2, 2)
