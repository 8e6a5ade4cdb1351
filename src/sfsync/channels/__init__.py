"""Channels: one thin dialect for each kind of storefront or marketplace, and the list of all of them.

- ``config``               what an adapter must be told
- ``http``                 one client a channel, and the truth about whether a request was sent
- ``guard``                where callbacks may go
- ``signing``              the headers that prove who sent a message
- ``sender``               one signed message to one receiver, and what its answer means
- ``callback``             a storefront that is told by signed callbacks
- ``alert``                alerts to whoever is to be woken
- ``shopify``              a Shopify store as a channel
- ``shopify_documents``    the GraphQL texts, and their page sizes
- ``shopify_client``       one call: token, points, and an answer or one of the three failures
- ``shopify_points``       the store's rate limit, reckoned on our side
- ``shopify_token``        a token given, or asked for and renewed
- ``shopify_orders``       an order read from a payload or from the order list: the same snapshot
- ``shopify_order_list``   the order list in pages, each order whole
- ``shopify_webhooks``     signatures
- ``shopify_bulk``         a large store's variants in one file
- ``shopify_setup``        which webhooks the store sends
- ``shopify_check``        what can be wrong, with remedies
- ``amazon``               a seller's listings in an Amazon store as a channel: patches, feeds, the order list
- ``amazon_config``        what it must be told
- ``amazon_client``        one call: token, and an answer or one of the three failures
- ``amazon_orders``        an order read from the order list
- ``mirakl``               a shop at a Mirakl marketplace as a channel: stock files, and the order list
- ``mirakl_config``        what it must be told
- ``mirakl_client``        one call: an answer or one of the three failures
- ``mirakl_orders``        an order read from the order list
- ``vendure``              a Vendure shop as a channel: numbers on hand, and webhooks of our plugin
- ``vendure_config``       what it must be told
- ``vendure_documents``    the GraphQL texts
- ``vendure_client``       one call: session, and an answer or one of the three failures
- ``vendure_orders``       an order as a snapshot, with where its units stand

A kind of channel that is not ours is a Python package with an entry point in the group ``sfsync.channels``:
its name is the kind, its object a `Kind`. docs/add-a-channel.md goes through all of it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from sfsync import kinds
from sfsync.channels.amazon import AmazonChannel
from sfsync.channels.amazon_config import AmazonConfig
from sfsync.channels.config import BadConfigError, ChannelConfig, ShopifyConfig
from sfsync.channels.mirakl import MiraklChannel
from sfsync.channels.mirakl_config import MiraklConfig
from sfsync.channels.shopify import ShopifyChannel
from sfsync.channels.vendure import VendureChannel
from sfsync.channels.vendure_config import VendureConfig
from sfsync.kinds import BadKindError
from sfsync.ports import Channel, Clock

__all__ = ["BUILT_IN", "BadConfigError", "ChannelConfig", "Factory", "Kind", "open_channel", "open_offered"]

Factory = Callable[[ChannelConfig, Clock], Channel]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of channel that another package brings.

    `settings` is a subclass of `sfsync.settings.ChannelSettings`; `open` makes a channel of its name, its
    settings and the time, and may raise `BadConfigError`.
    """

    settings: type[BaseModel]
    open: Callable[[str, Any, Clock], Channel]


def _shopify(config: ChannelConfig, clock: Clock) -> Channel:
    try:
        return ShopifyChannel(ShopifyConfig.of(config), clock)
    except ssl.SSLError as error:
        remedy = f"{config.ca_file} holds no certificate in PEM form"
        raise BadConfigError(config.name, [("ca_file", remedy)]) from error


def _mirakl(config: ChannelConfig, clock: Clock) -> Channel:
    return MiraklChannel(MiraklConfig.of(config), clock)


def _amazon(config: ChannelConfig, clock: Clock) -> Channel:
    return AmazonChannel(AmazonConfig.of(config), clock)


def _vendure(config: ChannelConfig, clock: Clock) -> Channel:
    return VendureChannel(VendureConfig.of(config), clock)


BUILT_IN: Mapping[str, Factory] = {
    "amazon": _amazon,
    "mirakl": _mirakl,
    "shopify": _shopify,
    "vendure": _vendure,
}


def open_channel(config: ChannelConfig, clock: Clock) -> Channel:
    """The channel of a built-in kind. Raises `BadConfigError`, naming the key and the remedy."""
    return BUILT_IN[config.kind](config, clock)


def open_offered(name: str, kind: str, settings: BaseModel, clock: Clock) -> Channel:
    """The channel of a kind that another package brings. Raises `BadConfigError`."""
    try:
        offered = kinds.load(kind)
    except BadKindError as error:
        raise BadConfigError(name, [("kind", str(error))]) from error
    if not isinstance(offered, Kind):
        raise BadConfigError(name, [("kind", "its entry point is no sfsync.channels.Kind")])
    return offered.open(name, settings, clock)
