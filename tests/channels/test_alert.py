"""Alerts by signed callback over a real socket, to a receiver that reads the standard by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.channels.clock import WallClock
from tests.sandbox import Sandbox, start_receiver

from sfsync.channels.alert import AlertCallback, encode
from sfsync.channels.sender import CallbackConfig
from sfsync.domain.alerts import AlertKind, Notice
from sfsync.ports import Gone, TryLater, Unusable

NOW = datetime(2026, 11, 23, 8, 15, 0, 250_000, tzinfo=UTC)
BEGUN = Notice(
    3, "pager", 7, AlertKind.INCIDENT, "1 of BAG-1 sold that no stock covers", {"units": 1}, NOW, None
)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Sandbox]:
    """One for all of these tests."""
    with start_receiver() as running:
        yield running


def pager(receiver: Sandbox) -> AlertCallback:
    config = CallbackConfig(
        "pager", receiver.ready["url"], (receiver.ready["secret"],), allow_private=True, timeout_seconds=20.0
    )
    return AlertCallback(config, [AlertKind.INCIDENT], WallClock())


async def test_an_alert_and_its_end_are_two_signed_messages(receiver: Sandbox) -> None:
    """Of one alert, each with an id of its own."""
    to = pager(receiver)
    over = replace(BEGUN, resolved_at=NOW + timedelta(minutes=2))
    await to.tell(BEGUN)
    await to.tell(over)
    await to.close()
    first, second = [each["message"] for each in receiver.control("GET", "/state")["messages"]][-2:]
    assert first == {
        "id": BEGUN.message_id,
        "type": "alert.opened",
        "timestamp": "2026-11-23T08:15:00.250Z",
        "data": {
            "alert": 7,
            "kind": "incident",
            "title": "1 of BAG-1 sold that no stock covers",
            "detail": {"units": 1},
            "opened_at": "2026-11-23T08:15:00.250Z",
            "resolved_at": None,
        },
    }
    assert (second["type"], second["data"]["alert"]) == ("alert.resolved", 7)
    assert second["timestamp"] == second["data"]["resolved_at"] == "2026-11-23T08:17:00.250Z"
    assert second["id"] == over.message_id != first["id"]
    assert encode(BEGUN) == encode(replace(BEGUN, id=99))


async def test_what_a_receiver_answers_says_what_to_do(receiver: Sandbox) -> None:
    """Later, never this one, never again."""
    to = pager(receiver)
    receiver.control("POST", "/troubles", {"kind": "error_before", "retry_after": "7"})
    with pytest.raises(TryLater) as caught:
        await to.tell(BEGUN)
    assert caught.value.after_seconds == 7
    receiver.control("PATCH", "/state", {"useless": ["alert.opened"]})
    with pytest.raises(Unusable, match="422"):
        await to.tell(BEGUN)
    receiver.control("PATCH", "/state", {"useless": [], "gone": True})
    with pytest.raises(Gone):
        await to.tell(BEGUN)
    receiver.control("PATCH", "/state", {"gone": False})
    await to.tell(BEGUN)
    await to.close()
