"""The Amazon adapter sits the exam, against a simulated store in its own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.channels.clock import HandClock, WallClock
from tests.sandbox import Sandbox, start_amazon

from sfsync.channels.amazon import AmazonChannel
from sfsync.channels.amazon_config import AmazonConfig
from sfsync.channels.config import BadConfigError, ChannelConfig
from sfsync.ports import Channel, PushAnswer, Refused, TryLater, Unknown, Write
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
    "L" * 200,
)
MANY = tuple(f"MANY-{number}" for number in range(45))
SEED = {"listings": dict.fromkeys((*PLAIN, *ODD, *MANY, "FBA-1"), 1000), "by_amazon": ["FBA-1"]}
AT_ONCE = ("limits=false",)
OTHERWISE = (
    *AT_ONCE,
    "rate_header=false",
    "patch_takes=0.05",
    "feed_takes=0.1",
    "feed_lands=0.05",
    "report_gzip=false",
    "report_always=false",
    "unknown_sku=404",
    "pending_tells=false",
    "token_seconds=62",
)
LANDS = {"amazon": 0.02, "otherwise": 0.2}  # seconds, at least what the knobs say
TROUBLES: dict[Trouble, dict[str, Any]] = {
    Trouble.TOO_MUCH: {"kind": "too_many_requests"},
    Trouble.DOWN: {"kind": "unavailable"},
    Trouble.CUT_BEFORE: {"kind": "cut_before"},
    Trouble.CUT_AFTER: {"kind": "cut_after"},
    Trouble.HALF_ANSWER: {"kind": "half_answer"},
    Trouble.ERROR_AFTER: {"kind": "error_after"},
    Trouble.SILENCE_AFTER: {"kind": "delay_after", "seconds": 60},
    Trouble.NOT_APPLIED: {"kind": "not_applied"},
}


class Store(Counterpart):
    """The simulated store as the exam needs it; its control port is the truth."""

    location = "warehouse"
    plain = PLAIN
    odd_names = ODD
    untracked = "FBA-1"

    def __init__(self, sandbox: Sandbox, **changes: Any) -> None:
        self._sandbox, ready = sandbox, sandbox.ready
        known: dict[str, Any] = {
            "name": "amazon",
            "url": ready["url"],
            "auth_url": ready["url"],
            "location": "warehouse",
            "landing_seconds": 0.02,
            "outcome_every_seconds": 0.02,
            "timeout_seconds": 4,
        }
        known |= {key: ready[key] for key in ("seller_id", "marketplace_id", "client_id", "client_secret")}
        self.config = AmazonConfig(**known | {"refresh_token": ready["refresh_token"]} | changes)
        self.secrets = (ready["client_secret"], ready["refresh_token"])
        self.opened: list[Channel] = []
        self.channel: AmazonChannel = self.open(self.config)

    def open(self, config: AmazonConfig) -> AmazonChannel:
        made = AmazonChannel(config, WallClock())
        self.opened.append(made)
        return made

    def reader(self) -> Channel:
        return self.open(replace(self.config, read_only=True))

    def stranger(self) -> Channel:
        return self.open(replace(self.config, refresh_token="Atzr|of nobody"))

    async def tell(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Turn a switch of the store's, or ask it."""
        url = f"{self._sandbox.ready['control_url']}{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            answer = await http.request(method, url, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def begin(self) -> None:
        """What happened before, in other tests, is none of this one's."""
        await self.tell("DELETE", "/faults")
        await self.tell("POST", "/stock", dict.fromkeys((*PLAIN, *ODD, *MANY), 1000))
        await self.later()

    async def later(self, seconds: float = 2.0) -> None:
        """The store's clock moves on."""
        answer = await self.tell("POST", "/clock", {"seconds": seconds})
        if not hasattr(self, "began_at"):
            self.began_at = datetime.fromtimestamp(answer["now_ms"] / 1000, UTC)

    async def shows(self, sku: str) -> int:
        return int((await self.tell("GET", "/listings"))[sku])

    async def trouble(self, trouble: Trouble) -> None:
        await self.fault("patchListingsItem", **TROUBLES[trouble])

    async def fault(self, operation: str, **how: Any) -> None:
        """Let an operation meet trouble."""
        await self.tell("POST", "/faults", {"match": operation, **how})

    async def sell(self, units: Mapping[str, int], **more: Any) -> str:
        return str((await self.tell("POST", "/orders", {"units": units, **more}))["id"])

    async def change(self, order_id: str, what: str, **more: Any) -> None:
        """Something happens to an order."""
        await self.tell("POST", "/orders/change", {"order": order_id, "do": what, **more})

    async def cancel(self, order_id: str) -> None:
        await self.change(order_id, "cancel")


