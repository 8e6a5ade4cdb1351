"""The Vendure adapter sits its exam against Vendure itself, and the simulated shop is compared with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    IntrospectionQuery,
    build_client_schema,
    get_introspection_query,
    parse,
    validate,
)
from tests.channels.clock import WallClock
from tests.needs import needs
from tests.sandbox import start_vendure
from tests.vendure.shop_kit import PASSWORD, SECRET, RealShop, Shopper, Staff, start_real_shop

from sfsync.channels.vendure import VendureChannel
from sfsync.channels.vendure_config import VendureConfig
from sfsync.channels.vendure_documents import EVERY
from sfsync.ports import Channel, Severity
from sfsync.simulators.vendure.api import load_schema
from sfsync.testing import ChannelExam, Counterpart, Trouble, Webhook, listed
from sfsync.testing.post_box import PostBox, post_box

# A real shop on a busy machine takes its time.
pytestmark = [needs("vendure"), pytest.mark.timeout(900)]

PLAIN = ("BAG-1", "BAG-2", "SHOE-38", "SHOE-39", "SCARF", "belt")
ODD = (
    'quoted "name"',
    "back\\slash",
    "with blank",
    "a,b",
    "Größe ¾ 靴",
    "o'clock",
    "x/y",
    "bag-1",
    "S" * 200,
)
VARIANTS: list[dict[str, Any]] = [
    *({"sku": sku, "stock": {"warehouse": 1000}} for sku in (*PLAIN, *ODD, "TWICE", "TWICE")),
    {"sku": "EVENING", "stock": {"warehouse": 3, "flagship": 2}},
    {"sku": "UNCOUNTED", "stock": {"warehouse": 5}, "tracked": False},
    {"sku": "MADE-TO-ORDER", "stock": {"warehouse": 5}, "threshold": -10},
]


class RealBoutique(Counterpart):
    """The shop as the exam needs it. Nobody can order trouble of it."""

    location = "warehouse"
    plain, odd_names = PLAIN, ODD
    duplicate, untracked, oversold = "TWICE", "UNCOUNTED", "MADE-TO-ORDER"
    troubles = frozenset[Trouble]()

    def __init__(self, shop: RealShop, box: PostBox) -> None:
        self._shop, self._box = shop, box
        self.config = VendureConfig(
            "boutique",
            shop.url,
            {"warehouse": shop.ready["locations"]["warehouse"]},
            api_key=shop.ready["apiKey"],
            webhook_secrets=(SECRET,),
            timeout_seconds=15,
        )
        self.username, self.locations = shop.ready["username"], shop.ready["locations"]
        self.secrets = (PASSWORD, SECRET, shop.ready["apiKey"])
        self.staff, self.opened = Staff(shop), list[Channel]()
        self.channel: VendureChannel = self.open(self.config)
        self._shoppers: list[Shopper] = []
        self._mine: set[str] = set()

    def open(self, config: VendureConfig) -> VendureChannel:
        made = VendureChannel(config, WallClock())
        self.opened.append(made)
        return made

    def reader(self) -> Channel:
        return self.open(replace(self.config, read_only=True))

    def stranger(self) -> Channel:
        return self.open(replace(self.config, api_key="", username="superadmin", password="a guess"))

    async def shows(self, sku: str) -> int:
        on_hand, allocated = (await self.staff.levels())[sku]["warehouse"]
        return on_hand - allocated

    async def trouble(self, trouble: Trouble) -> None:
        raise AssertionError("nobody can order trouble of it")

    async def sell(self, units: Mapping[str, int]) -> str:
        shopper = Shopper(self._shop)
        self._shoppers.append(shopper)
        number = await shopper.buy(units)
        assert number
        self._mine.add(number)
        return number

    async def cancel(self, order_id: str) -> None:
        await self.staff.cancel(order_id)

    async def webhooks(self, count: int) -> list[Webhook]:
        mine = [f'"order":"{number}"'.encode() for number in self._mine]
        return await self._box.first(count, lambda webhook: any(each in webhook.body for each in mine))

    async def close(self) -> None:
        for channel in self.opened:
            await channel.close()
        await self.staff.close()
        for person in self._shoppers:
            await person.close()


@pytest.fixture(scope="module")
def shop() -> Iterator[RealShop]:
    with start_real_shop(variants=VARIANTS, locations=("warehouse", "flagship")) as started:
        yield started


@pytest.fixture
async def boutique(shop: RealShop) -> AsyncIterator[RealBoutique]:
    async with post_box() as box:
        shop.post_to(box.url)
        made = RealBoutique(shop, box)
        made.began_at = datetime.now(UTC)
        now = await made.staff.levels()
        whole = {sku: 1000 + now[sku]["warehouse"][1] for sku in (*PLAIN, *ODD)}
        changed = {sku: units for sku, units in whole.items() if now[sku]["warehouse"][0] != units}
        if changed:
            await made.staff.set_on_hand("warehouse", changed)
        yield made
        await made.close()


class TestRealVendure(ChannelExam):
    """What the adapter relies on is so."""

    @pytest.fixture
    async def party(self, boutique: RealBoutique) -> RealBoutique:
        return boutique


async def test_an_administrator_who_signs_in_serves_as_well(boutique: RealBoutique) -> None:
    """A session instead of a key."""
    person = replace(boutique.config, api_key="", username=boutique.username, password=PASSWORD)
    channel = boutique.open(person)
    assert [item.shows for item in await listed(channel, {"BAG-1"})] == [1000]
    assert [finding.severity for finding in await channel.check()] == [Severity.GOOD]


async def test_every_document_fits_the_schema_of_the_shop(boutique: RealBoutique) -> None:
    """With what the plugin adds to it; and the simulated shop promises nothing that the real one has not."""
    told = await boutique.staff.ask(get_introspection_query(input_value_deprecation=True))
    real = build_client_schema(cast(IntrospectionQuery, told))
    for name, document in EVERY.items():
        assert validate(real, parse(document)) == [], name
    for kind in load_schema().type_map.values():
        if not isinstance(kind, (GraphQLObjectType, GraphQLInputObjectType)) or kind.name.startswith("__"):
            continue
        ours, theirs = kind.fields, cast(GraphQLObjectType, real.type_map[kind.name]).fields
        for name, field in ours.items():
            assert str(field.type) == str(theirs[name].type), f"{kind.name}.{name}"


async def test_an_order_lives_at_the_simulated_shop_as_at_the_real_one(boutique: RealBoutique) -> None:
    """Bought over two locations, called off in part, sent, called off: each time the same, seen by us."""
    stock = {"warehouse": 3, "flagship": 2}
    real = boutique.open(replace(boutique.config, locations=boutique.locations))
    seed = {"locations": ["warehouse", "flagship"], "variants": [{"sku": "EVENING", "stock": stock}]}
    with start_vendure(seed) as sandbox:
        simulated = boutique.open(
            replace(
                boutique.config,
                url=sandbox.ready["url"],
                locations=sandbox.ready["locations"],
                api_key=sandbox.ready["api_key"],
            )
        )

        async def seen(channel: VendureChannel, order_id: str) -> tuple[object, ...]:
            order = await channel.order(order_id)
            assert order is not None
            (line,) = order.lines
            shown = {item.location: item.shows for item in await listed(channel, {"EVENING"})}
            return replace(line, line_id="", places=()), set(line.places), shown

        number = await boutique.sell({"EVENING": 4})
        other = sandbox.control("POST", "/orders", {"units": {"EVENING": 4}})["id"]
        assert await seen(real, number) == await seen(simulated, other)
        for what, units in (("cancel", 1), ("send", None), ("cancel", 1)):
            told = {"order": other, "do": what, "units": units}
            sandbox.control("POST", "/orders/change", told)
            if what == "send":
                await boutique.staff.send(number)
            else:
                await boutique.staff.cancel(number, units=units)
            assert await seen(real, number) == await seen(simulated, other), told
