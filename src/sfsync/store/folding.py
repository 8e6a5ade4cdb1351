"""The statements of folds and of rewritten ledgers, a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BindParameter, Row, bindparam, func, select, update

from sfsync.domain.fold import Fold, Folded, LedgerRow
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel, fold_subject
from sfsync.ports.keeping import FoldIntent

from . import tables as t
from .prepared import Prepared
from .statements import Statements

SLICE = 5_000  # values in one IN list
EPOCHS = Prepared(select(t.level.c.level_key, t.level.c.epoch_at).where(t.level.c.epoch_at.is_not(None)))
FOLDED = Prepared(select(t.folded).where(t.among(t.folded.c.subject)))
_AT_LEVEL: BindParameter[str] = bindparam("b_level")
_FOLDED_OF = select(t.folded).where(t.folded.c.subject == bindparam("b_subject"))
FOLDED_OF = Prepared(_FOLDED_OF)
FOLDED_HERE = Prepared(_FOLDED_OF.where(t.folded.c.level_key == _AT_LEVEL))
FOLD_ROWS = Prepared(
    update(t.movement)
    .where(
        t.movement.c.subject == bindparam("b_subject"),
        t.movement.c.level_key == _AT_LEVEL,
        t.movement.c.state == "done",
    )
    .values(state=bindparam("b_state"))
)
_HELD_HERE = (t.holding.c.subject == bindparam("b_subject"), t.holding.c.level_key == _AT_LEVEL)
HELD_HERE = Prepared(select(t.holding).where(*_HELD_HERE))
DROP_HELD_HERE = Prepared(t.holding.delete().where(*_HELD_HERE))
HOLD = Prepared(t.holding.insert(), [column.name for column in t.holding.columns])
TO_READ_AGAIN = Prepared(select(t.level).where(t.level.c.read_again).order_by(t.level.c.level_key))


class FoldStatements(Statements):
    """Epochs of levels, folds under way, and what was folded of each subject."""

    # -- epochs

    def epochs(self) -> dict[LevelKey, datetime]:
        """When we learnt that a level's ledger had been rewritten, for the levels where it ever was."""
        return {LevelKey.parse(row.level_key): row.epoch_at for row in EPOCHS.run(self._c, {})}

    def begin_epoch(self, levels: Collection[LevelKey], at: datetime) -> None:
        """Their ledgers were rewritten: readings asked for before are worthless; rows are read again."""
        self._c.execute(
            update(t.level)
            .where(t.level.c.level_key.in_([str(key) for key in levels]))
            .values(epoch=t.level.c.epoch + 1, epoch_at=at, read_again=True)
        )

    def read_again(self, levels: Collection[LevelKey], at: datetime) -> None:
        """Have levels and their rows read once more. An epoch that begins after `at` begins then."""
        named = t.level.c.level_key.in_([str(key) for key in levels])
        self._c.execute(update(t.level).where(named).values(read_again=True, epoch=t.level.c.epoch + 1))
        self._c.execute(update(t.level).where(named, t.level.c.epoch_at > at).values(epoch_at=at))

    def to_read_again(self) -> list[tuple[StockLevel, int]]:
        """Levels whose rows are to be read again, each with its epoch."""
        return [
            (
                StockLevel(
                    LevelKey.parse(row.level_key),
                    row.on_hand,
                    row.reserved,
                    row.version,
                    row.record_id,
                    row.counted_at,
                ),
                row.epoch,
            )
            for row in TO_READ_AGAIN.run(self._c, {})
        ]

    def was_read_again(self, level: LevelKey, epoch: int) -> None:
        """Done, unless another epoch has begun meanwhile."""
        self._c.execute(
            update(t.level)
            .where(t.level.c.level_key == str(level), t.level.c.epoch == epoch)
            .values(read_again=False)
        )

    def rename_level(self, old: LevelKey, new: LevelKey) -> None:
        """What subjects have at a level moves to another key, and the level of the old one stays, empty.

        It has no record any more. What was known of a level of the new key before is forgotten.
        """
        at, there = str(old), str(new)
        self._c.execute(t.level.delete().where(t.level.c.level_key == there))
        empty = {"record_id": "", "on_hand": 0, "reserved": 0, "version": 0, "read_again": False}
        self._c.execute(update(t.level).where(t.level.c.level_key == at).values(empty))
        for table in (t.holding, t.folded):
            self._c.execute(table.delete().where(table.c.level_key == there))
        done = t.movement.c.state == "done"
        self._c.execute(t.movement.delete().where(t.movement.c.level_key == there, done))
        named = {"level_key": there, "sku": new.sku}
        self._c.execute(update(t.movement).where(t.movement.c.level_key == at, done).values(named))
        self._c.execute(update(t.holding).where(t.holding.c.level_key == at).values(named))
        self._c.execute(update(t.folded).where(t.folded.c.level_key == at).values(level_key=there))

    def subjects_at(self, level: LevelKey) -> frozenset[str]:
        """Subjects of which we believe rows at a level, folded ones included."""
        rows = self._c.execute(select(t.holding.c.subject).where(t.holding.c.level_key == str(level)))
        return frozenset(rows.scalars())

    def replace_rows_at(self, subject: str, level: LevelKey, rows: Sequence[Movement], at: datetime) -> bool:
        """Take over what the org holds of a subject at one level; True when we had believed otherwise."""
        here = (t.holding.c.subject == subject, t.holding.c.level_key == str(level))
        before = self._c.execute(select(t.holding).where(*here)).first()
        channel = None if before is None else before.channel
        self._c.execute(
            t.movement.delete().where(
                t.movement.c.subject == subject,
                t.movement.c.level_key == str(level),
                t.movement.c.state == "done",
            )
        )
        self._c.execute(t.holding.delete().where(*here))
        self._add_rows(0, rows, {subject: channel}, "done")
        since = at if before is None else before.since
        self._hold_folded([subject], level, since, channel)
        self._hold([(row, channel, since) for row in rows])
        after = self._c.execute(select(t.holding).where(*here)).first()
        return _held(before) != _held(after)

    def keys_at(self, level: LevelKey) -> frozenset[str]:
        """Keys of the rows at a level that stand in the ledger, as far as we know."""
        rows = self._c.execute(
            select(t.movement.c.key).where(t.movement.c.level_key == str(level), t.movement.c.state == "done")
        )
        return frozenset(rows.scalars())

    def levels_with(self, keys: Collection[str]) -> frozenset[LevelKey]:
        """The levels at which movements with these keys stand in the ledger, as far as we know."""
        found: set[LevelKey] = set()
        names = sorted(keys)
        for start in range(0, len(names), SLICE):
            here = t.movement.c.key.in_(names[start : start + SLICE])
            rows = self._c.execute(select(t.movement.c.level_key).where(here, t.movement.c.state == "done"))
            found |= {LevelKey.parse(key) for key in rows.scalars()}
        return frozenset(found)

    def short_of_promises(self) -> list[tuple[LevelKey, int, int]]:
        """Levels that hold less reserved than our subjects have there together: version, and what those have.

        None of a level at which a movement waits: its answer may be what is missing.
        """
        level, held = t.level.c, t.holding.c
        units = func.sum(held.reserved)
        waiting = select(t.movement.c.id).where(
            t.movement.c.state == "waiting", t.movement.c.level_key == level.level_key
        )
        rows = self._c.execute(
            select(level.level_key, level.version, units.label("units"))
            .join_from(t.holding, t.level, held.level_key == level.level_key)
            .where(held.reserved != 0, ~waiting.exists())
            .group_by(level.level_key, level.version, level.reserved)
            .having(units > level.reserved)
        )
        return [(LevelKey.parse(row.level_key), row.version, int(row.units)) for row in rows]

    # -- folds

    def add_fold(self, level: LevelKey, record_id: str, fold: Fold, at: datetime) -> int:
        """Write down a fold before its first byte leaves."""
        made = self._c.execute(
            t.fold.insert().values(
                level_key=str(level), record_id=record_id, state="open", request=_told(fold), planned_at=at
            )
        ).inserted_primary_key
        if made is None:
            raise RuntimeError("the database gave no id for a new fold")
        return int(made[0])

    def open_folds(self) -> list[FoldIntent]:
        """Folds whose outcome is open, oldest first."""
        rows = self._c.execute(select(t.fold).where(t.fold.c.state == "open").order_by(t.fold.c.id))
        return [
            FoldIntent(
                row.id, LevelKey.parse(row.level_key), row.record_id, _read(row.level_key, row.request)
            )
            for row in rows
        ]

    def finish_fold(self, intent: FoldIntent, state: str, reason: str, at: datetime) -> None:
        """Its outcome is known: done (what it folded is remembered), or dropped."""
        self._c.execute(
            update(t.fold).where(t.fold.c.id == intent.id).values(state=state, reason=reason, answered_at=at)
        )
        if state == "done":
            self._remember(intent.fold.fresh, intent.level)
            for subject in intent.fold.fresh:
                self._fold_rows(subject, intent.level, at)

    def put_folded(self, level: LevelKey, openings: Sequence[LedgerRow], at: datetime) -> None:
        """Make what a level's opening rows say the whole of what was folded there."""
        self._c.execute(t.folded.delete().where(t.folded.c.level_key == str(level)))
        subjects: set[str] = set()
        for row in openings:
            self._remember(row.folded or {}, level)
            subjects |= set(row.folded or {})
        known = self.subjects_at(level)
        self._hold_folded(sorted(subjects - known), level, at, None)

    def folded_steps(self, subjects: Collection[str]) -> dict[str, int]:
        """The next step of each of these subjects, by what was folded of it anywhere; none: not there."""
        found: dict[str, int] = {}
        names = list(subjects)
        for start in range(0, len(names), SLICE):
            rows = self._c.execute(
                select(t.folded.c.subject, func.max(t.folded.c.next_step).label("step"))
                .where(t.folded.c.subject.in_(names[start : start + SLICE]))
                .group_by(t.folded.c.subject)
            )
            found.update({row.subject: row.step for row in rows})
        return found

    def folded_rows(self, subjects: Collection[str]) -> dict[str, list[Movement]]:
        """What was folded of each subject, one row for each level, as if it still stood in the ledger."""
        found: dict[str, list[Movement]] = {subject: [] for subject in subjects}
        for row in FOLDED.run(self._c, {"among": list(subjects)}):
            found[row.subject].append(_as_row(row))
        return found

    def _remember(self, said: Mapping[str, Folded], level: LevelKey) -> None:
        if not said:
            return
        insert = self._insert(t.folded)
        greater = func.max if self._c.dialect.name == "sqlite" else func.greatest
        new = insert.excluded
        self._c.execute(
            insert.on_conflict_do_update(
                index_elements=[t.folded.c.subject, t.folded.c.level_key],
                set_={
                    "on_hand": t.folded.c.on_hand + new.on_hand,
                    "next_step": greater(t.folded.c.next_step, new.next_step),
                },
            ),
            [
                {
                    "subject": subject,
                    "level_key": str(level),
                    "on_hand": part.on_hand,
                    "next_step": part.next_step,
                }
                for subject, part in said.items()
            ],
        )

    def _fold_rows(self, subject: str, level: LevelKey, at: datetime) -> None:
        """The subject's rows at the level are gone, all of them; what it holds there is what was folded."""
        here = {"b_subject": subject, "b_level": str(level)}
        FOLD_ROWS.run(self._c, {**here, "b_state": "folded"})
        before = HELD_HERE.run(self._c, here).first()
        DROP_HELD_HERE.run(self._c, here)
        since, channel = (at, None) if before is None else (before.since, before.channel)
        self._hold_folded([subject], level, since, channel)

    def _hold_folded(
        self, subjects: Collection[str], level: LevelKey | None, since: datetime, channel: str | None
    ) -> None:
        """Count what was folded among what subjects hold. They must hold nothing there yet."""
        for subject in subjects:
            named = {"b_subject": subject}
            if level is None:
                rows = FOLDED_OF.run(self._c, named)
            else:
                rows = FOLDED_HERE.run(self._c, {**named, "b_level": str(level)})
            for row in rows:
                HOLD.run(
                    self._c,
                    {
                        "subject": subject,
                        "level_key": row.level_key,
                        "kind": subject.partition(":")[0],
                        "channel": channel,
                        "sku": LevelKey.parse(row.level_key).sku,
                        "on_hand": row.on_hand,
                        "reserved": 0,
                        "next_step": row.next_step,
                        "since": since,
                    },
                )

    def _add_rows(
        self, bundle_id: int, movements: Sequence[Movement], owners: Mapping[str, str | None], state: str
    ) -> None:
        raise NotImplementedError

    def _hold(self, entered: Iterable[tuple[Movement, str | None, datetime]]) -> None:
        raise NotImplementedError


