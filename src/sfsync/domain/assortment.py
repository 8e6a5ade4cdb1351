"""Who sells what from where: channels, their locations, and the policy for each SKU."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from fnmatch import fnmatchcase, translate
from hashlib import sha256
from typing import Any

from .allocation import Share
from .ats import Guarantee, Policy
from .believable import MOST_UNITS
from .block import BlockRule
from .counts import Believed
from .editions import Edition
from .mapping import Identity
from .orders import ORDERS_LAG
from .org_orders import OrgOrderRules
from .products import Catalogue, Product, Wanted
from .sources import Source
from .turns import Turns
from .values import replace

InForce = frozenset[str]  # names of the scarcities that hold of a SKU now
Kind = tuple[int, ...]  # the numbers of the rules that match a SKU
PLENTY: InForce = frozenset()


@dataclass(frozen=True, slots=True)
class Scarcity:
    """When a rule for scarce SKUs holds: from so few units on, and until there are so many again.

    Between the two it stays as it is, so that nothing flickers. The units are those that may be promised, and
    those set aside, where these channels sell from; where every channel does, when none is named.
    """

    at: int
    plentiful_at: int
    channels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the store remembers it by."""
        return f"{self.at} to {self.plentiful_at} at {', '.join(self.channels) or 'all'}"

    def holds(self, before: bool, available: int) -> bool:
        """True while the SKU is scarce; `before`: it was so far."""
        if available <= self.at:
            return True
        return before and available < self.plentiful_at


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Overrides a channel's defaults for the SKUs that match. The first matching rule of a channel counts.

    With `scarce_at` the rule matches only while there are so few units, and until there are `plentiful_at`
    again (`Scarcity`): otherwise the next one that matches counts. `block` and `sells_from` are set by the
    first rule that has them, whichever of the others counts; `exposure_accepted` by any.
    """

    skus: tuple[str, ...]  # shell patterns, case-sensitive
    channels: tuple[str, ...] = ()  # empty: every channel
    guarantee: Guarantee | None = None
    safety_stock: int | None = None
    cap: int | None = None
    shares: Mapping[str, int] = field(default_factory=dict)  # channel -> weight; 1 where not given
    scarce_at: int | None = None
    plentiful_at: int | None = None
    fresh_seconds: float | None = None
    block: BlockRule | None = None  # units that sfsync holds itself, to grant reservations from
    product: Wanted = field(default_factory=Wanted)
    sells_from: tuple[str, ...] = ()  # the org's locations, best first, instead of the channels' own
    demand_days: int | None = None  # shares go by what each channel has sold in so many days
    turns: Turns | None = None  # one channel has all of it at a time, in the order of the channels
    exposure_accepted: bool = False  # that its last units are shown by who does not ask is a decision

    @property
    def scarcity(self) -> Scarcity | None:
        """When it holds; always, when None."""
        if self.scarce_at is None:
            return None
        plentiful_at = self.scarce_at + 1 if self.plentiful_at is None else self.plentiful_at
        return Scarcity(self.scarce_at, plentiful_at, self.channels)

    def in_force(self, scarce: InForce) -> bool:
        """True when it holds while these scarcities do."""
        scarcity = self.scarcity
        return scarcity is None or scarcity.name in scarce

    def speaks_of(self, channel: str) -> bool:
        """True when the rule is for this channel too."""
        return not self.channels or channel in self.channels

    def matches(self, sku: str, product: Product | None = None) -> bool:
        """True when one of the patterns fits, and the SKU's product is as the rule wants it."""
        return self.product.fits(product) and any(fnmatchcase(sku, pattern) for pattern in self.skus)


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """How one channel sells: each of its locations draws on org locations, best source first."""

    name: str
    locations: Mapping[str, tuple[str, ...]]
    guarantee: Guarantee = Guarantee.MIRRORED
    safety_stock: int = 0
    cap: int | None = None
    # It takes what it sells off its own number: where its shoppers ask first, what they hold stays shown
    # until then. A channel that shows nothing but what it is told is told without it.
    counts_down: bool = True
    # So many of its numbers may change by changed settings before a person is asked.
    ask_above_percent: int = field(default=100, compare=False)
    asks: bool = True  # it can ask before payment; a marketplace cannot, and gated means mirrored there
    # Of one line of an order: more are not believed.
    most_units: int = field(default=MOST_UNITS, compare=False)
    # For so long an order may be missing from the channel's own list of orders.
    orders_lag: timedelta = field(default=ORDERS_LAG, compare=False)
    # Which shop and places it means: what is known of others is not known of these.
    identity: Identity | None = field(default=None, compare=False)

    @property
    def first_location(self) -> str:
        """Where a sale belongs when the channel does not say."""
        return next(iter(self.locations))


