"""The Mirakl adapter sits the exam, against a simulated marketplace in its own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.channels.clock import HandClock, WallClock
from tests.sandbox import Sandbox, start_market

from sfsync.channels.config import BadConfigError, ChannelConfig
from sfsync.channels.mirakl import MiraklChannel
from sfsync.channels.mirakl_config import MiraklConfig
from sfsync.channels.mirakl_orders import read_order
from sfsync.domain.moments import Moment
from sfsync.ports import Channel, Refused, TryLater, Write
from sfsync.testing import ChannelExam, Counterpart, Trouble, listed, new_key, orders, pushed

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
)
MANY = tuple(f"MANY-{number}" for number in range(250))
SEED = {"offers": dict.fromkeys((*PLAIN, *ODD, *MANY), 1000)}
AT_ONCE = ("imports_every=0", "status_every=0", "orders_every=0", "returns_every=0")
OTHERWISE = (
    *AT_ONCE,
    "import_takes=0.05",
    "sku_filter=list",
    "status_key=import_status",
    "report_base=2",
    "retry_after=false",
    "falls_at=acceptance",
    "cancel_lowers_quantity=true",
)
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


class Market(Counterpart):
    """The simulated marketplace as the exam needs it; its control port is the truth."""

    location = "warehouse"
    plain = PLAIN
    odd_names = ODD

    def __init__(self, sandbox: Sandbox, **changes: Any) -> None:
        self._sandbox = sandbox
        known: dict[str, Any] = {
            "name": "bazaar",
            "url": sandbox.ready["url"],
            "api_key": sandbox.ready["api_key"],
            "location": "warehouse",
            "imports_every_seconds": 0.0,
            "status_every_seconds": 0.02,
            "timeout_seconds": 4,
        }
        self.config = MiraklConfig(**known | changes)
        self.secrets = (sandbox.ready["api_key"],)
        self.opened: list[Channel] = []
        self.channel: MiraklChannel = self.open(self.config)

    def open(self, config: MiraklConfig) -> MiraklChannel:
        made = MiraklChannel(config, WallClock())
        self.opened.append(made)
        return made

    def reader(self) -> Channel:
        return self.open(replace(self.config, read_only=True))

    def stranger(self) -> Channel:
        return self.open(replace(self.config, api_key="a key of nobody"))

    async def tell(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Turn a switch of the marketplace's, or ask it."""
        url = f"{self._sandbox.ready['control_url']}{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            answer = await http.request(method, url, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def begin(self) -> None:
        """What happened before, in other tests, is none of this one's."""
        await self.tell("DELETE", "/faults")
        await self.tell("POST", "/stock", dict.fromkeys((*PLAIN, *ODD), 1000))
        await self.later()

    async def later(self, seconds: float = 2.0) -> None:
        """The marketplace's clock moves on."""
        answer = await self.tell("POST", "/clock", {"seconds": seconds})
        if not hasattr(self, "began_at"):
            self.began_at = datetime.fromtimestamp(answer["now_ms"] / 1000, UTC)

    async def shows(self, sku: str) -> int:
        return int((await self.tell("GET", "/offers"))[sku])

    async def trouble(self, trouble: Trouble) -> None:
        await self.tell("POST", "/faults", {"match": "STO01", **TROUBLES[trouble]})

    async def sell(self, units: Mapping[str, int]) -> str:
        order = await self.tell("POST", "/orders", {"units": units})
        if self.config.falls_at == "acceptance":
            await self.change(order["id"], "accept")
        return str(order["id"])

    async def change(self, order_id: str, what: str, **more: Any) -> None:
        """Something happens to an order."""
        await self.tell("POST", "/orders/change", {"order": order_id, "do": what, **more})

    async def cancel(self, order_id: str) -> None:
        await self.change(order_id, "cancel")


async def visit(sandbox: Sandbox, **changes: Any) -> AsyncIterator[Market]:
    """A marketplace as one test finds it."""
    market = Market(sandbox, **changes)
    await market.begin()
    try:
        yield market
    finally:
        for channel in market.opened:
            await channel.close()


@pytest.fixture(scope="module")
def bazaar() -> Iterator[Sandbox]:
    with start_market(SEED, knobs=AT_ONCE) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def souk() -> Iterator[Sandbox]:
    with start_market(SEED, knobs=OTHERWISE) as sandbox:
        yield sandbox


class TestMirakl(ChannelExam):
    """As we think that it is."""

    @pytest.fixture
    async def party(self, bazaar: Sandbox) -> AsyncIterator[Market]:
        async for market in visit(bazaar):
            yield market

    async def test_it_lists_each_sku_once_with_what_it_shows(self, party: Counterpart) -> None:
        """Beyond the exam: offers on several pages are all read, and many SKUs are asked for at once."""
        await super().test_it_lists_each_sku_once_with_what_it_shows(party)
        items = await listed(party.channel)
        assert {item.sku for item in items} == set(SEED["offers"])
        assert {item.sku for item in await listed(party.channel, MANY)} == set(MANY)


