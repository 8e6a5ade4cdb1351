"""Another people's client, aiosfstream-ng, against the simulated Streaming API.

The client keeps a session alive, replays and comes again after the server forgot it. It always asks for
version 45.0 and sends the scheme that the token answer named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from aiosfstream_ng.auth import AuthenticatorBase, PasswordAuthenticator
from aiosfstream_ng.client import Client
from aiosfstream_ng.exceptions import AiosfstreamException, ServerError
from aiosfstream_ng.replay import ReplayMarker, ReplayOption
from tests.sandbox import OrgSandbox, start_org
from tests.simulators.cometd_kit import CometdRig, served_cometd
from tests.simulators.events_kit import DIRECT, EVENT_TOPIC, TOKEN, commit, created, record_id, sale, until


class KnownToken(AuthenticatorBase):
    """Has its token already, and says in which scheme to send it."""

    def __init__(self, url: str, scheme: str) -> None:
        super().__init__()
        self._answer = {"access_token": TOKEN, "token_type": scheme, "instance_url": url}

    async def _authenticate(self) -> tuple[int, dict[str, Any]]:
        return 200, self._answer


def client(rig: CometdRig, scheme: str = "Bearer", **options: Any) -> Any:
    return Client(KnownToken(rig.url, scheme), **options)


async def received(stream: Any, number: int) -> list[dict[str, Any]]:
    """The next messages; fails after a while, so that no test hangs."""
    async with asyncio.timeout(30):
        return [await stream.receive() for _ in range(number)]


def ids(messages: list[dict[str, Any]]) -> list[str]:
    return [message["data"]["payload"]["ChangeEventHeader"]["recordIds"][0] for message in messages]


async def test_it_receives_changes_and_platform_events() -> None:
    """Login, handshake, connect, subscribe, events."""
    async with served_cometd() as rig, client(rig) as stream:
        await stream.subscribe(DIRECT)
        await stream.subscribe(EVENT_TOPIC)
        rig.bus.on_commit(commit(created(1, Name="a", On_Hand__c=3), published=(sale(1),)))
        change, event = await received(stream, 2)
        assert change["data"]["payload"]["On_Hand__c"] == 3.0
        assert event["data"]["payload"]["Sku__c"] == "BAG-1"


async def test_it_replays_all_that_is_retained() -> None:
    """From the beginning, in order."""
    async with served_cometd() as rig:
        rig.bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(20))))
        async with client(rig, replay=ReplayOption.ALL_EVENTS) as stream:
            await stream.subscribe(DIRECT)
            assert ids(await received(stream, 20)) == [record_id(n) for n in range(20)]


async def test_it_goes_on_after_its_stored_position() -> None:
    """A second client with the first one's markers gets what came meanwhile, and no more."""
    markers: dict[str, Any] = {}
    async with served_cometd() as rig:
        async with client(rig, replay=markers) as stream:
            await stream.subscribe(DIRECT)
            rig.bus.on_commit(commit(created(1, Name="a")))
            await received(stream, 1)
        rig.bus.on_commit(commit(created(2, Name="b")))
        async with client(rig, replay=markers) as stream:
            await stream.subscribe(DIRECT)
            rig.bus.on_commit(commit(created(3, Name="c")))
            assert ids(await received(stream, 2)) == [record_id(2), record_id(3)]


async def test_it_comes_again_after_the_server_forgot_it() -> None:
    """403::Unknown client makes it handshake and subscribe anew, from its last position."""
    async with served_cometd() as rig, client(rig, replay={}) as stream:
        await stream.subscribe(DIRECT)
        rig.bus.on_commit(commit(created(1, Name="a")))
        await received(stream, 1)
        assert rig.cometd.drop_sessions() == 1
        rig.bus.on_commit(commit(created(2, Name="b")))
        assert ids(await received(stream, 1)) == [record_id(2)]


