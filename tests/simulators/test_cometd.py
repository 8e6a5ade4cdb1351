"""The Streaming API of the simulated org, over real HTTP, by a Bayeux client written from the contract."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.simulators.cometd_kit import BayeuxClient, served_cometd
from tests.simulators.events_kit import (
    DIRECT,
    EVENT_TOPIC,
    TOKEN,
    commit,
    created,
    field_of,
    org,
    record_id,
    sale,
    subscribers,
    until,
    updated,
)

from sfsync.simulators.org.model import FieldType


async def test_a_change_arrives_as_json_with_plain_field_names() -> None:
    """Names instead of bitmaps, dates as text, nulls in the body, and the connect's answer last."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        told = commit(updated(1, {"On_Hand__c": 3, "Source__c": "pos"}, {"On_Hand__c": 2}))
        rig.bus.on_commit(told)
        event, answer = await client.connect()
        assert answer == {
            "channel": "/meta/connect",
            "id": "7",
            "clientId": client.client_id,
            "successful": True,
            "advice": {"interval": 0, "timeout": 110000, "reconnect": "retry"},
        }
        assert event["channel"] == DIRECT
        assert event["data"]["payload"] == {
            "ChangeEventHeader": {
                "entityName": "Stock__c",
                "recordIds": [record_id(1)],
                "changeType": "UPDATE",
                "changeOrigin": "com/salesforce/api/rest/67.0;client=sfsync",
                "transactionKey": told.transaction_key,
                "sequenceNumber": 1,
                "commitTimestamp": 1795421700000,
                "commitNumber": told.number,
                "commitUser": told.user_id,
                "changedFields": ["On_Hand__c", "LastModifiedDate", "Source__c"],
            },
            "On_Hand__c": 2.0,
            "LastModifiedDate": "2026-11-23T08:15:01Z",
            "Source__c": None,
        }
        assert isinstance(event["data"]["event"]["replayId"], int)
        codec = rig.bus.current_codec(DIRECT)
        assert codec is not None
        assert event["data"]["schema"] == codec.schema_id


@pytest.mark.parametrize(
    ("version", "told", "headers"),
    [
        ("67.0", "updates", [[], ["On_Hand__c", "LastModifiedDate"]]),
        ("46.0", "updates", [None, None]),
        ("67.0", "never", [None, None]),
    ],
)
async def test_changed_fields_are_named_by_version_and_knob(
    version: str, told: str, headers: list[list[str] | None]
) -> None:
    """Empty for what is no update; before one version, or by the other document, there is no such field."""
    async with (
        served_cometd(cometd_changed_fields=told) as rig,
        BayeuxClient(rig.url, version=version) as client,
    ):
        await client.ready(DIRECT)
        rig.bus.on_commit(commit(created(1, Name="a")))
        rig.bus.on_commit(commit(updated(1, {"On_Hand__c": 3}, {"On_Hand__c": 2})))
        found = [event["data"]["payload"]["ChangeEventHeader"] for event in await client.events(2)]
        assert [header.get("changedFields") for header in found] == headers


async def test_a_large_texts_difference_stands_in_a_member_of_its_own() -> None:
    """The JSON form of a diff, where Pub/Sub has the diff as the value."""
    lines = [f"line {number} {'-' * 30}" for number in range(50)]
    more = field_of("Long__c", FieldType.TEXTAREA)
    async with served_cometd(org(more_fields=(more,))) as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        before, after = "\n".join(lines), "\n".join([*lines, "one more"])
        rig.bus.on_commit(commit(updated(1, {"Long__c": before}, {"Long__c": after})))
        (event,) = await client.events(1)
        payload = event["data"]["payload"]
        assert set(payload["Long__c"]) == {"diff"}
        assert payload["Long__c"]["diff"].endswith("@@ -50,0 +51,1 @@\n+one more")
        assert "diffFields" not in payload["ChangeEventHeader"]


async def test_a_handshake_tells_what_the_server_can() -> None:
    """Long polling and replay, and a cookie for all that follows."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        answer = await client.handshake()
        assert answer == {
            "channel": "/meta/handshake",
            "id": "7",
            "clientId": client.client_id,
            "version": "1.0",
            "minimumVersion": "1.0",
            "supportedConnectionTypes": ["long-polling"],
            "ext": {"replay": True, "payload.format": True},
            "successful": True,
        }
        assert "BAYEUX_BROWSER" in client.http.cookies


async def test_the_first_connect_is_answered_at_once_and_without_events() -> None:
    """Replayed events follow with the next one."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        rig.bus.on_commit(commit(created(1, Name="a")))
        await client.handshake()
        assert (await client.subscribe(DIRECT, -2))["successful"]
        assert len(await client.connect()) == 1
        assert len(await client.connect()) == 2