async def visit(sandbox: Sandbox, **changes: Any) -> AsyncIterator[Store]:
    """A store as one test finds it."""
    store = Store(sandbox, **changes)
    await store.begin()
    try:
        yield store
    finally:
        for channel in store.opened:
            await channel.close()


@pytest.fixture(scope="module")
def amazon() -> Iterator[Sandbox]:
    with start_amazon(SEED, knobs=AT_ONCE) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def otherwise() -> Iterator[Sandbox]:
    with start_amazon(SEED, knobs=OTHERWISE) as sandbox:
        yield sandbox


class TestAmazon(ChannelExam):
    """As we think that it is."""

    @pytest.fixture
    async def party(self, amazon: Sandbox) -> AsyncIterator[Store]:
        async for store in visit(amazon):
            yield store

    async def test_it_lists_each_sku_once_with_what_it_shows(self, party: Counterpart) -> None:
        """Beyond the exam: listings on several pages are all read."""
        await super().test_it_lists_each_sku_once_with_what_it_shows(party)
        assert {item.sku for item in await listed(party.channel)} == set(SEED["listings"])
        assert {item.sku for item in await listed(party.channel, MANY)} == set(MANY)


class TestAmazonOtherwise(ChannelExam):
    """As it may be too, wherever the documents are silent."""

    @pytest.fixture
    async def party(self, otherwise: Sandbox) -> AsyncIterator[Store]:
        async for store in visit(otherwise, landing_seconds=LANDS["otherwise"]):
            yield store


@pytest.fixture
async def store(amazon: Sandbox) -> AsyncIterator[Store]:
    async for made in visit(amazon):
        yield made


def row(sku: str, quantity: int) -> Write:
    """A plain number."""
    return Write(sku, "warehouse", sku, "DEFAULT", quantity=quantity)


@pytest.mark.parametrize("place", ["amazon", "otherwise"])
async def test_many_numbers_go_as_a_feed_whose_report_names_the_bad_ones(
    place: str, request: pytest.FixtureRequest
) -> None:
    """One feed, no patch; a warning is no error."""
    async for store in visit(request.getfixturevalue(place), landing_seconds=LANDS[place]):
        rows = [row(sku, 7) for sku in MANY]
        rows[3], rows[5] = row("gone", 7), row("FBA-1", 7)
        feeds = len(await store.tell("GET", "/feeds"))
        answer = await pushed(store.channel, store.channel.encode(new_key(), rows))
        assert answer.applied
        assert set(answer.bad_rows) == {3, 5}
        assert "fulfilled by Amazon" in answer.bad_rows[5]
        assert [each["messages"] for each in (await store.tell("GET", "/feeds"))[feeds:]] == [len(MANY)]
        good = [sku for place, sku in enumerate(MANY) if place not in (3, 5)]
        assert {await store.shows(sku) for sku in good} == {7}


@pytest.mark.parametrize("place", ["amazon", "otherwise"])
async def test_a_feed_without_errors_is_applied(place: str, request: pytest.FixtureRequest) -> None:
    """With a report or without."""
    async for store in visit(request.getfixturevalue(place), landing_seconds=LANDS[place]):
        body = store.channel.encode(new_key(), [row(sku, 8) for sku in MANY])
        assert await pushed(store.channel, body) == PushAnswer(applied=True)


async def test_a_feed_that_failed_as_a_whole_was_not_applied(otherwise: Sandbox) -> None:
    """None of its numbers was written, and none of its rows is to blame."""
    async for store in visit(otherwise, landing_seconds=LANDS["otherwise"]):
        body = store.channel.encode(new_key(), [row(sku, 9) for sku in MANY])
        ticket = (await store.channel.push(body)).ticket
        await store.tell("POST", "/feeds/fail", {})
        answer = None
        while answer is None:
            answer = await store.channel.outcome(ticket, body)
        assert (answer.applied, dict(answer.bad_rows)) == (False, {})
        assert await store.shows(MANY[0]) == 1000


async def test_a_feed_whose_answer_is_lost_is_unknown_and_one_never_handed_in_is_tried_later(
    store: Store,
) -> None:
    """A document that was stored changes nothing by itself."""
    body = store.channel.encode(new_key(), [row(sku, 6) for sku in MANY])
    await store.fault("createFeedDocument", kind="cut_after")
    with pytest.raises(TryLater):
        await store.channel.push(body)
    await store.fault("createFeed", kind="cut_after")
    with pytest.raises(Unknown):
        await store.channel.push(body)