def _held(row: Row[Any] | None) -> tuple[int, int, int]:
    return (0, 0, 0) if row is None else (row.on_hand, row.reserved, row.next_step)


def _as_row(row: Row[Any]) -> Movement:
    level = LevelKey.parse(row.level_key)
    reference = f"folded, up to step {row.next_step - 1}"
    epoch = datetime.fromtimestamp(0, UTC)
    return Movement("", row.subject, level, MovementKind.OPENING, row.on_hand, 0, reference, "", epoch)


def _told(fold: Fold) -> dict[str, Any]:
    return {
        "key": fold.opening.key,
        "on_hand": fold.opening.on_hand_delta,
        "reference": fold.opening.reference,
        "occurred_at": fold.opening.occurred_at.isoformat(),
        "version_delta": fold.version_delta,
        "folded": {name: [part.next_step, part.on_hand] for name, part in fold.folded.items()},
        "fresh": {name: [part.next_step, part.on_hand] for name, part in fold.fresh.items()},
        "calls": [list(call) for call in fold.calls],
    }


def _read(level_key: str, told: Mapping[str, Any]) -> Fold:
    level = LevelKey.parse(level_key)
    opening = Movement(
        told["key"],
        fold_subject(level),
        level,
        MovementKind.OPENING,
        told["on_hand"],
        0,
        told["reference"],
        "",
        datetime.fromisoformat(told["occurred_at"]),
    )
    return Fold(
        opening,
        told["version_delta"],
        {name: Folded(*part) for name, part in told["folded"].items()},
        {name: Folded(*part) for name, part in told["fresh"].items()},
        tuple(tuple(call) for call in told["calls"]),
    )