async def test_a_waiting_connect_is_answered_as_soon_as_something_happens() -> None:
    """The poll does not wait for its time to end."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(EVENT_TOPIC)
        waiting = asyncio.create_task(client.events(1))
        await asyncio.sleep(0)
        rig.bus.on_commit(commit(published=(sale(1),)))
        async with asyncio.timeout(20):
            (event,) = await waiting
        assert event["data"]["event"]["EventUuid"] == "uuid-1"
        assert event["data"]["payload"] == {
            "CreatedDate": "2026-11-23T08:15:00Z",
            "CreatedById": "005000000000001AAA",
            "Sku__c": "BAG-1",
            "Quantity__c": 1.0,
            "OccurredAt__c": None,
        }


async def test_an_idle_connect_is_answered_after_its_time() -> None:
    """With nothing but its own answer."""
    async with served_cometd(cometd_timeout_seconds=0.02) as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        (answer,) = await client.connect()
        assert answer["successful"]
        assert answer["advice"]["timeout"] == 20


async def test_a_client_can_ask_not_to_wait() -> None:
    """As one of them does after each handshake."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        assert len(await client.connect(advice={"timeout": 0})) == 1


async def test_a_subscription_goes_on_after_the_number_it_names() -> None:
    """-1 is new ones only, -2 is all, a number is what follows it."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        rig.bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(5))))
        await client.ready(DIRECT, -2)
        events = await client.events(5)
        third = events[2]["data"]["event"]["replayId"]
        await client.ready(DIRECT, third)
        again = await client.events(2)
        assert [e["data"]["event"] for e in again] == [e["data"]["event"] for e in events[3:]]
        await client.ready(DIRECT)
        assert len(await client.connect(advice={"timeout": 0})) == 1


async def test_several_channels_are_told_in_the_order_of_the_stream() -> None:
    """One answer carries events of all subscriptions."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        await client.subscribe(EVENT_TOPIC)
        rig.bus.on_commit(commit(created(1, Name="a"), published=(sale(1),)))
        rig.bus.on_commit(commit(created(2, Name="b")))
        assert [event["channel"] for event in await client.events(3)] == [DIRECT, EVENT_TOPIC, DIRECT]


async def test_after_unsubscribing_nothing_comes() -> None:
    """The topic has no subscriber left."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        (answer,) = await client.send("/meta/unsubscribe", subscription=DIRECT)
        assert (answer["successful"], answer["subscription"]) == (True, DIRECT)
        assert subscribers(rig.bus, DIRECT) == 0


async def test_a_disconnect_ends_the_session_and_its_waiting_connect() -> None:
    """Nobody lingers."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        waiting = asyncio.create_task(client.connect())
        await until(lambda: rig.cometd.sessions[client.client_id].turn == 2)
        (answer,) = await client.send("/meta/disconnect")
        assert answer["successful"]
        async with asyncio.timeout(20):
            assert (await waiting)[-1]["error"] == "403::Unknown client"
        assert not rig.cometd.sessions
        assert subscribers(rig.bus, DIRECT) == 0


async def test_old_versions_lack_what_came_later() -> None:
    """No EventUuid below 52.0, no changedFields below 47.0."""
    async with served_cometd() as rig, BayeuxClient(rig.url, version="45.0") as client:
        await client.ready(DIRECT)
        rig.bus.on_commit(commit(updated(1, {}, {"On_Hand__c": 1})))
        (event,) = await client.events(1)
        assert set(event["data"]["event"]) == {"replayId"}
        assert "changedFields" not in event["data"]["payload"]["ChangeEventHeader"]


# --- refusals


@pytest.mark.parametrize(
    ("start", "shown"), [(1, "1"), (10**12, "1000000000000"), ("x", "x"), (-3, "-3"), (None, "None")]
)
async def test_a_stale_or_foreign_replay_id_is_refused_with_its_number(start: Any, shown: str) -> None:
    """The documented sentence, with two spaces, and the subscription is not made."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.handshake()
        answer = await client.subscribe(DIRECT, start)
        assert answer["error"] == (
            f"400::The replayId {{{shown}}} you provided was invalid.  Please provide a valid ID, "
            "-2 to replay all events, or -1 to replay only new events."
        )
        assert answer["successful"] is False
        assert subscribers(rig.bus, DIRECT) == 0


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        (
            "/event/Nothing__e",
            "400::The channel you requested to subscribe to does not exist {/event/Nothing__e}",
        ),
        ("data/x", "400::Channel subscriptions must start with a leading '/'"),
        ("", "400::Channel name not specified"),
    ],
)
async def test_a_wrong_channel_is_refused(channel: str, error: str) -> None:
    """Each mistake in its own words."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.handshake()
        assert (await client.subscribe(channel))["error"] == error


