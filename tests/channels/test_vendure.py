"""The Vendure adapter sits the exam, against a simulated shop in its own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.channels.clock import WallClock
from tests.sandbox import Sandbox, start_vendure

from sfsync.channels.config import BadConfigError, ChannelConfig
from sfsync.channels.vendure import VendureChannel
from sfsync.channels.vendure_config import VendureConfig
from sfsync.channels.vendure_orders import read_order
from sfsync.domain.places import LinePlace
from sfsync.ports import Channel, Refused, Severity, TryLater, Unknown, Write
from sfsync.testing import ChannelExam, Counterpart, Trouble, Webhook, listed, new_key, orders, pushed
from sfsync.testing.post_box import PostBox, post_box

PLAIN = ("BAG-1", "BAG-2", "SHOE-38", "SHOE-39", "SCARF", "belt")
ODD = (
    'quoted "name"',
    "back\\slash",
    "with blank",
    "semi;colon",
    "a,b",
    "Größe ¾ 靴",
    "o'clock",
    "x/y",
    "bag-1",
    "S" * 200,
)
MANY = tuple(f"MANY-{number}" for number in range(250))
SEED: dict[str, Any] = {
    "locations": ["warehouse", "flagship"],
    "variants": [
        *({"sku": sku, "stock": {"warehouse": 1000}} for sku in (*PLAIN, *ODD, *MANY, "TWICE", "TWICE")),
        {"sku": "UNCOUNTED", "stock": {"warehouse": 5}, "tracked": False},
        {"sku": "MADE-TO-ORDER", "stock": {"warehouse": 5}, "threshold": -10},
    ],
}
TROUBLES: dict[Trouble, dict[str, Any]] = {
    Trouble.TOO_MUCH: {"kind": "too_many_requests"},
    Trouble.DOWN: {"kind": "unavailable", "seconds": 1},
    Trouble.CUT_BEFORE: {"kind": "cut_before"},
    Trouble.CUT_AFTER: {"kind": "cut_after"},
    Trouble.HALF_ANSWER: {"kind": "half_answer"},
    Trouble.ERROR_AFTER: {"kind": "error_after"},
    Trouble.SILENCE_AFTER: {"kind": "delay_after", "seconds": 60},
    Trouble.NOT_APPLIED: {"kind": "not_applied"},
}


class Boutique(Counterpart):
    """The simulated shop as the exam needs it; its control port is the truth."""

    location = "warehouse"
    plain, odd_names = PLAIN, ODD
    duplicate, untracked, oversold = "TWICE", "UNCOUNTED", "MADE-TO-ORDER"

    def __init__(self, sandbox: Sandbox, box: PostBox, **changes: Any) -> None:
        self._sandbox, self._box = sandbox, box
        ready = sandbox.ready
        known: dict[str, Any] = {
            "name": "boutique",
            "url": ready["url"],
            "locations": {"warehouse": ready["locations"]["warehouse"]},
            "username": ready["username"],
            "password": ready["password"],
            "webhook_secrets": (ready["webhook_secret"],),
            "timeout_seconds": 4,
        }
        self.config = VendureConfig(**known | changes)
        self.secrets = (ready["password"], ready["api_key"], ready["webhook_secret"])
        self.opened: list[Channel] = []
        self.channel: VendureChannel = self.open(self.config)

    def open(self, config: VendureConfig) -> VendureChannel:
        made = VendureChannel(config, WallClock())
        self.opened.append(made)
        return made

    def reader(self) -> Channel:
        return self.open(replace(self.config, read_only=True))

    def stranger(self) -> Channel:
        return self.open(replace(self.config, api_key="", username="somebody", password="a guess"))

    async def tell(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Turn a switch of the shop's, or ask it."""
        url = f"{self._sandbox.ready['control_url']}{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            answer = await http.request(method, url, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def begin(self) -> None:
        """What happened before, in other tests, is none of this one's."""
        await self.tell("DELETE", "/faults")
        await self.tell("POST", "/webhooks", {"url": self._box.url})
        await self.tell("POST", "/stock", dict.fromkeys((*PLAIN, *ODD), 1000))
        await self.later()

    async def later(self, seconds: float = 2.0) -> None:
        """The shop's clock moves on."""
        answer = await self.tell("POST", "/clock", {"seconds": seconds})
        if not hasattr(self, "began_at"):
            self.began_at = datetime.fromtimestamp(answer["now_ms"] / 1000, UTC)

    async def level(self, sku: str, location: str = "warehouse") -> Mapping[str, int]:
        """On hand, allocated, and the difference."""
        found: Mapping[str, int] = (await self.tell("GET", "/levels"))[sku][location]
        return found

    async def shows(self, sku: str) -> int:
        return (await self.level(sku))["shows"]

    async def trouble(self, trouble: Trouble) -> None:
        await self.tell("POST", "/faults", {"match": "updateProductVariants", **TROUBLES[trouble]})

    async def sell(self, units: Mapping[str, int]) -> str:
        return str((await self.tell("POST", "/orders", {"units": units}))["id"])

    async def change(self, order_id: str, what: str, **more: Any) -> None:
        """Something happens to an order."""
        await self.tell("POST", "/orders/change", {"order": order_id, "do": what, **more})

    async def cancel(self, order_id: str) -> None:
        await self.change(order_id, "cancel")

    async def webhooks(self, count: int) -> list[Webhook]:
        return await self._box.first(count)


