"""Bayeux messages as the simulated org reads and writes them: parts without any state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import orjson

from sfsync.simulators.org.stream import REPLAY_REFUSED

OLDEST_VERSION, NEWEST_VERSION = 37.0, 68.0

Message: TypeAlias = dict[str, Any]

NO_MORE = {"interval": 0, "reconnect": "none"}
ANEW = {"interval": 0, "reconnect": "handshake"}


def api_version(text: str) -> tuple[float, str]:
    """Returns the version of the path, or what is wrong with it."""
    example = f"URI format: '/cometd/{NEWEST_VERSION}'"
    if not text:
        return 0.0, f"400::API version in the URI is mandatory. {example}"
    try:
        version = float(text)
    except ValueError:
        version = 0.0
    if not OLDEST_VERSION <= version <= NEWEST_VERSION:
        oldest = f"Only API versions '{OLDEST_VERSION}' and later are supported."
        return 0.0, f"400::Unsupported API version. {oldest} {example}"
    return version, ""


def read_messages(body: bytes) -> list[Message]:
    """Returns the messages of a body, which may be one or an array; raises ValueError."""
    found = orjson.loads(body)
    messages = found if isinstance(found, list) else [found]
    if not messages or not all(isinstance(message, dict) for message in messages):
        raise ValueError("not a message")
    return messages


def wanted_channels(message: Message) -> list[str]:
    wanted = message.get("subscription")
    names: Iterable[Any] = wanted if isinstance(wanted, list) else [wanted or ""]
    return [str(name) for name in names]


def success(message: Message, **members: Any) -> Message:
    return {**echo(message), **members, "successful": True}


def refusal(message: Message, error: str, advice: Message | None = None) -> Message:
    refusal = {**echo(message), "error": error, "successful": False}
    if "clientId" in message:
        refusal["clientId"] = message["clientId"]
    return refusal if advice is None else {**refusal, "advice": advice}


def echo(message: Message) -> Message:
    """An answer names the channel and the id of what it answers."""
    echo = {"channel": message.get("channel", "")}
    return {**echo, "id": message["id"]} if "id" in message else echo


def subscription_problem(code: str, channel: str, start: Any) -> str:
    if code == REPLAY_REFUSED:
        return (
            f"400::The replayId {{{start}}} you provided was invalid.  "
            "Please provide a valid ID, -2 to replay all events, or -1 to replay only new events."
        )
    if channel.startswith("/data/"):
        return "403::User not allowed to subscribe CDC without View All Data permissions"
    return "403::Restricted channel"
