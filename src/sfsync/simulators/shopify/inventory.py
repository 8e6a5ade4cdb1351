"""The rules by which the Admin API writes stock: set, adjust, activate.

A call is all or nothing. Its mistakes come back as user errors with the path of the argument;
whether it was sent before is decided by its key, before any of this.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Knobs
from sfsync.simulators.shopify.model import Level, Location, Variant
from sfsync.simulators.shopify.stock import Numbers, Stock

SET_LIMIT = 1_000_000_000
ADJUST_LIMIT = 2_000_000_000
SET_NAMES = ("available", "on_hand")
ADJUST_NAMES = ("available", "damaged", "incoming", "quality_control", "reserved", "safety_stock")
# Of these a change also shows in `on_hand`.
MIRRORED_NAMES = ("available", "damaged", "quality_control", "reserved", "safety_stock")
REASONS = frozenset(
    {
        "correction",
        "cycle_count_available",
        "damaged",
        "movement_canceled",
        "movement_created",
        "movement_received",
        "movement_updated",
        "other",
        "promotion",
        "quality_control",
        "received",
        "reservation_created",
        "reservation_deleted",
        "reservation_updated",
        "restock",
        "safety_stock",
        "shrinkage",
    }
)
_URI = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^\s/]+(/\S*)?$")


@dataclass(frozen=True, slots=True)
class UserError:
    """A mistake of the caller's, told inside the answer."""

    code: str | None
    message: str
    field: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class GroupChange:
    """One line of an adjustment group."""

    name: str
    delta: int
    level: Level
    ledger_document_uri: str | None = None
    quantity_after_change: int | None = None  # the real service leaves it empty in these answers


