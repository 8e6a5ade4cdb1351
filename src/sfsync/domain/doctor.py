"""What an examination of a house concludes from what it has read: allowances, clocks, channel members, SKUs.

Everything is given in. Each function tells good findings too, so that a reader sees what was looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sfsync.domain.words import counted

from .findings import Finding, Severity
from .forecast import Space

WEBHOOKS = "webhooks"  # what `Finding.mend` says where a channel's webhooks can be set up
RIGHTS = "rights"  # and where a file is to be closed to others: "rights:PATH"

FREE_ENTITIES = 5  # that an org follows by change data capture without an add-on, over all channels
CLOCK_WARNING = timedelta(seconds=5)
CLOCK_FATAL = timedelta(seconds=60)
IDLE_CALLS = 500  # a day: looking again, polls, checks, when nothing is sold
CALLS_A_MOVEMENT = 2  # at most: one to enter it, or to read its level again, and one for what follows
TIGHT = 0.8  # of an allowance: more than that leaves no room for a busy day
NAMED = 5  # SKUs in one finding
PLACES = 3  # of a SKU, in one finding


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an org allows in 24 hours, and what is left of it now."""

    allowed: int
    left: int

    @property
    def used(self) -> int:
        """What everybody has used in the last 24 hours."""
        return max(0, self.allowed - self.left)


@dataclass(frozen=True, slots=True)
class Member:
    """An entity that a channel of change events carries. Names as the org tells them, or record ids."""

    channel: str
    entity: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One item of a channel at one of its locations."""

    sku: str
    location: str
    item_id: str
    tracked: bool = True
    oversell_allowed: bool = False
    duplicate: bool = False


# -- time -----------------------------------------------------------------------------------------------


def clock_finding(offset: timedelta, uncertain: timedelta) -> Finding:
    """How far the org's clock is from ours. `offset` is positive where the org's is ahead."""
    away = max(timedelta(0), abs(offset) - uncertain)
    side = "behind" if offset > timedelta(0) else "ahead of"
    seconds = away.total_seconds()
    if away <= CLOCK_WARNING:
        about = uncertain.total_seconds()
        return Finding(Severity.GOOD, f"this machine's clock agrees with the org's to within {about:.0f} s")
    return Finding(
        Severity.FATAL if away > CLOCK_FATAL else Severity.WARNING,
        f"this machine's clock is {seconds:.0f} s {side} the org's",
        "set it by NTP (timedatectl set-ntp true)",
        "reservations expire too early or too late, counts are held against the wrong moment of the ledger, "
        "and lags are told wrongly",
    )


# -- allowances -----------------------------------------------------------------------------------------


def calls_finding(
    calls: Allowance | None, reserved_percent: int, measured: int | None, movements: int
) -> Finding:
    """Whether the org's API calls suffice.

    `measured` is what sfsync used in its last 24 hours (None: not known), `movements` what was entered in the
    org's last 24 hours, by anybody.
    """
    if calls is None:
        return _not_told("how many API calls it allows")
    ours = calls.allowed * (100 - reserved_percent) // 100
    expected = measured if measured is not None else IDLE_CALLS + CALLS_A_MOVEMENT * movements
    source = "used in the last 24 h" if measured is not None else "expected a day, at the last day's pace"
    said = (
        f"API calls: {calls.used:,} of {calls.allowed:,} used in 24 h by everybody; {expected:,} by sfsync "
        f"{source}, of {ours:,} that are its"
    )
    why = "when they are used up the org takes nothing, and sales wait to be entered"
    remedy = "see who else calls the org (Setup → API Usage), lower calls_reserved_percent, or buy calls"
    if calls.left <= 0:
        return Finding(Severity.FATAL, said, remedy, why)
    if expected > ours * TIGHT or calls.used > calls.allowed * TIGHT:
        return Finding(Severity.WARNING, said, remedy, why)
    return Finding(Severity.GOOD, said)


def deliveries_finding(deliveries: Allowance | None, movements: int) -> Finding:
    """Whether the org's allowance of delivered events suffices; `movements` were entered in the last 24 h."""
    if deliveries is None:
        return _not_told("how many events it delivers")
    said = (
        f"event deliveries: {deliveries.used:,} of {deliveries.allowed:,} used in 24 h by every subscriber; "
        f"at most {movements:,} a day for sfsync at the last day's pace"
    )
    why = "when they are used up the org cuts the stream: sfsync then asks what moved, later and with calls"
    remedy = (
        "let no second subscriber follow the same channel, keep the channel's filter (BySfsync__c), or buy "
        "the add-on"
    )
    if deliveries.left <= 0:
        return Finding(Severity.FATAL, said, remedy, why)
    if max(deliveries.used, movements) > deliveries.allowed * TIGHT:
        return Finding(Severity.WARNING, said, remedy, why)
    return Finding(Severity.GOOD, said)


