"""What a simulated store is made of: listings, limits, and moods.

Each point on which the public documents are silent is a knob with the default we think likeliest; a client
must hold up under every setting of every knob.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints

# Operation -> (calls a second, calls at once), as the models of the API have them.
RATES: Mapping[str, tuple[float, int]] = {
    "patchListingsItem": (5.0, 5),
    "searchListingsItems": (5.0, 5),
    "createFeedDocument": (0.5, 15),
    "createFeed": (0.0083, 15),
    "getFeed": (2.0, 15),
    "getFeedDocument": (0.0222, 10),
    "searchOrders": (0.0056, 20),
    "getOrder": (0.5, 30),
    "getMarketplaceParticipations": (0.016, 15),
}


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the store behaves where nobody has written it down. Times in seconds."""

    limits: bool = True  # calls are taken out of buckets
    rate_header: bool = True  # an answer says how fast its bucket fills
    patch_takes: float = 0.0  # from a patch's acceptance to the listing
    feed_takes: float = 0.0  # from a feed's creation to its end
    feed_lands: float = 0.0  # and from there to the listings
    report_gzip: bool = True  # a processing report is compressed
    report_always: bool = True  # a feed without errors has a report too
    unknown_sku: str = "invalid"  # a patch of a SKU that is not listed: INVALID, or HTTP 404 or 400
    restocks: bool = True  # a cancelled order's units are put back on sale
    pending_tells: bool = True  # an order tells its unfulfilled units before it is paid
    token_seconds: float = 3600.0

    def with_setting(self, text: str) -> Knobs:
        """These knobs with one turned: `name=value`. Raises ValueError naming what is wrong."""
        name, separator, value = text.partition("=")
        known = {knob.name: get_type_hints(type(self))[knob.name] for knob in fields(self)}
        if not separator or name not in known:
            raise ValueError(f"a knob is set as name=value; names: {', '.join(known)}; got {text!r}")
        if name == "unknown_sku" and value not in ("invalid", "404", "400"):
            raise ValueError(f"knob unknown_sku: one of invalid, 404, 400; got {value!r}")
        return replace(self, **{name: _parsed(name, known[name], value)})


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
class StoreConfig:
    """One seller in one store; `by_amazon` are SKUs that lie in Amazon's own warehouses."""

    client_secret: str
    refresh_token: str
    client_id: str = "amzn1.application-oa2-client.sandbox"
    seller_id: str = "A1SELLER"
    marketplace_id: str = "A1F83G8C2ARO7P"
    listings: Mapping[str, int] = field(default_factory=dict)
    by_amazon: tuple[str, ...] = ()
    knobs: Knobs = Knobs()


def seed_from_json(document: Any) -> dict[str, Any]:
    """A seed file: `{"listings": {"SKU": quantity}, "by_amazon": [SKUs]}`. ValueError names what is wrong."""
    listings = document.get("listings") if isinstance(document, dict) else None
    if not isinstance(listings, dict) or not all(isinstance(units, int) for units in listings.values()):
        raise ValueError('it is not {"listings": {"SKU": quantity}, "by_amazon": [SKUs]}')
    return {"listings": listings, "by_amazon": tuple(map(str, document.get("by_amazon", ())))}