@dataclass(frozen=True, slots=True)
class AdjustmentGroup:
    """What one call changed."""

    number: int
    id: str
    created_at: float
    reason: str
    reference_document_uri: str | None
    changes: Sequence[GroupChange]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call answers: a group when something changed, or errors when nothing was allowed to."""

    group: AdjustmentGroup | None = None
    errors: Sequence[UserError] = ()


@dataclass(slots=True)
class _Row:
    """One row of a call, read and resolved."""

    index: int
    raw: Mapping[str, Any]
    variant: Variant | None
    location: Location | None
    level: Level | None = None


@dataclass(slots=True)
class _Mistakes:
    """Collects user errors under the path of the list they are about."""

    list_name: str
    found: list[UserError] = field(default_factory=list)

    def about(self, name: str, code: str, message: str) -> None:
        self.found.append(UserError(code, message, ("input", name)))

    def in_row(self, row: _Row, name: str, code: str, message: str) -> None:
        self.found.append(UserError(code, message, ("input", self.list_name, str(row.index), name)))


class InventoryWriter:
    """Carries out set, adjust and activate calls on the stock."""

    def __init__(self, clock: ShopClock, numbers: Numbers, stock: Stock, knobs: Knobs) -> None:
        self._clock = clock
        self._numbers = numbers
        self._stock = stock
        self._knobs = knobs

    def set_quantities(self, call: Mapping[str, Any], *, apply: bool = True) -> Outcome:
        """inventorySetQuantities. With `apply` false it answers as if, and writes nothing."""
        mistakes = _Mistakes("quantities")
        self._check_head(call, mistakes)
        if call["name"] not in SET_NAMES:
            mistakes.about(
                "name", "INVALID_NAME", "The quantity name must be either 'available' or 'on_hand'."
            )
        rows = self._rows(call["quantities"], mistakes)
        for row in rows:
            self._check_set_row(row, call["name"], mistakes)
        self._check_duplicates(rows, mistakes)
        if not mistakes.found:
            self._check_compare(rows, call["name"], mistakes)
        if mistakes.found:
            return Outcome(errors=mistakes.found)
        changes = []
        for row in rows:
            present = row.level.quantity(call["name"]) if row.level else 0
            changes.append((row, "available", row.raw["quantity"] - present))
        return self._carry_out(call, changes, "set", apply=apply)

    def adjust_quantities(self, call: Mapping[str, Any], *, apply: bool = True) -> Outcome:
        """inventoryAdjustQuantities. With `apply` false it answers as if, and writes nothing."""
        mistakes = _Mistakes("changes")
        self._check_head(call, mistakes)
        name = call["name"]
        if name not in ADJUST_NAMES:
            mistakes.about("name", "INVALID_QUANTITY_NAME", "The specified quantity name is invalid.")
        rows = self._rows(call["changes"], mistakes)
        self._check_ledgers(rows, name, mistakes)
        for row in rows:
            self._check_adjust_row(row, name, mistakes)
        if not mistakes.found:
            self._check_compare(rows, name, mistakes)
        if mistakes.found:
            return Outcome(errors=mistakes.found)
        return self._carry_out(call, [(row, name, row.raw["delta"]) for row in rows], "adjust", apply=apply)

    def activate(
        self, call: Mapping[str, Any], *, apply: bool = True
    ) -> tuple[Level | None, list[UserError]]:
        """inventoryActivate: stock an article at a location; an active level keeps its quantities."""
        variant, location = self._item(call["inventory_item_id"]), self._location(call["location_id"])
        if variant is None:
            return None, [UserError(None, "The inventory item could not be found.", ("inventoryItemId",))]
        if location is None:
            return None, [UserError(None, "The location could not be found.", ("locationId",))]
        level = self._stock.level(variant, location)
        if level is not None and level.is_active:
            if call.get("available") is not None:
                text = (
                    "Not allowed to set available quantity when the item is already active at the location."
                )
                return None, [UserError(None, text, ("available",))]
            return level, []
        if not apply:
            return level, []
        level = self._stock.connect(variant, location)
        # As seen on the real service: `available` is ignored here, `onHand` is taken.
        if call.get("on_hand") is not None:
            self._stock.change(level, "available", call["on_hand"] - level.quantity("on_hand"), "activate")
        return level, []

    def _check_head(self, call: Mapping[str, Any], mistakes: _Mistakes) -> None:
        if call["reason"] not in REASONS:
            mistakes.about("reason", "INVALID_REASON", "The specified reason is invalid.")
        uri = call.get("referenceDocumentUri")
        if uri is not None and not _URI.match(uri):
            text = "The specified reference document is invalid."
            mistakes.about("referenceDocumentUri", "INVALID_REFERENCE_DOCUMENT", text)

    def _rows(self, raw_rows: Sequence[Mapping[str, Any]], mistakes: _Mistakes) -> list[_Row]:
        rows = []
        for index, raw in enumerate(raw_rows):
            row = _Row(index, raw, self._item(raw["inventoryItemId"]), self._location(raw["locationId"]))
            rows.append(row)
            if row.variant is None:
                text = "The specified inventory item could not be found."
                mistakes.in_row(row, "inventoryItemId", "INVALID_INVENTORY_ITEM", text)
            elif row.variant.requires_components:
                text = "The specified inventory item is not allowed to be adjusted via API."
                mistakes.in_row(row, "inventoryItemId", "NON_MUTABLE_INVENTORY_ITEM", text)
            if row.variant and row.location:
                row.level = self._stock.level(row.variant, row.location)
            connected = row.level is not None or self._knobs.connect_on_write
            if row.location is None or (row.variant and not connected):
                text = "The specified location could not be found."
                mistakes.in_row(row, "locationId", "INVALID_LOCATION", text)
        return rows

    def _check_set_row(self, row: _Row, name: str, mistakes: _Mistakes) -> None:
        quantity = row.raw["quantity"]
        if quantity > SET_LIMIT:
            text = "The total quantity can't be higher than 1,000,000,000."
            mistakes.in_row(row, "quantity", "INVALID_QUANTITY_TOO_HIGH", text)
        elif quantity < -SET_LIMIT:
            text = "The total quantity can't be lower than -1,000,000,000."
            mistakes.in_row(row, "quantity", "INVALID_QUANTITY_TOO_LOW", text)
        elif quantity < 0 and name == "on_hand":
            mistakes.in_row(row, "quantity", "INVALID_QUANTITY_NEGATIVE", "The quantity can't be negative.")

    def _check_adjust_row(self, row: _Row, name: str, mistakes: _Mistakes) -> None:
        after = row.raw["delta"]
        if row.level and name in ADJUST_NAMES:
            after += row.level.quantity(name)
        if max(after, row.raw["delta"]) > ADJUST_LIMIT:
            text = "The quantity can't be higher than 2,000,000,000."
            mistakes.in_row(row, "delta", "INVALID_QUANTITY_TOO_HIGH", text)
        elif min(after, row.raw["delta"]) < -ADJUST_LIMIT:
            text = "The quantity can't be lower than -2,000,000,000."
            mistakes.in_row(row, "delta", "INVALID_QUANTITY_TOO_LOW", text)

    def _check_duplicates(self, rows: Sequence[_Row], mistakes: _Mistakes) -> None:
        pairs = Counter((row.raw["inventoryItemId"], row.raw["locationId"]) for row in rows)
        for row in rows:
            if pairs[row.raw["inventoryItemId"], row.raw["locationId"]] > 1:
                code = "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR"
                text = "The combination of inventoryItemId and locationId must be unique."
                mistakes.in_row(row, "locationId", code, text)

    def _check_ledgers(self, rows: Sequence[_Row], name: str, mistakes: _Mistakes) -> None:
        for row in rows:
            uri = row.raw.get("ledgerDocumentUri")
            if name == "available":
                if uri is not None:
                    text = "A ledger document URI is not allowed when adjusting available."
                    mistakes.in_row(row, "ledgerDocumentUri", "INVALID_AVAILABLE_DOCUMENT", text)
            elif uri is None:
                text = "A ledger document URI is required except when adjusting available."
                mistakes.in_row(row, "ledgerDocumentUri", "INVALID_QUANTITY_DOCUMENT", text)
            elif uri.startswith("gid://shopify/"):
                text = "Internal (gid://shopify/) ledger documents are not allowed to be adjusted via API."
                mistakes.in_row(row, "ledgerDocumentUri", "INTERNAL_LEDGER_DOCUMENT", text)
            elif not _URI.match(uri):
                text = "The specified ledger document is invalid."
                mistakes.in_row(row, "ledgerDocumentUri", "INVALID_LEDGER_DOCUMENT", text)
        if len({row.raw.get("ledgerDocumentUri") for row in rows}) > 1:
            text = "All changes must have the same ledger document URI."
            mistakes.about("changes", "MAX_ONE_LEDGER_DOCUMENT", text)

    def _check_compare(self, rows: Sequence[_Row], name: str, mistakes: _Mistakes) -> None:
        for row in rows:
            expected = row.raw["changeFromQuantity"]
            present = row.level.quantity(name) if row.level else 0
            if expected is not None and expected != present:
                text = "The changeFromQuantity argument no longer matches the persisted quantity."
                mistakes.in_row(row, "changeFromQuantity", "CHANGE_FROM_QUANTITY_STALE", text)
                if self._knobs.stale_rows == "first":
                    return

    def _carry_out(
        self, call: Mapping[str, Any], wanted: Sequence[tuple[_Row, str, int]], cause: str, *, apply: bool
    ) -> Outcome:
        uri = call.get("referenceDocumentUri")
        changes: list[GroupChange] = []
        for row, name, delta in wanted:
            if row.variant is None or row.location is None:
                continue
            level = row.level
            if level is None or not level.is_active:
                if not apply:
                    continue
                level = self._stock.connect(row.variant, row.location)
            if not delta:
                continue
            if apply:
                self._stock.change(level, name, delta, cause, reference_document_uri=uri)
            ledger = row.raw.get("ledgerDocumentUri")
            changes.append(GroupChange(name, delta, level, ledger))
            if name in MIRRORED_NAMES:
                changes.append(GroupChange("on_hand", delta, level, ledger))
        if not changes:
            return Outcome()
        number = self._numbers.runtime("InventoryAdjustmentGroup")
        group_id = f"gid://shopify/InventoryAdjustmentGroup/{number}"
        return Outcome(AdjustmentGroup(number, group_id, self._clock.now(), call["reason"], uri, changes))

    def _item(self, item_id: str) -> Variant | None:
        return self._stock.items.get(_number(item_id, "InventoryItem"))

    def _location(self, location_id: str) -> Location | None:
        location = self._stock.locations.get(_number(location_id, "Location"))
        return location if location and location.is_active else None


def _number(global_id: str, kind: str) -> int:
    prefix = f"gid://shopify/{kind}/"
    tail = global_id.removeprefix(prefix).split("?")[0]
    return int(tail) if global_id.startswith(prefix) and tail.isdigit() else -1
