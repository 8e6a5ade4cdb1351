"""What is kept of a comparison, so that a restart loses neither its plan nor its progress; and of drift."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from sfsync.domain.drift import Drift, HeldLevel, Sums
from sfsync.domain.resync import Cause, Difference, Scope, Tariff
from sfsync.domain.stock import StockLevel

from .outside import ChannelItem


class RunState(StrEnum):
    """How far a comparison is."""

    READING = "reading"
    BRINGING = "bringing"  # a plan comes in from a file, in parts
    READY = "ready"  # its plan may be applied
    APPLYING = "applying"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ResyncRun:
    """One comparison. `about` is JSON: counts, what could not be read, and where it is."""

    id: str
    made_at: datetime
    state: RunState
    scope: Scope
    about: Mapping[str, Any] = field(default_factory=dict)

    def told(self, **more: Any) -> ResyncRun:
        """With more said about it."""
        return replace(self, about={**self.about, **more})


class RowState(StrEnum):
    """What became of a planned row."""

    PLANNED = "planned"
    APPLIED = "applied"
    CHANGED = "changed"  # refused: its facts are others by now
    LEFT = "left"  # a person must mend something first


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row of a plan, with what was read of it. `item` is None where the channel lists none."""

    difference: Difference
    item: ChannelItem | None
    published: int | None  # what we believed
    asked_at: datetime  # when its page was asked for
    read_at: datetime  # when it had arrived
    state: RowState = RowState.PLANNED
    note: str = ""


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows of a plan are alike."""

    channel: str
    cause: Cause
    state: RowState
    rows: int
    changes: int  # that change what the channel shows
    zeros: int  # of these, to nothing


@runtime_checkable
class Resumable(Protocol):
    """A channel whose listing can be gone on with after a kill."""

    def items_from(self, place: str | None) -> AsyncIterator[tuple[str, Sequence[ChannelItem]]]:
        """All that it lists after a place, page by page, each with the place that stands after it."""
        ...


@runtime_checkable
class Priced(Protocol):
    """A channel that tells what calls cost."""

    def tariff(self) -> Tariff:
        """By its own last word."""
        ...


class ComparingTx(Protocol):
    """The part of a transaction that keeps comparisons and drift."""

    def put_resync(self, run: ResyncRun) -> None: ...
    def resync(self, run_id: str) -> ResyncRun | None: ...
    def last_resync(self) -> ResyncRun | None: ...
    def drop_resyncs(self) -> None: ...
    def drop_resync_pages(self, run_id: str, channel: str) -> None: ...
    def add_resync_page(self, run_id: str, channel: str, place: str, skus: Collection[str]) -> None: ...
    def resync_place(self, run_id: str, channel: str) -> str | None: ...
    def resync_listed(self, run_id: str, channel: str) -> frozenset[str]: ...
    def put_resync_rows(self, run_id: str, rows: Collection[PlannedRow]) -> None: ...
    def resync_rows(
        self,
        run_id: str,
        *,
        channel: str | None = None,
        planned: bool = False,
        after: tuple[str, str, str] = ("", "", ""),
        limit: int = 1000,
    ) -> Sequence[PlannedRow]: ...
    def resync_counts(self, run_id: str) -> Sequence[RowCount]: ...
    def put_resync_levels(
        self, run_id: str, levels: Collection[tuple[StockLevel, datetime]], *, gone: bool = False
    ) -> None: ...
    def resync_levels(
        self, run_id: str, *, skus: Collection[str] | None = None, limit: int = 1000
    ) -> Sequence[tuple[StockLevel, datetime]]: ...
    def resync_differences(
        self, run_id: str, channel: str, skus: Collection[str]
    ) -> Sequence[Difference]: ...
    def resync_gone(
        self, run_id: str, *, skus: Collection[str] | None = None, limit: int = 1_000_000
    ) -> Sequence[StockLevel]: ...
    def count_resync_levels(self, run_id: str) -> int: ...
    def drop_resync_levels(self, run_id: str, levels: Collection[StockLevel]) -> None: ...
    def count_channel_levels(self, channel: str) -> int: ...
    def count_levels(self) -> int: ...
    def counting_skus(self, skus: Collection[str]) -> frozenset[str]: ...
    def changed_skus(self, since: datetime) -> frozenset[str]: ...
    def undecided(self, channel: str) -> bool: ...

    def level_sums(self) -> Mapping[str, Sums]: ...
    def held_at(self, location: str) -> Sequence[HeldLevel]: ...
    def listed_at(self, channel: str, number: int) -> str: ...
    def next_listed(self, channel: str, after: str, limit: int) -> Sequence[str]: ...
    def count_drifts(self) -> int: ...
    def drifts(self, *, open_only: bool = True, limit: int = 1000) -> Sequence[Drift]: ...
    def drifted_since(self, channel: str, skus: Collection[str]) -> Mapping[tuple[str, str], datetime]: ...
    def put_drift(self, drift: Drift) -> bool: ...
    def end_drift(self, channel: str, sku: str, location: str, at: datetime) -> bool: ...
    def drift_days(self, since: datetime) -> Sequence[tuple[str, str, str, int, int]]: ...
