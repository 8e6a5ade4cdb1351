"""Folding: many old movements of a level become one opening row that says the same.

What may fold (correctness F):

- rows of closed subjects only: net reserved 0 at this level and at every other, every row of the subject
  older than the set age, nothing of it open or waiting on our side;
- a subject's rows at a level fold together or not at all, so that its reserved sum in every call is 0;
- rows that sfsync entered, and rows without an idempotency key (people's). A key that another system made
  is that system's guard against entering a thing twice: such rows stay;
- the newest stock count of a level stays: a late posting is compared with it;
- an earlier opening row folds again while its text is small.

Deleting rows frees their unique keys in the org. So the opening row keeps, for each subject, the number of
its next step and its net on hand (net reserved is 0): whoever numbers the subject's next step counts these
too, also with a new store.

The order of one request: a subject's rows always go in one call, so reserved never moves. The calls go from
the lowest net on hand to the highest, so the level's on hand first rises and then falls; the opening row
comes first when its delta is not negative and last when it is. So on hand never stands below where it
began and where it ends, and neither variant of the org's rule finds anything to refuse.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from sfsync.domain.words import counted

from .stock import CLOCK_SKEW, LevelKey, Movement, MovementKind, fold_subject, step_key, step_of
from .values import quick

ROWS_A_CALL = 200  # records of one collections call
CALLS = 5  # collections in one composite call
TEXT_CHARACTERS = 120_000  # of the opening row's long text, which holds 131,072
MERGED_CHARACTERS = TEXT_CHARACTERS // 4  # an opening row with a longer text is not folded again
ENTRY_CHARACTERS = 40  # that one subject takes beside its name, at most
LEAST_ROWS = 2
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Folded:
    """What folded rows of a subject at a level add up to."""

    next_step: int  # one more than the highest step among them; 0 when none had a key
    on_hand: int

    def with_(self, other: Folded) -> Folded:
        """Both together."""
        return Folded(max(self.next_step, other.next_step), self.on_hand + other.on_hand)


@quick
@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A movement as it stands in the org, with what folding needs to know of the record."""

    id: str
    movement: Movement
    version_delta: int
    created_at: datetime
    by_sfsync: bool
    folded: Mapping[str, Folded] | None = None  # of an opening row: what it stands for, by subject

    @property
    def happened_at(self) -> datetime:
        """When it happened. Nothing that is still to come is entered: a later date is an error."""
        told, entered = self.movement.occurred_at, self.created_at
        return entered if told > entered + CLOCK_SKEW else told

    @property
    def step(self) -> int | None:
        """Its step number; None for a blank key, or one that was not made from its subject."""
        return step_of(self.movement.key, self.movement.subject)


@dataclass(frozen=True, slots=True)
class Fold:
    """One all-or-none request: an opening row in, the rows that it stands for out.

    `folded` is what the opening row says, `fresh` the part of it that no earlier opening row said.
    """

    opening: Movement
    version_delta: int
    folded: Mapping[str, Folded]
    fresh: Mapping[str, Folded]
    calls: tuple[tuple[str, ...], ...]  # record ids to delete, call by call

    @property
    def opening_first(self) -> bool:
        """Whether the opening row is entered before the deletions."""
        return self.opening.on_hand_delta >= 0

    @property
    def rows(self) -> int:
        """How many rows it takes out."""
        return sum(len(call) for call in self.calls)


class Kept(StrEnum):
    """Why rows stay as they are."""

    OPEN = "their subject is open"
    YOUNG = "younger than the set age"
    FOREIGN = "their key was made by another system"
    COUNT = "the newest stock count"
    LARGE = "more rows than one call deletes"
    OPENING = "an opening row already"
    FEW = "too few to be worth a request"


@dataclass(frozen=True, slots=True)
class Plan:
    """The next fold of a level, if any, and why the other rows stay."""

    fold: Fold | None
    more: int  # rows that may fold after it
    kept: Mapping[Kept, int]


