"""The statements of stock counts; a part of `SqlTx`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, or_, select, update

from sfsync.domain.counts import Count
from sfsync.domain.ira import recounts
from sfsync.domain.org_counts import Taken
from sfsync.domain.stock import LevelKey

from . import tables as t
from .folding import SLICE
from .statements import Statements


class CountStatements(Statements):
    """Counts, and the variances that they found."""

    def add_count(self, count: Count, price: float | None, at: datetime) -> None:
        """Keep what was counted, with a unit's price of that time; the same count again changes nothing."""
        self._c.execute(
            self._insert(t.stock_count).on_conflict_do_nothing(),
            {
                "subject": count.subject,
                "count_id": count.count_id,
                "level_key": str(count.level),
                "units": count.units,
                "counted_at": count.at,
                "entered_at": at,
                "counted_by": count.counted_by,
                "reason": count.reason,
                "price": price,
                "record_id": count.record_id,
            },
        )

    def counts_of_records(self, record_ids: Collection[str]) -> dict[str, Taken]:
        """The counts that these records of the org were taken up as, by record id."""
        c, ids = t.stock_count.c, sorted(record_ids)
        found: dict[str, Taken] = {}
        for part in range(0, len(ids), SLICE):
            wanted = ids[part : part + SLICE]
            rows = self._c.execute(_with_variance().where(c.record_id.in_(wanted), c.record_id != "")).all()
            found |= {taken.count.record_id: taken for taken in self._taken(rows)}
        return found

    def counts_to_tell(self, *, copies: bool, since: datetime, after: str, limit: int) -> list[Taken]:
        """Counts in the ledger that their records in the org do not tell of, by subject, from after one.

        Never told, or told with another variance and made since then; `copies`: those made elsewhere too.
        """
        c, held = t.stock_count.c, t.holding.c
        other = and_(c.told.is_not(None), c.told != held.on_hand, c.entered_at >= since)
        wanted = [c.subject > after, held.on_hand.is_not(None), or_(c.told.is_(None), other)]
        if not copies:
            wanted.append(c.record_id != "")
        return self._taken(
            self._c.execute(_with_variance().where(*wanted).order_by(c.subject).limit(limit)).all()
        )

    def mark_counts_told(self, told: Mapping[str, int]) -> None:
        """The records of these counts (by subject) tell of them, with these variances."""
        c = t.stock_count.c
        for subject, variance in told.items():
            self._c.execute(update(t.stock_count).where(c.subject == subject).values(told=variance))

    def _taken(self, rows: Sequence[Any]) -> list[Taken]:
        """Rows of counts with what they hold; each is told whether it was a recount."""
        c, levels = t.stock_count.c, sorted({row.level_key for row in rows})
        made: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)
        for part in range(0, len(levels), SLICE):
            query = select(c.level_key, c.subject, c.counted_at, c.entered_at)
            for row in self._c.execute(query.where(c.level_key.in_(levels[part : part + SLICE]))):
                made[row.level_key].append((row.counted_at, row.entered_at, row.subject))
        again: set[str] = set()
        for counts in made.values():
            counts.sort()
            flags = recounts(at for at, _, _ in counts)
            again |= {subject for (_, _, subject), flag in zip(counts, flags, strict=True) if flag}
        found = []
        for row in rows:
            count = Count(
                row.count_id,
                LevelKey.parse(row.level_key),
                row.units,
                row.counted_at,
                counted_by=row.counted_by,
                reason=row.reason,
                record_id=row.record_id,
            )
            found.append(Taken(count, row.on_hand, row.subject in again))
        return found


def _with_variance() -> Select[Any]:
    """Counts, each with what its subject holds in the ledger; None before it does."""
    c, held = t.stock_count.c, t.holding.c
    same = and_(held.subject == c.subject, held.level_key == c.level_key)
    return select(t.stock_count, held.on_hand).outerjoin(t.holding, same)
