"""Newer numbers replace older ones, and what they reveal is said aloud."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType

from sfsync.domain.assortment import Assortment
from sfsync.domain.incidents import NEGATIVE, OVERSOLD, REWRITTEN
from sfsync.domain.stock import Freshness, LevelKey, StockLevel, compare
from sfsync.domain.values import replace
from sfsync.domain.words import counted
from sfsync.ports import Tx

from . import not_found, stakes
from .context import Context
from .cover import staked
from .reserving import ask_for_paid
from .rooms import with_whole_editions
from .shelf import refresh

READ_AGAIN = "read again"  # the bell
NAMED = 50  # subjects that an incident names
NOTHING: Mapping[LevelKey, int] = MappingProxyType({})


def apply_levels(
    tx: Tx,
    ctx: Context,
    read: Collection[StockLevel],
    asked_at: datetime,
    also: Collection[str] = (),
    *,
    entered: Mapping[LevelKey, int] = NOTHING,
) -> set[str]:
    """Take over levels read from the org; `asked_at` is when the reading began. Returns the bells to ring.

    `also` names SKUs whose other facts have changed in this transaction; `entered` says how many rows the org
    has made of ours, at each level, between `asked_at` and the reading itself. A level never goes back to an
    older version (promise 6). One that did so in the org itself begins a new epoch: it is obeyed, raised as
    an incident, and its rows are read again (`rewrites`). A reading from before that epoch is never believed.
    """
    now = ctx.clock.now()
    held = tx.levels([level.key for level in read])
    known_as = _known_as(tx, held, read)
    # Who was asked before a key was corrected tells the level by a name that it has no more.
    read = [each for each in read if (old := known_as.get(each.record_id)) is None or asked_at > old[1]]
    called = {each.key: known_as[each.record_id][0] for each in read if each.record_id in known_as}
    for level in read:
        if level.key in called:
            _called_otherwise(tx, ctx, called[level.key], level, now)
    # What was known by a new name before was another record, or has none: whatever is read of it is newer.
    held = {key: known for key, known in held.items() if key not in called and known[0].record_id}
    epochs = tx.epochs() if read else {}
    rewritten: list[LevelKey] = []
    doubtful: list[LevelKey] = []
    newer: list[StockLevel] = []
    for level in read:
        before, stored_at = held.get(level.key, (None, None))
        freshness = compare(
            before,
            level,
            asked_after_held=stored_at is not None and asked_at > stored_at,
            before_epoch=level.key in epochs and asked_at <= epochs[level.key],
            entered=entered.get(level.key, 0),
        )
        if freshness is Freshness.REWRITTEN and before is not None:
            _rewritten(tx, ctx, before, level, entered.get(level.key, 0), now)
            rewritten.append(level.key)
        if freshness is Freshness.BEFORE_EPOCH:
            doubtful.append(level.key)
        if freshness in (Freshness.NEWER, Freshness.REWRITTEN):
            newer.append(level)
    tx.put_levels(newer, now)
    for level in newer:  # as they stand now: whose units are uncovered depends on all of a SKU
        before, _ = held.get(level.key, (None, None))
        _oversold(tx, ctx, before, level, now)
        not_found.seen(tx, ctx, before, level)
    if begun := [*rewritten, *called]:
        tx.begin_epoch(begun, now)
    if doubtful:
        tx.read_again(doubtful, now)  # if the epoch is still to come, our clock was put back meanwhile
    new = {level.key.sku for level in newer if level.key not in held}
    skus = {level.key.sku for level in newer} | {old.key.sku for old in called.values()}
    bells: set[str] = {READ_AGAIN} if begun or doubtful else set()
    if new and tx.note_skus(new):
        bells.add("learn")
    return bells | freed(tx, ctx, skus | set(also), now)


def _known_as(
    tx: Tx, held: Mapping[LevelKey, tuple[StockLevel, datetime]], read: Collection[StockLevel]
) -> dict[str, tuple[StockLevel, datetime]]:
    """By record id, the levels that we hold under another key than the one that was read."""
    strange = {
        level.record_id: level.key
        for level in read
        if level.key not in held or held[level.key][0].record_id != level.record_id
    }
    if not strange:
        return {}
    others = [old.key for old in tx.levels_by_record(strange) if old.key != strange[old.record_id]]
    return {old.record_id: (old, at) for old, at in tx.levels(others).values()} if others else {}


def _called_otherwise(tx: Tx, ctx: Context, old: StockLevel, level: StockLevel, now: datetime) -> None:
    """Its key was corrected in the org: whatever is there is there under the new one, and nowhere else."""
    subjects = sorted(tx.subjects_at(old.key))
    tx.rename_level(old.key, level.key)
    title = (
        f"the stock level {old.key} is called {level.key} in the org now; nothing is sold under the old name"
    )
    detail = {"sku": old.key.sku, "location": old.key.location, "called": str(level.key)}
    tx.open_incident(REWRITTEN, str(old.key), title, detail | {"subjects": subjects[:NAMED]}, now)
    ctx.log.warning("stock level renamed", level=str(old.key), called=str(level.key), subjects=len(subjects))


def freed(tx: Tx, ctx: Context, skus: Collection[str], now: datetime) -> set[str]:
    """There may be more of these SKUs, though no level has changed: whoever asked in vain is looked at.

    Returns the bells to ring.
    """
    free = with_whole_editions(ctx.assortment, set(skus))
    bells = ({"orders"} if wake_uncovered(tx, free) else set()) | ask_for_paid(tx, ctx, free)
    return bells | refresh(tx, ctx.assortment, ctx.pulse, skus, now)


def levels_gone(tx: Tx, ctx: Context, record_ids: Collection[str]) -> set[str]:
    """Levels that the org was asked for by id and does not have any more: nothing of them can be sold."""
    now = ctx.clock.now()
    gone = [level for level in tx.levels_by_record(record_ids) if level.on_hand or level.reserved]
    for level in gone:
        title = f"the stock level {level.key} was deleted in the org; it counts as empty"
        tx.open_incident(
            REWRITTEN, str(level.key), title, {"sku": level.key.sku, "on_hand": level.on_hand}, now
        )
        ctx.log.warning("stock level deleted", level=str(level.key))
    tx.put_levels([replace(level, on_hand=0, reserved=0) for level in gone], now)
    tx.begin_epoch([level.key for level in gone], now)
    return {READ_AGAIN} | refresh(tx, ctx.assortment, ctx.pulse, {level.key.sku for level in gone}, now)


def movements_gone(tx: Tx, ctx: Context, keys: Collection[str]) -> set[str]:
    """Movements with these keys were deleted in the org: a level where we believe one to stand is read again.

    What newer movements outweigh makes no version lower, and is found like that. What a fold has taken out we
    do not believe to stand; of one that is under way the level is read when it is over, and nothing is found.
    """
    levels = tx.levels_with(keys)
    if not levels:
        return set()
    tx.begin_epoch(levels, ctx.clock.now())
    return {READ_AGAIN}


def wake_uncovered(tx: Tx, skus: Collection[str]) -> bool:
    """Have lines that no stock covered decided again, since their SKU's stock changed. True if any."""
    lines = [line for line in tx.uncovered_lines(skus) if not line.due]
    for line in lines:
        tx.put_line(replace(line, due=True))
    return bool(lines)


