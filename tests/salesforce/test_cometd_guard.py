"""What stands between library and org: message by message, and against an org that answers by rote."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from aiohttp import web
from tests.salesforce.kit import TOKEN_ANSWER, RoteOrg, WallClock, config
from tests.sandbox import OrgSandbox

from sfsync.ports import OutsideError, Refused, TryLater
from sfsync.salesforce.auth import TokenProvider
from sfsync.salesforce.bayeux import NEW, Message, SessionGone
from sfsync.salesforce.cometd import Cometd
from sfsync.salesforce.cometd_guard import (
    ANSWERS_AHEAD,
    FIRST_HELD_MILLISECONDS,
    GRACE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Access,
    Guard,
    OverError,
)
from sfsync.salesforce.stream import Batch
from sfsync.salesforce.transport import http_client

TOPIC = "/data/SfsyncStock__chn"
SILENCE_SECONDS = 285.0
PATIENCE_SECONDS = 20.0


@asynccontextmanager
async def access_to(org: RoteOrg) -> AsyncIterator[Access]:
    """Tokens from an org that gives them by rote."""
    settings = config()
    transport = httpx.MockTransport(org.handle)
    async with http_client(settings.login_url, timeout_seconds=5, ca_file=None, transport=transport) as http:
        yield Access(TokenProvider(settings, http))


@asynccontextmanager
async def guarded(place: int = NEW) -> AsyncIterator[Guard]:
    async with access_to(RoteOrg()) as access:
        yield Guard("the stream", place, access, SILENCE_SECONDS)


def poll() -> list[Message]:
    return [{"channel": "/meta/connect"}]


def answered(*events: Message, **more: Any) -> list[Message]:
    return [*events, {"channel": "/meta/connect", "successful": True, **more}]


def event(number: int) -> Message:
    return {"channel": TOPIC, "data": {"payload": {"N": number}, "event": {"replayId": number}}}


async def polled(guard: Guard, *events: Message, **more: Any) -> None:
    """One poll and its answer."""
    await guard.outgoing(poll(), {})
    await guard.incoming(answered(*events, **more))


# -- what is sent


async def test_a_handshake_asks_for_replay_and_the_first_polls_ask_not_to_be_held_long() -> None:
    """The subscription follows the first poll, so it must come back at once; the next one soon."""
    async with guarded() as guard:
        handshake: list[Message] = [{"channel": "/meta/handshake"}]
        await guard.outgoing(handshake, {})
        first, second = poll(), poll()
        await guard.outgoing(first, {})
        await guard.incoming(answered())
        await guard.outgoing(second, {})
        assert handshake[0]["ext"] == {"replay": True}
        await guard.incoming(answered())
        third = poll()
        await guard.outgoing(third, {})
        assert [each[0].get("advice") for each in (first, second, third)] == [
            {"timeout": 0},
            {"timeout": FIRST_HELD_MILLISECONDS},
            None,
        ]


@pytest.mark.parametrize("place", [-1, -2, 17])
async def test_a_subscription_begins_where_our_cursor_stands(place: int) -> None:
    """The library's own memory is never asked: the store has the bookmark."""
    async with guarded(place) as guard:
        subscription: list[Message] = [{"channel": "/meta/subscribe", "subscription": TOPIC}]
        await guard.outgoing(subscription, {})
        assert subscription[0]["ext"] == {"replay": {TOPIC: place}}
        assert await guard.get_replay_marker(TOPIC) is None


async def test_a_poll_after_one_without_an_answer_ends_the_session() -> None:
    """The lost answer may have held events, and a session tells none twice: we go on from our cursor."""
    async with guarded() as guard:
        await guard.outgoing(poll(), {})
        with pytest.raises(OverError):
            await guard.outgoing(poll(), {})
        with pytest.raises(TryLater, match="a poll had no answer"):
            await guard.answer()


async def test_nothing_more_is_sent_in_a_session_that_is_over_but_a_goodbye() -> None:
    """A subscription after the refusal of another would be for nobody."""
    async with guarded() as guard:
        guard.end(TryLater("over"))
        with pytest.raises(OverError):
            await guard.outgoing([{"channel": "/meta/subscribe", "subscription": TOPIC}], {})
        await guard.outgoing([{"channel": "/meta/disconnect"}], {})


# -- what is answered


