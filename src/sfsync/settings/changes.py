"""Two readings of the settings compared: what is other, and whether a running daemon can take it over.

Who may do what, the log's level, what policies and channels say of quantities, and who is told by callbacks
and alerts, and where, are taken over at once.
What connections, loops and stores were made from waits for a restart, and so does all that rests on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import SecretStr

from .channel import CallbackSettings, ReceiverSettings
from .model import PolicySettings, Settings
from .problems import KeyPath

WEB = ("tokens", "open_status", "proxy", "max_body_bytes")
LOG = ("level",)
CHANNEL = ("guarantee", "safety_stock", "cap")
RECEIVER = tuple(ReceiverSettings.model_fields)  # of a channel that is told by callbacks
MISSING = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One key that is other; values as texts, and of a secret only that it is another."""

    key: str
    before: str
    after: str
    live: bool  # a running daemon takes it over


def changes(before: Settings, after: Settings) -> list[Change]:
    """All that is other, in the order of the keys."""
    old, new = dict(_leaves((), _dumped(before))), dict(_leaves((), _dumped(after)))
    policies, callbacks = policies_are_live(before, after), _callbacks(before, after)
    kept = before.channels.keys() & after.channels.keys()
    found = []
    for path in sorted(old.keys() | new.keys(), key=_dotted):
        was, now = old.get(path, MISSING), new.get(path, MISSING)
        if was != now:
            live = policies if path[0] == "policies" else _live(path, kept, callbacks)
            found.append(Change(_dotted(path), _told(was), _told(now, after=True), live))
    return found


def with_live(before: Settings, after: Settings) -> Settings:
    """The settings that hold once what is live of `after` was taken over."""
    web = before.web.model_copy(update={name: getattr(after.web, name) for name in WEB})
    log = before.log.model_copy(update={name: getattr(after.log, name) for name in LOG})
    callbacks = _callbacks(before, after)
    channels = {
        name: channel.model_copy(
            update={
                key: getattr(after.channels[name], key)
                for key in (*CHANNEL, *(RECEIVER if name in callbacks else ()))
            }
        )
        if name in after.channels
        else channel
        for name, channel in before.channels.items()
    }
    policies = after.policies if policies_are_live(before, after) else before.policies
    live = {"web": web, "log": log, "channels": channels, "policies": policies, "alerts": after.alerts}
    return before.model_copy(update=live)


def _callbacks(before: Settings, after: Settings) -> frozenset[str]:
    """The channels that are told by callbacks, in both."""
    old, new = (
        {name for name, each in settings.channels.items() if isinstance(each, CallbackSettings)}
        for settings in (before, after)
    )
    return frozenset(old & new)


def policies_are_live(before: Settings, after: Settings) -> bool:
    """Policies wait where channels come or go, and where loops or what is sold from where rest on them."""
    same_channels = before.channels.keys() == after.channels.keys()
    return same_channels and _loops(before.policies) == _loops(after.policies)


def _loops(policies: tuple[PolicySettings, ...]) -> list[tuple[object, ...]]:
    return [
        (each.skus, each.block, each.block_at, each.fresh_seconds, each.location_group)
        for each in policies
        if each.block is not None or each.fresh_seconds is not None or each.location_group is not None
    ]


def _dumped(settings: Settings) -> dict[str, Any]:
    """All values; each channel with what its own kind has."""
    channels = {name: channel.model_dump() for name, channel in settings.channels.items()}
    return {**settings.model_dump(exclude={"channels"}), "channels": channels}


def _live(path: KeyPath, kept: Collection[str], callbacks: Collection[str]) -> bool:
    match path:
        case ("alerts", *_):
            return True
        case ("web", str(key), *_):
            return key in WEB
        case ("log", str(key)):
            return key in LOG
        case ("channels", name, str(key)):
            return (name in kept and key in CHANNEL) or (name in callbacks and key in RECEIVER)
        case _:
            return False


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Each single value with its path. A token goes by its name, a policy by its number."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves((*path, str(key)), part)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for number, part in enumerate(value):
            yield from _leaves((*path, str(part.get("name", number + 1))), part)
    else:
        yield path, value


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _told(value: Any, *, after: bool = False) -> str:
    if value is MISSING or value is None:
        return "not given"
    if isinstance(value, SecretStr):
        return "another secret" if after else "a secret"
    return orjson.dumps(value, default=str).decode()
