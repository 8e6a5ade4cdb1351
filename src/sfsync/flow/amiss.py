"""What keeps a SKU from being shown as it should, and how to mend it: beside the sum of its numbers.

It is told from what the last comparison of each channel has found: nothing is read for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sfsync.domain.letters import VERDICTS, Cause, cause_of, item_keys
from sfsync.domain.stock import StockLevel
from sfsync.domain.why import Question
from sfsync.ports import ChannelLevel, Tx

from .context import Context

Told = dict[str, object]
NO_LEVEL = (
    "create the stock level (with an opening movement of 0), or mend the SKU at the channel; what was sold "
    "under it already is entered by that, or by `sfsync dead-letters map`"
)


def heard_of(tx: Tx, ctx: Context, sku: str) -> bool:
    """Whether any channel has ever listed this SKU."""
    return bool(tx.channel_levels([sku])) or any(_letters(tx, ctx, sku).values())


def findings(
    tx: Tx, ctx: Context, asked: Question, levels: Sequence[StockLevel], shown: Sequence[ChannelLevel]
) -> list[Told]:
    """What is amiss with a SKU in the org and at each channel that was asked for, each with its remedy.

    `wrong` is false where it may well be meant so: a SKU need not be for sale everywhere.
    """
    found: list[Told] = []
    if not levels:
        found.append(_finding("org", f"has no stock level of {asked.sku}", NO_LEVEL))
        found += [
            _finding(
                each.channel,
                f"lists it at {each.location}, showed {each.published} when it was read, and is told nothing",
                "see what is said of the org",
            )
            for each in shown
        ]
    found += _twice(asked, levels)
    letters = _letters(tx, ctx, asked.sku)
    for name, plan in ctx.assortment.channels.items():
        if asked.channel not in (None, name):
            continue
        found += [
            _finding(
                name, each.sentence[:1].lower() + each.sentence[1:].rstrip("."), f"`sfsync check {name}`"
            )
            for each in ctx.pulse.unheard_of(name)
            if each.lasts(ctx.assortment.orders_lag(name))
        ]
        found += [_finding(name, VERDICTS[each].means, VERDICTS[each].advice) for each in letters[name]]
        here = [each for each in shown if each.channel == name]
        if levels and not here and Cause.DUPLICATE_SKU not in letters[name] and asked.location is None:
            found.append(
                _finding(
                    name,
                    "does not list it, as far as it was read",
                    f"list it there, where it should be for sale, then `sfsync resync --channel {name}`",
                    wrong=asked.channel is not None,
                )
            )
        places = sorted({level.key.location for level in levels})
        for each in here:
            sources = ctx.assortment.sources(name, each.location, asked.sku)
            if levels and not set(sources).intersection(places):
                found.append(
                    _finding(
                        name,
                        f"sells from {', '.join(sources)} at {each.location}, and the org has it only at "
                        f"{', '.join(places)}",
                        "transfer some, or name the location in sells_from of "
                        f"[channels.{name}.locations.{each.location}]"
                        if len(plan.locations) > 1
                        else f"transfer some, or name the location in sells_from of {name}",
                        wrong=False,
                    )
                )
    return found


def _twice(asked: Question, levels: Sequence[StockLevel]) -> list[Told]:
    """Pieces that the books have more than once: each is one of one, so all but one are not there."""
    places: dict[str, list[str]] = {}
    for level in levels:
        if level.key.unit is not None and asked.unit in (None, level.key.unit):
            places.setdefault(level.key.unit, []).extend([level.key.location] * level.on_hand)
    return [
        _finding(
            "org",
            f"has piece {unit} {len(there)} times: at {' and at '.join(sorted(there))}",
            "look for it, then count it at each of these: 1 where it is, 0 elsewhere (`sfsync count import`)",
        )
        for unit, there in sorted(places.items())
        if len(there) > 1
    ]


def _letters(tx: Tx, ctx: Context, sku: str) -> Mapping[str, list[Cause]]:
    """The causes of what was set aside about the SKU, by channel."""
    channels = ctx.assortment.channels
    keys = {key for plan in channels.values() for place in plan.locations for key in item_keys(sku, place)}
    found: dict[str, list[Cause]] = {name: [] for name in channels}
    for source, key in sorted(tx.with_dead_letter(sorted(keys))):
        if source in found:
            found[source].append(cause_of(source, key, ""))
    return found


def _finding(where: str, what: str, remedy: str, *, wrong: bool = True) -> Told:
    return {"where": where, "what": what, "remedy": remedy, "wrong": wrong}
