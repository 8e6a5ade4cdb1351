"""Alerts: what a person should know now, told once when it begins and once when it is over.

What is worth an alert is worked out anew at each look, as a list of what holds at that moment. What has begun
to hold and lasts is an alert; what holds no more is its resolution. An alert that nobody was told of in time
is not told of afterwards: when a receiver comes back, it hears what is so, not what has been.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

# What comes and goes within so long (a stream that is taken up again, an org that is busy) troubles nobody.
LASTING = timedelta(minutes=1)
SILENT_AFTER = timedelta(seconds=330)  # the org gives a sign of life at least every 270 s


class AlertKind(StrEnum):
    """What an alert is about."""

    INCIDENT = "incident"
    HOLE = "hole"  # in what is known of a stream
    SILENCE = "silence"  # the org, a stream of it, or a channel is not heard
    DEAD_LETTERS = "dead-letters"
    EXPOSURE = "exposure"  # mirrored channels show more than there is, beyond the limit
    HELD = "held"  # changed settings wait for a person at a channel
    ALLOWANCE = "allowance"  # API calls or storage run short


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that holds now. `key` is the same as long as it is the same thing."""

    kind: AlertKind
    key: str
    title: str
    detail: Mapping[str, object] = field(default_factory=dict)
    lasts: bool = True  # already: it need not be watched for a while first
    about: str = ""  # a receiver that is set aside: it cannot be told of that itself


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one receiver: an alert has begun, or is over."""

    id: int
    receiver: str
    alert_id: int
    kind: AlertKind
    title: str
    detail: Mapping[str, object]
    opened_at: datetime
    resolved_at: datetime | None  # None: it has begun

    @property
    def message_id(self) -> str:
        """The same for each try of this message, and for no other."""
        word = "opened" if self.resolved_at is None else "resolved"
        text = f"{self.receiver} {self.alert_id} {self.opened_at.timestamp()} {word}"
        return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class Patient:
    """Knows since when each thing holds, so that only what lasts becomes an alert."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}

    def lasting(self, now_holds: Collection[Alert], known: Collection[str], now: datetime) -> list[Alert]:
        """Of what holds now, what has lasted long enough, or is known by its key as an alert already."""
        keys = {each.key for each in now_holds}
        self._since = {key: since for key, since in self._since.items() if key in keys}
        found = []
        for each in now_holds:
            since = self._since.setdefault(each.key, now)
            if each.lasts or each.key in known or now - since >= LASTING:
                found.append(each)
        return found
