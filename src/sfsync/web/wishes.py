"""The bodies of the reservation API, read strictly: every field that is wrong is named, all at once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sfsync.domain.editions import same_client
from sfsync.domain.reservations import (
    DEFAULT_LIFE,
    LONGEST,
    OPEN,
    TO_FETCH,
    PickUpWindow,
    ReservationKind,
    ReservationState,
    Wish,
    WishedLine,
)
from sfsync.domain.rights import EVERYTHING, Reach, Sight
from sfsync.domain.stock import BROKEN, LOCATION_LENGTH, SKU_LENGTH, UNIT_LENGTH, BadKeyError, LevelKey
from sfsync.domain.why import Question

from .json_text import to_json
from .problems import ProblemError, bad_fields

MOST_LINES = 100
MOST_UNITS = 1000
LONGEST_REFERENCE = 120  # characters
LONGEST_KEY = 200  # characters of Idempotency-Key

MOST_LISTED = 200

_WISH_FIELDS = (
    "kind",
    "channel",
    "owner",
    "lines",
    "expires_in_seconds",
    "partial",
    "pick_up",
    "in_hand",
    "client",
)
_LINE_FIELDS = ("sku", "quantity", "location", "location_group", "unit")
_LIST_FIELDS = ("kind", "state", "channel", "owner", "location", "after", "limit")


class Fields:
    """Takes fields out of an object and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def unknown(self, table: Mapping[str, Any], known: Collection[str], at: str = "") -> None:
        for name in table:
            if name not in known:
                self.errors[f"{at}{name[:40]}"] = f"is not known; known are {', '.join(known)}"

    def text(self, table: Mapping[str, Any], name: str, longest: int, at: str = "") -> str:
        value = table.get(name)
        if value is None:
            self.errors[f"{at}{name}"] = "is missing"
        elif not isinstance(value, str):
            self.errors[f"{at}{name}"] = "is not a text"
        elif not value or value != value.strip():
            self.errors[f"{at}{name}"] = "is empty or has blanks at its ends"
        elif len(value) > longest:
            self.errors[f"{at}{name}"] = f"has more than {longest} characters"
        elif not value.isprintable() or BROKEN in value:
            self.errors[f"{at}{name}"] = "contains characters that cannot be printed"
        else:
            return value
        return ""

    def optional_text(self, table: Mapping[str, Any], name: str, longest: int, at: str = "") -> str | None:
        return None if table.get(name) is None else self.text(table, name, longest, at)

    def whole(self, table: Mapping[str, Any], name: str, most: int, at: str = "", least: int = 1) -> int:
        value = table.get(name)
        if value is None:
            self.errors[f"{at}{name}"] = "is missing"
        elif isinstance(value, bool) or not isinstance(value, int):
            self.errors[f"{at}{name}"] = "is not a whole number"
        elif not least <= value <= most:
            self.errors[f"{at}{name}"] = f"is not between {least} and {most}"
        else:
            return value
        return 1

    def flag(self, table: Mapping[str, Any], name: str) -> bool:
        value = table.get(name)
        if value is not None and not isinstance(value, bool):
            self.errors[name] = "is not true or false"
        return value is True

    def moment(self, table: Mapping[str, Any], name: str, at: str = "") -> datetime | None:
        text = self.text(table, name, 40, at)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.errors[f"{at}{name}"] = "is not a moment like 2026-11-23T08:15:00Z"
            return None
        return moment


