"""The accuracy of the books by what was counted, JSON-ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from time import perf_counter

from sfsync.domain.ira import (
    EXACT,
    LOOK_BACK,
    RECOUNT,
    Accuracy,
    Line,
    Observation,
    group,
    line,
    observe,
)
from sfsync.domain.ira_wish import IraWish
from sfsync.ports import Tell, nobody
from sfsync.store import views
from sfsync.store.tx import SqlTx
from sfsync.web.status_shape import AccuracyOfDays, AccuracyOfPlace

DEFINITION = (
    "IRA = accurate counts / counted x 100. Accurate: counted less what the ledger held at that moment lies "
    "within the tolerance. Interval: Wilson, 95 %. By value: each count weighs its price times the larger of "
    "counted and expected. Complete: what was told after a count, and had happened before it, is allowed "
    "for, so that physical error remains. Left out: recounts within "
    f"{RECOUNT.total_seconds() / 3600:.0f} hours."
)

LIVE_DAYS = (30, 90)


def report(tx: SqlTx, wish: IraWish, class_field: str, tell: Tell) -> dict[str, object]:
    """Inventory Record Accuracy. A class is that field of the org's products."""
    seen = [each for each in observed(tx, wish.since, wish.until, tell) if _wanted(each, wish)]
    classes = classes_of(tx, class_field) if "class" in wish.by else {}
    lines = group(seen, wish.by, wish.tolerances, classes, wish.bands)
    return {
        "definition": DEFINITION,
        "since": _moment(wish.since),
        "until": _moment(wish.until),
        "by": list(wish.by),
        "class_field": class_field,
        "tolerances": [str(each) for each in wish.tolerances],
        "rows": [_row(each) for each in lines],
        "total": _row(line({}, seen, wish.tolerances)),
    }


def classes_of(tx: SqlTx, class_field: str) -> dict[str, str]:
    """The class of each SKU whose product has one."""
    if not class_field:
        return {}
    named = ((product.sku, product.fields.get(class_field, "")) for product in tx.products())
    return {sku: name for sku, name in named if name}


def observed(tx: SqlTx, since: datetime, until: datetime, tell: Tell = nobody) -> list[Observation]:
    """The counts of a time. Those shortly before it are looked at too, to know which ones are recounts."""
    before = since - LOOK_BACK
    counts = views.counted(tx, before, until, tell)
    return [each for each in observe(counts, views.late_postings(tx, before)) if each.count.at >= since]


def live(seen: Sequence[Observation], now: datetime) -> list[AccuracyOfPlace]:
    """The exact IRA of each location over the last 30 and 90 days, of the observations of that time."""
    places: dict[str, list[AccuracyOfDays]] = {}
    for days in LIVE_DAYS:
        lately = [each for each in seen if each.count.at >= now - timedelta(days=days) and not each.recount]
        for name in {each.count.level.location for each in seen}:
            told = Accuracy.of([each for each in lately if each.count.level.location == name], EXACT)
            places.setdefault(name, []).append(
                AccuracyOfDays(
                    days=days,
                    n=told.n,
                    accurate=told.accurate,
                    percent=_rounded(told.percent),
                    low=round(told.low, 1),
                    high=round(told.high, 1),
                    complete=_rounded(told.complete),
                )
            )
    return [AccuracyOfPlace(location=name, spans=places[name]) for name in sorted(places)]


class Live:
    """The live accuracy, worked out anew when something was counted, and each minute.

    It takes some 60 µs for each count of 90 days: where that is long it is done less often, so that it never
    takes more than a sixtieth of the time.
    """

    def __init__(self) -> None:
        self._of: tuple[int, datetime] | None = None
        self._rows: list[AccuracyOfPlace] = []
        self._not_before = 0.0

    def rows(self, tx: SqlTx, now: datetime) -> list[AccuracyOfPlace]:
        """By location."""
        of = views.counts_kept(tx), now.replace(second=0, microsecond=0)
        if of != self._of and perf_counter() >= self._not_before:
            begun = perf_counter()
            seen = observed(tx, now - timedelta(days=max(LIVE_DAYS)), now + timedelta(days=1))
            self._rows, self._of = live(seen, now), of
            self._not_before = begun + 60 * (perf_counter() - begun)
        return self._rows


def _wanted(each: Observation, wish: IraWish) -> bool:
    level = each.count.level
    return wish.location in (None, level.location) and wish.sku in (None, level.sku)


def _row(told: Line) -> dict[str, object]:
    numbers = asdict(told)
    del numbers["labels"], numbers["accuracy"]
    return {
        **told.labels,
        **{name: round(value, 2) for name, value in numbers.items()},
        "accuracy": [_accuracy(each) for each in told.accuracy],
    }


def _accuracy(told: Accuracy) -> dict[str, object]:
    found: dict[str, object] = {"tolerance": str(told.tolerance), "n": told.n, "accurate": told.accurate}
    for name in ("percent", "low", "high", "complete", "by_value"):
        found[name] = _rounded(getattr(told, name))
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
