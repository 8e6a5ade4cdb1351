"""The statements of movements: planned, waiting for the org, entered; a part of `SqlTx`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sfsync.domain.ledger import Bundle, Wish
from sfsync.domain.stock import LevelKey, Movement
from sfsync.ports.keeping import InTransit, SubjectHolding

from . import tables as t
from .draws import DrawStatements
from .folding import FoldStatements
from .prepared import Prepared
from .rows import holding_of, movement_of
from .statements import among, one_of

HELD_BY_SUBJECT = Prepared(among(t.holding.c.subject))
HELD_AT_LEVEL = Prepared(among(t.holding.c.level_key, t.holding.c.reserved != 0))
_HELD = t.holding.c
_AT_LEVEL = among(_HELD.level_key, _HELD.reserved != 0).order_by(_HELD.since.desc(), _HELD.subject)
_WHOSE = case((_HELD.kind == "allocation", 0), (_HELD.kind == "reservation", 1), else_=2)
HOLDERS_PAGE = Prepared(
    select(t.holding)
    .where(_HELD.level_key == bindparam("b_level"), _HELD.reserved > 0, _HELD.reserved != 0)
    .order_by(_WHOSE, _HELD.since.desc(), _HELD.subject)
    .limit(bindparam("b_limit"))
    .offset(bindparam("b_after"))
)
_ALL_HELD: Any = select(func.sum(_HELD.reserved))
HELD_THERE = Prepared(_ALL_HELD.where(_HELD.level_key == bindparam("b_level"), _HELD.reserved != 0))
NEWEST_HOLDERS = Prepared(_AT_LEVEL.limit(bindparam("b_limit")))
_COUNTED: Any = select(func.count().label("holders"), func.min(t.order_line.c.placed_at).label("first_sold"))
COUNTED_HOLDERS = Prepared(
    _COUNTED.select_from(t.holding.outerjoin(t.order_line, t.order_line.c.subject == _HELD.subject)).where(
        t.among(_HELD.level_key), _HELD.reserved != 0
    )
)
WAITING_BY_SUBJECT = Prepared(
    select(t.movement.c.subject).where(t.among(t.movement.c.subject), t.movement.c.state == "waiting")
)
_ROW = t.movement.c
PLANNED = Prepared(
    select(t.movement)
    .where(_ROW.subject == bindparam("b_subject"), one_of(_ROW.state, "done", "folded", "waiting"))
    .order_by(_ROW.step, _ROW.id)
)
COMPANIONS = Prepared(select(_ROW.subject).where(_ROW.bundle == bindparam("b_bundle"), _ROW.companion))
DROP_OTHERS = Prepared(
    update(t.movement)
    .where(_ROW.bundle == bindparam("b_bundle"), _ROW.state == "waiting", ~t.among(_ROW.key))
    .values(state=bindparam("b_state"))
)
DROP_COMPANIONS = Prepared(
    update(t.movement)
    .where(_ROW.bundle == bindparam("b_bundle"), _ROW.state == "waiting", _ROW.companion)
    .values(state=bindparam("b_state"))
)
ROWS_BY_SUBJECT = Prepared(among(_ROW.subject, _ROW.state == "done").order_by(_ROW.step, _ROW.id))
NEXT_STEPS = Prepared(
    select(t.holding.c.subject, func.max(t.holding.c.next_step).label("next_step"))
    .where(t.among(t.holding.c.subject))
    .group_by(t.holding.c.subject)
    .union_all(
        select(_ROW.subject, (func.max(_ROW.step) + 1).label("next_step"))
        .where(t.among(_ROW.subject), _ROW.state == "waiting")
        .group_by(_ROW.subject)
    )
)
WAITING_BY_KEY = Prepared(among(_ROW.key, _ROW.state == "waiting"))
ADD_BUNDLE = Prepared(t.bundle.insert().returning(t.bundle.c.id), ["state", "asked_at"])
ADD_MOVEMENTS = Prepared(
    t.movement.insert(), [column.name for column in t.movement.columns if not column.primary_key]
)
WAITING_AFTER = Prepared(
    select(t.movement)
    .where(_ROW.state == "waiting", _ROW.bundle > bindparam("b_after"))
    .order_by(_ROW.bundle, _ROW.id)
)
_MARK = t.bundle.c.reason  # of one that waits: what a person wants done with it
MARK = Prepared(
    update(t.bundle)
    .where(
        t.bundle.c.id.in_(select(_ROW.bundle).where(_ROW.key == bindparam("b_key"), _ROW.state == "waiting"))
    )
    .values(reason=bindparam("b_reason"))
)
MARKED = Prepared(
    select(t.bundle.c.id, _MARK).where(
        t.among_numbers(t.bundle.c.id), t.bundle.c.state == "waiting", _MARK != ""
    )
)
OVERTAKEN = Prepared(
    select(_ROW.bundle)
    .join(t.order_line, t.order_line.c.subject == _ROW.subject)
    .where(t.among_numbers(_ROW.bundle), _ROW.state == "waiting", t.order_line.c.due)
    .distinct()
)
FINISH_BUNDLES = Prepared(
    update(t.bundle)
    .where(t.among_numbers(t.bundle.c.id))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), answered_at=bindparam("b_at"))
)
FINISH_MOVEMENTS = Prepared(
    update(t.movement)
    .where(t.among_numbers(_ROW.bundle), _ROW.state == "waiting")
    .values(state=bindparam("b_state"))
    .returning(*t.movement.c)
)


class LedgerStatements(DrawStatements, FoldStatements):
    """Rows of the ledger, ours and the org's, and who holds units by them."""

    def rows_of(self, subjects: Collection[str]) -> dict[str, list[Movement]]:
        """Each subject's rows that stand in the ledger, as far as we know, in order.

        What was folded of it comes first, as one row for each level.
        """
        found = self.folded_rows(subjects)
        for row in self._in(ROWS_BY_SUBJECT, subjects):
            found[row.subject].append(movement_of(row))
        return found

    def planned(self, subject: str) -> list[Movement]:
        """The subject's rows that were entered, folded or not, or wait to be entered, in order.

        Where we do not have the rows that were folded, one for each level stands for them.
        """
        found = [movement_of(row) for row in PLANNED.run(self._c, {"b_subject": subject})]
        known = {row.level for row in found}
        return [row for row in self.folded_rows([subject])[subject] if row.level not in known] + found

    def promised_by_others(self) -> dict[LevelKey, str]:
        """Levels where more is reserved than we know the holders of, each with its record id."""
        ours = func.coalesce(func.sum(t.holding.c.reserved), 0)
        c = t.level.c
        rows = self._c.execute(
            select(c.level_key, c.record_id)
            .outerjoin(t.holding, t.holding.c.level_key == c.level_key)
            .where(c.reserved > 0)
            .group_by(c.level_key, c.record_id, c.reserved)
            .having(c.reserved > ours)
        )
        return {LevelKey.parse(row.level_key): row.record_id for row in rows}

    def in_transit(self, location: str) -> list[InTransit]:
        """What is on its way, by the transfer's number and the level; oldest first."""
        m, units = t.movement.c, func.sum(t.movement.c.on_hand_delta)
        since = func.min(m.occurred_at)
        rows = self._c.execute(
            select(m.reference, m.level_key, units.label("units"), since.label("since"))
            .join(t.level, t.level.c.level_key == m.level_key)
            .where(t.level.c.location == location, m.state.in_(["done", "folded"]))
            .group_by(m.reference, m.level_key)
            .having(units != 0)
            .order_by(since, m.reference, m.level_key)
        )
        return [InTransit(r.reference, LevelKey.parse(r.level_key), int(r.units), r.since) for r in rows]

    def replace_rows(
        self, subject: str, rows: Sequence[Movement], at: datetime, *, channel: str | None = None
    ) -> None:
        """Take over what the org says of a subject: its rows are the truth, ours are a cache.

        What was folded of it stays folded: the org says so in the opening rows, not in the subject's own.
        `channel` is whose customer a subject is that we had no row of.
        """
        owner = self._c.execute(
            select(t.movement.c.channel, t.movement.c.subject)
            .where(t.movement.c.subject == subject)
            .order_by(t.movement.c.channel.is_(None))
            .limit(1)
        ).first()
        channel = owner.channel if owner else channel
        self._c.execute(
            t.movement.delete().where(t.movement.c.subject == subject, t.movement.c.state == "done")
        )
        self._c.execute(t.holding.delete().where(t.holding.c.subject == subject))
        self._add_rows(0, rows, {subject: channel}, "done")
        self._hold_folded([subject], None, at, channel)
        self._hold([(row, channel, at) for row in rows])

    def busy(self, subjects: Collection[str]) -> frozenset[str]:
        """Those with a movement that waits for an answer, or with a grant that the org has not heard of."""
        rows = self._in(WAITING_BY_SUBJECT, subjects)
        return frozenset(row.subject for row in rows) | self._drawn_subjects(subjects)

    def asked_at(self, bundle: int) -> datetime:
        """When the bundle was written down. `KeyError`: it never was."""
        found: datetime | None = self._c.execute(
            select(t.bundle.c.asked_at).where(t.bundle.c.id == bundle)
        ).scalar()
        if found is None:
            raise KeyError(bundle)
        return found

    def next_step(self, subject: str) -> int:
        """One more than the highest step entered or waiting."""
        return self.next_steps([subject])[subject]

    def next_steps(self, subjects: Collection[str]) -> dict[str, int]:
        """Each subject's `next_step`."""
        found = dict.fromkeys(subjects, 0)
        for row in self._in(NEXT_STEPS, subjects):
            found[row.subject] = max(found[row.subject], row.next_step)
        return found

    def holdings(self, subjects: Collection[str]) -> list[SubjectHolding]:
        """What these subjects hold."""
        return [holding_of(row) for row in self._in(HELD_BY_SUBJECT, subjects)]

    def holdings_at(self, levels: Collection[LevelKey]) -> list[SubjectHolding]:
        """Who holds units reserved at these levels, newest first."""
        rows = self._in(HELD_AT_LEVEL, [str(key) for key in levels])
        return sorted((holding_of(row) for row in rows), key=lambda held: held.since, reverse=True)

    def holders_page(self, level: LevelKey, limit: int, after: int) -> list[SubjectHolding]:
        """Who holds units reserved at a level, after so many: allocations, then reservations, then orders.

        The newest first in each of the three, so that those come early that lose their cover first.
        """
        asked = {"b_level": str(level), "b_limit": limit, "b_after": after}
        return [holding_of(row) for row in HOLDERS_PAGE.run(self._c, asked)]

    def all_held_at(self, level: LevelKey) -> int:
        """Units that are known to be held at a level, whoever holds them."""
        return int(HELD_THERE.run(self._c, {"b_level": str(level)}).scalar() or 0)

    def newest_holders(
        self, levels: Collection[LevelKey], limit: int
    ) -> tuple[list[SubjectHolding], int, datetime | None]:
        """(Who took units there last, how many hold any, when the first order of all those was placed)."""
        keys = [str(key) for key in levels]
        if not keys:
            return [], 0, None
        counted = COUNTED_HOLDERS.run(self._c, {"among": keys})[0]
        rows = NEWEST_HOLDERS.run(self._c, {"among": keys, "b_limit": limit})
        return [holding_of(row) for row in rows], counted.holders, counted.first_sold

    def add_bundle(
        self, movements: Sequence[Movement], owners: Mapping[str, str | None], at: datetime
    ) -> int:
        """Write down movements that are to happen together, before the first byte of them leaves."""
        bundle_id = int(ADD_BUNDLE.run(self._c, {"state": "waiting", "asked_at": at}).scalar())
        self._add_rows(bundle_id, movements, owners, "waiting")
        return bundle_id

    def waiting_bundles(self, after: int) -> list[Bundle]:
        """Bundles without an answer with an id above `after`, in order."""
        rows = WAITING_AFTER.run(self._c, {"b_after": after})
        bundles: dict[int, list[Movement]] = defaultdict(list)
        companions: dict[int, int] = defaultdict(int)
        for row in rows:
            bundles[row.bundle].append(movement_of(row))
            companions[row.bundle] += row.companion
        return [
            Bundle(number, tuple(movements), asked=number, companions=companions[number])
            for number, movements in bundles.items()
        ]

    def set_companions(
        self, bundle_id: int, movements: Sequence[Movement], owners: Mapping[str, str | None]
    ) -> None:
        """Have these movements go along with a waiting bundle, in the place of those that did before."""
        DROP_COMPANIONS.run(self._c, {"b_bundle": bundle_id, "b_state": "dropped"})
        self._add_rows(bundle_id, movements, owners, "waiting", companion=True)

    def companion_subjects(self, bundles: Collection[int]) -> frozenset[str]:
        """Whose movements ever went along with these bundles."""
        found = [COMPANIONS.run(self._c, {"b_bundle": bundle}) for bundle in bundles]
        return frozenset(row.subject for rows in found for row in rows)

    def mark_waiting(self, key: str, wish: Wish) -> bool:
        """A person wants this done with what waits under a key; False where nothing does."""
        return MARK.run(self._c, {"b_key": key, "b_reason": wish.value}).changed > 0

    def unmark(self, bundle_id: int) -> None:
        """It is done."""
        these = t.bundle.c.id == bundle_id, t.bundle.c.state == "waiting"
        self._c.execute(update(t.bundle).where(*these).values(reason=""))

    def wishes(self, bundles: Collection[int]) -> dict[int, Wish]:
        """What is wanted of these bundles that wait: by a person, or since their order line has changed."""
        if not bundles:
            return {}
        these = {"among": sorted(bundles)}
        found = {row.bundle: Wish.DECIDE for row in OVERTAKEN.run(self._c, these)}
        return found | {row.id: Wish(row.reason) for row in MARKED.run(self._c, these)}

    def finish_bundle(
        self,
        bundle_id: int,
        state: str,
        reason: str,
        at: datetime,
        *,
        entered: Collection[str] | None = None,
    ) -> None:
        """Its answer is known: done, refused, voided (refused, and its key is spent), wrong or conflict.

        `entered` names the keys that are in the ledger where that may not be all of them.
        """
        if entered is not None:
            DROP_OTHERS.run(self._c, {"b_bundle": bundle_id, "among": list(entered), "b_state": "dropped"})
        self.finish_bundles([bundle_id], state, reason, at)

    def finish_bundles(self, bundles: Collection[int], state: str, reason: str, at: datetime) -> None:
        """The same answer came for several: three statements, however many. Of each, every row is entered."""
        if not bundles:
            return
        these = {"among": list(bundles), "b_state": "refused" if state == "voided" else state}
        FINISH_BUNDLES.run(self._c, {**these, "b_reason": reason, "b_at": at})
        rows = sorted(FINISH_MOVEMENTS.run(self._c, these), key=lambda row: row.id)
        if state == "done":
            self._hold([(movement_of(row), row.channel, at) for row in rows])
        elif state == "voided":
            self._hold([(movement_of(row).void(), row.channel, at) for row in rows])

    def _add_rows(
        self,
        bundle_id: int,
        movements: Sequence[Movement],
        owners: Mapping[str, str | None],
        state: str,
        *,
        companion: bool = False,
    ) -> None:
        if not movements:
            return
        ADD_MOVEMENTS.run(
            self._c,
            [
                {
                    "bundle": bundle_id,
                    "state": state,
                    "key": m.key,
                    "subject": m.subject,
                    "step": _step(m),
                    "kind": m.kind.value,
                    "channel": owners.get(m.subject),
                    "level_key": str(m.level),
                    "sku": m.level.sku,
                    "on_hand_delta": m.on_hand_delta,
                    "reserved_delta": m.reserved_delta,
                    "reference": m.reference,
                    "source_version": m.source_version,
                    "occurred_at": m.occurred_at,
                    "companion": companion,
                }
                for m in movements
            ],
        )

    def _hold(self, entered: Iterable[tuple[Movement, str | None, datetime]]) -> None:
        """Add rows that stand in the ledger to what their subjects hold."""
        rows = [
            {
                "subject": m.subject,
                "level_key": str(m.level),
                "kind": m.subject.partition(":")[0],
                "channel": channel,
                "sku": m.level.sku,
                "on_hand": m.on_hand_delta,
                "reserved": m.reserved_delta,
                "next_step": _step(m) + 1,
                "since": at,
            }
            for m, channel, at in entered
        ]
        if rows:
            _hold_statement(self._c.dialect.name, tuple(rows[0])).run(self._c, rows)

    def wrong_rows(self, key: str) -> list[Movement]:
        """The movements that were to happen together with this one, where the org would never take them."""
        table = t.movement
        newest = (
            select(func.max(table.c.bundle))
            .where(table.c.key == key, table.c.state == "wrong")
            .scalar_subquery()
        )
        waiting = select(table.c.id).where(table.c.key == key, table.c.state == "waiting")
        if self._c.execute(waiting.limit(1)).first() is not None:
            return []
        rows = self._c.execute(
            select(table).where(table.c.bundle == newest, table.c.state == "wrong").order_by(table.c.id)
        )
        return [movement_of(row) for row in rows if not row.companion]

    def waiting_rows(self, keys: Collection[str]) -> dict[str, Movement]:
        """The movements without an answer that have these keys."""
        rows = WAITING_BY_KEY.run(self._c, {"among": sorted(keys)}) if keys else ()
        return {row.key: movement_of(row) for row in rows}

    def put_at(self, bundle_id: int, level: LevelKey) -> None:
        """A bundle's waiting movements are to be entered at another level; what went along no longer does."""
        c = t.movement.c
        self.set_companions(bundle_id, (), {})
        self._c.execute(
            update(t.movement)
            .where(c.bundle == bundle_id, c.state == "waiting")
            .values(level_key=str(level), sku=level.sku)
        )


@lru_cache
def _hold_statement(dialect: str, columns: tuple[str, ...]) -> Prepared:
    insert: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(t.holding)
    new, old = insert.excluded, t.holding.c
    statement = insert.on_conflict_do_update(
        index_elements=[old.subject, old.level_key],
        set_={
            "on_hand": old.on_hand + new.on_hand,
            "reserved": old.reserved + new.reserved,
            "next_step": case((old.next_step > new.next_step, old.next_step), else_=new.next_step),
            "since": case(((old.reserved <= 0) & (new.reserved > 0), new.since), else_=old.since),
        },
    )
    return Prepared(statement, columns)


def _step(movement: Movement) -> int:
    """The step number in an idempotency key; 0 for a plain posting, whose key has none."""
    head, _, tail = movement.key.rpartition(":")
    return int(tail) if head == movement.subject and tail.isdigit() else 0
