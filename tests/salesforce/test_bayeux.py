"""What a Bayeux answer means, what an event says, and where a stream stands: pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.ports import EVERYTHING, CursorRefused, OutsideError, Refused, TryLater
from sfsync.salesforce import bayeux
from sfsync.salesforce.bayeux import ALL, NEW, SessionGone, WornToken
from sfsync.salesforce.bookmark import FROM_NOW, FROM_OLDEST
from sfsync.salesforce.codec import Event, Garbled

STOCK, TILL = "/data/SfsyncStock__chn", "/event/StockEvent__e"
HANDSHAKE, CONNECT, SUBSCRIBE = bayeux.HANDSHAKE, bayeux.CONNECT, bayeux.SUBSCRIBE


def refused(channel: str, error: str | None, **more: Any) -> Exception:
    message = {"channel": channel, "successful": False, **more}
    return bayeux.refusal(message if error is None else {**message, "error": error}, "the stream")


# -- refusals


@pytest.mark.parametrize(
    ("channel", "error", "kind"),
    [
        (CONNECT, "401::Authentication invalid", WornToken),
        (CONNECT, "401::Request requires authentication", WornToken),
        (SUBSCRIBE, "401::Authentication invalid", WornToken),
        (CONNECT, "403::Unknown client", SessionGone),
        (SUBSCRIBE, "403::Unknown client", SessionGone),
        (CONNECT, "402::Unknown client", SessionGone),
        (CONNECT, "403::Client has not completed handshake", SessionGone),
        (
            SUBSCRIBE,
            "400::Client 3x has established a session, but no BAYEUX_BROWSER cookie present",
            SessionGone,
        ),
        (CONNECT, "400::Authenticated user id does not match the session's user id", SessionGone),
        (CONNECT, "403::Organization total events daily limit exceeded", TryLater),
        (SUBSCRIBE, "403::Organization concurrent user limit exceeded", TryLater),
        (HANDSHAKE, "403::Handshake denied", TryLater),
        (HANDSHAKE, "503::Service Unavailable", TryLater),
        (HANDSHAKE, "400::API version in the URI is mandatory", Refused),
        (CONNECT, "400::Invalid connection type long-polling", TryLater),
        (SUBSCRIBE, "500::Internal error", TryLater),
        (
            SUBSCRIBE,
            "400::The replayId {17} you provided was invalid.  Please provide a valid ID, -2 to replay all "
            "events, or -1 to replay only new events.",
            CursorRefused,
        ),
        (SUBSCRIBE, "403::User not allowed to subscribe CDC without View All Data permissions", Refused),
        (SUBSCRIBE, f"400::The channel you requested to subscribe to does not exist {{{STOCK}}}", Refused),
        (SUBSCRIBE, "404::Unknown channel", Refused),
        (CONNECT, None, TryLater),
        (SUBSCRIBE, None, TryLater),
    ],
)
def test_each_refusal_has_one_meaning(channel: str, error: str | None, kind: type[Exception]) -> None:
    """A new token, a new session, a snapshot, a person, or patience: never a guess of two."""
    found = refused(channel, error)
    assert type(found) is kind
    assert (error or "no reason given") in str(found)


def test_a_denied_handshake_is_judged_by_its_inner_reason() -> None:
    """On the outside it is a 403, inside it says that the token is worn; both are told."""
    ext = {"sfdc": {"failureReason": "401::Authentication invalid"}, "replay": True}
    found = refused(HANDSHAKE, "403::Handshake denied", ext=ext)
    assert type(found) is WornToken
    assert str(found) == "the stream: 403::Handshake denied (401::Authentication invalid)"


@pytest.mark.parametrize(
    "name", ["Session__e", "Unknown client", "limit exceeded", "replayId", "Handshake__e"]
)
def test_a_topics_own_name_does_not_change_what_a_refusal_means(name: str) -> None:
    """A channel that happens to be called like an error is still only a channel that is not there."""
    found = refused(
        SUBSCRIBE, f"400::The channel you requested to subscribe to does not exist {{/event/{name}}}"
    )
    assert type(found) is Refused
    assert "deploy" in found.advice


def test_what_a_person_should_do_is_told_with_a_refusal() -> None:
    """Permission, missing metadata, wrong version: each has its remedy."""
    permission, version = (
        refused(SUBSCRIBE, "403::No access"),
        refused(CONNECT, "400::Unsupported API version"),
    )
    assert isinstance(permission, Refused)
    assert "Sfsync_Integration" in permission.advice
    assert isinstance(version, Refused)
    assert "api_version" in version.advice


def test_a_daily_limit_is_not_asked_again_at_once_and_a_busy_org_sooner() -> None:
    """An allowance of 24 hours does not come back within seconds; a place among the clients may."""
    daily = refused(CONNECT, "403::Organization total events daily limit exceeded")
    busy = refused(HANDSHAKE, "403::Organization concurrent user limit exceeded")
    assert isinstance(daily, TryLater)
    assert isinstance(busy, TryLater)
    assert (daily.after_seconds, busy.after_seconds) == (900.0, 60.0)


@given(
    st.sampled_from([HANDSHAKE, CONNECT, SUBSCRIBE, "/meta/other"]),
    st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text())),
    st.one_of(
        st.none(), st.text(), st.dictionaries(st.text(), st.text()), st.just({"sfdc": {"failureReason": 7}})
    ),
)
def test_no_answer_is_without_a_meaning(channel: str, error: Any, ext: Any) -> None:
    """Whatever the org says, it becomes one of our named ends and never an accident."""
    found = bayeux.refusal({"channel": channel, "error": error, "ext": ext}, "the stream")
    assert isinstance(found, OutsideError | WornToken | SessionGone)


# -- where a stream stands


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        (None, NEW),
        (EVERYTHING, ALL),
        (FROM_OLDEST, ALL),
        (bayeux.cursor_after(17), 17),
        (bayeux.cursor_after(0), 0),
    ],
)
@pytest.mark.parametrize("topic", [STOCK, TILL])
def test_a_cursor_stands_for_a_place(topic: str, cursor: bytes | None, expected: int) -> None:
    """From now on, everything, after an event."""
    assert bayeux.place(topic, cursor) == expected


def test_a_stream_that_has_told_nothing_since_it_was_joined_has_no_place_to_go_on_from() -> None:
    """Changes can be read from the records, which costs no deliveries: so the cursor is refused."""
    with pytest.raises(CursorRefused, match="no event yet"):
        bayeux.place(STOCK, FROM_NOW)


@pytest.mark.parametrize(
    "cursor",
    [
        b"x",
        b"\xff" * 8,
        b"cometd",
        b"cometd:",
        b"cometd@",
        b"cometd:-1",
        b"cometd:1.5",
        b"cometd@5",
        b"since@5:",
    ],
)
def test_what_is_no_cursor_of_ours_is_refused(cursor: bytes) -> None:
    """The other transport's bookmark, or a torn one, is never read as a number of this stream."""
    with pytest.raises(CursorRefused):
        bayeux.place(TILL, cursor)


