"""Signed callbacks over a real socket, to a receiver that reads the standard by itself."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from tests.channels.clock import HandClock, WallClock
from tests.sandbox import Sandbox, start_receiver

from sfsync.channels.callback import CallbackChannel
from sfsync.channels.config import BadConfigError
from sfsync.channels.sender import CallbackConfig
from sfsync.domain.callbacks import Patience
from sfsync.ports import Clock, Forged, Gone, PushAnswer, Refused, Severity, TryLater, Unknown, Write
from sfsync.testing.exam import ChannelExam
from sfsync.testing.party import Counterpart, Trouble

OTHER = f"whsec_{base64.b64encode(b'another secret, another secret').decode()}"
WHOLE = {"secrets": [], "unknown": [], "names_unknown": True, "gone": False, "closes": False}


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    """One receiver for all of these tests; each has SKUs of its own."""
    with start_receiver() as running:
        yield running


@pytest.fixture
def shop(process: Sandbox) -> Iterator[Sandbox]:
    """The receiver, in good order."""
    process.control("PATCH", "/state", {**WHOLE, "secrets": [process.ready["secret"]]})
    yield process
    process.control("DELETE", "/troubles")


def channel(
    shop: Sandbox, *, secrets: Sequence[str] = (), clock: Clock | None = None, **changes: Any
) -> CallbackChannel:
    known = {"name": "boutique", "url": shop.ready["url"], "allow_private": True, "timeout_seconds": 20.0}
    config = CallbackConfig(secrets=tuple(secrets) or (shop.ready["secret"],), **{**known, **changes})
    return CallbackChannel(config, clock or WallClock())


def sku() -> str:
    return f"BAG {uuid4()}"


def write(name: str, quantity: int, sequence: int) -> Write:
    return Write(name, "online", name, "online", quantity=quantity, sequence=sequence)


async def send(to: CallbackChannel, *writes: Write, key: str = "") -> PushAnswer:
    try:
        return await to.push(to.encode(key or f"msg_{uuid4().hex}", writes))
    finally:
        await to.close()


def shows(shop: Sandbox, name: str) -> int | None:
    found = {each["sku"]: each["quantity"] for each in shop.control("GET", "/state")["shows"]}
    return found.get(name)


def messages(shop: Sandbox, name: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = shop.control("GET", "/state")["messages"]
    return [each for each in told if name in {level["sku"] for level in each["message"]["data"]["levels"]}]


# -- what arrives


async def test_a_message_arrives_signed_and_is_applied(shop: Sandbox) -> None:
    """Its id stands in header and body; the body says what changed, when, and in which order."""
    bag, scarf = sku(), sku()
    at = round(datetime(2026, 11, 23, 8, 15, 0, 250_000, tzinfo=UTC).timestamp() * 1000)
    answer = await send(channel(shop), write(bag, 3, at), write(scarf, 0, at - 7), key="msg_1")
    assert answer == PushAnswer(applied=True)
    assert (shows(shop, bag), shows(shop, scarf)) == (3, 0)
    (told,) = messages(shop, bag)
    assert told["id"] == "msg_1"
    assert told["message"] == {
        "id": "msg_1",
        "type": "stock.changed",
        "timestamp": "2026-11-23T08:15:00.250Z",
        "data": {
            "channel": "boutique",
            "levels": [
                {"sku": bag, "location": "online", "quantity": 3, "sequence": at},
                {"sku": scarf, "location": "online", "quantity": 0, "sequence": at - 7},
            ],
        },
    }


async def test_the_same_message_twice_has_one_effect_and_an_older_number_has_none(shop: Sandbox) -> None:
    """The receiver sees it by the sequence number."""
    bag = sku()
    for quantity, sequence in ((3, 10), (3, 10), (9, 9), (2, 11)):
        assert (await send(channel(shop), write(bag, quantity, sequence))).applied
    assert [told["applied"] for told in messages(shop, bag)] == [1, 0, 0, 1]
    assert shows(shop, bag) == 2


async def test_each_try_is_signed_anew_with_its_own_time(shop: Sandbox) -> None:
    """The id stays; a receiver that refuses old messages takes the second try too."""
    bag, clock = sku(), HandClock()
    clock.at = datetime.now(UTC) - timedelta(minutes=2)
    for _ in range(2):
        assert (await send(channel(shop, clock=clock), write(bag, 1, 1), key="msg_again")).applied
        clock.at += timedelta(minutes=1)
    first, second = messages(shop, bag)
    assert first["id"] == second["id"] == "msg_again"
    assert second["timestamp"] - first["timestamp"] == 60


async def test_while_secrets_rotate_a_message_is_signed_with_both(shop: Sandbox) -> None:
    """So it does not matter which of them the receiver has, or whether it changes sides amid the day."""
    bag, mine = sku(), str(shop.ready["secret"])
    for held in ([mine], [OTHER], [mine, OTHER]):
        shop.control("PATCH", "/state", {"secrets": held})
        assert (await send(channel(shop, secrets=[OTHER, mine]), write(bag, 1, 1))).applied
    told = messages(shop, bag)
    assert [(each["signatures"], len(each["signed_by"])) for each in told] == [(2, 1), (2, 1), (2, 2)]


async def test_skus_of_all_alphabets_and_lengths_arrive_as_they_are(shop: Sandbox) -> None:
    """Slashes, blanks, quotes, and two hundred characters; signed over the very bytes."""
    names = [f"{uuid4()} {odd}" for odd in ("a/b c", 'q"uote\\', "Größe ✓ 鞄", "x" * 160)]
    assert (await send(channel(shop), *(write(name, 1, 1) for name in names))).applied
    assert [shows(shop, name) for name in names] == [1, 1, 1, 1]


# -- what goes wrong


@pytest.mark.parametrize(
    ("trouble", "failure", "done"),
    [
        ({"kind": "error_before"}, TryLater, False),
        ({"kind": "error_before", "status": 429}, TryLater, False),
        ({"kind": "error_before", "status": 500}, Unknown, False),
        ({"kind": "error_before", "status": 404}, Refused, False),
        ({"kind": "error_before", "status": 400}, Refused, False),
        ({"kind": "error_after"}, Unknown, True),
        ({"kind": "cut_before"}, Unknown, False),
        ({"kind": "cut_after"}, Unknown, True),
        ({"kind": "half_answer"}, Unknown, True),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
async def test_what_may_have_happened_is_never_taken_for_undone(
    shop: Sandbox, trouble: Mapping[str, Any], failure: type[Exception], *, done: bool
) -> None:
    """Busy says that nothing was done; a failure or a cut says nothing at all; the rest is for a person."""
    bag = sku()
    shop.control("POST", "/troubles", trouble)
    with pytest.raises(failure):
        await send(channel(shop), write(bag, 1, 1))
    assert shows(shop, bag) == (1 if done else None)
    assert (await send(channel(shop), write(bag, 1, 1))).applied
    assert shows(shop, bag) == 1


@pytest.mark.parametrize("kind", ["slow_before", "slow_after"])
async def test_a_receiver_that_does_not_answer_in_time_is_not_waited_for(shop: Sandbox, kind: str) -> None:
    """Nobody knows what it has done, or will do."""
    shop.control("POST", "/troubles", {"kind": kind, "seconds": 3600})
    with pytest.raises(Unknown, match=r"no answer"):
        await send(channel(shop, timeout_seconds=2.0), write(sku(), 1, 1))


@pytest.mark.parametrize("kind", ["flood", "bomb"])
async def test_an_answer_without_end_is_read_no_further_than_it_matters(shop: Sandbox, kind: str) -> None:
    """It said 200: the numbers are applied, and what comes after is nobody's business."""
    bag = sku()
    shop.control("POST", "/troubles", {"kind": kind})
    assert (await send(channel(shop), write(bag, 1, 1))).applied
    assert shows(shop, bag) == 1


