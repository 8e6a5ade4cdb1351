"""What must be known of an org to reach it. Values only: nothing is read or opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

STOCK_TOPIC = "/data/SfsyncStock__chn"
ORDER_TOPIC = "/data/SfsyncOrders__chn"
POS_TOPIC = "/event/StockEvent__e"
API_VERSION = "67.0"
PUBSUB_ENDPOINT = "api.pubsub.salesforce.com:7443"


@dataclass(frozen=True, slots=True)
class OrgOrdersConfig:
    """Where the house keeps what of its orders. A field may be a path: ``Product2.StockKeepingUnit``."""

    topic: str = ORDER_TOPIC
    channel_field: str = ""  # of Order: names the storefront
    order_field: str = ""  # of Order: the storefront's id or name of the order
    sku_field: str = "Product2.StockKeepingUnit"  # of OrderItem, and of ReturnOrderLineItem
    line_field: str = ""  # of OrderItem: the storefront's id of the line
    location_field: str = ""  # of OrderItem: the code of the location it leaves from
    fulfilled_field: str = ""  # of OrderItem: units delivered
    unit_field: str = ""  # of OrderItem: which one-of-one piece
    reduction_orders: bool = True
    returns: bool = False  # follow ReturnOrder too
    # Fields of OrderItem that tell what is no goods, each with its patterns; those of the product are read of
    # return lines, too.
    not_goods: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def product_not_goods(self) -> list[str]:
        """Those of `not_goods` that a return line has as well."""
        of = self.sku_field.partition(".")[0] if "." in self.sku_field else "Product2"
        return [path for path in self.not_goods if path.startswith(f"{of}.")]


@dataclass(frozen=True, slots=True)
class ProductsConfig:
    """What is read of Product2. A field may be a path."""

    sku_field: str = "StockKeepingUnit"
    fields: tuple[str, ...] = ()
    tags_field: str = ""
    price_field: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every field, once."""
        named = (self.sku_field, *self.fields, self.tags_field, self.price_field)
        return tuple(dict.fromkeys(path for path in named if path))


@dataclass(frozen=True, slots=True)
class OrgConfig:
    """One org. `login_url` is its My Domain address: login.salesforce.com refuses client credentials."""

    login_url: str
    client_id: str
    client_secret: str = field(repr=False, default="")  # of the client credentials flow
    username: str = ""  # of the JWT bearer flow, with the key that signs for it
    private_key: str = field(repr=False, default="")  # PEM
    token_audience: str = ""  # of the JWT; "": Salesforce's own log-in host
    api_version: str = API_VERSION
    transport: Literal["pubsub", "cometd"] = "pubsub"  # what carries the event stream
    pubsub_endpoint: str = PUBSUB_ENDPOINT
    pubsub_tls: bool = True
    ca_file: str | None = None  # PEM file of the roots to trust instead of the public ones
    calls_reserved_percent: int = 20  # of the API calls that the org allows in 24 hours: for others
    timeout_seconds: float = 30.0  # of one REST call; a save may wait 10 s for a row lock in the org
    silence_seconds: float = 285.0  # the stream promises a sign of life within 270 s
    stock_topic: str = STOCK_TOPIC
    pos_topic: str | None = POS_TOPIC  # None: no till publishes events
    orders: OrgOrdersConfig | None = None  # None: no orders live in the org
    products: ProductsConfig | None = None  # None: no policy asks for them
    read_only: bool = False  # no call that could change anything in the org leaves
    counts: bool = False  # stock counts are records of the org

    @property
    def data_path(self) -> str:
        """Where the org's REST resources of our API version are."""
        return f"/services/data/v{self.api_version}"

    @property
    def audience(self) -> str:
        """Who a signed token is for: a sandbox's users are known at another host."""
        sandbox = ".sandbox." in self.login_url or "//test." in self.login_url
        return self.token_audience or f"https://{'test' if sandbox else 'login'}.salesforce.com"

    @property
    def stream_address(self) -> str:
        """Where the event stream comes from."""
        return self.pubsub_endpoint if self.transport == "pubsub" else self.login_url

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that are listened to."""
        more = (self.pos_topic, self.orders.topic if self.orders else None)
        return (self.stock_topic, *(topic for topic in more if topic is not None))