def read_wish(
    table: Mapping[str, Any],
    channels: Collection[str],
    reach: Reach,
    now: datetime,
    *,
    sight: Sight = EVERYTHING,
    is_store: bool = False,
) -> Wish:
    """A wish; a 422 problem with all bad fields otherwise.

    `sight`: whose things the asking party sees. One of a single channel need not say which. `reach`: where
    else than at its own locations it may ask in a channel's name.
    """
    fields = Fields()
    fields.unknown(table, _WISH_FIELDS)
    kind = _kind(fields, table)
    channel = _channel(fields, table, known_to(sight, channels), sight)
    owner = fields.text(table, "owner", LONGEST_REFERENCE)
    client = fields.optional_text(table, "client", LONGEST_REFERENCE)
    if client is None:
        client = owner if kind is ReservationKind.CLIENT else ""
    client = same_client(client)
    lines = _lines(fields, table.get("lines"), channel, reach.groups)
    _own_places(fields, sight, channel, lines)
    _within_reach(fields, sight, channel, reach, lines)
    partial = fields.flag(table, "partial")
    window = _window(fields, table, kind, now)
    in_hand = fields.flag(table, "in_hand")
    if in_hand and not is_store:
        fields.errors["in_hand"] = "is for tokens with the scope stores"
    elif in_hand and not all(line.location and sight.at(line.location) for line in lines):
        fields.errors["in_hand"] = "is said of a line that is not at a location of this token"
    life = DEFAULT_LIFE[kind]
    if table.get("expires_in_seconds") is not None:
        life = timedelta(seconds=fields.whole(table, "expires_in_seconds", int(LONGEST.total_seconds())))
    if fields.errors:
        raise bad_fields(fields.errors)
    return Wish(kind, channel, owner, lines, life, partial, window, in_hand, client)


def known_to(sight: Sight, channels: Collection[str]) -> frozenset[str]:
    """The channels that a party may name: others are not there for it."""
    return frozenset(channels) if sight.channels is None else sight.channels & frozenset(channels)


def _channel(fields: Fields, table: Mapping[str, Any], known: frozenset[str], sight: Sight) -> str | None:
    channel = fields.optional_text(table, "channel", 40)
    if channel and channel not in known:
        fields.errors["channel"] = f"is none of {', '.join(sorted(known)) or 'the channels of this token'}"
    if channel is None and not sight.everything and not sight.locations and "channel" not in fields.errors:
        if len(known) == 1:
            return next(iter(known))
        fields.errors["channel"] = f"is missing; give one of {', '.join(sorted(known))}"
    return channel


def _own_places(fields: Fields, sight: Sight, channel: str | None, lines: tuple[WishedLine, ...]) -> None:
    """What a boutique asks for in nobody's name is at its own location."""
    if "channel" in fields.errors:
        return
    for number in sight.misplaced(channel, lines):
        what = f"is none of {', '.join(sorted(sight.locations or ()))}, the locations of this token"
        fields.errors.setdefault(f"lines[{number}].location", what)


def _within_reach(
    fields: Fields, sight: Sight, channel: str | None, reach: Reach, lines: tuple[WishedLine, ...]
) -> None:
    """What is asked for in a channel's name is where that channel may reserve."""
    if "channel" in fields.errors:
        return
    misplaced = sight.misplaced(channel, lines)
    for number, line in enumerate(lines):
        at = f"lines[{number}]"
        if number in misplaced:
            continue
        if line.location_group:
            places = reach.groups.get(line.location_group, frozenset())
            if away := sight.beyond(reach.of(channel), places):
                what = f"has {', '.join(away)}, which {_beyond(sight, channel, reach)}"
                fields.errors.setdefault(f"{at}.location_group", what)
        elif line.location and sight.beyond(reach.of(channel), [line.location]):
            fields.errors.setdefault(f"{at}.location", _beyond(sight, channel, reach))


def _beyond(sight: Sight, channel: str | None, reach: Reach) -> str:
    """Why nothing is reserved at a location; which it could be, and the setting that adds others."""
    places = ", ".join(sorted(reach.of(channel) | (sight.locations or frozenset())))
    whose = f"where {channel} may reserve" if channel else "where any channel may reserve"
    setting = f"channels.{channel}.may_reserve_at" if channel else "may_reserve_at of a channel"
    return f"is none of {places or 'the locations'}, {whose}; {setting} names others"