async def test_an_answers_events_are_handed_over_whole_and_taken_from_the_library() -> None:
    """What the org sent together is one batch; the library would keep copies for a reader of its own."""
    async with guarded() as guard:
        await polled(guard)
        payload = answered(event(1), event(2))
        await guard.outgoing(poll(), {})
        await guard.incoming(payload)
        assert await guard.answer() == [event(1), event(2)]
        assert [each["channel"] for each in payload] == ["/meta/connect"]


async def test_an_idle_poll_is_a_sign_of_life_but_the_first_is_none() -> None:
    """The first is answered before there is a subscription, so it proves nothing of the stream."""
    async with guarded() as guard:
        await polled(guard)
        await polled(guard)
        assert await guard.answer() == []
        guard.end(SessionGone("over"))
        with pytest.raises(SessionGone):
            await guard.answer()


async def test_events_before_the_end_are_handed_over_before_it() -> None:
    """The last answer held an event and the news that the session is gone: first the one, then the other."""
    async with guarded() as guard:
        await polled(guard)
        await guard.outgoing(poll(), {})
        gone = {"channel": "/meta/connect", "successful": False, "error": "403::Unknown client"}
        with pytest.raises(OverError):
            await guard.incoming([event(1), gone])
        assert await guard.answer() == [event(1)]
        with pytest.raises(SessionGone, match="Unknown client"):
            await guard.answer()


async def test_the_first_reason_counts() -> None:
    """What follows an end is only its echo."""
    async with guarded() as guard:
        guard.end(TryLater("the network broke"))
        guard.end(Refused("and then the library"))
        with pytest.raises(TryLater, match="the network broke"):
            await guard.answer()


@pytest.mark.parametrize("payload", [{"error": "maintenance"}, "maintenance", None, ["x"], [event(1), 7]])
async def test_an_answer_that_is_no_bayeux_ends_the_session(payload: Any) -> None:
    """A proxy's page, for instance: nothing in it can be trusted, and the cursor is still good."""
    async with guarded() as guard:
        await guard.outgoing(poll(), {})
        with pytest.raises(OverError):
            await guard.incoming(payload)
        with pytest.raises(TryLater, match="no Bayeux messages"):
            await guard.answer()