# -- events


def message(**event: Any) -> dict[str, Any]:
    return {"channel": STOCK, "data": {"payload": {"OnHandDelta__c": -1}, "event": event}}


@pytest.mark.parametrize(
    ("told", "place"),
    [
        (message(replayId=17), 17),
        (message(replayId=0), 0),
        (message(replayId=-1), None),
        (message(replayId="17"), None),
        (message(), None),
        ({"channel": STOCK}, None),
        ({"channel": STOCK, "data": []}, None),
        ({"channel": STOCK, "data": {"event": "17"}}, None),
    ],
)
def test_an_events_place_is_its_number_or_unknown(told: dict[str, Any], place: int | None) -> None:
    """Whatever stands in the message: an unknown place moves no bookmark."""
    assert bayeux.replay_id(told) == place


def test_an_event_is_called_by_its_uuid_or_else_by_its_place() -> None:
    """Older versions tell no UUID; the place is at least the same on a replay."""
    assert bayeux.event(message(replayId=17, EventUuid="abc")) == Event("abc", {"OnHandDelta__c": -1})
    assert bayeux.event(message(replayId=17)) == Event(f"{STOCK}:17", {"OnHandDelta__c": -1})


@pytest.mark.parametrize(
    ("header", "changed"),
    [
        ({"changedFields": ["OnHandDelta__c", "LastModifiedDate"]}, {"OnHandDelta__c", "LastModifiedDate"}),
        ({"changedFields": []}, set()),
        ({}, None),
        ({"changedFields": "0x0C"}, None),
        ("none", None),
    ],
)
def test_changed_fields_are_names_here_or_are_not_told(header: Any, changed: set[str] | None) -> None:
    """An event that does not tell what changed is never taken for one that changed nothing."""
    told = {"channel": STOCK, "data": {"payload": {"ChangeEventHeader": header}, "event": {"replayId": 1}}}
    event = bayeux.event(told)
    assert isinstance(event, Event)
    assert event.changed == changed


@pytest.mark.parametrize(("channel", "change"), [(STOCK, True), (TILL, False)])
@pytest.mark.parametrize("payload", [None, "text", [1]])
def test_an_event_without_a_payload_is_set_aside_whole(channel: str, change: bool, payload: Any) -> None:
    """A person gets all of it; one that may have told of a change opens a hole."""
    told = {"channel": channel, "data": {"payload": payload, "event": {"replayId": 3}}}
    event = bayeux.event(told)
    assert isinstance(event, Garbled)
    assert (event.id, event.change) == (f"{channel}:3", change)
    assert '"replayId":3' in event.payload


# -- the endpoint


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("67.0", "67.0"),
        ("52.0", "52.0"),
        ("51.0", "52.0"),
        ("45.0", "52.0"),
        ("100.0", "100.0"),
        ("67", "67.0"),
    ],
)
def test_the_endpoint_is_of_our_version_and_of_one_that_tells_uuids(version: str, path: str) -> None:
    """Below 52.0 an event has no UUID, so that a malformed posting would be a new one at each replay."""
    assert bayeux.endpoint("https://house.example", version) == f"https://house.example/cometd/{path}"