async def test_a_forbidden_topic_is_refused_and_present_clients_must_come_anew() -> None:
    """Permission lost: the session ends, and the next subscription says why."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        rig.bus.forbid(DIRECT)
        assert (await client.connect())[-1]["error"] == "403::Unknown client"
        await client.handshake()
        assert (await client.subscribe(DIRECT))["error"] == (
            "403::User not allowed to subscribe CDC without View All Data permissions"
        )


@pytest.mark.parametrize("scheme", ["OAuth ", "Bearer ", ""])
async def test_every_known_scheme_is_accepted(scheme: str) -> None:
    """Clients send OAuth, Bearer or the raw session id."""
    async with served_cometd() as rig, BayeuxClient(rig.url, f"{scheme}{TOKEN}") as client:
        assert (await client.handshake())["successful"]


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("", "401::Request requires authentication"),
        ("OAuth stale", "401::Authentication invalid"),
        (f"Bearer {TOKEN}", "401::Authentication invalid"),
        (f"Basic {TOKEN}", "401::Authentication invalid"),
    ],
)
async def test_a_handshake_without_a_right_token_is_denied(authorization: str, reason: str) -> None:
    """The reason is nested; Bearer is refused where the knob says so."""
    async with (
        served_cometd(cometd_accepts_bearer=False) as rig,
        BayeuxClient(rig.url, authorization) as client,
    ):
        assert await client.handshake() == {
            "channel": "/meta/handshake",
            "id": "7",
            "error": "403::Handshake denied",
            "successful": False,
            "ext": {"sfdc": {"failureReason": reason}, "replay": True},
            "advice": {"reconnect": "none"},
        }


async def test_a_token_that_died_meanwhile_ends_the_connection() -> None:
    """The client is told not to come again with it."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        rig.tokens.valid.clear()
        (answer,) = await client.connect()
        assert answer["error"] == "401::Authentication invalid"
        assert answer["advice"] == {"reconnect": "none", "interval": 0}


async def test_a_dead_token_can_be_a_bare_http_401() -> None:
    """As one report from a live org has it."""
    async with (
        served_cometd(cometd_expired_token_is_http_401=True) as rig,
        BayeuxClient(rig.url, "OAuth stale") as client,
    ):
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await client.handshake()


@pytest.mark.parametrize(("named", "error"), [(True, "400::Client "), (False, "403::Unknown client")])
async def test_a_client_that_loses_its_cookie_is_not_known(named: bool, error: str) -> None:
    """Both wordings exist."""
    async with served_cometd(cometd_names_missing_cookie=named) as rig, BayeuxClient(rig.url) as client:
        await client.handshake()
        client.http.cookies.clear()
        answer = await client.subscribe(DIRECT)
        assert answer["error"].startswith(error)
        assert answer["advice"]["reconnect"] == "handshake"


async def test_a_client_that_stays_away_is_forgotten() -> None:
    """It must handshake again and make its subscriptions again."""
    async with served_cometd(cometd_max_interval_seconds=0.02) as rig, BayeuxClient(rig.url) as client:
        await client.handshake()
        await until(lambda: not rig.cometd.sessions)
        (answer,) = await client.connect()
        assert answer["error"] == "403::Unknown client"
        assert answer["advice"] == {"interval": 0, "reconnect": "handshake"}


async def test_a_client_that_waits_is_not_counted_as_away() -> None:
    """A newer connect takes the older one's place, and its answer does not start the time either."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        session = rig.cometd.sessions[client.client_id]
        assert session.sweeper is not None
        first = asyncio.create_task(client.connect())
        await until(lambda: session.turn == 2)
        second = asyncio.create_task(client.connect())
        assert (await first)[-1]["successful"]
        assert session.sweeper is None
        rig.bus.on_commit(commit(created(1, Name="a")))
        assert len(await second) == 2
        assert session.sweeper is not None


async def test_dropped_sessions_have_to_start_anew() -> None:
    """The answer of a waiting connect says so, too."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        waiting = asyncio.create_task(client.connect())
        await until(lambda: rig.cometd.sessions[client.client_id].turn == 2)
        assert rig.cometd.drop_sessions() == 1
        assert (await waiting)[-1]["error"] == "403::Unknown client"


