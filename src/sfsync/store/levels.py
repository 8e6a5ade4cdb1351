"""The statements of stock levels, SKUs and products; a part of `SqlTx`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, bindparam, func, or_, select, update

from sfsync.domain.assortment import InForce
from sfsync.domain.block import HOLDER
from sfsync.domain.by_hand import Fixed
from sfsync.domain.products import Product
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.ports.keeping import Facts, Held, PendingRow

from . import tables as t
from .channels import SHOWN
from .draws import DrawStatements
from .folding import SLICE
from .orders import UNCOVERED_BY_SKU
from .prepared import Prepared
from .statements import Statements, among, one_of

LEVELS_BY_KEY = Prepared(among(t.level.c.level_key))
OVERSOLD_BY_KEY = Prepared(
    select(t.level.c.level_key, t.level.c.reserved, t.level.c.on_hand).where(
        t.among(t.level.c.level_key), t.level.c.reserved > t.level.c.on_hand
    )
)
LEVELS_BY_SKU = Prepared(among(t.level.c.sku))
LEVELS_BY_RECORD = Prepared(among(t.level.c.record_id))
# Added up where they are: a drop has thousands of reservations of one SKU, and each buyer makes us look.
HELD_BY_SKU = Prepared(
    select(
        t.holding.c.kind,
        t.holding.c.channel,
        t.holding.c.level_key,
        func.sum(t.holding.c.reserved).label("units"),
        func.max(t.holding.c.since, type_=t.holding.c.since.type).label("since"),
    )
    .where(
        t.among(t.holding.c.sku),
        t.holding.c.reserved != 0,
        one_of(t.holding.c.kind, "reservation", "allocation"),
    )
    .group_by(t.holding.c.kind, t.holding.c.channel, t.holding.c.level_key)
)
ALLOCATED_SKUS = Prepared(
    select(t.holding.c.sku)
    .where(t.holding.c.kind == "allocation", t.holding.c.reserved != 0)
    .distinct()
    .order_by(t.holding.c.sku)
)
_CHANGES = [
    t.movement.c[name]
    for name in ("bundle", "subject", "channel", "level_key", "on_hand_delta", "reserved_delta")
]
WAITING_BY_SKU = Prepared(select(*_CHANGES).where(t.among(t.movement.c.sku), t.movement.c.state == "waiting"))
WAITING_ROWS_BY_SUBJECT = Prepared(
    select(*_CHANGES).where(t.among(t.movement.c.subject), t.movement.c.state == "waiting")
)
BY_HAND = Prepared(select(t.by_hand).where(t.by_hand.c.sku == bindparam("b_sku")))
OWN_UNITS = Prepared(
    select(t.holding.c.sku).where(
        t.among(t.holding.c.sku),
        t.holding.c.kind == "allocation",
        t.holding.c.channel == bindparam("b_channel"),
        t.holding.c.reserved != 0,
    )
)
OWN_UNITS_OF_ANY = Prepared(
    select(t.holding.c.sku).where(
        t.among(t.holding.c.sku),
        t.holding.c.kind == "allocation",
        t.holding.c.channel != HOLDER,
        t.holding.c.reserved != 0,
    )
)
SCARCE_BY_SKU = Prepared(among(t.scarce.c.sku))
ASKED_TO = Prepared(select(t.channel.c.asked_to).where(t.channel.c.name == bindparam("b_channel")))
UNASKED_SKUS = Prepared(
    select(t.sku)
    .where(
        t.sku.c.number
        > select(func.coalesce(t.channel.c.asked_to, 0))
        .where(t.channel.c.name == bindparam("b_channel"))
        .scalar_subquery()
    )
    .order_by(t.sku.c.number)
    .limit(bindparam("b_limit"))
)
LAST_SKU = Prepared(select(func.max(t.sku.c.number)))
UNASKED = Prepared(select(t.channel.c.name).where(t.channel.c.asked_to < bindparam("b_last")))
DOUBTFUL = Prepared(select(SHOWN.channel).where(SHOWN.problem != "", SHOWN.problem == IN_DOUBT).distinct())


class LevelStatements(DrawStatements, Statements):
    """The org's levels as we hold them, and the facts behind a SKU's numbers."""

    def levels(self, keys: Collection[LevelKey]) -> dict[LevelKey, tuple[StockLevel, datetime]]:
        """Levels held, each with the time it was stored."""
        found = self._values(LEVELS_BY_KEY, [str(key) for key in keys], _stored_level)
        return {level.key: (level, stored_at) for level, stored_at in found}

    def oversold(self, keys: Collection[LevelKey]) -> dict[LevelKey, tuple[int, int]]:
        """(on hand, reserved) of those of these levels that promise more than is on hand."""
        rows = self._in(OVERSOLD_BY_KEY, [str(key) for key in keys])
        return {LevelKey.parse(row.level_key): (row.on_hand, row.reserved) for row in rows}

    def put_levels(self, levels: Collection[StockLevel], at: datetime) -> None:
        """Replace levels whole; whoever calls has compared versions."""
        self._upsert(
            t.level,
            [
                {
                    "level_key": str(level.key),
                    "sku": level.key.sku,
                    "location": level.key.location,
                    "unit": level.key.unit,
                    "record_id": level.record_id,
                    "on_hand": level.on_hand,
                    "reserved": level.reserved,
                    "version": level.version,
                    "counted_at": level.counted_at,
                    "stored_at": at,
                }
                for level in levels
            ],
        )

    def put_not_found(self, key: LevelKey, units: int) -> None:
        """So many units of a level are not to be found by its shop."""
        this = t.level.c.level_key == str(key)
        self._c.execute(update(t.level).where(this).values(not_found=units))

    def levels_of(self, skus: Collection[str]) -> list[StockLevel]:
        """Every level of these SKUs."""
        return self._values(LEVELS_BY_SKU, skus, _level)

    def levels_by_record(self, record_ids: Collection[str]) -> list[StockLevel]:
        """Levels by the org's record ids."""
        return [_level(row) for row in self._in(LEVELS_BY_RECORD, record_ids)]

    def products(self) -> list[Product]:
        """What is kept of the org's products."""
        rows = self._c.execute(select(t.product).order_by(t.product.c.record_id))
        return [Product(r.record_id, r.sku, r.fields, frozenset(r.tags), r.price) for r in rows]

    def put_products(self, products: Collection[Product]) -> None:
        """Keep these products, and forget those that are gone."""
        ids = [product.record_id for product in products]
        for part in range(0, len(ids), SLICE):
            self._c.execute(t.product.delete().where(t.product.c.record_id.in_(ids[part : part + SLICE])))
        rows = [
            {
                "record_id": product.record_id,
                "sku": product.sku,
                "fields": dict(product.fields),
                "tags": sorted(product.tags),
                "price": product.price,
            }
            for product in products
            if not product.gone
        ]
        if rows:
            self._c.execute(t.product.insert(), rows)

    def note_skus(self, skus: Collection[str]) -> bool:
        """Remember SKUs that no channel was asked for yet; True when one of them is new."""
        if not skus:
            return False
        insert, last = self._insert(t.sku).on_conflict_do_nothing(), self.last_sku()
        rows = [{"sku": sku, "number": last + place} for place, sku in enumerate(sorted(skus), 1)]
        self._c.execute(insert, rows)
        return self.last_sku() > last

    def last_sku(self) -> int:
        """The number of the SKU that we came to know of last; 0 when there is none."""
        return int(LAST_SKU.run(self._c, {}).scalar() or 0)

    def unasked_skus(self, channel: str, limit: int) -> tuple[list[str], int]:
        """SKUs that a channel was never asked for, oldest first, and the number of the last of them."""
        rows = UNASKED_SKUS.run(self._c, {"b_channel": channel, "b_limit": limit})
        return [row.sku for row in rows], rows[-1].number if rows else 0

    def mark_asked(self, channel: str, number: int) -> None:
        """The channel was asked for every SKU up to this number; from now on it counts as read whole."""
        c = t.channel.c
        older = or_(c.asked_to.is_(None), c.asked_to < number)
        self._c.execute(update(t.channel).where(c.name == channel, older).values(asked_to=number))

    def to_be_read(self) -> set[str]:
        """The channels that were not asked for every SKU, or whose numbers are in doubt."""
        unasked = UNASKED.run(self._c, {"b_last": self.last_sku()}).scalars()
        return {*unasked, *DOUBTFUL.run(self._c, {}).scalars()}

    def read_whole(self, channel: str) -> bool:
        """Whether all that it lists was read once."""
        return ASKED_TO.run(self._c, {"b_channel": channel}).scalar() is not None

    def all_skus(self) -> list[str]:
        """Every SKU that has a level."""
        return list(self._c.execute(select(t.level.c.sku).distinct().order_by(t.level.c.sku)).scalars())

    def skus_at(self, location: str) -> list[str]:
        """Every SKU that has a level at a location of the org."""
        c = t.level.c
        there = select(c.sku).distinct().where(c.location == location).order_by(c.sku)
        return list(self._c.execute(there).scalars())

    def facts(self, skus: Collection[str]) -> Facts:
        """All that ATS depends on, for these SKUs: six statements, however many SKUs."""
        held = [
            Held(row.kind, row.channel, LevelKey.parse(row.level_key), int(row.units), row.since)
            for row in self._in(HELD_BY_SKU, skus)
        ]
        uncovered = self._in(UNCOVERED_BY_SKU, skus)
        short: dict[str, int] = defaultdict(int)
        for row in uncovered:
            short[row.sku] += row.uncovered
        return Facts(
            self.levels_of(skus),
            held,
            self.pending(skus),
            short,
            _scarcities(self._in(SCARCE_BY_SKU, skus)),
        )

    def pending(self, skus: Collection[str]) -> list[PendingRow]:
        """Movements of these SKUs that wait for the org's answer, and grants that are not entered yet."""
        return [_pending(*row) for row in self._in(WAITING_BY_SKU, skus)] + self._drawn_rows(skus)

    def pending_of(self, subjects: Collection[str]) -> list[PendingRow]:
        """The same of these subjects; of a grant that is not entered yet, what its reservation gets."""
        waiting = [_pending(*row) for row in self._in(WAITING_ROWS_BY_SUBJECT, subjects)]
        return waiting + self._drawn_rows_of(subjects)

    def allocated_skus(self) -> list[str]:
        """SKUs of which a channel holds units of its own."""
        return ALLOCATED_SKUS.run(self._c, {}).scalars()

    def own_units(self, channel: str | None, skus: Collection[str]) -> set[str]:
        """Of these SKUs, those of which the channel holds units of its own; any channel, when None."""
        if not skus:
            return set()
        if channel is None:
            return {row.sku for row in OWN_UNITS_OF_ANY.run(self._c, {"among": list(skus)})}
        return {row.sku for row in OWN_UNITS.run(self._c, {"b_channel": channel, "among": list(skus)})}

    def by_hand(self, sku: str) -> dict[str, Fixed]:
        """What people have said that channels are to have of a SKU, by channel."""
        rows = BY_HAND.run(self._c, {"b_sku": sku})
        return {row.channel: Fixed(row.units, row.who, row.at) for row in rows}

    def put_by_hand(self, sku: str, channel: str, fixed: Fixed | None) -> None:
        """Remember a word, or forget it."""
        c = t.by_hand.c
        self._c.execute(t.by_hand.delete().where(c.sku == sku, c.channel == channel))
        if fixed is not None:
            row = {"sku": sku, "channel": channel, "units": fixed.units, "who": fixed.who, "at": fixed.at}
            self._c.execute(t.by_hand.insert().values(row))

    def skus_by_hand(self) -> list[str]:
        """SKUs of which somebody has said who is to have how many."""
        return list(self._c.execute(select(t.by_hand.c.sku).distinct().order_by(t.by_hand.c.sku)).scalars())

    def sold_by_channel(self, sku: str, since: datetime, until: datetime) -> dict[str, int]:
        """Units of a SKU in orders placed in that time and not called off, by channel."""
        c = t.order_line.c
        units = c.open_quantity + c.fulfilled_quantity - c.returned_quantity
        query = (
            select(c.channel, func.sum(units).label("units"))
            .where(c.sku == sku, c.placed_at >= since, c.placed_at < until)
            .group_by(c.channel)
        )
        return {row.channel: int(row.units) for row in self._c.execute(query)}

    def scarce_skus(self) -> dict[str, InForce]:
        """SKUs that are scarce now in the eyes of some policy, each with the scarcities that hold."""
        return _scarcities(self._c.execute(select(t.scarce).order_by(t.scarce.c.sku)))

    def put_scarce(self, sku: str, scarce: InForce, at: datetime) -> None:
        """Remember which scarcities hold of a SKU, instead of those that did."""
        self._c.execute(t.scarce.delete().where(t.scarce.c.sku == sku))
        rows = [{"sku": sku, "scarcity": name, "since": at} for name in sorted(scarce)]
        if rows:
            self._c.execute(t.scarce.insert(), rows)

    def count_levels(self) -> int:
        """How many stock levels we hold."""
        return self._c.execute(select(func.count()).select_from(t.level)).scalar_one()


@lru_cache(8_192)
def _pending(
    bundle: int, subject: str, channel: str | None, level: str, on_hand: int, reserved: int
) -> PendingRow:
    """A waiting movement, as `_CHANGES` has it: until it is answered, each look at its SKU reads it."""
    kind = subject.partition(":")[0]
    return PendingRow(bundle, kind, channel, LevelKey.parse(level), on_hand, reserved)


def _stored_level(row: Row[Any]) -> tuple[StockLevel, datetime]:
    return _level(row), row.stored_at


def _level(row: Row[Any]) -> StockLevel:
    key = LevelKey.parse(row.level_key)
    numbers = row.on_hand, row.reserved, row.version
    return StockLevel(key, *numbers, row.record_id, row.counted_at, row.not_found)


def _scarcities(rows: Iterable[Row[Any]]) -> dict[str, InForce]:
    """The names of what holds, by SKU."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.sku].add(row.scarcity)
    return {sku: frozenset(names) for sku, names in found.items()}
