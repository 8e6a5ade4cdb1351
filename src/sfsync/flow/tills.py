"""What a concession's till reports becomes postings, each line of a receipt once.

A report may come twice, in parts, by a file and by the API: a line is known by till, receipt and line. What
happened before a stock count and is told after it is entered with its compensation, as every posting is
(`lateness`). A kill in the middle leaves the lines that are in; the same report again brings the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial as partial_of

from sfsync.domain.ats import LevelFacts
from sfsync.domain.counts import is_late, last_counted
from sfsync.domain.stock import Movement
from sfsync.domain.tills import MaySell, Till, TillOutcome, TillReport, TillSale, happened, may_sell
from sfsync.ports import Posting, Tell, Tx, telling

from .context import Context, unread, wait_until_read
from .intake import add_posting
from .levels import apply_levels
from .picture import Picture
from .sku_mappings import mapped_sale
from .writer import Writer

ANSWER_SECONDS = 8.0
TOGETHER = 100  # lines in one reading or commit: a day's report keeps no sale waiting
SKUS_AT_ONCE = 1000


class Tills:
    """Enters what tills report, and tells what they may sell."""

    def __init__(self, ctx: Context, writer: Writer) -> None:
        self._ctx, self._writer = ctx, writer

    async def enter(
        self, sales: Sequence[TillSale], *, partial: bool = False, dry_run: bool = False
    ) -> Sequence[TillOutcome]:
        """Enter each once, or none where one has a problem (unless `partial`); an outcome for each.

        An outcome with neither state nor problem: nothing is wrong with that line, and it was not entered.
        """
        ctx, tell = self._ctx, telling()
        now = ctx.clock.now()
        sales = await self._mapped(sales)
        outcomes: list[TillOutcome] = []
        for start in range(0, len(sales), TOGETHER):
            outcomes += await ctx.store.read(
                partial_of(_checked, sales=sales[start : start + TOGETHER], now=now)
            )
            tell("lines checked", len(outcomes), len(sales))
        if dry_run or (not partial and any(outcome.problem for outcome in outcomes)):
            return outcomes
        fresh = [n for n, outcome in enumerate(outcomes) if not outcome.problem and not outcome.again]
        answers: list[asyncio.Future[None]] = []
        for start in range(0, len(fresh), TOGETHER):
            part = [sales[n] for n in fresh[start : start + TOGETHER]]
            bundles, bells = await ctx.store.write(partial_of(_plan, ctx=ctx, sales=part))
            answers += [self._writer.answered(bundle) for bundle in bundles]
            ctx.bell.ring(*bells)
            tell("lines handed to the ledger", min(start + TOGETHER, len(fresh)), len(fresh))
        if answers:
            _count_answers(answers, tell)
            await asyncio.wait(answers, timeout=ANSWER_SECONDS)
        for start in range(0, len(sales), TOGETHER):
            end = start + TOGETHER
            told = partial_of(
                _told_all, sales=sales[start:end], checked=outcomes[start:end], now=ctx.clock.now()
            )
            outcomes[start:end] = await ctx.store.read(told)
        return outcomes

    async def note(self, report: TillReport) -> None:
        """Keep what became of a report, for the status."""
        await self._ctx.store.write(lambda tx: tx.put_till_report(report))

    async def _mapped(self, sales: Sequence[TillSale]) -> Sequence[TillSale]:
        """The sales, each under the SKU that the org knows its own by."""
        if not await self._ctx.store.read(lambda tx: tx.sku_mappings()):
            return sales
        named: list[TillSale] = []
        for start in range(0, len(sales), TOGETHER):
            part = sales[start : start + TOGETHER]
            named += await self._ctx.store.read(partial_of(_named, sales=part))
        return named

    async def may_sell(self, till: Till) -> Sequence[MaySell]:
        """What it may sell: the bad news first. `TryLater` while the org was never read whole."""
        ctx, place = self._ctx, {till.location}

        def skus_there(tx: Tx) -> Sequence[str]:
            wait_until_read(tx)
            return tx.skus_at(till.location)

        def levels(tx: Tx, skus: Sequence[str]) -> list[LevelFacts]:
            picture = Picture(tx.facts(skus), ctx.assortment)
            return [level for sku in skus for level in picture.levels(sku, place)]

        found: list[LevelFacts] = []
        skus = await ctx.store.read(skus_there)
        for start in range(0, len(skus), SKUS_AT_ONCE):
            part = skus[start : start + SKUS_AT_ONCE]
            found += await ctx.store.read(partial_of(levels, skus=part))
        return may_sell(till, found)


def _count_answers(answers: Sequence[asyncio.Future[None]], tell: Tell) -> None:
    """Tell of each line when the org has answered."""
    done = 0

    def another(_: asyncio.Future[None]) -> None:
        nonlocal done
        done += 1
        tell("lines answered by the org", done, len(answers))

    for each in answers:
        each.add_done_callback(another)


def _named(tx: Tx, *, sales: Sequence[TillSale]) -> list[TillSale]:
    return [mapped_sale(tx, sale) for sale in sales]


def _checked(tx: Tx, *, sales: Sequence[TillSale], now: datetime) -> list[TillOutcome]:
    return [_check(tx, sale, now) for sale in sales]


def _told_all(
    tx: Tx, *, sales: Sequence[TillSale], checked: Sequence[TillOutcome], now: datetime
) -> list[TillOutcome]:
    return [
        before if before.problem else _told(tx, sale, now, again=before.again)
        for sale, before in zip(sales, checked, strict=True)
    ]


def _check(tx: Tx, sale: TillSale, now: datetime) -> TillOutcome:
    """What became of a line before, or what keeps it from being entered; neither when nothing does."""
    at = happened(sale, now)
    if isinstance(at, str):
        return TillOutcome(problem="wrong", detail=at)
    if tx.next_step(sale.subject):
        known = tx.planned(sale.subject)
        return (_reused(known, sale) if known else None) or TillOutcome(again=True)
    if sale.level not in tx.levels([sale.level]):
        if unread(tx):
            return TillOutcome(problem="try-later", detail="the org's stock levels are still being read")
        detail = f"the org has no stock level {sale.level}; create it first"
        return TillOutcome(problem="unknown-level", detail=detail)
    return TillOutcome()


def _reused(known: Sequence[Movement], sale: TillSale) -> TillOutcome | None:
    """What is told of a line whose number another has; None where it is the same."""
    units, first = sum(row.on_hand_delta for row in known), known[0]
    if units == -sale.units and {row.level for row in known} == {sale.level}:
        return None
    detail = f"was told before as {-units} of {first.level}, on {first.occurred_at.isoformat()}"
    return TillOutcome(problem="id-reused", detail=detail)


def _plan(tx: Tx, *, ctx: Context, sales: Sequence[TillSale]) -> tuple[list[int], set[str]]:
    """Write lines down; their bundles, and the bells to ring."""
    now = ctx.clock.now()
    bundles = []
    for sale in sales:
        at = happened(sale, now)
        if isinstance(at, str):
            continue
        words = f"receipt {sale.receipt}, line {sale.line}"
        posting = Posting(sale.source_id, sale.kind, sale.level, -sale.units, words, at)
        if (bundle := add_posting(tx, posting, now)) is not None:
            bundles.append(bundle)
    bells = apply_levels(tx, ctx, (), now, {sale.level.sku for sale in sales})
    return bundles, bells | {"writer"}


def _told(tx: Tx, sale: TillSale, now: datetime, *, again: bool) -> TillOutcome:
    """What is known of a line that was written down."""
    if not (known := tx.planned(sale.subject)):
        detail = "the org did not take it; see the dead letters"
        return TillOutcome(problem="refused", detail=detail)
    if (reused := _reused(known, sale)) is not None:  # told by two ways at once, and unlike
        return reused
    state = "waiting" if tx.busy([sale.subject]) else "entered"
    held = tx.levels([sale.level]).get(sale.level)
    late = held is not None and is_late(known[0], last_counted(held[0], now))
    return TillOutcome(state, again=again, late=late)
