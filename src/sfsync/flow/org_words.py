"""What the org says of a line, written down; and whose the goods are that come back of an erased order.

An order that is erased for good leaves its return orders behind, and they name nobody any more. Where a
storefront tells of the order, too, it goes on telling what comes back of it, and the order's line has it.
Where none does, the return stands alone; when a storefront is heard of after all, it ends, and what it had
brought is the order's again. So it is one return, whoever tells of what first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sfsync.domain.org_orders import OrgReturnLine
from sfsync.domain.sources import Source, Word, deciding, wanted
from sfsync.ports import LineState, Tx

from .context import Context

TICK = timedelta(microseconds=1)


def later(read_at: datetime, lines: Sequence[LineState]) -> datetime:
    """This reading is newer than every one before it, also where our clock was put back."""
    heard = [line.words[Source.ORG].version for line in lines if Source.ORG in line.words]
    return max([read_at, *(version + TICK for version in heard)])


def put_word(tx: Tx, ctx: Context, line: LineState, word: Word | None, org_order: str | None) -> set[str]:
    """What the org says of a line is this now; None: nothing. Returns the SKU it touched."""
    heard: dict[Source, Word] = {key: said for key, said in line.words.items() if key is not Source.ORG}
    if word is not None:
        heard[Source.ORG] = word
    shared = ctx.assortment.shared.get(line.channel)  # none when the settings share it no more
    authority = shared.authority if shared else Source.CHANNEL
    now_wanted = wanted({line.subject: heard}, authority)[line.subject]
    due = line.due or now_wanted != line.line
    version = deciding(heard, authority).version
    tx.put_line(replace(line, line=now_wanted, told=heard, version=version, due=due, org_order=org_order))
    return {now_wanted.sku}


def stands_alone(
    tx: Tx, ctx: Context, lines: Sequence[LineState], back: OrgReturnLine, units: int, read_at: datetime
) -> set[str]:
    """The order was erased, and its return stands alone: what came back by it is the order's no more.

    The order's words stay what they were when it was erased. Goods that came later are in none of them. Of
    which order it was is remembered, for a storefront may tell of that one yet (`told_by_storefront`).
    """
    touched: set[str] = set()
    if lines and (former := lines[0].org_order) is not None:
        tx.remember_erased(former, back.line_id)
    for state in lines:
        word = state.words.get(Source.ORG)
        if word is None or word.line.sku != back.sku:
            continue
        taken = min(units, word.line.returned_quantity)
        if not taken:
            continue
        units -= taken
        less = replace(word.line, returned_quantity=word.line.returned_quantity - taken)
        touched |= put_word(tx, ctx, state, Word(later(read_at, [state]), less), state.org_order)
    return touched


def told_by_storefront(tx: Tx, ctx: Context, lines: Collection[LineState], at: datetime) -> set[str]:
    """A storefront tells of these lines for the first time: returns that stand alone for them end.

    Returns the SKUs touched; the lines are to be read again then.
    """
    touched: set[str] = set()
    for former in sorted({line.org_order for line in lines if line.org_order is not None}):
        alone_since = tx.erased_returns(former)
        for back in alone_since:
            for alone in tx.lines_of_org_order(back):
                touched |= _given_back(tx, ctx, former, alone, at)
            tx.put_returns({back: former})
        if alone_since:
            tx.forget_erased(former)
    return touched


def _given_back(tx: Tx, ctx: Context, former: str, alone: LineState, at: datetime) -> set[str]:
    word = alone.words[Source.ORG]
    units, touched = word.line.returned_quantity, set[str]()
    for state in tx.lines_of_org_order(former):
        said = state.words.get(Source.ORG)
        if said is None or said.line.sku != word.line.sku:
            continue
        part = min(units, said.line.fulfilled_quantity - said.line.returned_quantity)
        if part > 0:
            units -= part
            more = replace(said.line, returned_quantity=said.line.returned_quantity + part)
            touched |= put_word(tx, ctx, state, Word(later(at, [state]), more), former)
    none = replace(word.line, returned_quantity=units)
    return touched | put_word(tx, ctx, alone, Word(later(at, [alone]), none), alone.org_order)