async def visit(sandbox: Sandbox, **changes: Any) -> AsyncIterator[Boutique]:
    """A shop as one test finds it."""
    async with post_box() as box:
        boutique = Boutique(sandbox, box, **changes)
        await boutique.begin()
        try:
            yield boutique
        finally:
            for channel in boutique.opened:
                await channel.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with start_vendure(SEED) as started:
        yield started


class TestVendure(ChannelExam):
    """An administrator who signs in."""

    @pytest.fixture
    async def party(self, sandbox: Sandbox) -> AsyncIterator[Boutique]:
        async for boutique in visit(sandbox):
            yield boutique

    async def test_it_lists_each_sku_once_with_what_it_shows(self, party: Counterpart) -> None:
        """Beyond the exam: variants on several pages are all read, and many SKUs are asked for at once."""
        await super().test_it_lists_each_sku_once_with_what_it_shows(party)
        items = await listed(party.channel)
        assert {item.sku for item in items} == {each["sku"] for each in SEED["variants"]}
        assert {item.sku for item in await listed(party.channel, MANY)} == set(MANY)


@pytest.fixture
async def boutique(sandbox: Sandbox) -> AsyncIterator[Boutique]:
    async for made in visit(sandbox):
        yield made


def row(sku: str, number: str, quantity: int, compare: int | None = None) -> Write:
    """A number, and the one believed in."""
    return Write(sku, "warehouse", number, "1", quantity=quantity, compare=compare)


async def test_what_is_written_leaves_the_shops_own_allocations_alone(boutique: Boutique) -> None:
    """What shoppers have bought is theirs: shown is what we say, on hand is that and what is allocated."""
    await boutique.sell({"BAG-1": 3})
    (item,) = await listed(boutique.channel, {"BAG-1"})
    assert item.shows == 997
    body = boutique.channel.encode(new_key(), [row("BAG-1", item.item_id, 5, compare=997)])
    assert (await pushed(boutique.channel, body)).applied
    assert await boutique.level("BAG-1") == {"on_hand": 8, "allocated": 3, "shows": 5}


async def test_sales_during_compared_pushes_are_lost_to_neither(boutique: Boutique) -> None:
    """A sale before the comparison stops the push; one after it is kept apart: none is gone over."""
    (item,) = await listed(boutique.channel, {"BAG-1"})
    lowered, believed = 0, 1000
    for _ in range(10):
        body = boutique.channel.encode(
            new_key(), [row("BAG-1", item.item_id, believed - 1, compare=believed)]
        )
        answer, _ = await asyncio.gather(boutique.channel.push(body), boutique.sell({"BAG-1": 1}))
        assert answer.applied != bool(answer.stale_rows)
        lowered += answer.applied
        believed = await boutique.shows("BAG-1")
    assert believed == 1000 - 10 - lowered


@pytest.mark.parametrize("kind", ["cut_after", "cut_before"])
async def test_a_repeated_push_tells_its_own_effect_from_a_sale(boutique: Boutique, kind: str) -> None:
    """An answer is lost, one piece is sold, and the number shown is then the one that was to be written.

    Whether it was written is read from what is on hand, which no sale changes; and so the same bytes again
    are taken for done when they were, and are stopped by the sale when they were not.
    """
    (item,) = await listed(boutique.channel, {"BAG-1"})
    body = boutique.channel.encode(new_key(), [row("BAG-1", item.item_id, 999, compare=1000)])
    await boutique.tell("POST", "/faults", {"match": "updateProductVariants", "kind": kind})
    with pytest.raises(Unknown):
        await boutique.channel.push(body)
    await boutique.sell({"BAG-1": 1})
    answer = await boutique.channel.push(body)
    if kind == "cut_after":
        assert (answer.applied, answer.stale_rows) == (True, frozenset())
        assert await boutique.shows("BAG-1") == 998
    else:
        assert (answer.applied, answer.stale_rows) == (False, frozenset({0}))
        assert await boutique.shows("BAG-1") == 999