def space_findings(space: Space) -> list[Finding]:
    """How long data storage and the fullest levels last."""
    why = "a full org takes no movement: nothing sold is entered any more"
    found = [
        Finding(Severity.WARNING, each.rstrip("."), "sfsync ledger fold", why) for each in space.findings()
    ]
    if space.full:
        remedy = (
            "delete in the org what nobody needs (Setup → Storage Usage says what fills it), or buy storage; "
            "then sfsync ledger fold, which needs a little room itself"
        )
        found.insert(0, Finding(Severity.FATAL, space.full.rstrip("."), remedy, why))
    if found:
        return found
    left = "not told" if space.left_mb is None else f"{space.left_mb:,} of {space.allowed_mb:,} MB left"
    lasts = (
        ""
        if space.full_in_days is None
        else f", for {counted(space.full_in_days, 'day')} at the last day's pace"
    )
    return [
        Finding(Severity.GOOD, f"data storage: {left}{lasts}; {counted(space.rows, 'movement')} in the org")
    ]


def _not_told(what: str) -> Finding:
    return Finding(
        Severity.WARNING,
        f"the org does not tell {what}",
        "give the user that sfsync signs in as the permission View Setup and Configuration, or look in Setup",
        "whether an allowance is near its end cannot be seen from here",
    )


# -- channels of change events --------------------------------------------------------------------------


def member_findings(members: Sequence[Member] | None, needed: Mapping[str, Collection[str]]) -> list[Finding]:
    """Whether our channels carry what we follow, and how many entities are left.

    `members` is None where the org does not show them; `needed` names the entities of each of our channels.
    """
    if members is None:
        return [
            Finding(
                Severity.WARNING,
                "the org does not show which entities its channels of change events carry",
                "give the user that sfsync signs in as the permission View Setup and Configuration, or look: "
                "salesforce/force-app/main/default/platformEventChannelMembers must be deployed",
                "a channel without its member can be followed and never says anything",
            )
        ]
    found: list[Finding] = []
    held: dict[str, set[str]] = defaultdict(set)
    for each in members:
        held[_bare(each.channel)].add(_bare(each.entity))
    for channel, entities in needed.items():
        missing = sorted(entity for entity in entities if _bare(entity) not in held[_bare(channel)])
        if missing:
            found.append(
                Finding(
                    Severity.FATAL,
                    f"the channel {channel} does not carry {', '.join(missing)}",
                    "deploy the platformEventChannelMembers in salesforce/",
                    "its changes raise no event: what tills and people enter is found late, by asking",
                )
            )
        else:
            found.append(
                Finding(Severity.GOOD, f"the channel {channel} carries {', '.join(sorted(entities))}")
            )
    used = {entity for entities in held.values() for entity in entities}
    said = f"{len(used)} of {FREE_ENTITIES} entities that an org follows for nothing are selected"
    if len(used) > FREE_ENTITIES:
        found.append(
            Finding(
                Severity.WARNING,
                said,
                "take off what nobody follows (Setup → Change Data Capture), or have the add-on",
                "without the add-on an org takes no further one, and one too many may be switched off",
            )
        )
    else:
        found.append(Finding(Severity.GOOD, said))
    return found


def _bare(name: str) -> str:
    """A channel's or entity's name without what only one of the org's two spellings has."""
    bare = name.removeprefix("/data/")
    for end in ("__ChangeEvent", "ChangeEvent", "__chn", "__c"):
        bare = bare.removesuffix(end)
    return bare.lower()


# -- SKUs ----------------------------------------------------------------------------------------------