async def test_a_used_up_allowance_is_told_on_connect_and_the_events_stay() -> None:
    """Two of three are delivered; the third is there when the allowance is."""
    async with (
        served_cometd(bus_knobs={"delivery_allowance": 2}) as rig,
        BayeuxClient(rig.url) as client,
    ):
        rig.bus.on_commit(commit(*(created(n, Name=f"n{n}") for n in range(3))))
        await client.ready(DIRECT, -2)
        await client.events(2)
        (answer,) = await client.connect()
        assert answer["error"] == "403::Organization total events daily limit exceeded"
        rig.bus.allowance.refill()
        await client.events(1)


async def test_a_silent_server_holds_the_connect_while_a_new_client_is_served() -> None:
    """Open but dead; what was kept back comes when the silence ends."""
    async with (
        served_cometd(cometd_timeout_seconds=0.02) as rig,
        BayeuxClient(rig.url) as client,
        BayeuxClient(rig.url) as other,
    ):
        await client.ready(DIRECT)
        assert rig.cometd.go_silent() == 1
        waiting = asyncio.create_task(client.connect())
        rig.bus.on_commit(commit(created(1, Name="a")))
        await other.ready(DIRECT, -2)
        await other.events(1)
        assert not waiting.done()
        rig.cometd.speak()
        assert len(await waiting) == 2


async def test_events_are_not_spent_on_a_client_that_hung_up() -> None:
    """Its next connect gets them."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        waiting = asyncio.create_task(client.connect())
        session = rig.cometd.sessions[client.client_id]
        await until(lambda: session.turn == 2 and session.sweeper is None)
        waiting.cancel()
        await until(lambda: session.sweeper is not None)
        rig.bus.on_commit(commit(created(1, Name="a")))
        assert len(await client.events(1)) == 1


async def test_other_transports_and_unknown_messages_are_refused() -> None:
    """There is long polling and nothing to publish to."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        denied = await client.send("/meta/handshake", supportedConnectionTypes=["websocket"])
        assert denied[0]["error"] == "400::Invalid connection type websocket"
        unknown = await client.send("/meta/connect", connectionType="long-polling")
        assert unknown[0]["error"] == "403::Client has not completed handshake"
        await client.handshake()
        (answer,) = await client.send("/meta/connect", connectionType="callback-polling")
        assert answer["error"] == "400::Invalid connection type callback-polling"
        assert (await client.send(DIRECT, data={}))[0]["successful"] is False


@pytest.mark.parametrize("version", ["36.0", "99.0", "latest"])
async def test_versions_that_are_not_there_are_refused(version: str) -> None:
    """With the form that the address should have."""
    async with served_cometd() as rig, BayeuxClient(rig.url, version=version) as client:
        answer = await client.post({"channel": "/meta/handshake"})
        assert answer.status_code == 400
        assert "Unsupported API version" in answer.text


async def test_a_body_that_is_no_message_or_too_long_is_refused() -> None:
    """Nothing of it is looked at."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        for body, status in ((b"{", 400), (b"[1]", 400), (b"[]", 400), (b"[" + b" " * 40_000 + b"]", 413)):
            answer = await client.http.post("/cometd/67.0", content=body)
            assert answer.status_code == status


async def test_several_messages_of_one_post_are_answered_in_their_order() -> None:
    """A connect among others does not hold them up."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.handshake()
        await client.connect()
        answer = await client.post(
            {
                "channel": "/meta/subscribe",
                "clientId": client.client_id,
                "subscription": [DIRECT, EVENT_TOPIC],
            },
            {"channel": "/meta/connect", "clientId": client.client_id, "connectionType": "long-polling"},
        )
        kinds = [(message["channel"], message.get("subscription")) for message in answer.json()]
        assert kinds == [
            ("/meta/subscribe", DIRECT),
            ("/meta/subscribe", EVENT_TOPIC),
            ("/meta/connect", None),
        ]


async def test_a_waiting_connect_can_be_cut_and_the_session_lives_on() -> None:
    """As a network breaks: no answer, and what happened meanwhile comes with the next connect."""
    async with served_cometd() as rig, BayeuxClient(rig.url) as client:
        await client.ready(DIRECT)
        waiting = asyncio.create_task(client.connect())
        await until(lambda: rig.cometd.sessions[client.client_id].turn == 2)
        assert rig.cometd.cut(EVENT_TOPIC) == 0
        assert rig.cometd.cut(DIRECT) == 1
        with pytest.raises(httpx.HTTPError):
            await waiting
        rig.bus.on_commit(commit(created(1, Name="a")))
        assert len(await client.events(1)) == 1
