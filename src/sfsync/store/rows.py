"""From rows of the store to the port's values, where several parts of `SqlTx` need it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from sfsync.domain.exposure import Exposure
from sfsync.ports.keeping import ChannelLevel


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
