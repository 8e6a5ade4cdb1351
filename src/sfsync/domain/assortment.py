"""Who sells what from where: channels, their locations, and the policy for each SKU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .ats import Guarantee, Policy
from .org_orders import OrgOrderRules
from .sources import Source


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Overrides a channel's defaults for the SKUs that match. The first matching rule of a channel counts."""

    skus: tuple[str, ...]  # shell patterns, case-sensitive
    channels: tuple[str, ...] = ()  # empty: every channel
    guarantee: Guarantee | None = None
    safety_stock: int | None = None
    cap: int | None = None

    def covers(self, channel: str, sku: str) -> bool:
        """True when the rule speaks of this SKU at this channel."""
        return (not self.channels or channel in self.channels) and self.matches(sku)

    def matches(self, sku: str) -> bool:
        """True when one of the patterns fits."""
        return any(fnmatchcase(sku, pattern) for pattern in self.skus)


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """How one channel sells: each of its locations draws on org locations, best source first."""

    name: str
    locations: Mapping[str, tuple[str, ...]]
    guarantee: Guarantee = Guarantee.MIRRORED
    safety_stock: int = 0
    cap: int | None = None

    @property
    def first_location(self) -> str:
        """Where a sale belongs when the channel does not say."""
        return next(iter(self.locations))


@dataclass(frozen=True, slots=True)
class SharedOrders:
    """A channel whose orders stand in the org too, or nowhere else.

    `sells_from` is the sourcing list of a channel that is no storefront; `returns_to` the location, not for
    sale, that its returned goods go to.
    """

    authority: Source
    sells_from: tuple[str, ...] = ()
    returns_to: str | None = None


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
    _policies: dict[tuple[str, str], Policy] = field(default_factory=dict, repr=False, compare=False)

    def policy(self, channel: str, sku: str) -> Policy:
        """What holds for a SKU at a channel."""
        known = self._policies.get((channel, sku))
        if known is None:
            known = self._policies[channel, sku] = self._policy(channel, sku)
        return known

    def _policy(self, channel: str, sku: str) -> Policy:
        plan, rule = self.channels[channel], self._rule(channel, sku)
        guarantee = plan.guarantee
        safety_stock, cap = plan.safety_stock, plan.cap
        if rule is not None:
            guarantee = rule.guarantee or guarantee
            safety_stock = safety_stock if rule.safety_stock is None else rule.safety_stock
            cap = cap if rule.cap is None else rule.cap
        holder = self.allocated_to(sku)
        return Policy(
            guarantee, safety_stock, cap, allocated_elsewhere=holder is not None and holder != channel
        )

    def _rule(self, channel: str, sku: str) -> PolicyRule | None:
        return next((rule for rule in self.rules if rule.covers(channel, sku)), None)

    def allocated_to(self, sku: str) -> str | None:
        """The one channel that a SKU is set aside for, if any: the first one whose own policy says so."""
        return next(
            (
                channel
                for rule in self.rules
                if rule.guarantee is Guarantee.ALLOCATED
                for channel in (rule.channels or self.channels)
                if channel in self.channels and self._rule(channel, sku) is rule
            ),
            None,
        )

    def sources(self, channel: str, location: str) -> tuple[str, ...]:
        """The org locations that a channel's location sells from, best first; none of a channel now gone."""
        plan = self.channels.get(channel)
        if plan is not None:
            return plan.locations.get(location, ())
        return self.shared[channel].sells_from if channel in self.shared else ()

    def first_location(self, channel: str) -> str:
        """Where a sale belongs when the channel does not say; "" at a channel that is no storefront."""
        plan = self.channels.get(channel)
        return plan.first_location if plan else ""

    def returns_to(self, channel: str) -> str | None:
        """The location that a channel's returned goods go to; None: to where they left from."""
        return self.shared[channel].returns_to if channel in self.shared else None
