"""What applying a plan costs, how much of each channel it changes, and whether that goes too far unasked."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from math import ceil
from typing import Any

from sfsync.domain import resync as rules
from sfsync.domain.mapping import must_ask
from sfsync.domain.resync import Cause, Extent, Tariff, TooMuchError
from sfsync.ports import Priced, ResyncRun, RowState, Tx

from .context import Context
from .resync_keeping import ROWS_AT_ONCE, SKUS_AT_ONCE


def price(tx: Tx, *, ctx: Context, run: ResyncRun) -> dict[str, dict[str, Any]]:
    """What applying costs: calls to the org, and calls, points and minutes of each channel.

    With what follows at channels that were not asked for, because they sell from the same stock.
    """
    changes: Counter[str] = Counter()
    for count in tx.resync_counts(run.id):
        if count.cause not in rules.BLOCKING:
            changes[count.channel] += count.changes
    for name, (numbers, *_) in run.about["org"].get("follow", {}).items():
        changes[name] += numbers  # not asked for, and sold from the same stock
    newer_levels = 0 if run.scope.without_levels else tx.count_resync_levels(run.id)
    standing = ctx.pulse.calls()
    left = None if standing is None else max(0, standing.ours - standing.ours_used)
    org = {"levels": newer_levels, "calls": ceil(newer_levels / ROWS_AT_ONCE), "calls_left": left}
    return {"org": org} | {
        name: asdict(rules.price(rows, tariff(ctx, name), again=True))
        for name, rows in sorted(changes.items())
        if name in ctx.channels
    }


def tariff(ctx: Context, name: str) -> Tariff:
    """What calls to a channel cost."""
    channel = ctx.channels[name]
    if isinstance(channel, Priced):
        return channel.tariff()
    return Tariff(channel.ability.batch_rows, SKUS_AT_ONCE)


def extents(tx: Tx, run: ResyncRun) -> dict[str, Extent]:
    """How much of each channel a plan changes, beyond what is looked at anyway or on its way.

    What changed settings change is let go by a plan of the whole channel, and left by any other.
    """
    left = {*rules.BLOCKING, Cause.FIRST_START, Cause.OUR_PUSH_DUE}
    left |= set() if run.scope.every_row else {Cause.SETTINGS_HELD}
    found: dict[str, Extent] = {}
    for count in tx.resync_counts(run.id):
        if count.cause in left:
            continue
        if count.state is RowState.PLANNED and count.changes:
            before = found.get(count.channel) or Extent(tx.count_channel_levels(count.channel), 0, 0)
            found[count.channel] = Extent(
                before.levels,
                before.changes + count.changes,
                before.zeros + count.zeros,
                before.held + (count.changes if count.cause is Cause.SETTINGS_HELD else 0),
            )
    return found


def ask(tx: Tx, ctx: Context, run: ResyncRun, yes_change: int | None) -> None:
    """`TooMuchError` where a plan goes too far and a person has not named the number of its changes.

    Changed settings that wait for a person have gone too far already, whatever is left of them.
    """
    found, plans, holds = extents(tx, run), ctx.assortment.channels, tx.holds()
    far = {
        name: each
        for name, each in found.items()
        if name in plans
        and (
            (each.held and name in holds)
            or must_ask(each.changes, each.levels, plans[name].ask_above_percent)
        )
    }
    changes = sum(each.changes for each in found.values())
    if far and yes_change != changes:
        raise TooMuchError(far, changes)