async def test_a_push_of_which_a_part_was_taken_waits_for_the_bucket_and_goes_on(store: Store) -> None:
    """And when it stays empty, nobody can say that nothing has changed."""
    body = store.channel.encode(new_key(), [row("BAG-1", 5), row("BAG-2", 5)])
    await store.fault("patchListingsItem", kind="too_many_requests", skip=1)
    assert (await pushed(store.channel, body)).applied
    assert (await store.shows("BAG-1"), await store.shows("BAG-2")) == (5, 5)
    await store.fault("patchListingsItem", kind="too_many_requests", skip=1, times=0)
    with pytest.raises(Unknown):
        await store.channel.push(body)


async def test_a_row_in_error_leaves_the_others_of_a_few_alone(store: Store) -> None:
    """Each patch stands for itself."""
    body = store.channel.encode(new_key(), [row("BAG-1", 5), row("FBA-1", 5), row("BAG-2", 5)])
    answer = await pushed(store.channel, body)
    assert (answer.applied, set(answer.bad_rows)) == (True, {1})
    assert (await store.shows("BAG-1"), await store.shows("BAG-2")) == (5, 5)


async def test_patches_count_as_done_only_once_they_may_have_landed() -> None:
    """Until then nobody can tell whether a sale is in the number or was written over."""
    answers = {"/auth/o2/token": {"access_token": "t", "expires_in": 3600}}
    told: dict[str, Any] = {"sku": "BAG-1", "status": "ACCEPTED", "submissionId": "1"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers.get(request.url.path, told))

    clock = HandClock()
    channel = AmazonChannel(a_config(), clock, transport=httpx.MockTransport(answer))
    body = channel.encode(new_key(), [row("BAG-1", 5)])
    ticket = (await channel.push(body)).ticket
    assert await channel.outcome(ticket, body) is None
    await clock.sleep(60)
    assert await channel.outcome(ticket, body) == PushAnswer(applied=True)


async def test_an_order_is_sent_in_parts(store: Store) -> None:
    """What was sent has left; the rest is still open; what was called off is neither."""
    number = await store.sell({"BAG-1": 4})
    await store.change(number, "ship", units=2)
    await store.change(number, "cancel", units=1)
    (order,) = await orders(store.channel, store.began_at)
    (line,) = order.lines
    assert (line.open_quantity, line.fulfilled_quantity, line.taken_quantity) == (1, 2, 3)
    assert line.taken_in_doubt


@pytest.mark.parametrize("place", ["amazon", "otherwise"])
async def test_an_order_that_is_not_paid_yet_keeps_its_units(
    place: str, request: pytest.FixtureRequest
) -> None:
    """The store has taken them off already."""
    async for store in visit(request.getfixturevalue(place), landing_seconds=LANDS[place]):
        number = await store.sell({"BAG-1": 2}, pending=True)
        for what in (None, "pay"):
            if what:
                await store.change(number, what)
            (order,) = await orders(store.channel, store.began_at)
            assert [(line.open_quantity, line.taken_quantity) for line in order.lines] == [(2, 2)]
        assert await store.shows("BAG-1") == 998


async def test_a_token_that_was_revoked_is_asked_for_anew(store: Store) -> None:
    """Once; a second refusal is Amazon's last word."""
    assert (await pushed(store.channel, store.channel.encode(new_key(), [row("BAG-1", 5)]))).applied
    await store.fault("patchListingsItem", kind="wrong_credential")
    assert (await pushed(store.channel, store.channel.encode(new_key(), [row("BAG-1", 4)]))).applied
    await store.fault("patchListingsItem", kind="wrong_credential", times=2)
    with pytest.raises(Refused):
        await store.channel.push(store.channel.encode(new_key(), [row("BAG-1", 3)]))


async def test_amazon_says_how_fast_its_buckets_fill() -> None:
    """The order list holds twenty calls, and gains one in three minutes."""
    with start_amazon(SEED) as sandbox:
        async for store in visit(sandbox):
            for _ in range(20):
                await orders(store.channel, store.began_at)
            with pytest.raises(TryLater) as caught:
                await orders(store.channel, store.began_at)
            assert caught.value.after_seconds == pytest.approx(178.6, abs=1)
            await store.later(180)
            assert await orders(store.channel, store.began_at) == []


def a_config() -> AmazonConfig:
    """A store somewhere else."""
    url = "https://amazon.example.com"
    return AmazonConfig("amazon", url, "A1", "M1", "id", "hush", "hush too", "warehouse", auth_url=url)


def test_a_configuration_tells_all_its_mistakes_at_once() -> None:
    """Each with the key that mends it, and without the secrets."""
    with pytest.raises(BadConfigError) as caught:
        AmazonConfig.of(ChannelConfig("amazon", "amazon", "http://amazon.example.com", {"colour": "red"}))
    keys = {"seller_id", "marketplace_id", "client_id", "client_secret", "refresh_token", "location"}
    assert {key for key, _ in caught.value.problems} == {*keys, "url", "colour"}