class TestMiraklOtherwise(ChannelExam):
    """As it may be too, wherever the documents are silent."""

    @pytest.fixture
    async def party(self, souk: Sandbox) -> AsyncIterator[Market]:
        async for market in visit(souk, falls_at="acceptance"):
            yield market


@pytest.fixture
async def market(bazaar: Sandbox) -> AsyncIterator[Market]:
    async for made in visit(bazaar):
        yield made


def row(sku: str, quantity: int) -> Write:
    """A plain number."""
    return Write(sku, "warehouse", "1", "", quantity=quantity)


async def test_the_lines_of_a_file_stand_for_themselves(market: Market) -> None:
    """The bad ones are named by their place, with the marketplace's words; the good ones are imported."""
    body = market.channel.encode(new_key(), [row("BAG-1", 7), row("gone", 1), row("BAG-2", 8), row("g;o", 1)])
    answer = await pushed(market.channel, body)
    assert answer.applied
    assert dict(answer.bad_rows) == dict.fromkeys((1, 3), "No offer of the shop has this SKU")
    assert (await market.shows("BAG-1"), await market.shows("BAG-2")) == (7, 8)


@pytest.fixture
async def with_returns() -> AsyncIterator[Market]:
    """Whose returns every other test would hear of."""
    with start_market(SEED, knobs=AT_ONCE) as sandbox:
        async for made in visit(sandbox):
            yield made


async def test_what_came_back_is_told_and_not_counted_as_returned(with_returns: Market) -> None:
    """Once the shop has received it, and a return that nobody has received is none."""
    market = with_returns
    sold = [await market.sell({"BAG-1": 2}) for _ in range(3)]
    for number in sold:
        await market.change(number, "accept")
        await market.change(number, "ship")
        await market.change(number, "send_back", units=1)
    await market.later(3600)  # a quarter of an hour counts as now
    channel = market.open(replace(market.config, returns_every_seconds=0.01))
    since = datetime.fromtimestamp(market.began_at.timestamp() + 3600, UTC)
    assert [order async for page in channel.orders_since(since) for order in page] == []
    await market.change(sold[0], "take_back")
    await market.change(sold[1], "take_back", state="NO_RECEPTION")
    (order,) = [order async for page in channel.orders_since(since) for order in page]
    (line,) = order.lines
    assert (order.order_id, line.fulfilled_quantity, line.returned_quantity) == (sold[0], 2, 0)
    assert [each.units for each in line.came_back] == [1]
    assert [order async for page in channel.orders_since(since) for order in page] == [], "it is told once"
    found = await channel.order(sold[0])
    assert found is not None
    assert found.lines[0].came_back == line.came_back


async def test_a_marketplace_without_returns_tells_of_its_orders(market: Market) -> None:
    """Whatever becomes of that question, no order waits for it."""
    for fault in ("unavailable", "wrong_credential", "half_answer"):
        await market.tell("POST", "/faults", {"match": "RT11", "kind": fault})
        number = await market.sell({"BAG-1": 1})
        channel = market.open(market.config)
        told = {each.order_id async for page in channel.orders_since(market.began_at) for each in page}
        assert number in told


async def test_a_file_that_failed_as_a_whole_was_not_applied(souk: Sandbox) -> None:
    """None of its numbers was written, and none of its lines is to blame."""
    async for market in visit(souk, falls_at="acceptance"):
        body = market.channel.encode(new_key(), [row("BAG-1", 7)])
        ticket = (await market.channel.push(body)).ticket
        await market.tell("POST", "/imports/fail", {})
        answer = None
        while answer is None:
            answer = await market.channel.outcome(ticket, body)
        assert (answer.applied, dict(answer.bad_rows)) == (False, {})
        assert "FAILED" in answer.reason
        assert await market.shows("BAG-1") == 1000


async def test_a_ticket_of_nobody_is_refused(market: Market) -> None:
    """Then the numbers must be read."""
    with pytest.raises(Refused):
        await market.channel.outcome("no/such import", market.channel.encode(new_key(), [row("BAG-1", 7)]))


async def test_an_order_that_was_sent_is_fulfilled(market: Market) -> None:
    """Accepted, then shipped: its units have left."""
    number = await market.sell({"BAG-1": 2})
    await market.change(number, "accept")
    await market.change(number, "ship")
    (order,) = await orders(market.channel, market.began_at)
    (line,) = order.lines
    assert (line.open_quantity, line.fulfilled_quantity) == (0, 2)
    assert [left.units for left in line.left] == [2]
    assert market.began_at.replace(microsecond=0) <= line.left[0].at <= order.version


