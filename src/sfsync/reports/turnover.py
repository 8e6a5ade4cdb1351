"""What sells, what lacks and what to count, JSON-ready, from the org's sales and the store's levels."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sfsync.domain import turnover as domain
from sfsync.domain.stock import LevelKey
from sfsync.domain.turnover import BACK, SOLD, Turnover
from sfsync.domain.turnover_wish import TurnoverWish
from sfsync.ports import Clock, Org, Tell
from sfsync.store import views
from sfsync.store.tx import SqlTx

from .ira import classes_of

Sold = Mapping[LevelKey, tuple[int, int]]  # units sold and units returned
KEPT = timedelta(minutes=10)
TOGETHER = 1_000  # levels between two words on how far it is
DEFINITIONS = {
    "sell_through": "sold / (sold + on hand now) x 100; days of cover = available / units sold a day",
    "replenish": (
        "wanted = units sold a day x (lead days + cover days); lacking = wanted - available; over = what is "
        "available beyond what sells in the over days, and moved nowhere. Surplus is moved before more is "
        "bought."
    ),
    "count_next": (
        "points = days since the last count / days within which the class is due (A 30, B 90, C 180; never "
        "counted: 2) + 1 for each trouble. A: the first 80 % of what sells in money, B: to 95 %, C: the rest."
    ),
}


class Sales:
    """What the org's ledger says was sold. Read whole, once at a time, and kept for ten minutes."""

    def __init__(self, org: Org, clock: Clock) -> None:
        self._org, self._clock = org, clock
        self._kept: dict[int, tuple[datetime, Sold]] = {}
        self._reading = asyncio.Lock()

    async def of(self, days: int) -> Sold:
        """Of the last so many days. May raise the org's failures."""
        async with self._reading:
            now = self._clock.now()
            self._kept = {span: kept for span, kept in self._kept.items() if kept[0] > now - KEPT}
            if days not in self._kept:
                self._kept[days] = now, await self._read(now - timedelta(days=days))
            return self._kept[days][1]

    async def _read(self, since: datetime) -> Sold:
        sold: dict[LevelKey, int] = defaultdict(int)
        back: dict[LevelKey, int] = defaultdict(int)
        async for page in self._org.moved(since, (*SOLD, *BACK)):
            for row in page:
                made = row.movement
                if made.kind in SOLD:
                    sold[made.level] -= made.on_hand_delta
                else:
                    back[made.level] += made.on_hand_delta
        return {level: (sold.get(level, 0), back.get(level, 0)) for level in sold.keys() | back.keys()}


def sell_through(
    tx: SqlTx, sold: Sold, wish: TurnoverWish, without: Collection[str], class_field: str, tell: Tell
) -> dict[str, object]:
    """By SKU, location, class or several of them."""
    classes = classes_of(tx, class_field) if "class" in wish.by else {}
    lines = domain.sell_through(_turnovers(tx, sold, wish, without, tell), wish.by, classes)
    rows = [
        {
            **line.labels,
            "sold": line.sold,
            "returned": line.returned,
            "on_hand": line.on_hand,
            "sell_through": _rounded(line.percent),
            "velocity": round(line.velocity, 3),
            "cover_days": _rounded(line.cover_days),
            "value_sold": round(line.value_sold, 2),
        }
        for line in lines
    ]
    return {**_head("sell_through", wish), "by": list(wish.by), **_cut(rows, wish)}


def replenish(
    tx: SqlTx, sold: Sold, wish: TurnoverWish, without: Collection[str], tell: Tell
) -> dict[str, object]:
    """What lacks first, then what is over-bought. Of one location, its surroundings are looked at as well."""
    everywhere = _turnovers(tx, sold, wish, without, tell, everywhere=True)
    spans = {"lead_days": wish.lead_days, "cover_days": wish.cover_days, "over_days": wish.over_days}
    found, there_are = domain.replenish(everywhere, **spans, location=wish.location, limit=wish.limit)
    rows = [
        {
            "sku": each.level.sku,
            "location": each.level.location,
            "available": each.available,
            "velocity": round(each.velocity, 3),
            "cover_days": _rounded(each.cover_days),
            "lacking": each.lacking,
            "move_from": dict(each.moves),
            "buy": each.buy,
            "over": each.over,
        }
        for each in found
    ]
    return {**_head("replenish", wish), **spans, "rows": rows, "left_off": there_are - len(rows)}


def count_next(
    tx: SqlTx, sold: Sold, wish: TurnoverWish, without: Collection[str], now: datetime, tell: Tell
) -> dict[str, object]:
    """The most pressing first."""
    rows = _turnovers(tx, sold, wish, without, tell)
    found = [
        {
            "sku": each.level.sku,
            "location": each.level.location,
            "unit": each.level.unit,
            "points": each.points,
            "class": each.abc,
            "counted_at": None if each.counted_at is None else _moment(each.counted_at),
            "why": list(each.why),
        }
        for each in domain.count_next(rows, views.last_counts(tx), _troubles(tx, rows), now, wish.limit)
    ]
    return {**_head("count_next", wish), "rows": found, "left_off": len(rows) - len(found)}


def _turnovers(
    tx: SqlTx,
    sold: Sold,
    wish: TurnoverWish,
    without: Collection[str],
    tell: Tell,
    *,
    everywhere: bool = False,
) -> list[Turnover]:
    prices = {product.sku: product.price for product in tx.products()}
    found = views.stock(tx, None if everywhere else wish.location, wish.sku, without)
    rows: list[Turnover] = []
    for level, on_hand, available in found:
        if len(rows) % TOGETHER == 0:
            tell("stock levels", len(rows), len(found))
        rows.append(
            Turnover(level, on_hand, available, *sold.get(level, (0, 0)), wish.days, prices.get(level.sku))
        )
    return rows


def _troubles(tx: SqlTx, rows: Sequence[Turnover]) -> dict[LevelKey, list[str]]:
    """Open incidents by the levels that they name: a SKU alone means all of its levels."""
    by_sku: dict[str, list[LevelKey]] = defaultdict(list)
    for row in rows:
        by_sku[row.level.sku].append(row.level)
    found: dict[LevelKey, list[str]] = defaultdict(list)
    for incident in tx.incidents():
        sku, place = incident.detail.get("sku"), incident.detail.get("location")
        for level in by_sku.get(str(sku), ()):
            if place in (None, level.location):
                found[level].append(f"incident: {incident.kind}")
    return found


def _head(report: str, wish: TurnoverWish) -> dict[str, object]:
    return {"definition": DEFINITIONS[report], "days": wish.days}


def _cut(rows: Sequence[object], wish: TurnoverWish) -> dict[str, object]:
    return {"rows": list(rows[: wish.limit]), "left_off": max(0, len(rows) - wish.limit)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