@dataclass(slots=True)
class _Group:
    """Rows that fold together or not at all."""

    subject: str
    rows: list[LedgerRow] = field(default_factory=list)

    @property
    def on_hand(self) -> int:
        return sum(row.movement.on_hand_delta for row in self.rows)

    @property
    def reserved(self) -> int:
        return sum(row.movement.reserved_delta for row in self.rows)

    @property
    def newest(self) -> datetime:
        return max(row.created_at for row in self.rows)

    @property
    def text(self) -> int:
        """Characters that its subjects take in the opening row."""
        names = set(self.rows[0].folded or ()) if self.is_opening else {self.subject} - {""}
        return sum(len(_quoted(name)) + ENTRY_CHARACTERS for name in names)

    @property
    def is_opening(self) -> bool:
        return self.rows[0].folded is not None


def plan(
    level: LevelKey,
    rows: Sequence[LedgerRow],
    elsewhere: Iterable[LedgerRow],
    *,
    before: datetime,
    open_subjects: Set[str] = frozenset(),
    least_rows: int = LEAST_ROWS,
) -> Plan:
    """The next fold of a level.

    `rows` are all rows of the level in the org, `elsewhere` the rows that the same subjects have at other
    levels; `before` the age from which on rows may fold; `open_subjects` those that are open on our side.
    """
    kept: Counter[Kept] = Counter()
    groups: list[_Group] = []
    away: dict[str, list[LedgerRow]] = defaultdict(list)
    for row in elsewhere:
        away[row.movement.subject].append(row)
    counts = [row for row in rows if row.movement.kind is MovementKind.COUNT]
    newest_count = max(counts, key=lambda row: (row.happened_at, row.id), default=None)
    for group in _grouped(level, rows):
        reason = _why_kept(group, level, away.get(group.subject, ()), before, open_subjects, newest_count)
        if reason is None:
            groups.append(group)
        else:
            kept[reason] += len(group.rows)
    chosen = _slice(sorted(groups, key=lambda group: (group.newest, group.subject, group.rows[0].id)))
    count = sum(len(group.rows) for group in chosen)
    if sum(len(group.rows) for group in chosen if not group.is_opening) < least_rows:
        kept[Kept.FEW] += sum(len(group.rows) for group in groups)
        return Plan(None, 0, kept)
    more = sum(len(group.rows) for group in groups) - count
    return Plan(_fold(level, rows, chosen), more, kept)


def _grouped(level: LevelKey, rows: Iterable[LedgerRow]) -> list[_Group]:
    """By subject. Rows of nobody stand alone, but for their reservations: releases of nobody end these."""
    found: dict[str, _Group] = {}
    alone: list[_Group] = []
    for row in rows:
        subject = row.movement.subject
        if row.folded is not None or (not subject and not row.movement.reserved_delta):
            alone.append(_Group(subject, [row]))
        else:
            found.setdefault(subject, _Group(subject)).rows.append(row)
    return [*alone, *found.values()]


def _why_kept(
    group: _Group,
    level: LevelKey,
    away: Sequence[LedgerRow],
    before: datetime,
    open_subjects: Set[str],
    newest_count: LedgerRow | None,
) -> Kept | None:
    if group.is_opening:
        return Kept.OPENING if group.text > MERGED_CHARACTERS else None
    if group.subject == fold_subject(level):
        return Kept.OPENING  # its key is spent, and says so
    if newest_count is not None and newest_count in group.rows:
        return Kept.COUNT
    if any(row.movement.key and (not row.by_sfsync or row.step is None) for row in group.rows):
        return Kept.FOREIGN
    if group.reserved or group.subject in open_subjects:
        return Kept.OPEN
    if away and any(units for units in _reserved_by_level(away).values()):
        return Kept.OPEN
    if any(row.created_at >= before for row in (*group.rows, *away)):
        return Kept.YOUNG
    return Kept.LARGE if len(group.rows) > ROWS_A_CALL else None


def _reserved_by_level(rows: Iterable[LedgerRow]) -> Mapping[LevelKey, int]:
    found: dict[LevelKey, int] = defaultdict(int)
    for row in rows:
        found[row.movement.level] += row.movement.reserved_delta
    return found


