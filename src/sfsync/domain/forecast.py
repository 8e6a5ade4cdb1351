"""How long the org's data storage, and room at its fullest levels, will last at the pace of the last day.

The org counts about 2 KB for each record. A parent with more than about 10,000 children is slow to save and
to lock (the platform's own advice on data skew), so a level should not come near that. What helps against
both is a fold: old rows become one (correctness F).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfsync.domain.words import counted

from .values import replace

ROW_MB = 2 / 1024
MOST_ROWS = 10_000  # of one level
MOST_LISTED = (
    2_000  # levels that the org lists, the fullest first; of more, all rows are counted by themselves
)
SOON_DAYS = 30


@dataclass(frozen=True, slots=True)
class Space:
    """Storage in megabytes (None where the org does not tell), rows, and days until they are used up."""

    allowed_mb: int | None
    left_mb: int | None
    rows: int
    rows_a_day: int  # entered in the last 24 h, at all levels
    full_in_days: int | None  # None: not at this pace
    fullest: str  # the level with the most rows, "" where there are none, or its name is not known
    fullest_rows: int
    crowded: str  # the level that reaches `MOST_ROWS` first at its own pace; "" as above
    crowded_in_days: int | None

    def named(self, names: Mapping[str, str]) -> Space:
        """The same of levels that were told by record ids: a person reads keys, or nothing."""
        fullest = names.get(self.fullest, "")
        rows = self.fullest_rows if fullest else 0
        return replace(self, fullest=fullest, fullest_rows=rows, crowded=names.get(self.crowded, ""))

    @property
    def full(self) -> str:
        """That the org has no room at all any more, in a sentence; "" while it has."""
        if self.left_mb is None or self.left_mb > 0:
            return ""
        return f"The org's data storage is full (0 of {self.allowed_mb:,} MB left): it takes no movement."

    def findings(self) -> list[str]:
        """What a person should know before it hurts; each with its remedy."""
        found = []
        if not self.full and self.full_in_days is not None and self.full_in_days <= SOON_DAYS:
            found.append(
                f"The org's data storage is full {within(self.full_in_days)} at the last day's pace "
                f"({self.left_mb:,} of {self.allowed_mb:,} MB left). Old movements: `sfsync ledger fold`."
            )
        if self.crowded_in_days is not None and self.crowded_in_days <= SOON_DAYS:
            level = self.crowded or "A stock level"
            found.append(
                f"{level} has {MOST_ROWS:,} movements {within(self.crowded_in_days)}, and is slow to save "
                "from then on: `sfsync ledger fold`."
                if self.crowded_in_days
                else f"{level} has {MOST_ROWS:,} movements, and is slow to save: `sfsync ledger fold`."
            )
        return found


def forecast(
    storage: tuple[int, int] | None,
    rows: Mapping[str, int],
    older: Mapping[str, int],
    every: tuple[int, int] | None = None,
) -> Space:
    """From (allowed, left) megabytes, each level's rows now, and those of them older than a day.

    Where these are the fullest levels only, `every` says how many rows there are in all, and of the last day.
    """
    pace = {level: max(0, count - older.get(level, 0)) for level, count in rows.items()}
    total, a_day = every or (sum(rows.values()), sum(pace.values()))
    fullest = max(rows, key=lambda level: (rows[level], level), default="")
    waits = {
        level: max(0, MOST_ROWS - count) // pace[level] if pace[level] else 0
        for level, count in rows.items()
        if pace[level] or count >= MOST_ROWS
    }
    crowded = min(waits, key=lambda level: (waits[level], level), default="")
    full = None
    if storage is not None and (a_day or storage[1] <= 0):
        full = int(storage[1] / (a_day * ROW_MB)) if storage[1] > 0 else 0
    return Space(
        storage[0] if storage else None,
        storage[1] if storage else None,
        total,
        a_day,
        full,
        fullest,
        rows.get(fullest, 0),
        crowded,
        waits.get(crowded),
    )


def within(days: int) -> str:
    """How soon, in words."""
    return f"in about {counted(days, 'day')}" if days else "in less than a day"