async def test_a_reader_that_is_slow_makes_the_org_wait() -> None:
    """A few answers are read ahead; the next is taken when there is room, and none is dropped."""
    async with guarded() as guard:
        await polled(guard)
        for number in range(ANSWERS_AHEAD):
            await polled(guard, event(number))
        waiting = asyncio.create_task(polled(guard, event(99)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        taken = [await guard.answer()]
        await asyncio.wait_for(waiting, PATIENCE_SECONDS)
        taken += [await guard.answer() for _ in range(ANSWERS_AHEAD)]
        assert taken == [[event(number)] for number in (*range(ANSWERS_AHEAD), 99)]


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [(0, 0), (2000, 2), (300, 0.3), (-5, 0), (10_000_000, LONGEST_PAUSE_SECONDS)],
)
async def test_the_advised_pause_is_milliseconds_and_never_longer_than_a_session_lives(
    milliseconds: int, seconds: float
) -> None:
    """The library takes the number for seconds: 2000 would be 33 minutes of deafness."""
    async with guarded() as guard:
        advice: Message = {"interval": milliseconds, "reconnect": "retry"}
        await polled(guard, advice=advice)
        assert advice["interval"] == seconds


@pytest.mark.parametrize(
    ("advised", "patience"),
    [
        (110_000, 110 + GRACE_SECONDS),
        (1_000_000, SILENCE_SECONDS),
        (0, SILENCE_SECONDS),
        (None, SILENCE_SECONDS),
    ],
)
async def test_a_poll_is_waited_for_as_long_as_the_org_says_and_a_grace(
    advised: int | None, patience: float
) -> None:
    """But never beyond the silence after which a stream counts as dead."""
    async with guarded() as guard:
        advice: Message = {"reconnect": "retry"} | ({} if advised is None else {"timeout": advised})
        await polled(guard, advice=advice)
        assert guard.patience_seconds == patience
        assert "timeout" not in advice  # the library would give up by a clock of its own


# -- tokens


async def test_every_request_is_signed_with_our_own_token_as_oauth() -> None:
    """Which is the scheme that every org takes; the same token as long as it is good."""
    org = RoteOrg()
    async with access_to(org) as access:
        for _ in range(3):
            headers: dict[str, str] = {}
            await access.outgoing([], headers)
            assert headers == {"Authorization": f"OAuth {TOKEN_ANSWER['access_token']}"}
        assert (org.tokens, access.instance_url) == (1, TOKEN_ANSWER["instance_url"])


async def test_only_a_refused_token_is_renewed_and_only_once_for_each_refusal() -> None:
    """The library would sign in anew at any 403."""
    org = RoteOrg()
    async with access_to(org) as access:
        await access.outgoing([], {})
        assert access.refused()
        for _ in range(2):
            await access.outgoing([], {})
        assert org.tokens == 2
        access.accepted()
        assert access.refused()
        await access.outgoing([], {})
        assert org.tokens == 3


async def test_a_new_token_that_is_refused_too_is_for_a_person() -> None:
    """Another one would be refused as well: it is not the token that is wrong."""
    async with guarded() as guard:
        guard.token_refused("401::Authentication invalid")
        assert guard.reason is None
        guard.token_refused("401::Authentication invalid")
        with pytest.raises(Refused) as caught:
            await guard.answer()
        assert "Sfsync_Integration" in caught.value.advice


async def test_a_token_that_is_not_to_be_had_ends_the_session_with_its_reason() -> None:
    """The library would only try again; the org's words say what is wrong."""
    denied = {"error": "invalid_grant", "error_description": "no client credentials user enabled"}
    org = RoteOrg(token=lambda _: httpx.Response(400, json=denied))
    async with access_to(org) as access:
        guard = Guard("the stream", NEW, access, SILENCE_SECONDS)
        access.tell = guard.end
        with pytest.raises(Refused):
            await access.outgoing([], {})
        with pytest.raises(Refused) as caught:
            await guard.answer()
        assert "run-as user" in caught.value.advice


# -- HTTP


@dataclass
class RoteStream:
    """An org on a real port whose CometD endpoint answers each message by rote, or with a bare HTTP status.

    `status` maps the message's channel to what is answered instead: (status, body, headers).
    """

    status: dict[str, tuple[int, str, dict[str, str]]] = field(default_factory=dict)
    events: list[Message] = field(default_factory=list)
    subscribed: Message = field(default_factory=lambda: {"successful": True})
    instance_url: str = ""
    tokens: int = 0
    paths: list[str] = field(default_factory=list)
    url: str = ""

    async def token(self, _: web.Request) -> web.Response:
        self.tokens += 1
        told = {"access_token": f"t{self.tokens}", "instance_url": self.instance_url or self.url}
        return web.json_response({**TOKEN_ANSWER, **told})

    async def bayeux(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        (message,) = await request.json()
        channel = message["channel"]
        if channel in self.status:
            status, body, headers = self.status[channel]
            return web.Response(status=status, text=body, headers=headers)
        answer: Message = {"channel": channel, "id": message["id"], "clientId": "c1", "successful": True}
        told: list[Message] = []
        if channel == "/meta/handshake":
            answer |= {
                "version": "1.0",
                "supportedConnectionTypes": ["long-polling"],
                "ext": {"replay": True},
            }
        elif channel == "/meta/subscribe":
            answer |= {"subscription": message["subscription"], **self.subscribed}
        elif channel == "/meta/connect" and message.get("advice") != {"timeout": 0}:
            told, self.events = self.events, []
            if not told:
                await asyncio.sleep(0.05)
        return web.json_response([*told, answer])


@asynccontextmanager
async def serving(org: RoteStream) -> AsyncIterator[RoteStream]:
    app = web.Application()
    app.router.add_post("/services/oauth2/token", org.token)
    app.router.add_post("/cometd/{version}", org.bayeux)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    org.url = f"http://localhost:{runner.addresses[0][1]}"
    try:
        yield org
    finally:
        await runner.cleanup()


async def listen(
    org: RoteStream, topic: str = TOPIC, cursor: bytes | None = None, batches: int = 1
) -> list[Batch]:
    """The first batches of a stream of that org."""
    settings = dataclasses.replace(config(login_url=org.url), transport="cometd", api_version="50.0")
    found: list[Batch] = []
    async with http_client(org.url, timeout_seconds=5, ca_file=None, transport=None) as http:
        stream = Cometd(settings, TokenProvider(settings, http), WallClock().now).subscribe(topic, cursor)
        async with asyncio.timeout(PATIENCE_SECONDS), aclosing(stream) as told:
            async for batch in told:
                found.append(batch)
                if len(found) == batches:
                    break
    return found


async def test_events_come_from_the_endpoint_of_the_lowest_version_that_tells_uuids() -> None:
    """An older api_version for the records does not make postings nameless."""
    async with serving(RoteStream(events=[event(7)])) as org:
        joined, told = await listen(org, batches=2)
        assert set(org.paths) == {"/cometd/52.0"}
        assert (len(joined.events), len(told.events), told.cursor) == (0, 1, b"cometd:7")


async def test_a_stream_joined_from_now_on_has_no_place_until_its_first_event() -> None:
    """And one that was asked for everything begins with the oldest again."""
    async with serving(RoteStream()) as org:
        (joined,), (everything,) = await listen(org), await listen(org, cursor=b"")
        assert (joined.cursor, everything.cursor) == (b"cometd@now", b"cometd@oldest")


async def test_an_event_without_a_place_moves_no_bookmark() -> None:
    """It is handed over; the cursor stays where it stood."""
    lost: Message = {"channel": TOPIC, "data": {"payload": None}}
    async with serving(RoteStream(events=[lost])) as org:
        _, told = await listen(org, cursor=b"cometd:5", batches=2)
        assert (len(told.events), told.cursor) == (1, b"cometd:5")


@pytest.mark.parametrize("channel", ["/meta/handshake", "/meta/connect", "/meta/subscribe"])
@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "words"),
    [
        (503, "Server too busy", {"Retry-After": "7"}, TryLater, "HTTP 503: Server too busy"),
        (503, "", {"Retry-After": "Mon, 23 Nov 2026 08:15:30 GMT"}, TryLater, "HTTP 503"),
        (500, "<html>" + "x" * 5000, {}, TryLater, "HTTP 500"),
        (302, "", {"Location": "/nowhere"}, Refused, "HTTP 404"),
        (403, "IP restricted", {}, TryLater, "HTTP 403: IP restricted"),
        (404, "no such page", {}, Refused, "HTTP 404"),
        (400, "Unsupported API version. Use /cometd/67.0", {}, Refused, "Unsupported API version"),
        (400, "The body is not a Bayeux message.", {}, TryLater, "HTTP 400"),
        (200, "<html>maintenance</html>", {}, TryLater, ""),
        (200, '{"maintenance": true}', {"Content-Type": "application/json"}, TryLater, "no Bayeux messages"),
    ],
)
async def test_each_http_answer_has_its_name_wherever_it_comes(
    channel: str, status: int, body: str, headers: dict[str, str], kind: type[OutsideError], words: str
) -> None:
    """At the handshake, at the poll, at the subscription: never silence, nor the library's own words."""
    async with serving(RoteStream(status={channel: (status, body, headers)})) as org:
        with pytest.raises(OutsideError) as caught:
            await listen(org, batches=3)
    assert (type(caught.value), words in str(caught.value)) == (kind, True), caught.value
    assert len(str(caught.value)) < 500
    if isinstance(caught.value, TryLater):
        assert caught.value.after_seconds == (7.0 if headers.get("Retry-After") == "7" else None)