def _slice(groups: Sequence[_Group]) -> list[_Group]:
    """The oldest groups that fit into one request."""
    chosen: list[_Group] = []
    rows = characters = 0
    for group in groups:
        if rows + len(group.rows) > ROWS_A_CALL * CALLS or characters + group.text > TEXT_CHARACTERS:
            continue
        chosen.append(group)
        rows, characters = rows + len(group.rows), characters + group.text
    while len(_calls(chosen)) > CALLS:
        chosen.pop()
    return chosen


def _calls(groups: Iterable[_Group]) -> list[tuple[str, ...]]:
    """Record ids call by call: whole groups, from the lowest net on hand to the highest."""
    calls: list[list[str]] = [[]]
    for group in sorted(groups, key=lambda each: (each.on_hand, each.subject, each.rows[0].id)):
        if len(calls[-1]) + len(group.rows) > ROWS_A_CALL:
            calls.append([])
        calls[-1].extend(row.id for row in group.rows)
    return [tuple(call) for call in calls if call]


def _fold(level: LevelKey, rows: Iterable[LedgerRow], chosen: Sequence[_Group]) -> Fold:
    subject = fold_subject(level)
    used = (row.step for row in rows if row.movement.subject == subject)
    step = max((number + 1 for number in used if number is not None), default=0)
    taken = [row for group in chosen for row in group.rows]
    folded: dict[str, Folded] = {}
    for row in taken:
        for name, part in (row.folded or {}).items():
            folded[name] = folded[name].with_(part) if name in folded else part
    fresh = totals(row for row in taken if row.folded is None)
    for name, part in fresh.items():
        folded[name] = folded[name].with_(part) if name in folded else part
    opening = Movement(
        step_key(subject, step),
        subject,
        level,
        MovementKind.OPENING,
        sum(row.movement.on_hand_delta for row in taken),
        0,
        f"{counted(len(taken), 'movement')} folded",
        "",
        max(row.happened_at for row in taken).astimezone(UTC),
    )
    version = sum(row.version_delta for row in taken) + 1
    return Fold(opening, version, folded, fresh, tuple(_calls(chosen)))


def totals(rows: Iterable[LedgerRow]) -> dict[str, Folded]:
    """What rows of one level add up to, by subject; nobody's rows need no remembering."""
    found: dict[str, Folded] = {}
    for row in rows:
        name, step = row.movement.subject, row.step
        if name:
            part = Folded(0 if step is None else step + 1, row.movement.on_hand_delta)
            found[name] = found[name].with_(part) if name in found else part
    return found


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def to_text(folded: Mapping[str, Folded]) -> str:
    """What an opening row keeps, as its long text: ``{"v":1,"s":{"<subject>":[next step, on hand]}}``.

    A composite request would take ``@{`` for a reference: it is written so that it cannot.
    """
    subjects = {name: [part.next_step, part.on_hand] for name, part in sorted(folded.items())}
    text = json.dumps({"v": FORMAT, "s": subjects}, ensure_ascii=False, separators=(",", ":"))
    return text.replace("@{", "@\\u007b")


def from_text(text: str) -> dict[str, Folded]:
    """What `to_text` wrote; `ValueError` when it is not that."""
    told = json.loads(text)
    if not isinstance(told, dict) or told.get("v") != FORMAT or not isinstance(told.get("s"), dict):
        raise ValueError("the text of an opening row is not in a form that this version reads")
    found: dict[str, Folded] = {}
    for name, part in told["s"].items():
        if not isinstance(part, list) or len(part) != 2 or not all(type(each) is int for each in part):
            raise ValueError(f"the text of an opening row is damaged at {name!r}")
        found[name] = Folded(part[0], part[1])
    return found


class FoldResult(StrEnum):
    """What the org said of a fold."""

    DONE = "done"
    DUPLICATE = "duplicate"  # the opening row's key is taken: perhaps by an earlier attempt
    GONE = "gone"  # a row to be deleted is not there
    LATER = "later"  # lock, throttle: nothing changed
    REFUSED = "refused"  # nothing changed, and a person must look


@dataclass(frozen=True, slots=True)
class FoldAnswer:
    """One fold's result with the org's words for it. Whatever is not done has changed nothing."""

    result: FoldResult
    message: str = ""
