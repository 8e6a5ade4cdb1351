"""Who sells what from where: channels, their locations, and the policy for each SKU."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256

from .allocation import Mode, Share, mode
from .ats import Guarantee, Policy
from .block import BlockRule
from .editions import Edition
from .org_orders import OrgOrderRules
from .products import Catalogue, Product, Wanted
from .sources import Source


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Overrides a channel's defaults for the SKUs that match. The first matching rule of a channel counts.

    With `scarce_at` the guarantee *allocated* holds only while there are so few: at or below that many units
    the SKU is divided among the channels, at or above `plentiful_at` it is shared again. With `fresh_seconds`
    a shared number of at most `scarce_at` units (any, when None) is closed while what we know is older.
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

    def covers(self, channel: str, sku: str, product: Product | None = None) -> bool:
        """True when the rule speaks of this SKU at this channel."""
        return (not self.channels or channel in self.channels) and self.matches(sku, product)

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

    @property
    def first_location(self) -> str:
        """Where a sale belongs when the channel does not say."""
        return next(iter(self.locations))


@dataclass(frozen=True, slots=True)
class Floor:
    """Shop floors whose tills tell of a sale only afterwards.

    Their deep stock may be promised elsewhere. The last few pieces may be in a customer's hand already: they
    are promised only when the shop has said that it has them.
    """

    locations: frozenset[str] = frozenset()
    scarce_at: int = 2  # units at the level

    def scarce(self, location: str, sellable: int) -> bool:
        """True for units that nobody outside the shop may count on."""
        return location in self.locations and sellable <= self.scarce_at


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
    """How a SKU is divided: the channels' claims, in the order of priority, and when."""

    shares: tuple[Share, ...]
    scarce_at: int | None = None  # always, when None
    plentiful_at: int | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that have a claim."""
        return tuple(share.channel for share in self.shares)

    def mode(self, before: Mode, available: int) -> Mode:
        """Whether it is divided now, with so many units to sell."""
        if self.scarce_at is None:
            return Mode.DIVIDED
        plentiful = self.scarce_at + 1 if self.plentiful_at is None else self.plentiful_at
        return mode(before, available, scarce_at=self.scarce_at, plentiful_at=plentiful)


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
    editions: Mapping[str, Edition] = field(default_factory=dict)  # limited ones, by name
    price_channel: str = ""  # whose prices stand in where the org says none
    catalogue: Catalogue = field(default_factory=Catalogue, repr=False, compare=False)
    # Channels that go on by settings from before, because the changed ones wait for a person.
    held: Mapping[str, Assortment] = field(default_factory=dict, repr=False, compare=False)
    # What was decided once, each with the catalogue's count of changes before that: while one thread decides,
    # another may learn of products, and what was decided by the old ones must not be taken for new.
    _policies: dict[tuple[str, str, Mode, int], Policy] = field(
        default_factory=dict, repr=False, compare=False
    )
    _divisions: dict[tuple[str, int], tuple[Division | None]] = field(
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
            self.editions,
        )
        return sha256(repr([_plain(part) for part in parts]).encode()).hexdigest()

    def policy(self, channel: str, sku: str, mode: Mode = Mode.DIVIDED) -> Policy:
        """What holds for a SKU at a channel; `mode` matters where the policy depends on how scarce it is."""
        key = channel, sku, mode, self.catalogue.changes
        known = self._policies.get(key)
        if known is None:
            known = self._policies[key] = self._policy(channel, sku, mode)
        return known

    def _policy(self, channel: str, sku: str, mode: Mode) -> Policy:
        plan, rule = self.channels[channel], self._rule(channel, sku)
        division = self.division(sku)
        if division is not None and division.scarce_at is None:
            mode = Mode.DIVIDED
        guarantee = plan.guarantee
        safety_stock, cap = plan.safety_stock, plan.cap
        fresh_seconds, scarce_at = None, None
        if rule is not None:
            shared = rule.guarantee is Guarantee.ALLOCATED and mode is Mode.SHARED
            guarantee = guarantee if shared else rule.guarantee or guarantee
            safety_stock = safety_stock if rule.safety_stock is None else rule.safety_stock
            cap = cap if rule.cap is None else rule.cap
            fresh_seconds, scarce_at = rule.fresh_seconds, rule.scarce_at
        if guarantee is Guarantee.GATED and not plan.asks:
            guarantee = Guarantee.MIRRORED
        elsewhere = division is not None and mode is Mode.DIVIDED and channel not in division.channels
        return Policy(guarantee, safety_stock, cap, elsewhere, fresh_seconds, scarce_at)

    def edition(self, sku: str) -> Edition | None:
        """The limited edition that a SKU belongs to."""
        return next((each for each in self.editions.values() if sku in each.skus), None)

    def learn(self, products: Iterable[Product]) -> Collection[str]:
        """Take over what the org says of products. Returns the SKUs whose policies may be others now."""
        changed = self.catalogue.learn(products)
        if changed:
            self._policies.clear()
            self._divisions.clear()
        return changed

    def adopt(self, other: Assortment) -> None:
        """Take over another's rules, and what it says of the same channels. What was decided counts no more.

        Called where no transaction is under way.
        """
        object.__setattr__(self, "rules", other.rules)
        object.__setattr__(self, "channels", other.channels)
        self.catalogue.changes += 1  # decisions are kept by it
        self._policies.clear()
        self._divisions.clear()

    def keep(self, held: Mapping[str, Assortment]) -> None:
        """From now on these channels, and no others, go on by settings from before.

        Called where no transaction is under way.
        """
        kept = {name: before for name, before in held.items() if name in before.channels}
        object.__setattr__(self, "held", kept)

    def snapshot(self, catalogue: Catalogue | None = None) -> Assortment:
        """The same settings, which stay what they are when others are adopted here; of other products."""
        return replace(self, catalogue=catalogue or self.catalogue, held={}, _policies={}, _divisions={})

    def together(self, sku: str) -> bool:
        """True when what one channel shows of a SKU depends on what others show."""
        return self.division(sku) is not None or self.edition(sku) is not None

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
        return any(
            each.policy(channel, sku).fresh_seconds in limits_seconds
            for channel in self.channels
            for each in (self, self.held.get(channel, self))
        )

    def _rule(self, channel: str, sku: str) -> PolicyRule | None:
        return next((rule for rule in self.rules if rule.covers(channel, sku, self.catalogue.of(sku))), None)

    def division(self, sku: str) -> Division | None:
        """Among which channels a SKU is divided, if it is: those of the first rule that says so."""
        key = sku, self.catalogue.changes
        if (known := self._divisions.get(key)) is None:
            known = self._divisions[key] = (self._division(sku),)
        return known[0]

    def _division(self, sku: str) -> Division | None:
        for rule in self.rules:
            if rule.guarantee is not Guarantee.ALLOCATED or not rule.matches(sku, self.catalogue.of(sku)):
                continue
            channels = [
                channel
                for channel in (rule.channels or self.channels)
                if channel in self.channels and self._rule(channel, sku) is rule
            ]
            if channels:
                shares = tuple(
                    Share(channel, rule.shares.get(channel, 1), self._most(channel, rule))
                    for channel in channels
                )
                return Division(shares, rule.scarce_at, rule.plentiful_at)
        return None

    @property
    def blocks(self) -> bool:
        """True when some rule wants a local block."""
        return any(rule.block for rule in self.rules)

    def block(self, sku: str) -> BlockRule | None:
        """What the local block is to have of a SKU: by the first rule that says so."""
        rules = (rule for rule in self.rules if rule.block and rule.matches(sku, self.catalogue.of(sku)))
        return next((rule.block for rule in rules), None)

    def _most(self, channel: str, rule: PolicyRule) -> int | None:
        return self.channels[channel].cap if rule.cap is None else rule.cap

    def sources(self, channel: str, location: str) -> tuple[str, ...]:
        """The org locations that a channel's location sells from, best first; none of a channel now gone."""
        plan = self.channels.get(channel)
        if plan is not None:
            return plan.locations.get(location, ())
        return self.shared[channel].sells_from if channel in self.shared else ()

    def sells_from(self, channel: str) -> Mapping[str, tuple[str, ...]]:
        """What each of a channel's locations sells from; of one that is no storefront, its list under ""."""
        plan = self.channels.get(channel)
        if plan is not None:
            return plan.locations
        return {"": self.shared[channel].sells_from} if channel in self.shared else {}

    def first_location(self, channel: str) -> str:
        """Where a sale belongs when the channel does not say; "" at a channel that is no storefront."""
        plan = self.channels.get(channel)
        return plan.first_location if plan else ""

    def returns_to(self, channel: str) -> str | None:
        """The location that a channel's returned goods go to; None: to where they left from."""
        return self.shared[channel].returns_to if channel in self.shared else None


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