async def test_a_stale_position_is_an_error_of_the_subscription() -> None:
    """The client shows the server's own words."""
    markers = {DIRECT: ReplayMarker(date="", replay_id=1)}
    async with served_cometd() as rig, client(rig, replay=markers) as stream:
        with pytest.raises(ServerError, match="Subscribe request failed") as refused:
            await stream.subscribe(DIRECT)
        assert "400::The replayId {1} you provided was invalid." in str(refused.value.args)


async def test_a_stale_position_falls_back_where_a_fallback_is_given() -> None:
    """On the first subscription the client asks again, for all events."""
    markers = {DIRECT: ReplayMarker(date="", replay_id=1)}
    async with served_cometd() as rig:
        rig.bus.on_commit(commit(created(1, Name="a")))
        fallback = ReplayOption.ALL_EVENTS
        async with client(rig, replay=markers, replay_fallback=fallback) as stream:
            await stream.subscribe(DIRECT)
            assert ids(await received(stream, 1)) == [record_id(1)]


async def test_bearer_can_be_refused_and_oauth_is_then_the_scheme() -> None:
    """One report says so of live orgs; the client's token type is what it sends."""
    async with served_cometd(cometd_accepts_bearer=False) as rig:
        with pytest.raises(AiosfstreamException):
            async with client(rig):
                pass
        async with client(rig, scheme="OAuth") as stream:
            await stream.subscribe(DIRECT)


async def test_its_idle_polls_keep_the_session() -> None:
    """Answers without events change nothing. The client itself gives up a fifth after the advised time."""
    async with served_cometd(cometd_timeout_seconds=1.0) as rig, client(rig) as stream:
        await stream.subscribe(DIRECT)
        (session,) = rig.cometd.sessions.values()
        await until(lambda: session.turn > 2)
        rig.bus.on_commit(commit(created(1, Name="a")))
        assert ids(await received(stream, 1)) == [record_id(1)]


# --- the whole org


class HereAuthenticator(PasswordAuthenticator):
    """The client's own password flow, at the simulated org's address."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        super().__init__(ready["client_id"], ready["client_secret"], ready["username"], ready["password"])
        self.address = ready["http_url"].replace("127.0.0.1", "localhost")  # it drops cookies of IP hosts

    @property
    def _token_url(self) -> str:
        return f"{self.address}/services/oauth2/token"


@pytest.fixture(scope="module")
def org() -> Iterator[OrgSandbox]:
    levels = [{"sku": "BAG-1", "location": "DUBAI", "on_hand": 5}]
    with start_org({"levels": levels}) as sandbox:
        yield sandbox


async def test_a_movement_in_the_org_reaches_it_on_the_packages_channel(org: OrgSandbox) -> None:
    """From the client's own login to the event, with the enriched level and nothing of ours in between."""
    channel = "/data/SfsyncStock__chn"
    async with Client(HereAuthenticator(org.ready), replay=ReplayOption.NEW_EVENTS) as stream:
        await stream.subscribe(channel)
        moved = await asyncio.to_thread(org.move, "BAG-1|DUBAI", on_hand=-1)
        (message,) = await received(stream, 1)
    payload = message["data"]["payload"]
    assert message["channel"] == channel
    assert payload["ChangeEventHeader"]["recordIds"] == [moved]
    assert payload["ChangeEventHeader"]["changeType"] == "CREATE"
    assert payload["OnHandDelta__c"] == -1.0
    assert payload["StockLevel__c"] == org.level("BAG-1|DUBAI")["Id"]


async def test_the_control_port_makes_it_start_anew(org: OrgSandbox) -> None:
    """What the server forgot is asked for again, from the last position."""
    channel = "/data/SfsyncStock__chn"
    async with Client(HereAuthenticator(org.ready), replay={}) as stream:
        await stream.subscribe(channel)
        await asyncio.to_thread(org.move, "BAG-1|DUBAI", on_hand=1)
        await received(stream, 1)
        assert await asyncio.to_thread(org.bus, "drop_cometd_sessions") == 1
        moved = await asyncio.to_thread(org.move, "BAG-1|DUBAI", on_hand=1)
        assert ids(await received(stream, 1)) == [moved]
