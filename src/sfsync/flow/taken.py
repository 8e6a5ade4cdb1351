"""A channel's own numbers fall by what it sells: counted once, in the commit that records the order.

So the same unit is not taken off twice (correctness E). Where a number was read so close to a sale that
nobody can tell whether it has seen it, it is read again before anything is pushed. We date what we read by
our clock, and the channel what it sells by its own: how far that is ahead its answers tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sfsync.domain.places import kept
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.sources import Source
from sfsync.ports import ChannelLevel, LineState, Tx

from . import their_clocks
from .context import Context
from .shelf import with_numbers
from .their_clocks import CLOCK_SKEW

CLOCK_GRAIN = timedelta(seconds=1)  # storefronts tell times in whole seconds, rounded down


def taken(tx: Tx, ctx: Context, state: LineState, before: LineState | None, now: datetime) -> bool:
    """The channel's numbers fell by what it sold: a change after the baseline was read is counted, once.

    Storefronts tell times in whole seconds, and a reading takes its time. A sale while it was made may be in
    the number or not: nothing is pushed before the number has been read again. True when it is to be read.
    The change happened between the snapshot that we knew and this one, in one step or in several: where the
    reading lies between them, a part of it may be in the number.

    Units that were called off and not put back, and those of an edit, changed the number of a location that
    nobody names: where the channel has several, all of them are read again.

    Units whose location was only supposed, or that went from one location to another, changed the numbers at
    some time between the last answer about locations (or the sale) and now. Where a number was read since
    then, nobody can tell what it has seen, and it is read again.

    A shop that stops at zero sells nothing below it: where a sale takes more than we believe it shows, some
    came back to it that nobody has told of yet, and it may show them still. To raise such a number to nothing
    would offer those once more.

    Of what only the org has told of an order, the channel's number and the channel's clock know nothing.
    """
    if Source.CHANNEL not in state.words:
        return False
    if before is not None and Source.CHANNEL not in before.words:
        before = None
    # Once told, it is as doubtful as it was, and the number was read again then. What was called off and put
    # back or not between two versions may net out in all that the channel tells.
    unsure = state.line.taken_in_doubt and (before is None or _heard_at(state) > _heard_at(before))
    if before is not None and state.line == before.line and not state.line.places and not unsure:
        return False
    was, is_now = _taken_at(before) if before else {}, _taken_at(state)
    changes = {place: is_now.get(place, 0) - was.get(place, 0) for place in {**was, **is_now}}
    moved = before is not None and _may_have_moved(state, before, changes)
    theirs = their_clocks.of(ctx.channels.get(state.channel))
    told = theirs.latest(_heard_at(state).replace(microsecond=0)) + CLOCK_GRAIN
    known = theirs.earliest((_heard_at(before) if before else state.placed_at).replace(microsecond=0))
    if before is not None and moved:
        placed_at = theirs.earliest(state.placed_at.replace(microsecond=0))
        known, told = (before.routed_at or placed_at).replace(microsecond=0), now
    levels = tx.channel_levels([state.line.mapped_from or state.line.sku], state.channel)
    if _several(ctx, state) and (unsure or _kept_somewhere(state, before)):
        unsure, changes = True, {level.location: 0 for level in levels} | changes
    if before is None and _several(ctx, state):  # where it stood when a number was read, nobody has told us
        changes = {level.location: 0 for level in levels} | changes
    if before is not None and not any(changes.values()) and not unsure and not moved:
        return False  # of an order first heard of, even nothing in sum may be a sale and its refund
    in_doubt = False
    changed: list[ChannelLevel] = []
    for level in levels:
        if level.location not in changes:
            continue
        if known - CLOCK_SKEW > level.baseline_at and not unsure:
            if not changes[level.location]:
                continue
            published = level.published - changes[level.location]
            changed.append(with_numbers(ctx.assortment, level, now, target=level.target, published=published))
            if published < min(0, level.published) and level.problem in ("", IN_DOUBT):
                tx.set_problem(level.channel, level.sku, level.location, IN_DOUBT, now)
                in_doubt = True
            continue
        close = told + CLOCK_SKEW > level.baseline_from
        if (close or unsure) and level.problem in ("", IN_DOUBT):
            tx.set_problem(level.channel, level.sku, level.location, IN_DOUBT, now)
            in_doubt = True
    tx.put_numbers(changed)
    return in_doubt


def _heard_at(line: LineState) -> datetime:
    """When the order had changed to what the channel told last, by the channel's own clock."""
    return line.words[Source.CHANNEL].version


def _taken_at(line: LineState) -> dict[str, int]:
    """Units that the channel has taken off its numbers for a line, by its location."""
    if not line.line.places:
        return {line.channel_location: line.line.taken_quantity}
    return {place.location: place.taken_quantity for place in line.line.places}


def _may_have_moved(state: LineState, before: LineState, changes: Mapping[str, int]) -> bool:
    """True when units went from one location to another, or stood only supposedly where they stand now."""
    if not state.line.places and not before.line.places:
        return False
    shifted = sum(abs(change) for change in changes.values()) > abs(sum(changes.values()))
    return shifted or (state.line.routed and not before.line.routed)


def _several(ctx: Context, state: LineState) -> bool:
    """True when the channel has several locations, and assigns what it sells to one of them."""
    channel = ctx.channels.get(state.channel)
    return channel is not None and channel.ability.routes


def _kept_somewhere(state: LineState, before: LineState | None) -> bool:
    """True when units were called off and not put back: at which location they were, nobody says.

    Not even where they stood before: they may have been moved in between.
    """
    return kept(state.line.places) != (kept(before.line.places) if before else 0)
