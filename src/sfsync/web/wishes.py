"""The bodies of the reservation API, read strictly: every field that is wrong is named, all at once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from sfsync.domain.reservations import DEFAULT_LIFE, LONGEST, ReservationKind, Wish, WishedLine
from sfsync.domain.stock import BadKeyError, LevelKey

from .json_text import to_json
from .problems import ProblemError, bad_fields

MOST_LINES = 100
MOST_UNITS = 1000
LONGEST_REFERENCE = 120  # characters
LONGEST_KEY = 200  # characters of Idempotency-Key

_WISH_FIELDS = ("kind", "channel", "owner", "lines", "expires_in_seconds")
_LINE_FIELDS = ("sku", "quantity", "location", "unit")


class _Fields:
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
        elif not value.isprintable():
            self.errors[f"{at}{name}"] = "contains characters that cannot be printed"
        else:
            return value
        return ""

    def optional_text(self, table: Mapping[str, Any], name: str, longest: int, at: str = "") -> str | None:
        return None if table.get(name) is None else self.text(table, name, longest, at)

    def whole(self, table: Mapping[str, Any], name: str, most: int, at: str = "") -> int:
        value = table.get(name)
        if value is None:
            self.errors[f"{at}{name}"] = "is missing"
        elif isinstance(value, bool) or not isinstance(value, int):
            self.errors[f"{at}{name}"] = "is not a whole number"
        elif not 1 <= value <= most:
            self.errors[f"{at}{name}"] = f"is not between 1 and {most}"
        else:
            return value
        return 1


def read_wish(table: Mapping[str, Any], channels: Collection[str]) -> Wish:
    """A wish; a 422 problem with all bad fields otherwise."""
    fields = _Fields()
    fields.unknown(table, _WISH_FIELDS)
    kind = _kind(fields, table)
    channel = fields.optional_text(table, "channel", 40)
    if channel and channel not in channels:
        fields.errors["channel"] = f"is none of {', '.join(sorted(channels))}"
    owner = fields.text(table, "owner", LONGEST_REFERENCE)
    lines = _lines(fields, table.get("lines"), channel)
    life = DEFAULT_LIFE[kind]
    if table.get("expires_in_seconds") is not None:
        life = timedelta(seconds=fields.whole(table, "expires_in_seconds", int(LONGEST.total_seconds())))
    if fields.errors:
        raise bad_fields(fields.errors)
    return Wish(kind, channel, owner, lines, life)


def _kind(fields: _Fields, table: Mapping[str, Any]) -> ReservationKind:
    text = fields.text(table, "kind", 20)
    try:
        return ReservationKind(text)
    except ValueError:
        fields.errors.setdefault("kind", f"is none of {', '.join(ReservationKind)}")
        return ReservationKind.CART


def _lines(fields: _Fields, lines: object, channel: str | None) -> tuple[WishedLine, ...]:
    if not isinstance(lines, list) or not lines:
        fields.errors["lines"] = "is not a list with at least one line"
        return ()
    if len(lines) > MOST_LINES:
        fields.errors["lines"] = f"has more than {MOST_LINES} lines"
        return ()
    read = tuple(_line(fields, line, f"lines[{number}]", channel) for number, line in enumerate(lines))
    places = [(line.sku, line.location, line.unit) for line in read]
    for number, place in enumerate(places):
        if place[0] and place in places[:number]:
            fields.errors.setdefault(f"lines[{number}]", "names the same stock as a line before; add them up")
    return read


def _line(fields: _Fields, line: object, at: str, channel: str | None) -> WishedLine:
    if not isinstance(line, dict):
        fields.errors[at] = "is not an object"
        return WishedLine("", 1)
    fields.unknown(line, _LINE_FIELDS, f"{at}.")
    sku = fields.text(line, "sku", 120, f"{at}.")
    location = fields.optional_text(line, "location", 80, f"{at}.")
    unit = fields.optional_text(line, "unit", 80, f"{at}.")
    quantity = fields.whole(line, "quantity", MOST_UNITS, f"{at}.")
    if location is None and channel is None:
        fields.errors[f"{at}.location"] = "is missing; give it, or a channel"
    if unit and quantity > 1:
        fields.errors.setdefault(f"{at}.quantity", "is more than 1, but the line names one unit")
    for name, text in (("sku", sku), ("location", location), ("unit", unit)):
        if text and not _key_part(text):
            fields.errors.setdefault(f"{at}.{name}", "contains '|'")
    return WishedLine(sku, quantity, location, unit)


def _key_part(text: str) -> bool:
    try:
        LevelKey("SKU", "location", text)
    except BadKeyError as error:
        return "|" not in str(error)
    return True


def digest_of(wish: Wish) -> str:
    """The same for the same wish, however its JSON was written."""
    lines = [[line.sku, line.quantity, line.location, line.unit] for line in wish.lines]
    parts = [wish.kind, wish.channel, wish.owner, lines, int(wish.life.total_seconds())]
    return hashlib.sha256(to_json(parts)).hexdigest()


def read_order_reference(table: Mapping[str, Any]) -> str:
    """The body of a confirmation."""
    fields = _Fields()
    fields.unknown(table, ("order_reference",))
    reference = fields.text(table, "order_reference", LONGEST_REFERENCE)
    if fields.errors:
        raise bad_fields(fields.errors)
    return reference


def read_resync(table: Mapping[str, Any], channels: Collection[str]) -> tuple[str | None, str | None]:
    """(channel, SKU) that a comparison is limited to."""
    fields = _Fields()
    fields.unknown(table, ("channel", "sku"))
    channel = fields.optional_text(table, "channel", 40)
    if channel and channel not in channels:
        fields.errors["channel"] = f"is none of {', '.join(sorted(channels))}"
    sku = fields.optional_text(table, "sku", 120)
    if fields.errors:
        raise bad_fields(fields.errors)
    return channel, sku


def read_idempotency_key(key: str | None, party: str) -> str | None:
    """The key, made the party's own, so that two parties never meet in one key."""
    if key is None:
        return None
    if not key.strip() or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        detail = f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters."
        raise ProblemError(400, "bad-idempotency-key", detail)
    return f"{party}:{key}"