@pytest.mark.parametrize("told", ["2026-11-23T17:00:00Z", None])
def test_goods_left_when_the_line_was_shipped_whenever_it_was_received(told: str | None) -> None:
    """Shipped at five, received the next day; where the marketplace does not say when, nobody knows."""
    line = {"order_line_id": "C1-1", "offer_sku": "BAG-1", "quantity": 2, "shipped_date": told}
    moments = {"created_date": "2026-11-23T08:00:00Z", "last_updated_date": "2026-11-24T12:00:00Z"}
    order = {"order_id": "C1", "order_state": "RECEIVED", "order_lines": [line], **moments}
    (read,) = read_order("souk", order, falls_at="order").lines
    expected = (Moment(datetime(2026, 11, 23, 17, tzinfo=UTC), 2),) if told else ()
    assert (read.fulfilled_quantity, read.left) == (2, expected)


async def test_an_order_that_waits_to_be_accepted_keeps_its_units(souk: Sandbox) -> None:
    """They are promised to the customer; the marketplace's own number falls when the shop accepts."""
    async for market in visit(souk, falls_at="acceptance"):
        number = (await market.tell("POST", "/orders", {"units": {"BAG-1": 2}, "staging": True}))["id"]
        (order,) = await orders(market.channel, market.began_at)
        assert [(line.open_quantity, line.taken_quantity) for line in order.lines] == [(2, 0)]
        assert await market.shows("BAG-1") == 1000
        await market.change(number, "accept")
        (order,) = await orders(market.channel, market.began_at)
        assert [(line.open_quantity, line.taken_quantity) for line in order.lines] == [(2, 2)]


async def test_a_line_that_was_called_off_in_part_stays_whole_and_its_number_is_read(market: Market) -> None:
    """Nobody says whether its quantity is still the old one: no unit is given free that may be owed."""
    number = await market.sell({"BAG-1": 3})
    await market.change(number, "cancel", units=1)
    (order,) = await orders(market.channel, market.began_at)
    (line,) = order.lines
    assert (line.open_quantity, line.taken_in_doubt) == (3, True)


async def test_the_marketplace_says_how_long_to_wait() -> None:
    """One stock file a minute, a status each 15 seconds: whoever asks sooner is turned away, with a time."""
    with start_market(SEED) as sandbox:
        async for market in visit(sandbox):
            body = market.channel.encode(new_key(), [row("BAG-1", 7)])
            ticket = (await market.channel.push(body)).ticket
            with pytest.raises(TryLater) as caught:
                await market.channel.push(body)
            assert 0 < (caught.value.after_seconds or 0) <= 60
            assert (await market.channel.outcome(ticket, body)) is not None
            with pytest.raises(TryLater) as caught:
                await market.channel.outcome(ticket, body)
            assert 0 < (caught.value.after_seconds or 0) <= 15
            await market.later(60)
            assert (await market.channel.push(body)).ticket


async def test_a_second_file_within_a_minute_is_not_even_sent() -> None:
    """What is due meanwhile goes with the next one, as it is then."""
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(201, json={"import_id": "1"})

    clock = HandClock()
    config = MiraklConfig("bazaar", "https://bazaar.example.com", "hush", "warehouse")
    channel = MiraklChannel(config, clock, transport=httpx.MockTransport(answer))
    body = channel.encode(new_key(), [row("BAG-1", 7)])
    await channel.push(body)
    with pytest.raises(TryLater) as caught:
        await channel.push(body)
    assert caught.value.after_seconds == 60
    await clock.sleep(60)
    await channel.push(body)
    assert len(sent) == 2
    assert sent[0].content == sent[1].content


async def test_a_list_waits_for_as_long_as_the_marketplace_asks() -> None:
    """Its second page is read after the wait; the first is not begun anew."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/returns":
            return httpx.Response(404)
        asked.append(request.url.params["offset"])
        if len(asked) == 2:
            return httpx.Response(429, headers={"Retry-After": "7"})
        return httpx.Response(200, json={"orders": [{}], "total_count": 2})

    clock = HandClock()
    config = MiraklConfig("bazaar", "https://bazaar.example.com", "hush", "warehouse")
    channel = MiraklChannel(config, clock, transport=httpx.MockTransport(answer))
    found = await orders(channel, clock.now())  # neither can be read, and neither hides the other
    assert ["order_id" in each.unreadable for each in found] == [True, True]
    assert asked == ["0", "1", "1"]
    assert clock.slept == [7]


def test_a_configuration_tells_all_its_mistakes_at_once() -> None:
    """Each with the key that mends it, and without the secret."""
    with pytest.raises(BadConfigError) as caught:
        MiraklConfig.of(
            ChannelConfig(
                "bazaar", "mirakl", "http://bazaar.example.com", {"falls_at": "dawn", "colour": "red"}
            )
        )
    assert {key for key, _ in caught.value.problems} == {"api_key", "location", "falls_at", "url", "colour"}
