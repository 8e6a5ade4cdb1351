"""SKUs that the org does not have, and the ones they go by there: kept, used, and given many at once.

A mapping is used at the last moment: for an order's line when no stock level of its own SKU is found, for a
posting when the org has just said that its level is not there. A line keeps the SKU that it was once found to
be about, so that a mapping taken away later undoes nothing.

It counts one way. What a channel still lists under the old SKU is a second listing of the same units, beside
the one under the new SKU or before that comes: two numbers of one stock would offer each unit twice. So no
number is written to it, and the list of mappings tells where such listings are left, for a person to rename.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sfsync.domain.assortment import Assortment
from sfsync.domain.letters import LEDGER, Cause, cause_of
from sfsync.domain.orders import OrderLine
from sfsync.domain.sku_mapping import ASK_ABOVE_PERCENT, MapFacts, Sheet, SkuMapping, asks, problem_of
from sfsync.domain.stock import BadKeyError, LevelKey, Movement
from sfsync.domain.tills import TillSale
from sfsync.domain.values import replace
from sfsync.ports import ChannelLevel, KeptMapping, LineState, Tell, TryLater, Tx, nobody, telling

from .context import Context, unread

BELLS = ("orders", "learn")
TOGETHER = 100  # rows or letters between two words on how far it is


# -- used ------------------------------------------------------------------------------------------------


def mapped(tx: Tx, line: LineState) -> LineState | None:
    """The line as one of the SKU that its own is mapped to; None when it is not."""
    told = line.line.mapped_from or line.line.sku
    new = tx.mapped_sku(told, line.channel)
    if new is None or new == line.line.sku:
        return None
    return replace(line, line=replace(line.line, sku=new, mapped_from=told))


def as_mapped(line: OrderLine, before: LineState | None) -> OrderLine:
    """What is told anew of a line is about the SKU that it was found to be about before."""
    if before is None or not before.line.mapped_from or line.sku != before.line.mapped_from:
        return line
    return replace(line, sku=before.line.sku, mapped_from=line.sku)


def mapped_levels(tx: Tx, levels: Mapping[int, LevelKey]) -> dict[int, LevelKey]:
    """For levels that the org does not have, those of the SKUs they are mapped to, as far as it has them."""
    found: dict[int, LevelKey] = {}
    for number, level in levels.items():
        other = _other(level, tx.mapped_sku(level.sku, ""))
        if other is not None and other in tx.levels([other]):
            found[number] = other
    return found


def mapped_level(tx: Tx, row: Movement) -> Movement:
    """A movement, at the level that its SKU is mapped to for everybody."""
    other = _other(row.level, tx.mapped_sku(row.level.sku, ""))
    return row if other is None else replace(row, level=other)


def mapped_sale(tx: Tx, sale: TillSale) -> TillSale:
    """A till's sale, at the level that its SKU is mapped to where the org has none of its own."""
    if sale.level in tx.levels([sale.level]):
        return sale
    other = _other(sale.level, tx.mapped_sku(sale.level.sku, sale.till))
    return sale if other is None else replace(sale, level=other)


def _other(level: LevelKey, sku: str | None) -> LevelKey | None:
    try:
        return LevelKey(sku, level.location, level.unit) if sku else None
    except BadKeyError:  # the new SKU and the old location are too long together
        return None


# -- given -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parties:
    """Who may send SKUs, and what share of the org's SKUs may be mapped for each unasked."""

    sources: frozenset[str]
    percent: Mapping[str, int]

    @classmethod
    def of(cls, assortment: Assortment, tills: Collection[str]) -> Parties:
        """Those of the settings."""
        names = frozenset({*assortment.channels, *assortment.shared, *tills})
        return cls(names, {name: plan.ask_above_percent for name, plan in assortment.channels.items()})

    def ask_above(self, mappings: Collection[SkuMapping]) -> int:
        """The strictest share among the channels that these mappings are about."""
        named = {row.source for row in mappings}
        about = [share for name, share in self.percent.items() if "" in named or name in named]
        return min(about, default=ASK_ABOVE_PERCENT)


class SkuMappings:
    """What the web asks about mappings of SKUs."""

    def __init__(self, ctx: Context, tills: Collection[str], look_again: Callable[[], None]) -> None:
        self._ctx, self._tills, self._look_again = ctx, tills, look_again

    async def kept(self) -> Sequence[Mapping[str, object]]:
        """Those that are kept; JSON-ready."""
        return await self._ctx.store.read(tell)

    async def give(
        self, sheet: Sheet, by: str, *, partial: bool, dry_run: bool, yes_change: int | None
    ) -> Mapping[str, Any]:
        """Keep a sheet's mappings and have the letters tried again that they mend; JSON-ready.

        `dry_run`: only what would be. Raises `TryLater` while the org was never read whole.
        """
        ctx, tell = self._ctx, telling()
        parties = Parties.of(ctx.assortment, self._tills)
        if dry_run:
            return await ctx.store.read(lambda tx: look(tx, sheet, parties, tell))
        now = ctx.clock.now()
        told = await ctx.store.write(
            lambda tx: give(tx, sheet, parties, by, now, tell, partial=partial, yes_change=yes_change)
        )
        if told["applied"]:
            ctx.log.info("SKUs mapped", new=told["new"], letters=told["letters"], by=by)
            self._look_again()
            ctx.bell.ring(*BELLS)
        return told

    async def remove(self, old: str, source: str, by: str) -> bool:
        """Keep a mapping no longer; what was entered by it stays. False when there is none."""
        gone = await self._ctx.store.write(lambda tx: tx.drop_sku_mapping(old, source))
        if gone:
            self._ctx.log.info("SKU mapped no longer", old=old, source=source or "everybody", by=by)
        return gone


