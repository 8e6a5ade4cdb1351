"""What a simulated shop is made of: its name, plan, catalogue, credentials and moods.

Each point on which the public documents are silent or disagree is a knob with the default we
think likeliest; a client must hold up under every setting of every knob.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, get_type_hints

API_VERSION = "2026-10"
# What the real service would answer in November 2026; the last two are previews.
API_VERSIONS = ("2026-01", "2026-04", "2026-07", "2026-10", "2027-01", "unstable")
SUPPORTED_VERSIONS = API_VERSIONS[:4]

SCOPES = (
    "read_inventory",
    "write_inventory",
    "read_locations",
    "read_products",
    "read_orders",
    "write_orders",
    "read_merchant_managed_fulfillment_orders",
)

ORDER_TOPICS = (
    "orders/create",
    "orders/updated",
    "orders/edited",
    "orders/cancelled",
    "orders/fulfilled",
    "orders/partially_fulfilled",
    "refunds/create",
    "fulfillments/create",
    "fulfillments/update",
    "fulfillment_orders/order_routing_complete",
    "fulfillment_orders/moved",
)


class Plan(Enum):
    """The shop's plan: how many points a second the API gives back, and how many it holds."""

    STANDARD = 100
    ADVANCED = 200
    PLUS = 1000
    ENTERPRISE = 2000

    @property
    def restore_rate(self) -> float:
        """Points given back in a second."""
        return float(self.value)

    @property
    def bucket_size(self) -> float:
        """Points that a rested app can spend at once: seen as twenty seconds' worth."""
        return 20.0 * self.value

    @property
    def label(self) -> str:
        """The plan's name as the shop shows it."""
        return self.name.capitalize()


@dataclass(frozen=True, slots=True)
class Knobs:
    """Behaviour that the documents leave open, and moods that a real shop has."""

    stale_rows: str = "all"  # "all" stale rows are reported in one answer, or the "first" only
    failed_key: str = (
        "previous_attempt_failed"  # or "same_errors": what a refused call's key answers when repeated
    )
    key_scope: str = (
        "shop"  # "shop": one key names one call; "operation": the same key may serve another mutation
    )
    connect_on_write: bool = (
        True  # a set or adjust where the item is not stocked connects it, else INVALID_LOCATION
    )
    sku_match: str = "case_insensitive"  # the search filter: "exact", "case_insensitive" or "prefix"
    search_lag_seconds: float = 0.0  # orders show up in searches this much later
    connection_cost: str = "linear"  # or "logarithmic": what a page of n rows costs
    cancel_emits_refund: bool = True  # a cancel with restock also sends refunds/create
    cancel_seconds: float = 0.0  # an order cancelled by the API is cancelled so much later, by a job
    create_emits_updated: bool = False  # a new order also sends orders/updated
    routing_seconds: float = 0.0  # from a sale to its fulfilment orders; 0: before orders/create is sent
    routing_webhooks: bool = True  # order_routing_complete and moved are sent at all
    move_touches_order: bool = True  # a move to another location changes the order's updated_at
    edit_raises: str = "same_line"  # or "new_line": where units added by an edit go
    recheck_stock_at_payment: bool = True  # else two checkouts can race for the last piece
    payment_seconds: float = 0.0  # between the look at the stock and the sale
    webhook_lag_seconds: float = 0.0  # between the sale and the first delivery
    inventory_payload_lag_seconds: float = 0.0  # inventory_levels/update is built this much after the change
    inventory_hints_for: str = "available"  # or "any": which states' changes send inventory_levels/update
    webhook_id_per_attempt: bool = False  # X-Shopify-Webhook-Id changes with each retry
    follow_redirects: bool = False  # a redirect counts as a failed delivery
    removal_spares_app_config: bool = True  # only subscriptions made by the API are removed after 8 failures
    bulk_seconds: float = 0.2  # how long a bulk read takes

    def with_setting(self, text: str) -> Knobs:
        """These knobs with one turned: `name=value`. Raises ValueError naming what is wrong."""
        name, separator, value = text.partition("=")
        known = {knob.name: get_type_hints(type(self))[knob.name] for knob in fields(self)}
        if not separator or name not in known:
            raise ValueError(f"a knob is set as name=value; names: {', '.join(known)}; got {text!r}")
        choices = _CHOICES.get(name)
        if choices and value not in choices:
            raise ValueError(f"knob {name}: one of {', '.join(choices)}; got {value!r}")
        return replace(self, **{name: _parsed(name, known[name], value)})


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "stale_rows": ("all", "first"),
    "failed_key": ("previous_attempt_failed", "same_errors"),
    "key_scope": ("shop", "operation"),
    "sku_match": ("exact", "case_insensitive", "prefix"),
    "connection_cost": ("linear", "logarithmic"),
    "edit_raises": ("same_line", "new_line"),
    "inventory_hints_for": ("available", "any"),
}