async def test_a_redirect_is_not_followed(shop: Sandbox) -> None:
    """A message goes where the settings say, and nowhere else."""
    bag, elsewhere = sku(), str(shop.ready["url"]) + "/elsewhere"
    shop.control("POST", "/troubles", {"kind": "redirect", "location": elsewhere})
    with pytest.raises(Refused, match="307 Temporary Redirect, which is not followed"):
        await send(channel(shop), write(bag, 1, 1))
    assert messages(shop, bag) == []


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        ("Mon, 23 Nov 2026 09:02:00 GMT", 120.0),
        ("Mon, 23 Nov 2026 08:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
async def test_what_a_receiver_asks_for_is_told(shop: Sandbox, asked: str, seconds: float | None) -> None:
    """Retry-After, in seconds or as a date; the clock is at nine."""
    shop.control("POST", "/troubles", {"kind": "error_before", "retry_after": asked})
    with pytest.raises(TryLater, match="it answers 503 Service Unavailable") as caught:
        await send(channel(shop, clock=HandClock()), write(sku(), 1, 1))
    assert caught.value.after_seconds == seconds


async def test_a_receiver_that_wants_no_more_says_so_with_410(shop: Sandbox) -> None:
    """For the flow to set it aside."""
    shop.control("PATCH", "/state", {"gone": True})
    with pytest.raises(Gone, match="410 Gone"):
        await send(channel(shop), write(sku(), 1, 1))


async def test_a_receiver_with_another_secret_believes_nothing(shop: Sandbox) -> None:
    """And what we tell of it holds no secret."""
    bag = sku()
    with pytest.raises(Refused, match="401 Unauthorized") as caught:
        await send(channel(shop, secrets=[OTHER]), write(bag, 1, 1))
    assert "right secret" in caught.value.advice
    assert OTHER not in repr(caught.value) + caught.value.advice
    assert shows(shop, bag) is None


async def test_skus_that_a_receiver_cannot_use_are_named_by_it(shop: Sandbox) -> None:
    """422 with errors: the rows to blame, in its words. Nothing of the message was applied."""
    bag, scarf = sku(), sku()
    shop.control("PATCH", "/state", {"unknown": [scarf]})
    answer = await send(channel(shop), write(bag, 1, 1), write(scarf, 1, 2))
    assert answer == PushAnswer(
        applied=False,
        bad_rows={1: "there is no such product here"},
        reason="it answers 422 Unprocessable Entity",
    )


@pytest.mark.parametrize("how", [{"names_unknown": False}, {"trouble": "wrong_json"}])
async def test_a_receiver_that_names_no_rows_leaves_them_to_be_found(
    shop: Sandbox, how: Mapping[str, Any]
) -> None:
    """The flow halves the message until the bad one is alone."""
    bag = sku()
    shop.control("PATCH", "/state", {"unknown": [bag], "names_unknown": False})
    if "trouble" in how:
        shop.control("POST", "/troubles", {"kind": how["trouble"]})
    answer = await send(channel(shop), write(bag, 1, 1), write(sku(), 1, 2))
    assert (answer.applied, answer.bad_rows) == (False, {})


async def test_where_nobody_listens_nothing_was_sent() -> None:
    """The port is free."""
    with start_receiver() as gone:
        pass
    with pytest.raises(TryLater, match="not reached"):
        await send(channel(gone), write(sku(), 1, 1))


# -- what it is asked, and what it is told by its settings


async def test_the_check_says_where_messages_go_and_with_how_many_secrets(shop: Sandbox) -> None:
    """One is as it should be; two are for a while. A ping finds out whether they are the receiver's too."""
    calm = channel(shop)
    assert [(each.severity, each.what) for each in await calm.check()] == [
        (Severity.GOOD, "boutique: localhost takes signed messages")
    ]
    await calm.close()
    rotating = channel(shop, secrets=[OTHER, shop.ready["secret"]])
    assert [each.severity for each in await rotating.check()] == [Severity.GOOD, Severity.WARNING]
    await rotating.close()
    shop.control("POST", "/troubles", {"kind": "error_before"})
    away = channel(shop)
    assert [(each.severity, each.what) for each in await away.check()] == [
        (Severity.WARNING, "boutique: it answers 503 Service Unavailable")
    ]
    shop.control("PATCH", "/state", {"gone": True})
    assert [each.severity for each in await away.check()] == [Severity.WARNING]
    await away.close()


async def test_it_is_never_asked_and_never_tells(shop: Sandbox) -> None:
    """No items, no orders, no webhooks, no cancellations."""
    told = channel(shop)
    assert [page async for page in told.items()] == []
    assert [page async for page in told.orders_since(datetime.now(UTC))] == []
    assert await told.order("7") is None
    with pytest.raises(Forged):
        told.receive({}, b"{}")
    with pytest.raises(Refused, match="takes no cancellations"):
        await told.cancel_order("7", refund=False, notify=False, note="")
    await told.close()
    assert told.ability.weak
    assert not told.ability.tells_orders


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"url": "http://shop.example.com/stock"}, "url", "use https"),
        ({"url": "http://localhost:9/stock", "allow_private": False}, "url", "use https"),
        ({"url": "https://us:er@shop.example.com/"}, "url", "user name or a password"),
        ({"url": "https://shop.example.com/#there"}, "url", "after #"),
        ({"url": "ftp://shop.example.com/"}, "url", "is not an address"),
        ({"url": "https://[::1/"}, "url", "is not an address"),
        ({"secrets": ()}, "secret", "give one"),
        ({"secrets": ("hush",)}, "secret", "does not begin with whsec_"),
        ({"secrets": ("whsec_!!!!",)}, "secret", "is not base64"),
        ({"secrets": (OTHER, "whsec_aGFsbG8=")}, "secret", "has 5 bytes, not 24 to 64"),
    ],
)
def test_a_channel_that_cannot_be_called_safely_is_not_made(
    changes: Mapping[str, Any], key: str, words: str
) -> None:
    """Each mistake with its key; no secret is ever told."""
    known = {"url": "https://shop.example.com/stock", "secrets": (OTHER,), "allow_private": True}
    config = CallbackConfig(name="boutique", **{**known, **changes})
    with pytest.raises(BadConfigError) as caught:
        CallbackChannel(config, WallClock())
    assert [found for found, _ in caught.value.problems] == [key]
    assert words in str(caught.value)
    for secret in config.secrets:
        assert secret not in str(caught.value) + repr(config)