def _window(
    fields: Fields, table: Mapping[str, Any], kind: ReservationKind, now: datetime
) -> PickUpWindow | None:
    value = table.get("pick_up")
    if value is None:
        return None
    if kind is not ReservationKind.PICK_UP:
        fields.errors["pick_up"] = f"is for the kind {ReservationKind.PICK_UP.value} only"
        return None
    if not isinstance(value, dict):
        fields.errors["pick_up"] = "is not an object"
        return None
    if table.get("expires_in_seconds") is not None:
        fields.errors["pick_up"] = "says when it expires; leave out expires_in_seconds"
    fields.unknown(value, ("begins", "ends"), "pick_up.")
    begins, ends = fields.moment(value, "begins", "pick_up."), fields.moment(value, "ends", "pick_up.")
    if begins is None or ends is None:
        return None
    if ends <= begins or ends <= now:
        fields.errors["pick_up.ends"] = "is not after its begin and after now"
    elif ends > now + LONGEST:
        fields.errors["pick_up.ends"] = f"is more than {LONGEST.days} days away"
    return PickUpWindow(begins, ends)


def _kind(fields: Fields, table: Mapping[str, Any]) -> ReservationKind:
    text = fields.text(table, "kind", 20)
    try:
        return ReservationKind(text)
    except ValueError:
        fields.errors.setdefault("kind", f"is none of {', '.join(ReservationKind)}")
        return ReservationKind.CART


def _lines(
    fields: Fields, lines: object, channel: str | None, groups: Collection[str]
) -> tuple[WishedLine, ...]:
    if not isinstance(lines, list) or not lines:
        fields.errors["lines"] = "is not a list with at least one line"
        return ()
    if len(lines) > MOST_LINES:
        fields.errors["lines"] = f"has more than {MOST_LINES} lines"
        return ()
    read = tuple(
        _line(fields, line, f"lines[{number}]", channel, groups) for number, line in enumerate(lines)
    )
    places = [(line.sku, line.location, line.location_group, line.unit) for line in read]
    for number, place in enumerate(places):
        if place[0] and place in places[:number]:
            fields.errors.setdefault(f"lines[{number}]", "names the same stock as a line before; add them up")
    return read


def _line(fields: Fields, line: object, at: str, channel: str | None, groups: Collection[str]) -> WishedLine:
    if not isinstance(line, dict):
        fields.errors[at] = "is not an object"
        return WishedLine("", 1)
    fields.unknown(line, _LINE_FIELDS, f"{at}.")
    sku = fields.text(line, "sku", 120, f"{at}.")
    location = fields.optional_text(line, "location", 80, f"{at}.")
    unit = fields.optional_text(line, "unit", 80, f"{at}.")
    quantity = fields.whole(line, "quantity", MOST_UNITS, f"{at}.")
    group = fields.optional_text(line, "location_group", 80, f"{at}.")
    if group and group not in groups:
        known = ", ".join(sorted(groups)) or "none in these settings"
        fields.errors[f"{at}.location_group"] = f"is not known; known are {known}"
    if location is not None and group is not None:
        fields.errors[f"{at}.location_group"] = "stands beside a location; give one of them"
    if location is None and group is None and channel is None:
        fields.errors[f"{at}.location"] = "is missing; give it, a location_group, or a channel"
    if unit and quantity > 1:
        fields.errors.setdefault(f"{at}.quantity", "is more than 1, but the line names one unit")
    for name, text in (("sku", sku), ("location", location), ("unit", unit)):
        if text and not _key_part(text):
            fields.errors.setdefault(f"{at}.{name}", "contains '|'")
    return WishedLine(sku, quantity, location, unit, group)


def _key_part(text: str) -> bool:
    try:
        LevelKey("SKU", "location", text)
    except BadKeyError as error:
        return "|" not in str(error)
    return True