async def test_a_push_of_a_former_run_is_not_taken_for_done_because_of_its_number(boutique: Boutique) -> None:
    """After a restart nobody remembers what was on hand: a number that is not believed in is read again."""
    (item,) = await listed(boutique.channel, {"BAG-1"})
    body = boutique.channel.encode(new_key(), [row("BAG-1", item.item_id, 999, compare=1000)])
    await boutique.sell({"BAG-1": 1})
    restarted = boutique.open(boutique.config)
    assert (await restarted.push(body)).stale_rows == {0}
    assert await boutique.level("BAG-1") == {"on_hand": 1000, "allocated": 1, "shows": 999}


async def test_a_number_below_zero_is_told_as_it_is_and_mended(boutique: Boutique) -> None:
    """More sold than there is: it is a debt, and zero is written over it."""
    await boutique.sell({"BAG-1": 7})
    await boutique.channel.push(boutique.channel.encode(new_key(), [row("BAG-1", "1", 0)]))
    body = boutique.channel.encode(new_key(), [row("BAG-1", "1", -3)])
    assert (await boutique.channel.push(body)).applied
    (item,) = await listed(boutique.channel, {"BAG-1"})
    assert item.shows == -3
    body = boutique.channel.encode(new_key(), [row("BAG-1", "1", 0, compare=-3)])
    assert (await boutique.channel.push(body)).applied
    assert await boutique.level("BAG-1") == {"on_hand": 7, "allocated": 7, "shows": 0}


async def test_a_shop_that_has_allocated_less_than_nothing_shows_what_it_should(boutique: Boutique) -> None:
    """It forgot to count orders that were cancelled then: on hand goes below zero, for the rest counts."""
    await boutique.sell({"BAG-1": 1})
    await boutique.tell("POST", "/allocated", {"BAG-1": -2})
    (item,) = await listed(boutique.channel, {"BAG-1"})
    assert item.shows == 1002
    body = boutique.channel.encode(new_key(), [row("BAG-1", item.item_id, 0, compare=1002)])
    assert (await boutique.channel.push(body)).applied
    assert await boutique.level("BAG-1") == {"on_hand": -2, "allocated": -2, "shows": 0}


async def test_a_shop_that_fails_inside_has_written_nothing(boutique: Boutique) -> None:
    """A mutation is one transaction there: it is tried later, and no row is to blame."""
    await boutique.tell("POST", "/faults", {"match": "updateProductVariants", "kind": "internal_error"})
    body = boutique.channel.encode(new_key(), [row("BAG-1", "1", 7)])
    with pytest.raises(TryLater):
        await boutique.channel.push(body)
    assert await boutique.shows("BAG-1") == 1000


async def test_a_session_that_has_ended_is_begun_anew(boutique: Boutique) -> None:
    """Nobody notices: neither a reading nor a push, nor several at once."""
    assert await listed(boutique.channel, {"BAG-1"})
    await boutique.tell("DELETE", "/sessions")
    body = boutique.channel.encode(new_key(), [row("BAG-1", "1", 7)])
    answers = await asyncio.gather(
        listed(boutique.channel, {"BAG-1"}), boutique.channel.push(body), listed(boutique.channel, {"BAG-2"})
    )
    assert all(answers)
    assert await boutique.shows("BAG-1") == 7


async def test_an_api_key_serves_as_well(sandbox: Sandbox) -> None:
    """Without a session; one that is not accepted is told with what to do, and not shown."""
    ready = sandbox.ready
    async for boutique in visit(sandbox, api_key=ready["api_key"], username="", password=""):
        assert [item.shows for item in await listed(boutique.channel, {"BAG-1"})] == [1000]
        stranger = boutique.open(replace(boutique.config, api_key="another"))
        (finding,) = await stranger.check()
        assert finding.severity is Severity.FATAL
        assert "api_key_file" in finding.remedy
        assert "another" not in f"{finding.what} {finding.remedy}"


async def test_a_location_that_the_shop_does_not_have_is_found_by_the_check(boutique: Boutique) -> None:
    """With those that it has."""
    wrong = boutique.open(replace(boutique.config, locations={"warehouse": "1", "atelier": "77"}))
    (finding,) = await wrong.check()
    assert finding.severity is Severity.FATAL
    assert "77" in finding.what
    assert "2 (flagship)" in finding.remedy