def test_the_same_rows_give_the_same_bytes_within_the_standards_advice() -> None:
    """A hundred rows of usual SKUs stay below 20 kB."""
    made = CallbackChannel(
        CallbackConfig("boutique", "https://shop.example.com/stock", (OTHER,)), WallClock()
    )
    writes = [write(f"HANDBAG-HALVANE-22-MIDNIGHT-{n:05}", 999, 1_795_779_846_123 + n) for n in range(100)]
    body = made.encode("msg_1", writes)
    assert body == made.encode("msg_1", list(writes))
    assert len(body) < 20_000
    assert json.loads(body)["timestamp"] == "2026-11-27T11:44:06.222Z"


# -- the exam


class Boutique(Counterpart):
    """The receiver as the exam's other party; what it sells is what it was told."""

    location = "online"
    plain = tuple(f"PLAIN-{n}" for n in range(6))
    odd_names = ("a/b c", 'q"uote', "Größe ✓ 鞄")
    troubles = frozenset(Trouble) - {Trouble.NOT_APPLIED}  # nobody could find out

    def __init__(self, shop: Sandbox) -> None:
        self.shop, self.began_at = shop, datetime.now(UTC)
        self.secrets = (str(shop.ready["secret"]), OTHER)
        self.channel = channel(shop, timeout_seconds=2.0)

    def stranger(self) -> CallbackChannel:
        return channel(self.shop, secrets=[OTHER])

    async def shows(self, sku: str) -> int:
        return shows(self.shop, sku) or 0

    async def trouble(self, trouble: Trouble) -> None:
        kinds: dict[Trouble, dict[str, Any]] = {
            Trouble.TOO_MUCH: {"kind": "error_before", "status": 429, "retry_after": "1"},
            Trouble.DOWN: {"kind": "error_before", "status": 503, "retry_after": "1"},
            Trouble.CUT_BEFORE: {"kind": "cut_before"},
            Trouble.CUT_AFTER: {"kind": "cut_after"},
            Trouble.HALF_ANSWER: {"kind": "half_answer"},
            Trouble.ERROR_AFTER: {"kind": "error_after"},
            Trouble.SILENCE_AFTER: {"kind": "slow_after", "seconds": 3600},
        }
        self.shop.control("POST", "/troubles", kinds[trouble])