def digest_of(wish: Wish) -> str:
    """The same for the same wish, however its JSON was written."""
    lines = [[line.sku, line.quantity, line.location, line.location_group, line.unit] for line in wish.lines]
    window = None if wish.window is None else [wish.window.begins, wish.window.ends]
    life = int(wish.life.total_seconds())
    parts = [wish.kind, wish.channel, wish.owner, lines, life, wish.partial, window, wish.in_hand]
    parts.append(wish.client)
    return hashlib.sha256(to_json(parts)).hexdigest()


def read_order_reference(table: Mapping[str, Any]) -> str:
    """The body of a confirmation."""
    return _one_text(table, "order_reference")


def read_location(table: Mapping[str, Any], channel: str | None, reach: Reach, sight: Sight) -> str:
    """The body of a move: the org's location that is to hold it."""
    fields = Fields()
    fields.unknown(table, ("location",))
    location = fields.text(table, "location", 80)
    if location and not _key_part(location):
        fields.errors["location"] = "contains '|'"
    if location and sight.misplaced(channel, [WishedLine("", 1, location)]):
        fields.errors["location"] = f"is none of {', '.join(sorted(sight.locations or ()))}"
    elif location and sight.beyond(reach.of(channel), [location]):
        fields.errors.setdefault("location", _beyond(sight, channel, reach))
    if fields.errors:
        raise bad_fields(fields.errors)
    return location


def read_stand_in(
    table: Mapping[str, Any], channel: str | None, reach: Reach, sight: Sight
) -> tuple[WishedLine, ...]:
    """The body of a substitution: what is taken in the place of what was paid for and is not available."""
    fields = Fields()
    fields.unknown(table, ("lines",))
    lines = _lines(fields, table.get("lines"), channel, reach.groups)
    _own_places(fields, sight, channel, lines)
    _within_reach(fields, sight, channel, reach, lines)
    if fields.errors:
        raise bad_fields(fields.errors)
    return lines


def read_receipt(table: Mapping[str, Any]) -> str:
    """The body of a handing over: the till's receipt, or the order's name."""
    return _one_text(table, "reference")


def read_reason(table: Mapping[str, Any]) -> str:
    """The body of a release: why, or nothing."""
    return _one_text(table, "reason") if table else ""


def read_found(table: Mapping[str, Any], sight: Sight) -> tuple[bool, frozenset[str] | None, frozenset[str]]:
    """The body of a shop's confirmation: whether it is there, for which locations it speaks, of which SKUs.

    None: for the locations of whoever may speak for all. No SKUs: of all that is there.
    """
    fields = Fields()
    fields.unknown(table, ("found", "location", "sku"))
    found = fields.flag(table, "found")
    if table.get("found") is None:
        fields.errors["found"] = "is missing"
    location = fields.optional_text(table, "location", LOCATION_LENGTH)
    sku = fields.optional_text(table, "sku", SKU_LENGTH)
    if location is not None and not sight.at(location):
        fields.errors["location"] = "is not this token's"
    if fields.errors:
        raise bad_fields(fields.errors)
    places = sight.locations if location is None else frozenset({location})
    return found, places, frozenset() if sku is None else frozenset({sku})


def read_life(table: Mapping[str, Any]) -> timedelta:
    """The body of an extension."""
    fields = Fields()
    fields.unknown(table, ("expires_in_seconds",))
    seconds = fields.whole(table, "expires_in_seconds", int(LONGEST.total_seconds()))
    if fields.errors:
        raise bad_fields(fields.errors)
    return timedelta(seconds=seconds)


def _one_text(table: Mapping[str, Any], name: str) -> str:
    fields = Fields()
    fields.unknown(table, (name,))
    text = fields.text(table, name, LONGEST_REFERENCE)
    if fields.errors:
        raise bad_fields(fields.errors)
    return text


@dataclass(frozen=True, slots=True)
class ListWish:
    """Which reservations are to be listed; the names are those of the store's question."""

    wanted: Mapping[str, Any]
    limit: int