async def test_an_order_that_was_sent_is_fulfilled_and_changes_no_number(boutique: Boutique) -> None:
    """Both of the shop's numbers fall, and the difference stays."""
    number = await boutique.sell({"BAG-1": 3})
    await boutique.change(number, "send", units=2)
    (order,) = await orders(boutique.channel, boutique.began_at)
    (line,) = order.lines
    assert (line.open_quantity, line.fulfilled_quantity, line.taken_quantity) == (1, 2, 3)
    assert await boutique.level("BAG-1") == {"on_hand": 998, "allocated": 1, "shows": 997}


async def test_a_unit_that_was_sent_and_called_off_has_come_back(boutique: Boutique) -> None:
    """The shop puts it on hand again, and so it is off its number no more."""
    number = await boutique.sell({"BAG-1": 3})
    await boutique.change(number, "send")
    await boutique.change(number, "cancel", units=1)
    (order,) = await orders(boutique.channel, boutique.began_at)
    (line,) = order.lines
    assert (line.open_quantity, line.fulfilled_quantity, line.returned_quantity) == (0, 3, 1)
    assert line.taken_quantity == 1000 - await boutique.shows("BAG-1") == 2
    ((left, sent, _),) = [(each.at, each.units, each.place) for each in line.left]
    ((back, units, _),) = [(each.at, each.units, each.place) for each in line.came_back]
    assert (sent, units) == (3, 1)
    assert boutique.began_at.replace(microsecond=0) <= left <= back <= order.version


async def test_what_came_back_came_back_to_the_location_that_it_was_sent_from(sandbox: Sandbox) -> None:
    """Twice, and each time by itself."""
    ids = sandbox.ready["locations"]
    places = {"counter": ids["flagship"], "warehouse": ids["warehouse"]}
    async for boutique in visit(sandbox, locations=places):
        number = await boutique.sell({"BAG-1": 3})
        await boutique.change(number, "send")
        for _ in range(2):
            await boutique.change(number, "cancel", units=1)
        (order,) = await orders(boutique.channel, boutique.began_at)
        (line,) = order.lines
        (place,) = line.places
        assert [(each.units, each.place) for each in line.left] == [(3, place.location)]
        assert [(each.units, each.place) for each in line.came_back] == [(1, place.location)] * 2
        assert place.returned_quantity == 2


async def test_a_unit_called_off_before_it_was_sent_is_neither_open_nor_taken(boutique: Boutique) -> None:
    """The rest of the line is what it was."""
    number = await boutique.sell({"BAG-1": 3})
    await boutique.change(number, "cancel", units=1)
    (order,) = await orders(boutique.channel, boutique.began_at)
    (line,) = order.lines
    assert (line.open_quantity, line.taken_quantity, line.taken_in_doubt) == (2, 2, False)
    assert await boutique.shows("BAG-1") == 998


async def test_a_cart_is_no_order(boutique: Boutique) -> None:
    """Nothing is sold before it is paid."""
    number = (await boutique.tell("POST", "/orders", {"units": {"BAG-1": 1}, "pay": False}))["id"]
    assert await orders(boutique.channel, boutique.began_at) == []
    assert await boutique.channel.order(number) is None
    assert await boutique.channel.order("404404") is None


async def test_a_line_stands_where_the_shop_has_allocated_it(sandbox: Sandbox) -> None:
    """Over two locations, of which each takes what it has; the shop may count more than was bought."""
    ids = sandbox.ready["locations"]
    places = {"counter": ids["flagship"], "warehouse": ids["warehouse"]}
    async for boutique in visit(sandbox, locations=places):
        body = boutique.channel.encode(
            new_key(),
            [
                Write("BAG-1", "warehouse", "1", places["warehouse"], quantity=3),
                Write("BAG-1", "counter", "1", places["counter"], quantity=2),
            ],
        )
        assert (await boutique.channel.push(body)).applied
        await boutique.sell({"BAG-1": 4})
        (order,) = await orders(boutique.channel, boutique.began_at)
        (line,) = order.lines
        assert line.routed
        assert line.open_quantity == 4
        assert line.places == (
            LinePlace("warehouse", open_quantity=3, taken_quantity=3),
            LinePlace("counter", open_quantity=1, taken_quantity=2),
        )
        assert {item.location: item.shows for item in await listed(boutique.channel, {"BAG-1"})} == {
            "warehouse": 0,
            "counter": 0,
        }


