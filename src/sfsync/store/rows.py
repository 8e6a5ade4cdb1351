"""From rows of the store to the port's values, where several parts of `SqlTx` need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from sfsync.domain.exposure import Exposure
from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine
from sfsync.domain.places import LinePlace
from sfsync.domain.sources import Source, Word
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.ports.keeping import ChannelLevel, LineState, SubjectHolding


def channel_level_of(row: Row[Any]) -> ChannelLevel:
    """A channel level."""
    return ChannelLevel(
        row.channel,
        row.sku,
        row.location,
        row.item_id,
        row.location_id,
        row.published,
        row.target,
        row.baseline_from,
        row.baseline_at,
        row.changed_at,
        row.problem,
        row.push,
        Exposure(
            row.exposure_unit_seconds,
            row.exposure_units,
            row.exposure_since,
            row.exposure_began,
            row.exposure_before,
            row.exposure_most,
            row.exposure_scarce,
            row.offered,
            row.offered_at,
            row.empty_at,
        ),
        row.spare,
        row.flying,
        row.sequence,
        row.unsure,
        row.raised_at,
    )


def movement_of(row: Row[Any]) -> Movement:
    """A row of the ledger, as it was asked for."""
    return Movement(
        row.key,
        row.subject,
        LevelKey.parse(row.level_key),
        MovementKind(row.kind),
        row.on_hand_delta,
        row.reserved_delta,
        row.reference,
        row.source_version,
        row.occurred_at,
    )


def holding_of(row: Row[Any]) -> SubjectHolding:
    """What a subject holds at a level."""
    return SubjectHolding(
        row.subject,
        row.kind,
        row.channel,
        LevelKey.parse(row.level_key),
        row.on_hand,
        row.reserved,
        row.since,
    )


def line_of(row: Row[Any]) -> LineState:
    """An order line."""
    return LineState(
        row.subject,
        row.channel,
        row.order_id,
        row.order_name,
        OrderLine(
            row.line_id,
            row.sku,
            row.open_quantity,
            row.fulfilled_quantity,
            row.returned_quantity,
            row.taken_quantity,
            row.unit,
            row.location,
            places=places_of(row.places),
            routed=row.routed,
            mapped_from=row.mapped_from,
            left=moments_of(row.moments, "left"),
            came_back=moments_of(row.moments, "came_back"),
        ),
        row.version,
        row.placed_at,
        row.channel_location,
        tuple(row.reservations),
        row.uncovered,
        row.asked_in_vain,
        row.due,
        {Source(source): word_of(word) for source, word in (row.told or {}).items()},
        row.org_order,
        row.routed_at,
        row.misplaced,
        row.aside,
        row.aside_at,
        row.client,
    )


def places_of(told: Sequence[Mapping[str, Any]] | None) -> tuple[LinePlace, ...]:
    """Where a line is to be sent from."""
    return tuple(LinePlace(**place) for place in told or ())


def moments_of(told: Mapping[str, Any] | None, name: str) -> tuple[Moment, ...]:
    if told is None:
        return ()
    return tuple(Moment(datetime.fromisoformat(at), units, place) for at, units, place in told[name])


def word_of(told: Mapping[str, Any]) -> Word:
    """What one source said of a line."""
    line = {**told["line"], "places": places_of(told["line"]["places"])}
    line |= {name: moments_of(told["moments"], name) for name in ("left", "came_back")}
    return Word(datetime.fromisoformat(told["version"]), OrderLine(**line))