@pytest.mark.parametrize(
    ("channel", "kind"),
    [("/meta/handshake", Refused), ("/meta/connect", TryLater), ("/meta/subscribe", TryLater)],
)
async def test_a_token_refused_by_http_again_and_again_is_not_asked_for_without_end(
    channel: str, kind: type[OutsideError]
) -> None:
    """Refused twice at the door it is for a person; behind the door it may be the org's trouble."""
    async with serving(RoteStream(status={channel: (401, "Unauthorized", {})})) as org:
        with pytest.raises(OutsideError) as caught:
            await listen(org, batches=3)
        assert type(caught.value) is kind
        assert "401" in str(caught.value)
        assert 2 <= org.tokens <= 4


async def test_a_certificate_that_is_not_trusted_is_told_with_the_remedy(sandbox: OrgSandbox) -> None:
    """The stream's own host is another than the one that gave the token."""
    async with serving(RoteStream(instance_url=sandbox.ready["rest_url"])) as org:
        with pytest.raises(Refused) as caught:
            await listen(org)
    assert "ca_file" in caught.value.advice


async def test_a_host_that_is_not_there_is_try_later() -> None:
    """From here it cannot be told from a network that is down."""
    async with serving(RoteStream(instance_url="http://localhost:1")) as org:
        with pytest.raises(TryLater):
            await listen(org)