def map_findings(
    channel: str,
    listed: Sequence[Listed],
    in_org: Mapping[str, Collection[str]],
    sells_from: Collection[str],
    known: Mapping[tuple[str, str], str],
) -> list[Finding]:
    """How a channel's SKUs and the org's fit together.

    `in_org` are the locations at which the org has a stock level of each SKU, `sells_from` those that the
    channel sells from. `known` is the SKU under which each (item id, location) was known until now.
    """
    from_here = set(sells_from)
    has = {sku for sku, places in in_org.items() if from_here.intersection(places)}
    skus = {each.sku for each in listed}
    renamed = {
        (before, each.sku)
        for each in listed
        if (before := known.get((each.item_id, each.location))) is not None and before != each.sku
    }
    new_names = {after for _, after in renamed}
    old_names = {before for before, _ in renamed}
    found = [
        _of(
            channel,
            Severity.WARNING,
            "were renamed since sfsync last read them",
            [f"{before} → {after}" for before, after in renamed],
            "rename the stock level in the org too, or undo it at the channel; then `sfsync resync`",
            "an item under a name that the org does not have is not kept any more, and may oversell",
        ),
        _of(
            channel,
            Severity.WARNING,
            "are listed and have no stock level anywhere in the org",
            (skus - in_org.keys()) - new_names,
            "create the stock level (with an opening movement of 0), or mend the SKU at the channel; what "
            "was sold under it already: sfsync dead-letters map",
            "sfsync writes nothing there: the channel goes on selling what it shows",
        ),
        _of(
            channel,
            Severity.WARNING,
            f"are listed and have their stock only where {channel} does not sell from "
            f"(it sells from {_named(from_here)})",
            [f"{sku} ({_named(in_org[sku])})" for sku in (skus & in_org.keys()) - has - new_names],
            f"name the location in sells_from of {channel}, or transfer stock to where it sells from",
            "sfsync shows 0 of them there, whatever the org has elsewhere",
        ),
        _of(
            channel,
            Severity.GOOD,
            "have stock in the org and are not listed",
            (has - skus) - old_names,
            "list them at the channel where they should be for sale there",
            "units that nobody can buy there",
        ),
        _of(
            channel,
            Severity.FATAL,
            "are carried by several items",
            {each.sku for each in listed if each.duplicate},
            "give each item its own SKU at the channel, then `sfsync resync`",
            "two items would show the same units, and both could sell the last one",
        ),
        _of(
            channel,
            Severity.FATAL,
            "are not tracked by the channel",
            {each.sku for each in listed if not each.tracked and each.sku in has},
            "switch inventory tracking on for the item, then `sfsync resync`",
            "an item without a number is always for sale",
        ),
        _of(
            channel,
            Severity.FATAL,
            "may be sold beyond their stock",
            {each.sku for each in listed if each.oversell_allowed and each.sku in has},
            "switch off 'Continue selling when out of stock' for the item",
            "the number that sfsync shows stops nobody",
        ),
    ]
    wrong = [each for each in found if each is not None]
    good = len(skus & has)
    have = counted(good, f"SKU of {channel} has", f"SKUs of {channel} have")
    return [*wrong, Finding(Severity.GOOD, f"{have} a stock level in the org")]


def unguarded_finding(channel: str, skus: Collection[str]) -> list[Finding]:
    """What SKUs risk that a channel of plain numbers shows to their last unit, to buyers who ask nobody."""
    found = _of(
        channel,
        Severity.WARNING,
        "are mirrored there without safety stock",
        skus,
        f"give {channel} a safety_stock of 1 or more, or these SKUs a policy with one, or with "
        'guarantee = "allocated"',
        "it takes plain numbers only: what is written may go over a sale that nobody has told of, and the "
        "last one is sold twice",
    )
    return [found] if found is not None else []


def _of(
    channel: str, severity: Severity, are: str, names: Collection[str], remedy: str, why: str
) -> Finding | None:
    if not names:
        return None
    shown = sorted(names)[:NAMED]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    count = f"{len(names):,} SKUs of {channel}" if len(names) > 1 else f"one SKU of {channel}"
    verb = are if len(names) > 1 else _singular(are)
    return Finding(severity, f"{count} {verb}: {', '.join(shown)}{more}", remedy, why)


def _named(places: Collection[str]) -> str:
    shown = sorted(places)
    return ", ".join(shown[:PLACES]) + (f" and {len(shown) - PLACES:,} more" if len(shown) > PLACES else "")


def _singular(words: str) -> str:
    verb, _, rest = words.partition(" ")
    one = {"are": "is", "were": "was", "have": "has"}.get(verb, verb)
    return (
        f"{one} {rest}".replace(" their ", " its ")
        .replace(" and have ", " and has ")
        .replace(" and are ", " and is ")
    )