def tell(tx: Tx) -> Sequence[Mapping[str, object]]:
    """The mappings that are kept, by old SKU; JSON-ready."""
    kept = tx.sku_mappings()
    olds = {each.mapping.old for each in kept}
    own = {level.key.sku for level in tx.levels_of(olds)}
    listings: dict[str, list[ChannelLevel]] = {}
    for level in tx.channel_levels(olds - own):
        listings.setdefault(level.sku, []).append(level)
    return [_told(each, each.mapping.old in own, listings.get(each.mapping.old, ())) for each in kept]


def _told(each: KeptMapping, own: bool, listings: Sequence[ChannelLevel]) -> Mapping[str, object]:
    return {
        "old": each.mapping.old,
        "new": each.mapping.new,
        "channel": each.mapping.source or None,
        "at": each.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "by": each.by,
        "rests": own,  # the org has the old SKU by now: it goes by its own name
        "still_listed": [  # under the old SKU, to be renamed there
            {"channel": level.channel, "location": level.location, "shows": level.published}
            for level in listings
            if each.mapping.source in ("", level.channel)
        ],
    }


def give(
    tx: Tx,
    sheet: Sheet,
    parties: Parties,
    by: str,
    now: datetime,
    tell: Tell = nobody,
    *,
    partial: bool,
    yes_change: int | None,
) -> dict[str, Any]:
    """Keep a sheet's mappings, unless rows are bad (and not `partial`) or a person must say so first."""
    told = look(tx, sheet, parties, tell)
    if (told["errors"] and not partial) or (told["asks"] and yes_change != told["new"]):
        return told
    good = [SkuMapping(row["old"], row["new"], row["channel"] or "") for row in told["rows"]]
    fresh = [row for row, each in zip(good, told["rows"], strict=True) if each["state"] == "new"]
    tx.put_sku_mappings(fresh, by, now)
    subjects = [subject for row in told["rows"] for subject in row["subjects"]]
    for done in range(0, len(subjects), TOGETHER):
        tell("dead letters tried again", done, len(subjects))
        for line in tx.lines(subjects[done : done + TOGETHER]).values():
            tx.put_line(replace(line, due=True))
    return {**told, "applied": True}


def look(tx: Tx, sheet: Sheet, parties: Parties, tell: Tell = nobody) -> dict[str, Any]:
    """What a sheet would do, row by row; JSON-ready."""
    if unread(tx):
        raise TryLater("the org's stock levels are still being read")
    rows = [row for _, row in sheet.rows]
    kept = {(each.mapping.old, each.mapping.source): each.mapping.new for each in tx.sku_mappings()}
    in_org = {level.key.sku for level in tx.levels_of({sku for row in rows for sku in (row.old, row.new)})}
    facts = MapFacts(in_org, kept, parties.sources)
    letters = _letters(tx)
    errors = [
        {"line": bad.line, "sku": bad.sku, "detail": bad.detail, "remedy": bad.remedy} for bad in sheet.bad
    ]
    good: list[dict[str, Any]] = []
    for number, (line, row) in enumerate(sheet.rows):
        if number % TOGETHER == 0:
            tell("rows checked", number, len(sheet.rows))
        if (problem := problem_of(row, facts)) is not None:
            errors.append({"line": line, "sku": row.old, "detail": problem[0], "remedy": problem[1]})
            continue
        mended = [each for each in letters.get(row.old, ()) if not row.source or each.source == row.source]
        good.append(
            {
                "line": line,
                "old": row.old,
                "new": row.new,
                "channel": row.source or None,
                "state": "kept" if (row.old, row.source) in kept else "new",
                "letters": sorted(each.number for each in mended),
                "subjects": [each.subject for each in mended if each.subject],
            }
        )
    fresh = [row for (_, row) in sheet.rows if (row.old, row.source) not in kept]
    new = sum(row["state"] == "new" for row in good)
    return {
        "rows": good,
        "errors": sorted(errors, key=lambda error: int(str(error["line"]))),
        "new": new,
        "kept": len(good) - new,
        "letters": sum(len(row["letters"]) for row in good),
        "asks": asks(new, tx.last_sku(), parties.ask_above(fresh)),
        "skus": tx.last_sku(),
        "applied": False,
    }


@dataclass(frozen=True, slots=True)
class _Letter:
    """A dead letter about an unknown SKU; `subject` of the order's line, if it is about one."""

    number: int
    source: str
    subject: str = ""


def _letters(tx: Tx) -> dict[str, list[_Letter]]:
    """The letters whose cause is a SKU that the org does not have, by that SKU."""
    found: dict[str, list[_Letter]] = {}
    lines: dict[str, int] = {}
    keys: dict[str, int] = {}
    for letter in tx.dead_letters([Cause.NO_LEVEL, Cause.MOVEMENT_WAITS]):
        cause = cause_of(letter.source, letter.key, letter.reason)
        if cause is Cause.NO_LEVEL:
            lines[letter.key] = letter.id
        elif cause is Cause.MOVEMENT_WAITS:
            keys[letter.key] = letter.id
    for line in tx.lines(lines).values():
        sku = line.line.mapped_from or line.line.sku
        found.setdefault(sku, []).append(_Letter(lines[line.subject], line.channel, line.subject))
    for key, row in tx.waiting_rows(keys).items():
        if row.subject.startswith("posting:"):
            found.setdefault(row.level.sku, []).append(_Letter(keys[key], LEDGER))
    return found
