"""One CometD client of the simulated org: its subscriptions, and what waits for its next connect."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sfsync.simulators.org.avro import HEADER
from sfsync.simulators.org.bus import EventBus
from sfsync.simulators.org.stream import Entry, StreamEnded, Subscription

MOST_EVENTS_PER_ANSWER = 500
_CHANGED_FIELDS_SINCE = 47.0
_EVENT_UUID_SINCE = 52.0


@dataclass
class CometdKnobs:
    """Times and habits of the Streaming API; read at each use, so the control port may change them."""

    cometd_timeout_seconds: float = 110.0  # how long an idle connect is held
    cometd_max_interval_seconds: float = 40.0  # how long a client may stay away between connects
    cometd_interval_milliseconds: int = 0  # what the advice tells clients to wait between connects
    cometd_accepts_bearer: bool = True  # one report says that orgs refuse `Bearer` and want `OAuth`
    cometd_first_connect_at_once: bool = True  # the first connect is answered without events
    cometd_changed_fields: str = "updates"  # or `never`: the documents say both
    cometd_names_missing_cookie: bool = False  # 400 that names the cookie, or 403::Unknown client
    cometd_expired_token_is_http_401: bool = False  # a bare HTTP 401, or a message with advice


class CometdSession:
    """What a client id stands for, until it disconnects, stays away too long, or is dropped."""

    def __init__(self, client_id: str, user_id: str, cookie: str, version: float, knobs: CometdKnobs) -> None:
        self.client_id = client_id
        self.user_id = user_id
        self.cookie = cookie
        self.subscriptions: dict[str, Subscription] = {}
        self.news = asyncio.Event()
        self.speaking = asyncio.Event()
        self.speaking.set()
        self.connected = False  # whether a connect was answered since the handshake
        self.ended = False
        self.to_cut = False  # the connection of the connect that waits, or of the next one
        self.turn = 0  # of the newest connect; an older one that still waits gives up
        self.sweeper: asyncio.TimerHandle | None = None
        self._version = version
        self._knobs = knobs

    def subscribe(self, bus: EventBus, channel: str, start: int) -> None:
        """Starts, or moves, a subscription; raises StreamEnded when the org refuses."""
        subscription = bus.subscribe(
            channel, start, subscriber=self.user_id, news=self.news, allowance_needed=False
        )
        self.unsubscribe(channel)
        self.subscriptions[channel] = subscription
        self.news.set()

    def unsubscribe(self, channel: str) -> None:
        """Ends a subscription, if there is one."""
        subscription = self.subscriptions.pop(channel, None)
        if subscription is not None:
            subscription.close()

    def take(self) -> list[dict[str, Any]]:
        """Returns the messages of events that wait, in stream order; raises StreamEnded."""
        self.news.clear()
        taken: list[tuple[int, str, Entry]] = []
        for channel, subscription in self.subscriptions.items():
            try:
                entries = subscription.take(MOST_EVENTS_PER_ANSWER)
            except StreamEnded:
                if not taken:
                    raise
                break  # what was taken is told first; the end comes with the next connect
            taken.extend((entry.replay, channel, entry) for entry in entries)
        if len(taken) >= MOST_EVENTS_PER_ANSWER:
            self.news.set()
        taken.sort(key=lambda each: each[0])
        return [self._message(channel, entry) for _, channel, entry in taken]

    def end(self) -> None:
        """Leaves all topics and lets a waiting connect notice."""
        self.ended = True
        for channel in list(self.subscriptions):
            self.unsubscribe(channel)
        self.stop_sweeper()
        self.speaking.set()
        self.news.set()

    def stop_sweeper(self) -> None:
        """The client is here: it does not stay away."""
        if self.sweeper is not None:
            self.sweeper.cancel()
            self.sweeper = None

    def _message(self, channel: str, entry: Entry) -> dict[str, Any]:
        event: dict[str, Any] = {"replayId": entry.replay}
        if self._version >= _EVENT_UUID_SINCE:
            event["EventUuid"] = entry.event.uuid
        if entry.event.torn:
            return {"channel": channel, "data": {"schema": entry.event.codec.schema_id, "event": event}}
        payload = entry.event.as_json()
        if HEADER in payload:
            payload[HEADER] = self._header(payload[HEADER])
        data = {"schema": entry.event.codec.schema_id, "payload": payload, "event": event}
        return {"channel": channel, "data": data}

    def _header(self, header: dict[str, Any]) -> dict[str, Any]:
        """JSON shows nulled fields and diffs in the body; changed ones are named by version and knob."""
        hidden = {"nulledFields", "diffFields"}
        if self._version < _CHANGED_FIELDS_SINCE or self._knobs.cometd_changed_fields == "never":
            hidden.add("changedFields")
        return {name: value for name, value in header.items() if name not in hidden}