class TestExam(ChannelExam):
    """What can be asked of a receiver that cannot be asked."""

    numbers = count(round(datetime.now(UTC).timestamp() * 1000))

    @pytest.fixture
    async def party(self, shop: Sandbox) -> AsyncIterator[Boutique]:
        shop.control("PATCH", "/state", {"unknown": ["gone"]})
        made = Boutique(shop)
        writes = [write(name, 10, next(self.numbers)) for name in (*made.plain, *made.odd_names)]
        assert (await send(channel(shop), *writes)).applied
        yield made
        await made.channel.close()

    async def write(self, party: Counterpart, sku: str, delta: int) -> Write:
        """A row with the next sequence number: that it is the newest is all that counts."""
        return write(sku, await party.shows(sku) + delta, next(self.numbers))


async def test_another_address_is_told_from_the_next_message_on(shop: Sandbox) -> None:
    """Settings read again: who was told wrongly is told rightly, and the old connections are given back."""
    config = CallbackConfig("boutique", "http://127.0.0.1:9/nowhere", (OTHER,), allow_private=True)
    boutique, name = CallbackChannel(config, WallClock()), sku()
    with pytest.raises(TryLater):
        await send(boutique, write(name, 4, 1))
    patience = Patience(timedelta(minutes=7))
    right = replace(config, url=shop.ready["url"], secrets=(shop.ready["secret"],), patience=patience)
    with pytest.raises(BadConfigError):
        boutique.sender(replace(right, url="http://shop.example.com"))
    boutique.adopt(boutique.sender(right), right)
    assert (await send(boutique, write(name, 4, 1))).applied
    assert boutique.ability.callbacks == patience
    await boutique.close()