async def test_a_cancellation_is_paid_back_when_that_is_wanted(boutique: Boutique) -> None:
    """Once: the order is cancelled, and its payment refunded."""
    number = await boutique.sell({"BAG-1": 2})
    await boutique.channel.cancel_order(number, refund=True, notify=False, note="none left")
    told = await boutique.channel._client.read("{ orders { items { id payments { refunds { total } } } } }")
    (mine,) = [each for each in told["orders"]["items"] if each["id"] == number]
    assert mine["payments"] == [{"refunds": [{"total": 2000}]}]


async def test_a_cancellation_that_the_shop_refuses_changes_no_number(boutique: Boutique) -> None:
    """What was taken off before is put back; of an order that has left, nothing is touched."""
    number = await boutique.sell({"BAG-1": 2})
    await boutique.change(number, "send", units=1)
    with pytest.raises(Refused, match="goods have left"):
        await boutique.channel.cancel_order(number, refund=False, notify=False, note="none left")
    assert await boutique.shows("BAG-1") == 998


async def test_a_webhook_that_was_lost_is_made_up_for_by_the_order_list(boutique: Boutique) -> None:
    """The list goes by the last change of anything: what was sent long after the sale is told too."""
    await boutique.tell("POST", "/faults", {"kind": "lose", "times": 0})
    number = await boutique.sell({"BAG-1": 2})
    await boutique.later(3600)
    since = boutique.began_at.timestamp() + 1800
    assert await orders(boutique.channel, datetime.fromtimestamp(since, UTC)) == []
    await boutique.change(number, "send")
    (order,) = await orders(boutique.channel, datetime.fromtimestamp(since, UTC))
    assert [line.fulfilled_quantity for line in order.lines] == [2]


async def test_an_order_that_the_shop_has_allocated_nothing_for_can_be_cancelled() -> None:
    """Its stock was gone when it was paid: there is nothing to take off a number first."""
    seed = {"variants": [{"sku": "UNSTOCKED", "stock": {}, "tracked": False}]}
    with start_vendure(seed) as bare:
        async for boutique in visit(bare):
            number = await boutique.sell({"UNSTOCKED": 1})
            await boutique.channel.cancel_order(number, refund=True, notify=False, note="none left")
            order = await boutique.channel.order(number)
            assert order is not None
            assert [(line.open_quantity, line.taken_quantity) for line in order.lines] == [(0, 0)]


def test_a_configuration_tells_all_its_mistakes_at_once() -> None:
    """Each with the key that mends it, and without a secret."""
    options = {"locations": {"a": "1", "b": "1"}, "username": "me", "colour": "red"}
    with pytest.raises(BadConfigError) as caught:
        VendureConfig.of(ChannelConfig("boutique", "vendure", "http://shop.example.com", options))
    assert {key for key, _ in caught.value.problems} == {
        "api_key",
        "locations",
        "webhook_secrets",
        "url",
        "colour",
    }


async def test_a_shop_that_miscounts_has_its_number_read() -> None:
    """Two orders, one of them counted: what it took off its number only the number tells."""
    with start_vendure(SEED, knobs=("miscounts=true",)) as forgetful:
        async for boutique in visit(forgetful):
            await boutique.sell({"BAG-1": 1})
            await boutique.sell({"BAG-1": 1})
            found = await orders(boutique.channel, boutique.began_at)
            assert [line.taken_in_doubt for order in found for line in order.lines] == [True, True]
            assert await boutique.shows("BAG-1") == 999


def test_a_line_that_the_shop_has_allocated_nothing_for_is_open_and_took_nothing() -> None:
    """Sold beyond its stock: it is owed all the same."""
    snapshot = read_order(
        "boutique",
        {
            "id": "9",
            "code": "NINE",
            "state": "PaymentSettled",
            "orderPlacedAt": "2026-11-27T18:02:22.129Z",
            "sfsyncChangedAt": "2026-11-27T18:02:22.000Z",
            "lines": [
                {
                    "id": "1",
                    "quantity": 2,
                    "productVariant": {"sku": "BAG-1"},
                    "sfsyncPlaces": [],
                    "fulfillmentLines": [],
                }
            ],
        },
        {"1": "warehouse", "2": "counter"},
        routes=True,
    )
    assert snapshot is not None
    (line,) = snapshot.lines
    assert (line.open_quantity, line.taken_quantity, line.taken_in_doubt) == (2, 0, True)
    assert line.places == (LinePlace("warehouse", open_quantity=2),)