@dataclass(frozen=True, slots=True)
class Floor:
    """Shop floors whose tills tell of a sale only afterwards.

    What stands there beyond the last few pieces may be promised elsewhere. Those may be in a customer's hand
    already: they are promised only when the shop has said that it has them.
    """

    locations: frozenset[str] = frozenset()
    scarce_at: int = 2  # units at the level

    def last(self, location: str) -> int:
        """How many of the units at a level there nobody outside the shop may count on."""
        return self.scarce_at if location in self.locations else 0


@dataclass(frozen=True, slots=True)
class SharedOrders:
    """A channel whose orders stand in the org too, or nowhere else.

    `sells_from` is the sourcing list of a channel that is no storefront; `returns_to` the location, not for
    sale, that its returned goods go to.
    """

    authority: Source
    sells_from: tuple[str, ...] = ()
    returns_to: str | None = None


@dataclass(frozen=True, slots=True)
class Division:
    """How a SKU is divided: the channels' claims, in the order of priority."""

    shares: tuple[Share, ...]
    demand_days: int | None = None  # the weights are to be multiplied by what was sold in so many days
    turns: Turns | None = None  # one of them has all of it at a time

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that have a claim."""
        return tuple(share.channel for share in self.shares)


@dataclass(frozen=True)
class Assortment:
    """Channels and policy rules together."""

    channels: Mapping[str, ChannelPlan]
    rules: Sequence[PolicyRule] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of locations, best first
    shared: Mapping[str, SharedOrders] = field(default_factory=dict)  # by channel
    org_orders: OrgOrderRules | None = None  # how orders that live in the org are read; None: none do
    in_transit: str = ""  # where goods on their way between locations stand
    not_for_sale: frozenset[str] = frozenset()  # in transit, returns, repairs: no channel sells from there
    floor: Floor = Floor()
    stays: Mapping[str, int] = field(default_factory=dict)  # units of each SKU that stay at an org location
    editions: Mapping[str, Edition] = field(default_factory=dict)  # limited ones, by name
    price_channel: str = ""  # whose prices stand in where the org says none
    tags_channel: str = ""  # whose tags do
    most_units_of_org: int = field(default=MOST_UNITS, compare=False)  # of an order that is no channel's
    counts: Believed = field(default=Believed(), compare=False)  # what stock counts are believed
    catalogue: Catalogue = field(default_factory=Catalogue, repr=False, compare=False)
    # Channels that go on by settings from before, because the changed ones wait for a person.
    held: Mapping[str, Assortment] = field(default_factory=dict, repr=False, compare=False)
    # Which rules match a SKU was found out once, with the catalogue's count of changes before that: while one
    # thread decides, another may learn of products, and what the old ones were must not be taken for new. All
    # else is decided once for every SKU that the same rules match: a house has many SKUs and few such kinds.
    _kinds: dict[tuple[str, int], Kind] = field(default_factory=dict, repr=False, compare=False)
    _policies: dict[tuple[str, Kind, InForce], Policy] = field(
        default_factory=dict, repr=False, compare=False
    )
    _divisions: dict[tuple[Kind, InForce], tuple[Division | None]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _scarcities: dict[Kind, tuple[Scarcity, ...]] = field(default_factory=dict, repr=False, compare=False)
    _groups: dict[tuple[str, Kind], Mapping[str, tuple[str, ...]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def fingerprint(self) -> str:
        """A text that is another one when anything is other that decides what channels show."""
        parts = (
            self.channels,
            self.rules,
            self.groups,
            self.in_transit,
            self.not_for_sale,
            self.floor,
            self.stays,
            self.editions,
        )
        return sha256(repr([_plain(part) for part in parts]).encode()).hexdigest()

    def policy(self, channel: str, sku: str, scarce: InForce) -> Policy:
        """What holds for a SKU at a channel while these scarcities do."""
        key = channel, self._kind(sku), scarce
        known = self._policies.get(key)
        if known is None:
            known = self._policies[key] = self._policy(*key)
        return known

    def _kind(self, sku: str) -> Kind:
        """Which rules match a SKU."""
        if not self.rules:
            return ()
        key = sku, self.catalogue.changes
        if (known := self._kinds.get(key)) is None:
            product = self.catalogue.of(sku)
            known = tuple(number for number, rule in enumerate(self.rules) if rule.matches(sku, product))
            self._kinds[key] = known
        return known

    def _matching(self, kind: Kind) -> Iterable[PolicyRule]:
        """These rules, the first one first."""
        return (self.rules[number] for number in kind)

    def _policy(self, channel: str, kind: Kind, scarce: InForce) -> Policy:
        plan, number = self.channels[channel], self._rule(channel, kind, scarce)
        rule = None if number is None else self.rules[number]
        division = self._divided(kind, scarce)
        guarantee = _guarantee(plan, rule)
        safety_stock, cap, fresh_seconds = plan.safety_stock, plan.cap, None
        if rule is not None:
            safety_stock = safety_stock if rule.safety_stock is None else rule.safety_stock
            cap = cap if rule.cap is None else rule.cap
            fresh_seconds = rule.fresh_seconds
        elsewhere = division is not None and channel not in division.channels
        few = [
            each.scarce_at
            for each in self._matching(kind)
            if each.scarce_at is not None and each.speaks_of(channel)
        ]
        accepted = any(
            each.exposure_accepted and each.in_force(scarce) and each.speaks_of(channel)
            for each in self._matching(kind)
        )
        few_at = max(few, default=None)
        return Policy(guarantee, safety_stock, cap, elsewhere, fresh_seconds, few_at, number, accepted)

    def guarantees(self, listed: Iterable[tuple[str, str]]) -> Mapping[str, Counter[Guarantee]]:
        """How many of these (channel, SKU) go by which guarantee while nothing is scarce; by channel.

        A look at a whole house: `policy` would work out, and remember, all else of every SKU for it.
        """
        choices = {channel: self._choices(channel) for channel in self.channels}
        plain = {channel: _guarantee(plan, None) for channel, plan in self.channels.items()}
        found = {channel: Counter[Guarantee]() for channel in self.channels}
        for channel, sku in listed:
            if channel not in found:
                continue
            guarantee = plain[channel]
            for matches, wanted, chosen in choices[channel]:
                if matches(sku) and wanted.fits(self.catalogue.of(sku)):
                    guarantee = chosen
                    break
            found[channel][guarantee] += 1
        return found

    def _choices(self, channel: str) -> list[tuple[Callable[[str], object], Wanted, Guarantee]]:
        """The rules that hold at a channel while nothing is scarce, the first that fits counts."""
        return [
            (
                re.compile("|".join(map(translate, rule.skus)) or "(?!)").match,
                rule.product,
                _guarantee(self.channels[channel], rule),
            )
            for rule in self.rules
            if rule.in_force(PLENTY) and rule.speaks_of(channel)
        ]

    def told(self, policy: Policy) -> str:
        """Which of the settings a policy is, in words."""
        if policy.rule is None:
            return "the channel's own settings"
        rule = self.rules[policy.rule]
        scarcity = rule.scarcity
        if scarcity is None:
            return f"policies[{policy.rule}]"
        return f"policies[{policy.rule}], from {scarcity.at} units on until there are {scarcity.plentiful_at}"

    def scarcities(self, sku: str) -> tuple[Scarcity, ...]:
        """What rules want to know of how scarce a SKU is."""
        kind = self._kind(sku)
        if (known := self._scarcities.get(kind)) is None:
            found = (rule.scarcity for rule in self._matching(kind))
            known = tuple(dict.fromkeys(each for each in found if each is not None))
            self._scarcities[kind] = known
        return known

    def unguarded(self, channel: str, sku: str) -> bool:
        """True when its last unit is shown, also while it is scarce, to buyers who ask nobody first."""
        policy = self.policy(channel, sku, frozenset(each.name for each in self.scarcities(sku)))
        if policy.allocated_elsewhere or policy.cap == 0:
            return False
        kept = all(self.stays.get(place) for place in self.places(channel))
        return policy.guarantee is Guarantee.MIRRORED and not policy.safety_stock and not kept

    def edition(self, sku: str) -> Edition | None:
        """The limited edition that a SKU belongs to."""
        return next((each for each in self.editions.values() if sku in each.skus), None)

    def learn(self, products: Iterable[Product]) -> Collection[str]:
        """Take over what the org says of products. Returns the SKUs whose policies may be others now."""
        changed = self.catalogue.learn(products)
        if changed:
            self._forget()
        return changed

    def adopt(self, other: Assortment) -> None:
        """Take over another's rules, and what it says of the same channels. What was decided counts no more.

        Called where no transaction is under way.
        """
        object.__setattr__(self, "rules", other.rules)
        object.__setattr__(self, "channels", other.channels)
        self.catalogue.changes += 1  # decisions are kept by it
        self._forget()

    def _forget(self) -> None:
        for decided in (self._kinds, self._policies, self._divisions, self._scarcities, self._groups):
            decided.clear()

    def keep(self, held: Mapping[str, Assortment]) -> None:
        """From now on these channels, and no others, go on by settings from before.

        Called where no transaction is under way.
        """
        kept = {name: before for name, before in held.items() if name in before.channels}
        object.__setattr__(self, "held", kept)

    def snapshot(self, catalogue: Catalogue | None = None) -> Assortment:
        """The same settings, which stay what they are when others are adopted here; of other products."""
        return replace(self, catalogue=catalogue or self.catalogue, held={}, **_nothing_decided())

    def together(self, sku: str) -> bool:
        """True when what one channel shows of a SKU depends on what others show, or on how scarce it is."""
        return self.may_divide(sku) or bool(self.scarcities(sku)) or self.edition(sku) is not None

    @property
    def limits_seconds(self) -> frozenset[float]:
        """How old what we know may be, in every rule that says so."""
        rules = (rule for each in (self, *self.held.values()) for rule in each.rules)
        return frozenset(rule.fresh_seconds for rule in rules if rule.fresh_seconds is not None)

    def scarce_at_most(self, units: int) -> int:
        """The most units that are scarce by any rule, and at least these."""
        return max([units, *(rule.scarce_at for rule in self.rules if rule.scarce_at is not None)])

    def limited(self, sku: str, limits_seconds: Collection[float]) -> bool:
        """True when one of these limits holds for the SKU at some channel."""
        product = self.catalogue.of(sku)
        return any(
            rule.fresh_seconds in limits_seconds and rule.matches(sku, product)
            for each in (self, *self.held.values())
            for rule in each.rules
        )

    def _rule(self, channel: str, kind: Kind, scarce: InForce) -> int | None:
        """The number of the first of these rules that holds at a channel."""
        rules = self.rules
        return next(
            (
                number
                for number in kind
                if rules[number].in_force(scarce) and rules[number].speaks_of(channel)
            ),
            None,
        )

    def may_divide(self, sku: str) -> bool:
        """True when a SKU is divided, or would be while it is scarce."""
        return any(rule.guarantee is Guarantee.ALLOCATED for rule in self._matching(self._kind(sku)))

    def division(self, sku: str, scarce: InForce) -> Division | None:
        """Among which channels a SKU is divided, if it is: those of the first rule that says so."""
        return self._divided(self._kind(sku), scarce)

    def _divided(self, kind: Kind, scarce: InForce) -> Division | None:
        if (known := self._divisions.get((kind, scarce))) is None:
            known = self._divisions[kind, scarce] = (self._division(kind, scarce),)
        return known[0]

    def _division(self, kind: Kind, scarce: InForce) -> Division | None:
        for number in kind:
            rule = self.rules[number]
            if rule.guarantee is not Guarantee.ALLOCATED or not rule.in_force(scarce):
                continue
            channels = [
                channel
                for channel in (rule.channels or self.channels)
                if channel in self.channels and self._rule(channel, kind, scarce) == number
            ]
            if channels:
                shares = tuple(
                    Share(channel, rule.shares.get(channel, 1), self._most(channel, rule))
                    for channel in channels
                )
                return Division(shares, rule.demand_days, rule.turns)
        return None

    @property
    def by_demand(self) -> bool:
        """True when some rule divides by what channels sell."""
        return any(rule.demand_days is not None for rule in self.rules)

    @property
    def by_turns(self) -> bool:
        """True when some rule lets one channel sell at a time."""
        return any(rule.turns is not None for rule in self.rules)

    @property
    def blocks(self) -> bool:
        """True when some rule wants a local block."""
        return any(rule.block for rule in self.rules)

    def block(self, sku: str) -> BlockRule | None:
        """What the local block is to have of a SKU: by the first rule that says so."""
        return next((rule.block for rule in self._matching(self._kind(sku)) if rule.block), None)

    def _most(self, channel: str, rule: PolicyRule) -> int | None:
        return self.channels[channel].cap if rule.cap is None else rule.cap

    def most_units(self, channel: str) -> int:
        """The most units of one line of an order that are believed."""
        plan = self.channels.get(channel)
        return self.most_units_of_org if plan is None else plan.most_units

    def orders_lag(self, channel: str) -> timedelta:
        """For how long an order may be missing from the channel's own list of orders."""
        plan = self.channels.get(channel)
        return ORDERS_LAG if plan is None else plan.orders_lag

    def sources(self, channel: str, location: str, sku: str | None) -> tuple[str, ...]:
        """The org locations that a channel's location sells a SKU from, best first.

        None of a channel that is gone by now. `sku` None: what most SKUs are sold from.
        """
        plan = self.channels.get(channel)
        if plan is not None:
            return self.sells_from(channel, sku).get(location, ())
        return self.shared[channel].sells_from if channel in self.shared else ()

    def near(self, location: str, sku: str) -> frozenset[str]:
        """The org locations that some channel sells a SKU from which sells it from this one, too."""
        found: set[str] = set()
        for channel in self.channels:
            own = {place for places in self.sells_from(channel, sku).values() for place in places}
            if location in own:
                found |= own
        return frozenset(found)

    def places(self, channel: str) -> frozenset[str]:
        """All org locations that a channel sells any SKU from."""
        own = (place for places in self.sells_from(channel, None).values() for place in places)
        ruled = (
            place
            for rule in self.rules
            if not rule.channels or channel in rule.channels
            for place in rule.sells_from
        )
        return frozenset({*own, *ruled})

    def sells_from(self, channel: str, sku: str | None) -> Mapping[str, tuple[str, ...]]:
        """What each of a channel's locations sells a SKU from; of no storefront, its list under "".

        Where a rule names other locations, each of the channel's sells from those of them that it has in its
        own list, and the first one from all that none of them has: so no unit is shown at two.
        """
        plan = self.channels.get(channel)
        if plan is None:
            return {"": self.shared[channel].sells_from} if channel in self.shared else {}
        if sku is None or not any(rule.sells_from for rule in self.rules):
            return plan.locations
        key = channel, self._kind(sku)
        if (known := self._groups.get(key)) is None:
            known = self._groups[key] = self._sells_from(plan, key[1])
        return known

    def _sells_from(self, plan: ChannelPlan, kind: Kind) -> Mapping[str, tuple[str, ...]]:
        rules = (rule for rule in self._matching(kind) if rule.sells_from and rule.speaks_of(plan.name))
        rule = next(rules, None)
        if rule is None:
            return plan.locations
        found: dict[str, tuple[str, ...]] = {}
        given: set[str] = set()
        for location in sorted(plan.locations, key=lambda each: each == plan.first_location):
            listed = {*plan.locations[location]}
            first = location == plan.first_location
            found[location] = tuple(
                place for place in rule.sells_from if place not in given and (first or place in listed)
            )
            if not first:
                given.update(found[location])
        return {location: found[location] for location in plan.locations}

    def first_location(self, channel: str) -> str:
        """Where a sale belongs when the channel does not say; "" at a channel that is no storefront."""
        plan = self.channels.get(channel)
        return plan.first_location if plan else ""

    def returns_to(self, channel: str) -> str | None:
        """The location that a channel's returned goods go to; None: to where they left from."""
        return self.shared[channel].returns_to if channel in self.shared else None


def _nothing_decided() -> dict[str, Any]:
    """What an assortment remembers of its own decisions, empty."""
    return {
        "_kinds": {},
        "_policies": {},
        "_divisions": {},
        "_scarcities": {},
        "_groups": {},
    }


def _plain(value: object) -> object:
    """The value as lists and texts, the same in every run."""
    if is_dataclass(value):
        return [_plain(getattr(value, each.name)) for each in fields(value) if each.compare]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(part)] for key, part in value.items()]
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value)


def _guarantee(plan: ChannelPlan, rule: PolicyRule | None) -> Guarantee:
    guarantee = plan.guarantee if rule is None else rule.guarantee or plan.guarantee
    return Guarantee.MIRRORED if guarantee is Guarantee.GATED and not plan.asks else guarantee
