"""A simulated Shopify storefront, over its real wire.

The Admin GraphQL API answers on a hand-written subset of the 2026-10 schema, with its keys,
compare-and-set, costs and throttling; shoppers buy through a small storefront; webhooks go out
signed and retried; and a control port orders trouble and tells the truth about the stock.

Reading order: `config`, `model`, `stock`, `selling` (people), `inventory` (the API's writes),
`engine` (GraphQL), `webhooks`, `shop` (all together), `serving` (its ports), `command` (the process).
"""

from __future__ import annotations

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Knobs, Plan, SeedVariant, ShopConfig
from sfsync.simulators.shopify.serving import Serving, serving
from sfsync.simulators.shopify.shop import Shop, build_shop

__all__ = [
    "Knobs",
    "Plan",
    "SeedVariant",
    "Serving",
    "Shop",
    "ShopClock",
    "ShopConfig",
    "build_shop",
    "serving",
]
