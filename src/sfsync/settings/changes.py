"""Two readings of the settings compared: what is other, and whether a running daemon can take it over.

Who may do what and where, the log's level, what policies and channels say of quantities, what counts are
believed, and who is told by callbacks and alerts, and where, are taken over at once.
What connections, loops and stores were made from waits for a restart, and so does all that rests on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import orjson
from pydantic import SecretStr

from .channel import CallbackSettings, ReceiverSettings
from .model import PolicySettings, Settings
from .problems import KeyPath

WEB = ("tokens", "open_status", "proxy", "max_body_bytes")
LOG = ("level",)
CHANNEL = ("guarantee", "safety_stock", "cap", "most_units", "orders_lag_seconds")
PLACES = ("may_reserve_at",)  # of a channel; it may name groups of locations, which wait for a restart
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
    """All that is other, in the order of the keys, as the file has them.

    What a new table, or one that is gone, leaves at its default is not told; a policy goes by its place in
    the file, and is the same one wherever others are put before it.
    """
    pairs = _paired(before.policies, after.policies)
    old, new = (
        _Told(before, {was: name for name, was, _ in pairs}),
        _Told(after, {now: n for n, _, now in pairs}),
    )
    policies, callbacks = policies_are_live(before, after), _callbacks(before, after)
    kept = dict.fromkeys(before.channels.keys() & after.channels.keys(), _channel_keys(before, after))
    found = []
    for path in sorted(old.all.keys() | new.all.keys(), key=_in_order):
        was, now = old.value(path, new), new.value(path, old)
        if was != now:
            live = policies if path[0] == "policies" else _live(path, kept, callbacks)
            found.append(Change(_dotted(path), _told(was), _told(now, after=was is not MISSING), live))
    return found


class _Told:
    """One reading: each single value by its path, and which of them are no defaults."""

    def __init__(self, settings: Settings, numbers: Mapping[int | None, str]) -> None:
        self.all = dict(_leaves((), _dumped(settings, numbers)))
        self._given = dict(_leaves((), _dumped(settings, numbers, exclude_defaults=True)))

    def value(self, path: KeyPath, other: _Told) -> Any:
        """What is at a path; nothing, for a mere default of a table that the other reading does not have."""
        if path not in other.all and path not in self._given and path[-1] != "kind":
            return MISSING
        value = self.all.get(path, MISSING)
        empty = value is None or (isinstance(value, Mapping | list | tuple) and not value)
        return MISSING if empty else value


def _paired(
    before: Sequence[PolicySettings], after: Sequence[PolicySettings]
) -> list[tuple[str, int | None, int | None]]:
    """(name, number before, number after) of each policy; the name is its number in the file that has it.

    Equal ones are found first, in their order; between them those for the same SKUs are the same policy, and
    what is left goes by its order.
    """
    found: list[tuple[str, int | None, int | None]] = []
    ours, theirs = [repr(each) for each in before], [repr(each) for each in after]
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for _, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        old, new = list(range(old_from, old_to)), list(range(new_from, new_to))
        for same in (_same_skus, _in_turn):
            for was in list(old):
                if (now := next((n for n in new if same(before[was], after[n])), None)) is not None:
                    found.append((str(now + 1), was, now))
                    old.remove(was)
                    new.remove(now)
        found += [(f"{was + 1} (gone)", was, None) for was in old]
        found += [(str(now + 1), None, now) for now in new]
    return found


def _same_skus(one: PolicySettings, other: PolicySettings) -> bool:
    return (one.skus, one.channels) == (other.skus, other.channels)


def _in_turn(_one: PolicySettings, _other: PolicySettings) -> bool:
    return True


def with_live(before: Settings, after: Settings) -> Settings:
    """The settings that hold once what is live of `after` was taken over."""
    web = before.web.model_copy(update={name: getattr(after.web, name) for name in WEB})
    log = before.log.model_copy(update={name: getattr(after.log, name) for name in LOG})
    callbacks, keys = _callbacks(before, after), _channel_keys(before, after)
    channels = {
        name: channel.model_copy(
            update={
                key: getattr(after.channels[name], key)
                for key in (*keys, *(RECEIVER if name in callbacks else ()))
            }
        )
        if name in after.channels
        else channel
        for name, channel in before.channels.items()
    }
    policies = after.policies if policies_are_live(before, after) else before.policies
    live = {"web": web, "log": log, "channels": channels, "policies": policies}
    return before.model_copy(update=live | {"alerts": after.alerts, "counts": after.counts})


def _callbacks(before: Settings, after: Settings) -> frozenset[str]:
    """The channels that are told by callbacks, in both."""
    old, new = (
        {name for name, each in settings.channels.items() if isinstance(each, CallbackSettings)}
        for settings in (before, after)
    )
    return frozenset(old & new)


def _channel_keys(before: Settings, after: Settings) -> tuple[str, ...]:
    """What is taken over of a channel that is in both."""
    return (*CHANNEL, *PLACES) if before.location_groups == after.location_groups else CHANNEL


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


def _dumped(
    settings: Settings, numbers: Mapping[int | None, str], *, exclude_defaults: bool = False
) -> dict[str, Any]:
    """All values; each channel with what its own kind has, each policy by its name."""
    channels = {
        name: channel.model_dump(exclude_defaults=exclude_defaults)
        for name, channel in settings.channels.items()
    }
    policies = {
        numbers[number]: policy.model_dump(exclude_defaults=exclude_defaults)
        for number, policy in enumerate(settings.policies)
    }
    rest = settings.model_dump(exclude={"channels", "policies"}, exclude_defaults=exclude_defaults)
    return {**rest, "channels": channels, "policies": policies}


def _live(path: KeyPath, kept: Mapping[str, Collection[str]], callbacks: Collection[str]) -> bool:
    match path:
        case ("alerts" | "counts", *_):
            return True
        case ("web", str(key), *_):
            return key in WEB
        case ("log", str(key)):
            return key in LOG
        case ("channels", name, str(key)):
            return key in kept.get(str(name), ()) or (name in callbacks and key in RECEIVER)
        case _:
            return False


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Each single value with its path. A token goes by its name, what has none by its number."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _leaves((*path, str(key)), part)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for number, part in enumerate(value):
            named = {key: each for key, each in part.items() if key != "name"}
            yield from _leaves((*path, str(part.get("name", number + 1))), named)
    else:
        yield path, value


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _in_order(path: KeyPath) -> list[tuple[int, str]]:
    """Numbers as numbers: the tenth policy comes after the ninth."""
    return [(int(part.split()[0]) if part[:1].isdigit() else 0, part) for part in map(str, path)]


def _told(value: Any, *, after: bool = False) -> str:
    """A value as the file has it."""
    if value is MISSING or value is None:
        return "not given"
    if isinstance(value, SecretStr):
        return "another secret" if after else "a secret"
    if isinstance(value, list | tuple | frozenset):
        return f"[{', '.join(_told(each) for each in value)}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return orjson.dumps(value, default=str).decode()
