"""Whose promises at an oversold level are told as uncovered: those that a way out will touch.

What a customer was promised loses its cover as `domain.promises` has it. Of units that are set aside for
channels, those have left that are taken from them (`Divider.gone`): what nobody shows goes first, so it need
not be the newest. The incident names that channel, and the ways out act on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sfsync.domain.promises import Stake
from sfsync.domain.stock import LevelKey
from sfsync.domain.values import replace
from sfsync.ports import Tx

from .allocations import SUBJECT, gone_at
from .context import Context
from .cover import TOLD, first_stakes, stakes_at


def all_at(tx: Tx, ctx: Context, key: LevelKey, oversold: int) -> list[Stake]:
    """Every promise of a level that is oversold by so many units, those that lose their cover first."""
    return _touched(tx, ctx, key, stakes_at(tx, key, oversold))


def first_at(tx: Tx, ctx: Context, key: LevelKey, oversold: int) -> list[Stake]:
    """As many of them as an incident names."""
    return _touched(tx, ctx, key, first_stakes(tx, key, oversold))[:TOLD]


def _touched(tx: Tx, ctx: Context, key: LevelKey, stakes: Sequence[Stake]) -> list[Stake]:
    own = [each for each in stakes if each.promise.subject.startswith(SUBJECT)]
    left = sum(each.uncovered for each in own)
    if len(own) < 2 or not left:
        return list(stakes)
    gone, short = gone_at(tx, ctx, key, block=True), dict[str, int]()
    for certain in (True, False):  # what nobody can tell of loses its cover as any promise does
        for each in own:
            subject, before = each.promise.subject, short.get(each.promise.subject, 0)
            most = gone.get(subject.split(":")[1], 0) if certain else each.promise.units
            part = max(0, min(left, most, each.promise.units - before))
            short[subject] = before + part
            left -= part
    told = [replace(each, uncovered=short[each.promise.subject]) for each in own]
    told.sort(key=lambda each: not each.uncovered)
    return [*told, *(each for each in stakes if not each.promise.subject.startswith(SUBJECT))]