def _oversold(tx: Tx, ctx: Context, before: StockLevel | None, level: StockLevel, now: datetime) -> None:
    if level.oversold and level.reserved <= 0:
        # Nobody was promised anything: more has left than the org knows to have come.
        title = f"{level.key} is at {level.on_hand}: more has left than came"
        detail = {
            "sku": level.key.sku,
            "location": level.key.location,
            "units": level.oversold,
            "on_hand": level.on_hand,
            "in_transit": level.key.location == ctx.assortment.in_transit,
        }
        if tx.open_incident(NEGATIVE, str(level.key), title, detail, now):
            ctx.log.warning(
                "negative stock", level=str(level.key), on_hand=level.on_hand, next="see `sfsync status`"
            )
    elif before is not None and before.oversold and before.reserved <= 0:
        tx.close_incident(NEGATIVE, str(level.key), now)
    if level.oversold and level.reserved > 0:
        title = f"{level.oversold} of {level.key} promised beyond stock"
        detail = {
            "sku": level.key.sku,
            "location": level.key.location,
            "units": level.oversold,
            "on_hand": level.on_hand,
            "reserved": level.reserved,
            "promises": staked(tx, stakes.first_at(tx, ctx, level.key, level.oversold)),
            "holders": tx.newest_holders([level.key], 0)[1],  # of whom those are named that give way first
        }
        if tx.open_incident(OVERSOLD, str(level.key), title, detail, now):
            ctx.log.warning(
                "oversold", level=str(level.key), units=level.oversold, next="see `sfsync status`"
            )
    elif before is not None and before.oversold and before.reserved > 0:
        tx.close_incident(OVERSOLD, str(level.key), now)


def _rewritten(
    tx: Tx, ctx: Context, before: StockLevel, level: StockLevel, entered: int, now: datetime
) -> None:
    title = (
        f"the ledger of {level.key} was rewritten in the org: version {before.version} became {level.version}"
    )
    if entered:
        title += f" with {counted(entered, 'movement')} of sfsync's entered"
    detail = {
        "sku": level.key.sku,
        "location": level.key.location,
        "before": [before.on_hand, before.reserved, before.version],
        "now": [level.on_hand, level.reserved, level.version],
    }
    tx.open_incident(REWRITTEN, str(level.key), title, detail, now)
    ctx.log.warning("rewritten ledger", level=str(level.key), was=before.version, now=level.version)


def made_by_itself(tx: Tx, assortment: Assortment, missing: Collection[LevelKey]) -> set[LevelKey]:
    """Of levels that the org does not have, those that are made when goods come there.

    Where goods are sold, a person makes the level, so that a mistyped SKU puts nothing on sale. But a piece
    that is known elsewhere has simply never been there: it gets one where others of its SKU are.
    """
    made = {key for key in missing if key.location in assortment.not_for_sale}
    pieces = {key for key in missing if key.unit is not None} - made
    if pieces:
        known = [level.key for level in tx.levels_of({key.sku for key in pieces})]
        units = {(key.sku, key.unit) for key in known}
        places = {(key.sku, key.location) for key in known}
        made |= {key for key in pieces if (key.sku, key.unit) in units and (key.sku, key.location) in places}
    return made