def _parsed(name: str, kind: Any, value: str) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError(f"knob {name}: true or false; got {value!r}")
        return value.lower() == "true"
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"knob {name}: a number; got {value!r}") from None


@dataclass(frozen=True, slots=True)
class SeedVariant:
    """One article of the catalogue as it is at opening time."""

    sku: str | None
    title: str
    price: str = "0.00"
    available: Mapping[str, int] = field(default_factory=dict)  # by location name
    inventory_policy: str = "DENY"
    tracked: bool = True
    requires_components: bool = False  # the parent of a bundle: its stock cannot be written
    gift_card: bool = False
    tags: Sequence[str] = ()  # of its product


@dataclass(frozen=True, slots=True)
class ShopConfig:
    """Everything a shop needs to open."""

    name: str = "shop"
    plan: Plan = Plan.STANDARD
    locations: Sequence[str] = ("Online",)
    offline_locations: Sequence[str] = ()  # of these, the ones that do not fulfil online orders
    variants: Sequence[SeedVariant] = ()
    access_token: str = "shpat_simulated"
    client_id: str = "simulated-client"
    client_secret: str = "simulated-secret"
    webhook_url: str | None = None  # where the app's own settings subscribe, beside subscriptions made by API
    webhook_topics: Sequence[str] = ORDER_TOPICS
    scopes: Sequence[str] = SCOPES
    latency_seconds: float = 0.0  # what each call to the Admin API takes at least
    public_url: str = "http://shop.test"  # where result files of bulk reads are fetched
    currency: str = "GBP"
    knobs: Knobs = field(default_factory=Knobs)

    @property
    def domain(self) -> str:
        """The shop's permanent domain, as webhooks carry it."""
        return f"{self.name}.myshopify.test"


def seed_from_json(document: Any) -> dict[str, Any]:
    """The parts of a ShopConfig that a seed file holds. Raises ValueError naming every mistake."""
    if not isinstance(document, dict):
        raise ValueError("a seed is an object with locations and variants")
    locations = tuple(document.get("locations", ("Online",)))
    mistakes: list[str] = []
    variants = [
        _seed_variant(row, number, locations, mistakes)
        for number, row in enumerate(document.get("variants", []))
    ]
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return {
        "locations": locations,
        "offline_locations": tuple(document.get("offline_locations", ())),
        "variants": tuple(variant for variant in variants if variant is not None),
    }


def _seed_variant(row: Any, number: int, locations: Sequence[str], mistakes: list[str]) -> SeedVariant | None:
    known = {column.name for column in fields(SeedVariant)}
    if not isinstance(row, dict) or "sku" not in row:
        mistakes.append(f"variants[{number}]: an object with a sku")
        return None
    if unknown := set(row) - known:
        mistakes.append(f"variants[{number}]: unknown {', '.join(sorted(unknown))}")
    available = row.get("available", {})
    if isinstance(available, dict):
        mistakes.extend(
            f"variants[{number}]: unknown location {name}" for name in available if name not in locations
        )
    else:
        mistakes.append(f"variants[{number}]: available maps location names to numbers")
    if row.get("inventory_policy", "DENY") not in ("DENY", "CONTINUE"):
        mistakes.append(f"variants[{number}]: inventory_policy is DENY or CONTINUE")
    if mistakes:
        return None
    values = {key: value for key, value in row.items() if key in known}
    return SeedVariant(
        **{"title": row["sku"] or "Untitled", **values, "price": str(row.get("price", "0.00"))}
    )
