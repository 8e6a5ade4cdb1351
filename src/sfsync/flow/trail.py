"""The way of a change under one trace id: the org's commit, each channel's push, what is read there later.

Off, there is no `Trail`, and nothing is done. On, the newest change of each SKU is followed; of a SKU that
moves again meanwhile, what is pushed then belongs to the newer one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from sfsync.ports import PushRecord
from sfsync.ports.tracing import Span, Tracer

MOST_FOLLOWED = 10_000  # SKUs
Told = Mapping[str, str | int]


@dataclass(slots=True)
class _Change:
    trace_id: str
    root: str
    # (channel, location) -> the span of the push that nobody has read back yet
    pushes: dict[tuple[str, str], str] = field(default_factory=dict)


class Trail:
    """Tells a tracer of changes. `new_id` gives random hexadecimal digits, at least 32 of them."""

    def __init__(self, tracer: Tracer, new_id: Callable[[], str]) -> None:
        self._tracer, self._new_id = tracer, new_id
        self._changes: OrderedDict[str, _Change] = OrderedDict()
        self._lock = Lock()  # numbers are read back in the store's threads

    def heard(
        self,
        skus: Collection[str],
        topic: str,
        committed_at: datetime | None,
        asked_at: datetime,
        now: datetime,
    ) -> None:
        """The stream has told of a commit in the org, and its levels were read."""
        for sku in sorted(skus):
            change = self._begin(sku)
            # Two clocks: what seems to be asked for before its commit was committed just then.
            begun = asked_at if committed_at is None else min(committed_at, asked_at)
            told: Told = {"sfsync.sku": sku, "sfsync.topic": topic}
            self._tracer.tell(Span(change.trace_id, change.root, "", "stock change", begun, now, told))
            self._tell(change, change.root, "read levels", asked_at, now, {"sfsync.sku": sku})

    def entered(self, skus: Collection[str], sent_at: datetime, now: datetime) -> None:
        """The org has taken what we entered: no event tells of it."""
        for sku in sorted(skus):
            change = self._begin(sku)
            told: Told = {"sfsync.sku": sku}
            self._tracer.tell(Span(change.trace_id, change.root, "", "stock change", sent_at, now, told))
            self._tell(change, change.root, "ledger request", sent_at, now, told)

    def _begin(self, sku: str) -> _Change:
        change = _Change(self._id(32), self._id(16))
        with self._lock:
            self._changes[sku] = change
            self._changes.move_to_end(sku)
            while len(self._changes) > MOST_FOLLOWED:
                self._changes.popitem(last=False)
        return change

    def pushed(self, record: PushRecord, attempts: int, failure: str, now: datetime) -> None:
        """A channel has answered a push."""
        for row in record.rows:
            with self._lock:
                change = self._changes.get(row.sku)
            if change is None:
                continue
            told: Told = {
                "sfsync.sku": row.sku,
                "sfsync.channel": record.channel,
                "sfsync.location": row.location,
                "sfsync.units": row.delta,
                "sfsync.attempts": attempts,
                "sfsync.key": record.key,
            }
            span = self._tell(change, change.root, "push", record.planned_at, now, told, failure)
            if not failure:
                with self._lock:
                    change.pushes[record.channel, row.location] = span

    def read_back(
        self, channel: str, sku: str, location: str, shows: int, known: int, begun: datetime, ended: datetime
    ) -> None:
        """A number was read at the channel: told once after each push."""
        with self._lock:
            change = self._changes.get(sku)
            pushed = None if change is None else change.pushes.pop((channel, location), None)
        if change is None or pushed is None:
            return
        told: Told = {
            "sfsync.sku": sku,
            "sfsync.channel": channel,
            "sfsync.location": location,
            "sfsync.shows": shows,
        }
        failure = "" if shows == known else f"it shows {shows}, and {known} was confirmed"
        self._tell(change, pushed, "read back", begun, ended, told, failure)

    def _tell(
        self,
        change: _Change,
        parent: str,
        name: str,
        begun: datetime,
        ended: datetime,
        told: Told,
        failure: str = "",
    ) -> str:
        span = self._id(16)
        self._tracer.tell(Span(change.trace_id, span, parent, name, begun, ended, told, failure))
        return span

    def _id(self, digits: int) -> str:
        return self._new_id().replace("-", "")[-digits:]
