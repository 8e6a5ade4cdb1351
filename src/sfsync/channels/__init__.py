"""Channels: one thin dialect for each kind of storefront or marketplace, and the list of all of them.

- ``config``               what an adapter must be told
- ``http``                 one client a channel, and the truth about whether a request was sent
- ``shopify``              a Shopify store as a channel
- ``shopify_documents``    the GraphQL texts, and their page sizes
- ``shopify_client``       one call: token, points, and an answer or one of the three failures
- ``shopify_points``       the store's rate limit, reckoned on our side
- ``shopify_token``        a token given, or asked for and renewed
- ``shopify_orders``       an order read from a payload or from the order list: the same snapshot
- ``shopify_order_list``   the order list in pages, each order whole
- ``shopify_webhooks``     signatures
- ``shopify_check``        what can be wrong, with remedies

A kind of channel that is not ours is a Python package with an entry point in the group ``sfsync.channels``:
its name is the kind, its object a `Factory`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from sfsync.channels.config import BadConfigError, ChannelConfig, ShopifyConfig
from sfsync.channels.shopify import ShopifyChannel
from sfsync.ports import Channel, Clock

__all__ = ["BUILT_IN", "ENTRY_POINTS", "BadConfigError", "ChannelConfig", "Factory", "kinds", "open_channel"]

Factory = Callable[[ChannelConfig, Clock], Channel]

ENTRY_POINTS = "sfsync.channels"


def _shopify(config: ChannelConfig, clock: Clock) -> Channel:
    try:
        return ShopifyChannel(ShopifyConfig.of(config), clock)
    except ssl.SSLError as error:
        remedy = f"{config.ca_file} holds no certificate in PEM form"
        raise BadConfigError(config.name, [("ca_file", remedy)]) from error


BUILT_IN: Mapping[str, Factory] = {"shopify": _shopify}


def kinds() -> list[str]:
    """Every kind of channel that can be opened here, ours and others'."""
    return sorted({*BUILT_IN, *(entry.name for entry in _installed())})


def open_channel(config: ChannelConfig, clock: Clock) -> Channel:
    """The channel that a configuration describes. Raises `BadConfigError`, naming the key and the remedy.

    A built-in kind cannot be replaced from outside; two packages that offer the same kind are both refused.
    """
    if factory := BUILT_IN.get(config.kind):
        return factory(config, clock)
    offers = [entry for entry in _installed() if entry.name == config.kind]
    if not offers:
        known = ", ".join(kinds())
        raise BadConfigError(config.name, [("kind", f"{config.kind!r} is unknown; there are {known}")])
    if len(offers) > 1:
        packages = ", ".join(sorted(entry.value for entry in offers))
        raise BadConfigError(
            config.name, [("kind", f"{config.kind!r} is offered by several packages: {packages}")]
        )
    made: Factory = offers[0].load()
    return made(config, clock)


def _installed() -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINTS))
