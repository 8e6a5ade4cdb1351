"""A channel that means another shop, or another place of it, than the numbers we keep are of.

Those numbers, and the ids that they would be written under, are of the place before. So nothing of them is
sent; the channel is read whole, as on its first start, and goes on by itself only where few of the numbers it
shows there would change. Otherwise a person looks first.
"""

from __future__ import annotations

from datetime import datetime

from sfsync.domain.mapping import Hold, Move, kept, move, must_ask
from sfsync.domain.values import replace
from sfsync.ports import Tx

from .context import Context


async def recognise(ctx: Context) -> None:
    """Before anything is sent after a start: compare each channel's identity with that of what is kept."""
    now = ctx.clock.now()
    for name in await ctx.store.write(lambda tx: _recognise(tx, ctx, now)):
        ctx.log.error(
            "another location or shop",
            channel=name,
            next="nothing is written there before what it shows is read and weighed",
        )


def _recognise(tx: Tx, ctx: Context, at: datetime) -> list[str]:
    left = []
    for name, plan in ctx.assortment.channels.items():
        now = plan.identity
        if now is None or name not in ctx.channels:
            continue
        before = tx.identity(name)
        if before is not None and (found := move(before, now)) != Move():
            for record in tx.open_pushes(name) if found.left else ():
                tx.finish_push(record, "dropped", "the channel means another place than when it was sent", at)
            _rename_rules(tx, ctx, name, found, at)
            tx.move(name, found, at)
            left += [name] if found.left else []
        after = now if before is None else kept(before, now)
        if after != before:
            tx.put_identity(name, after)
    return left


def _rename_rules(tx: Tx, ctx: Context, name: str, found: Move, at: datetime) -> None:
    """The settings that it went by so far name their locations as the present ones do."""
    by = tx.goes_by(name)
    rules = tx.rulebook(by) if by is not None and found.renamed else None
    if rules is None or name not in rules.channels:
        return
    plan = rules.channels[name]
    places = {found.renamed.get(place, place): sources for place, sources in plan.locations.items()}
    rules = replace(rules, channels={**rules.channels, name: replace(plan, locations=places)})
    fingerprint = rules.fingerprint()
    tx.put_rulebook(fingerprint, rules)
    tx.go_by(name, fingerprint, at)


async def weighed(ctx: Context, channel: str, changed: int, known: int) -> bool:
    """A channel was read whole. True when it has moved, and may go on by itself; else a person is told.

    `changed`: of its `known` numbers, would be others.
    """

    def weigh(tx: Tx) -> Hold | None:
        hold = tx.held(channel)
        if hold is None or not hold.moved:
            return None
        tx.weigh_move(channel, changed, known)
        return tx.held(channel)

    hold = await ctx.store.write(weigh)
    if hold is None:
        return False
    if must_ask(changed, known, ctx.assortment.channels[channel].ask_above_percent):
        ctx.log.error("held back", channel=channel, changed=changed, of=known, next=hold.sentence)
        return False
    ctx.log.info("goes on where it is now", channel=channel, changed=changed, of=known)
    return True