def read_list(table: Mapping[str, str], channels: Collection[str], sight: Sight) -> ListWish:
    """The query of a list; a 422 problem with all that is wrong with it otherwise."""
    fields = Fields()
    fields.unknown(table, _LIST_FIELDS)
    wanted: dict[str, Any] = {
        name: fields.optional_text(table, name, LONGEST_REFERENCE)
        for name in ("channel", "owner", "location", "after")
    }
    known = known_to(sight, channels)
    if not sight.everything and not sight.locations and wanted["channel"] not in (None, *known):
        fields.errors["channel"] = f"is none of {', '.join(sorted(known))}"
    kind = table.get("kind")
    if kind is not None and kind not in list(ReservationKind):
        fields.errors["kind"] = f"is none of {', '.join(ReservationKind)}"
    states: list[str] = []
    for state in filter(None, table.get("state", "").split(",")):
        if state == "open":
            states.extend(each.value for each in OPEN | TO_FETCH)
        elif state in list(ReservationState):
            states.append(state)
        else:
            fields.errors["state"] = f"is none of open, {', '.join(ReservationState)}"
    text = table.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not 1 <= limit <= MOST_LISTED:
        fields.errors["limit"] = f"is not between 1 and {MOST_LISTED}"
    if fields.errors:
        raise bad_fields(fields.errors)
    return ListWish({**wanted, "kind": kind, "states": states}, limit)


def read_exposure(
    table: Mapping[str, str], channels: Collection[str], now: datetime
) -> tuple[datetime | None, str | None]:
    """(since when, channel) that a report of exposure is limited to."""
    fields = Fields()
    fields.unknown(table, ("since", "channel"))
    channel = table.get("channel")
    if channel is not None and channel not in channels:
        fields.errors["channel"] = f"is none of {', '.join(sorted(channels))}"
    since = past(fields, table, "since", now)
    if fields.errors:
        raise bad_fields(fields.errors)
    return since, channel


def read_question(table: Mapping[str, str], channels: Collection[str], now: datetime) -> Question:
    """Which number is to be explained; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, ("sku", "channel", "location", "at", "unit"))
    sku = fields.text(table, "sku", SKU_LENGTH)
    channel = table.get("channel")
    if channel is not None and channel not in channels:
        fields.errors["channel"] = f"is none of {', '.join(sorted(channels))}"
    location = fields.optional_text(table, "location", LOCATION_LENGTH)
    at = past(fields, table, "at", now)
    unit = fields.optional_text(table, "unit", UNIT_LENGTH)
    if fields.errors:
        raise bad_fields(fields.errors)
    return Question(sku, channel, location, at, unit)


def past(fields: Fields, table: Mapping[str, str], name: str, now: datetime) -> datetime | None:
    """A moment that is over, where one is given."""
    if (text := table.get(name)) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fields.errors[name] = "is not a moment like 2026-11-23T08:15:00Z"
        return None
    if moment.tzinfo is None:
        fields.errors[name] = "names no offset: write 2026-11-23T08:15:00Z"
    elif moment > now:
        fields.errors[name] = "lies ahead"
    return moment


def read_fold(table: Mapping[str, Any]) -> tuple[int | None, str | None, str | None, bool]:
    """(older than so many days, SKU, location, dry run) of a folding."""
    fields = Fields()
    fields.unknown(table, ("older_than_days", "sku", "location", "dry_run"))
    days = None
    if table.get("older_than_days") is not None:
        days = fields.whole(table, "older_than_days", 36_500, least=0)
    sku = fields.optional_text(table, "sku", 120)
    location = fields.optional_text(table, "location", 80)
    dry_run = fields.flag(table, "dry_run")
    if fields.errors:
        raise bad_fields(fields.errors)
    return days, sku, location, dry_run


def read_idempotency_key(key: str | None, owner: str) -> str | None:
    """The key, made its owner's, so that two parties never meet in one key."""
    if key is None:
        return None
    if not key.strip() or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        detail = f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters."
        raise ProblemError(400, "bad-idempotency-key", detail)
    return f"{owner}:{key}"
