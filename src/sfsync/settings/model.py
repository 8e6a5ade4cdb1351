"""Every setting, with its unit and default. Values only: reading and reporting are done elsewhere.

A secret field `x` has a sibling `x_file`, a path to a file that holds it. Paths are absolute once read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sfsync.domain.assortment import Assortment, ChannelPlan, Floor, PolicyRule, SharedOrders
from sfsync.domain.ats import Guarantee
from sfsync.domain.believable import MOST_UNITS
from sfsync.domain.block import BlockRule
from sfsync.domain.counts import MOST_UNITS as MOST_COUNTED
from sfsync.domain.counts import OLDEST_DAYS, Believed
from sfsync.domain.editions import Edition
from sfsync.domain.org_orders import ORG_CHANNEL, OrgOrderRules
from sfsync.domain.products import Wanted
from sfsync.domain.rights import EVERY, Reach, Role, Sight, scopes_of
from sfsync.domain.sources import Source
from sfsync.domain.turns import Turns

from .channel import AnyChannel, ChannelSettings, ReceiverSettings, ShopifySettings
from .problems import Problem
from .section import Section
from .texts import (
    BearerToken,
    FieldPath,
    HeaderName,
    HostAndPort,
    Moment,
    Name,
    NameOrAll,
    Network,
    OrgAddress,
    OrgLocation,
    OrgVersion,
    OwnField,
    PosTopic,
    PublicAddress,
    Secret,
    SiteAddress,
    Sku,
    SkuPattern,
    StockTopic,
    StoreUrl,
    Text,
    WebAddress,
)
from .till import TillSettings

Scope = Literal["view", "audit", "levels", "reservations", "stores", "counts", "tills", "admin"]
RoleName = Literal["viewer", "auditor", "operator"]


class SalesforceSettings(Section):
    """The org: where it is, who we are there, what we listen to."""

    login_url: OrgAddress  # the org's My Domain address
    client_id: Text
    client_secret: Secret | None = None  # of the client credentials flow; or the JWT bearer flow's own:
    client_secret_file: Path | None = None
    username: Text | None = None  # whom the key signs in
    private_key: Secret | None = None  # PEM; its certificate stands in the app
    private_key_file: Path | None = None
    # Who the signed token is for; None: login.salesforce.com, or test.salesforce.com of a sandbox.
    token_audience: SiteAddress | None = None
    api_version: OrgVersion = "67.0"
    transport: Literal["pubsub", "cometd"] = "pubsub"  # of the event stream; cometd needs the extra
    pubsub_endpoint: HostAndPort = "api.pubsub.salesforce.com:7443"
    pubsub_tls: bool = True
    ca_file: Path | None = None  # PEM; None: the system's certificate authorities
    # Of the API calls that the org allows everybody in 24 hours: not for sfsync, but for its sales.
    calls_reserved_percent: int = Field(default=20, ge=0, le=90)
    timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    # A stream that said nothing for so long is dead: the org sends a sign of life at least every 270 s.
    silence_seconds: float = Field(default=330.0, gt=0, le=3600)
    # While the stream is away, what moved is asked for by its time stamp so often.
    poll_after_seconds: float = Field(default=60.0, ge=5, le=3600)
    stock_topic: StockTopic = "/data/SfsyncStock__chn"
    pos_topic: PosTopic = "/event/StockEvent__e"  # empty: off


class StoreSettings(Section):
    """Where state survives a crash."""

    url: StoreUrl = SecretStr("sqlite:///var/sfsync.db")  # secret, because it may hold a password
    url_file: Path | None = None


class TokenSettings(Section):
    """A party that may use the API, or a person who may log in to the pages."""

    name: Text  # stands in logs in the token's place
    token: BearerToken
    token_file: Path | None = None
    role: RoleName | None = None
    scopes: tuple[Scope, ...] = ()  # ("reservations",) where there is no role either
    # Whose things it sees and touches, by the scopes reservations, levels, stores and counts: all else is not
    # there for it. An operator sees everything.
    channels: tuple[NameOrAll, ...] = ()
    locations: tuple[OrgLocation, ...] = ()  # ("*",): everywhere

    def rights(self) -> frozenset[str]:
        """What it may do: its role's scopes and its own."""
        if self.role is None and not self.scopes:
            return frozenset({"reservations"})
        return scopes_of([Role(self.role)] if self.role else []) | {*self.scopes}

    def sight(self) -> Sight:
        """Whose things are there for it."""
        return Sight(_named(self.channels), _named(self.locations))


def _named(names: tuple[str, ...]) -> frozenset[str] | None:
    return None if EVERY in names else frozenset(names)


class ProxySettings(Section):
    """A reverse proxy at which people log in, and what each may do here."""

    trusted: tuple[Network, ...] = Field(min_length=1)  # addresses that its connections come from
    user_header: HeaderName = "X-Forwarded-User"
    groups_header: HeaderName | None = None  # with commas between
    roles: dict[Text, RoleName] = Field(default={})  # of a person or a group
    default_role: RoleName | None = None  # of everybody else; None: may not come in


class WebSettings(Section):
    """Webhooks in, the reservation API, and the status page."""

    host: Text = "127.0.0.1"
    port: int = Field(default=8181, ge=0, le=65535)  # 0: any free one
    public_url: PublicAddress | None = (
        None  # where others reach it, through a proxy: for `sfsync channel setup`
    )
    tokens: tuple[TokenSettings, ...] = ()
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    open_status: bool = False  # the pages need no log-in
    proxy: ProxySettings | None = None


class LedgerSettings(Section):
    """Keeping the org's ledger small: see `sfsync ledger fold`."""

    fold_older_than_days: int = Field(default=90, ge=1)  # younger movements stay as they are
    fold_nightly: bool = False  # at 02:00 UTC


class DriftSettings(Section):
    """Whether org and channels still are what we hold: see `sfsync drift`."""

    every_seconds: float = Field(default=900.0, ge=0, le=86_400)  # between two looks; 0: never
    sample_skus: int = Field(default=50, ge=1, le=1000)  # read at each channel in one look, in turn
    org_calls: int = Field(default=20, ge=1, le=1000)  # at most, in one look


class ShadowSettings(Section):
    """Beside another integration: hear everything, write nothing, and report. See `sfsync run --shadow`."""

    enabled: bool = False  # `sfsync run` is in shadow, also without --shadow
    orders_every_seconds: float = Field(default=15.0, ge=0.2, le=3600)  # between two readings of order lists
    numbers_every_seconds: float = Field(default=5.0, ge=0.2, le=3600)  # and of what channels show
    late_after_seconds: float = Field(default=60.0, gt=0, le=86_400)  # a number wrong for longer is late
    alerts: bool = False  # tell the receivers of alerts what is noticed


class TelemetrySettings(Section):
    """Traces of each change's way, told to a collector; needs the extra `otel`."""

    otlp_endpoint: WebAddress | None = None  # None: off


class LogSettings(Section):
    """How the daemon tells what it does."""

    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal, else JSON
    level: Literal["debug", "info", "warning", "error"] = "info"


class PolicySettings(Section):
    """What holds for some SKUs instead of the channel's own defaults. The first that matches counts."""

    skus: tuple[SkuPattern, ...] = Field(min_length=1)
    fields: dict[Text, Text] = Field(default={})  # and its product has these values, as text
    tags: tuple[Text, ...] = ()  # and one of these tags
    price_from: float | None = Field(default=None, ge=0)  # and costs so much, or more
    channels: tuple[Name, ...] = ()  # empty: every channel
    guarantee: Literal["allocated", "gated", "mirrored", "unknown"] | None = None  # unknown: it shows 0
    safety_stock: int | None = Field(default=None, ge=0)
    cap: int | None = Field(default=None, ge=0)
    # How units are divided among channels where the guarantee is "allocated": 1 each where not given.
    shares: dict[Name, Annotated[int, Field(ge=0, le=1000)]] = Field(default={})
    demand_days: int | None = Field(default=None, ge=1, le=365)  # weighted by what each sold in so many days
    # One channel has all of it at a time, in their order, for so many hours; the next turn begins sooner
    turn_hours: float | None = Field(default=None, gt=0, le=8760)
    turn_idle_hours: float | None = Field(default=None, gt=0, le=8760)  # when it sells nothing for so many
    # It holds only from so few units on that may be promised where its channels sell from, and
    scarce_at: int | None = Field(default=None, ge=0)
    plentiful_at: int | None = Field(default=None, ge=1)  # no more when there are so many again
    location_group: Name | None = None  # the channels sell these from here, instead of from their own
    # Shared units are closed while our knowledge of the org is older.
    fresh_seconds: float | None = Field(default=None, gt=0)
    # Its last units may be sold twice where they are only mirrored: the house knows, and has no other way.
    exposure_accepted: bool = False
    # Units that sfsync sets aside in the org for itself, to grant reservations from within milliseconds, and
    # where, best first; the first source of the first channel when not given.
    block: int | None = Field(default=None, ge=1)
    block_at: tuple[OrgLocation, ...] = ()


class EditionSettings(Section):
    """A limited edition: how many, for whom, from when on. Closed until it is opened. Quantities in units."""

    skus: tuple[Sku, ...] = Field(min_length=1)
    size: int = Field(ge=1)  # no more are ever sold, of all its SKUs together
    split: dict[Name, Annotated[int, Field(ge=0)]] = Field(
        default={}
    )  # the most of each channel; others share the rest
    per_client: int | None = Field(default=None, ge=1)  # reserved or ordered, at all channels together
    opens_at: Moment | None = None  # by itself; None: `sfsync edition open`


class LocationsSettings(Section):
    """The org's locations that no channel ever sells from."""

    in_transit: OrgLocation = "IN-TRANSIT"  # goods on their way between two locations
    not_for_sale: tuple[OrgLocation, ...] = ()  # returns, repairs, display
    # Shops whose tills tell of a sale afterwards. The last units of a level there (so many, or fewer) are
    # promised to nobody outside before the shop has said that it has them.
    tills_after_sale: tuple[OrgLocation, ...] = ()
    floor_scarce_at: int = Field(default=2, ge=0)
    # Units of each SKU there that are promised to nobody outside: they stay for whoever comes in.
    safety_stock: dict[OrgLocation, Annotated[int, Field(ge=1)]] = Field(default={})


class ProductsSettings(Section):
    """What policies may ask of the org's Product2, beside the SKU. A field may be a path. Read hourly."""

    sku_field: FieldPath = "StockKeepingUnit"
    fields: tuple[FieldPath, ...] = ()  # that `fields` of a policy may name
    tags_field: FieldPath = ""  # values with ; between, as of a multi-select picklist
    price_field: FieldPath = ""  # a number or currency
    price_from_channel: str = ""  # whose prices stand in where the org's product has none


class OrgOrdersSettings(Section):
    """Orders that live in the org as Order and OrderItem. A field may be a path."""

    topic: StockTopic = "/data/SfsyncOrders__chn"
    sells_from: tuple[OrgLocation, ...] = Field(min_length=1)  # of orders that are no channel's, best first
    channel_field: FieldPath = ""  # of Order: whose order it is; empty: every order is the org's own
    channels: dict[Text, Name] = Field(default={})  # the field's values that are not a channel's name
    order_field: FieldPath = "OrderReferenceNumber"  # of Order: the storefront's id or name of it
    authority: Literal["channel", "org"] = "channel"  # whose quantities count where both tell of an order
    sku_field: FieldPath = "Product2.StockKeepingUnit"
    line_field: FieldPath = ""  # of OrderItem: the storefront's id of the line; empty: matched by SKU
    location_field: FieldPath = ""  # of OrderItem: the code of the location it leaves from
    unit_field: FieldPath = ""  # of OrderItem: which one-of-one piece
    fulfilled_field: FieldPath = ""  # of OrderItem: units delivered
    fulfilled_statuses: tuple[Text, ...] = ()  # statuses in which all has been delivered
    cancelled_statuses: tuple[Text, ...] = ("Cancelled", "Canceled")
    reduction_orders: bool = True
    not_goods: dict[OwnField, tuple[Text, ...]] = Field(default={})  # what no shelf holds: patterns, by field
    returns_to: OrgLocation | None = None  # follow return orders; their goods wait here, not for sale
    received_statuses: tuple[Text, ...] = ("Closed",)  # of a return order: its goods are there
    most_units: int = Field(
        default=MOST_UNITS, ge=1, le=1_000_000
    )  # of one line of orders that are no channel's


class OrgCountsSettings(Section):
    """Stock counts made as StockCount__c records in the org."""

    every_seconds: float = Field(default=60.0, ge=5, le=3600)  # between two looks: one call each
    copies: bool = True  # counts made elsewhere (file, phone, API) are written there too


class CountsSettings(Section):
    """What stock counts are believed without a person's word: file, page, API, or record in the org."""

    most_units: int = Field(default=MOST_COUNTED, ge=1, le=1_000_000)  # of one SKU at one place
    oldest_days: int = Field(default=OLDEST_DAYS, ge=1, le=3660)  # a count dated earlier is asked about


AlertKindName = Literal["incident", "hole", "silence", "dead-letters", "exposure", "held", "allowance"]


class AlertReceiverSettings(ReceiverSettings):
    """Somebody who is told of alerts, as they begin and when they are over."""

    kinds: tuple[AlertKindName, ...] = ()  # of these; empty: of all


class AlertsSettings(Section):
    """What people are woken for, and who is told."""

    exposed_units: int | None = Field(default=None, ge=1)  # of one channel; more than so many are an alert
    receivers: dict[Name, AlertReceiverSettings] = Field(default={})


class Settings(BaseSettings):
    """All of it. Made by `load`; made directly, it takes what it is given and reads nothing."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    salesforce: SalesforceSettings
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    ledger: LedgerSettings = LedgerSettings()
    drift: DriftSettings = DriftSettings()
    shadow: ShadowSettings = ShadowSettings()
    alerts: AlertsSettings = AlertsSettings()
    locations: LocationsSettings = LocationsSettings()
    org_orders: OrgOrdersSettings | None = None
    org_counts: OrgCountsSettings | None = None
    counts: CountsSettings = CountsSettings()
    products: ProductsSettings | None = None
    location_groups: dict[Name, Annotated[tuple[OrgLocation, ...], Field(min_length=1)]] = Field(default={})
    channels: dict[Name, AnyChannel] = Field(default={})
    policies: tuple[PolicySettings, ...] = ()
    editions: dict[Name, EditionSettings] = Field(default={})
    tills: dict[Name, TillSettings] = Field(default={})

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _warnings: tuple[Problem, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed over; `load` brings its own sources."""
        return (init_settings,)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works but should be mended."""
        return self._warnings

    def store_url(self) -> str:
        """The store's URL as SQLAlchemy takes it: an absolute path for SQLite, psycopg for PostgreSQL.

        Holds a password where the settings gave one: not for logs.
        """
        scheme, _, rest = self.store.url.get_secret_value().partition("://")
        if scheme == "sqlite":
            return f"sqlite:///{self._folder / rest[1:]}"
        return f"postgresql+psycopg://{rest}"

    def local_token_path(self) -> Path | None:
        """Where the daemon leaves a token for the CLI of the same user: beside an embedded store."""
        url = self.store_url()
        return Path(url.removeprefix("sqlite:///") + ".token") if url.startswith("sqlite:///") else None

    def local_address_path(self) -> Path | None:
        """Where the daemon leaves the address it really listens at, for the same CLI, while it runs."""
        token = self.local_token_path()
        return token and token.with_suffix(".address")

    def assortment(self) -> Assortment:
        """Who sells what from where, in the domain's words."""
        return Assortment(
            channels={name: _plan(name, channel) for name, channel in self.channels.items()},
            rules=tuple(_rule(policy, self.channels, self.location_groups) for policy in self.policies),
            groups=self.location_groups,
            shared=_shared(self.org_orders, self.channels) if self.org_orders else {},
            org_orders=_org_rules(self.org_orders, self.channels) if self.org_orders else None,
            floor=Floor(self._told_after_sale(), self.locations.floor_scarce_at),
            stays=dict(self.locations.safety_stock),
            in_transit=self.locations.in_transit,
            not_for_sale=frozenset(
                {self.locations.in_transit, *self.locations.not_for_sale, *self._returns()}
            ),
            price_channel=self.products.price_from_channel if self.products else "",
            tags_channel=next(
                (
                    name
                    for name, channel in self.channels.items()
                    if isinstance(channel, ShopifySettings) and channel.product_tags
                ),
                "",
            ),
            counts=Believed(self.counts.most_units, timedelta(days=self.counts.oldest_days)),
            most_units_of_org=self.org_orders.most_units if self.org_orders else MOST_UNITS,
            editions={name: Edition(name, **edition.model_dump()) for name, edition in self.editions.items()},
        )

    def reach(self) -> Reach:
        """Where each channel's tokens reserve. What `may_reserve_at` names is a group where there is one."""
        groups = {name: frozenset(codes) for name, codes in self.location_groups.items()}
        assortment = self.assortment()
        return Reach(
            {
                name: assortment.places(name).union(
                    *(groups.get(place, {place}) for place in channel.may_reserve_at)
                )
                for name, channel in self.channels.items()
            },
            groups,
        )

    def _told_after_sale(self) -> frozenset[str]:
        """Where goods may be sold already without our knowing: a concession's till is always late."""
        return frozenset({*self.locations.tills_after_sale, *(till.location for till in self.tills.values())})

    def _returns(self) -> tuple[str, ...]:
        place = self.org_orders.returns_to if self.org_orders else None
        return (place,) if place else ()


def _plan(name: str, channel: ChannelSettings) -> ChannelPlan:
    return ChannelPlan(
        name=name,
        locations={location: place.sells_from for location, place in channel.locations.items()},
        guarantee=Guarantee(channel.guarantee),
        safety_stock=channel.safety_stock,
        cap=channel.cap,
        ask_above_percent=channel.ask_above_percent,
        counts_down=channel.counts_down,
        asks=channel.asks,
        most_units=channel.most_units,
        orders_lag=timedelta(seconds=channel.orders_lag_seconds),
        identity=channel.identity(),
    )


def _org_rules(orders: OrgOrdersSettings, channels: Iterable[str]) -> OrgOrderRules:
    named = {name: name for name in channels} if orders.channel_field else {}
    return OrgOrderRules(
        {**named, **orders.channels} if orders.channel_field else {},
        frozenset(orders.cancelled_statuses),
        frozenset(orders.fulfilled_statuses),
        frozenset(orders.received_statuses),
        orders.not_goods,
    )


def _shared(orders: OrgOrdersSettings, channels: Iterable[str]) -> dict[str, SharedOrders]:
    """The channels whose orders the org may tell of, and the org itself."""
    told = {*channels} if orders.channel_field else set()
    both = SharedOrders(Source(orders.authority), returns_to=orders.returns_to)
    own = SharedOrders(Source.ORG, orders.sells_from, orders.returns_to)
    return {**dict.fromkeys(sorted(told), both), ORG_CHANNEL: own}


def _block(policy: PolicySettings, channels: Mapping[str, ChannelSettings]) -> BlockRule | None:
    if policy.block is None:
        return None
    places = policy.block_at
    if not places:
        first = channels[next(iter(policy.channels or channels))]
        places = next(iter(first.locations.values())).sells_from[:1]
    return BlockRule(policy.block, places)


def _turns(policy: PolicySettings) -> Turns | None:
    if policy.turn_hours is None and policy.turn_idle_hours is None:
        return None
    return Turns(policy.turn_hours, policy.turn_idle_hours)


def _rule(
    policy: PolicySettings,
    channels: Mapping[str, ChannelSettings],
    groups: Mapping[str, tuple[str, ...]],
) -> PolicyRule:
    return PolicyRule(
        skus=policy.skus,
        channels=policy.channels,
        guarantee=None if policy.guarantee is None else Guarantee(policy.guarantee),
        safety_stock=policy.safety_stock,
        cap=policy.cap,
        shares=policy.shares,
        scarce_at=policy.scarce_at,
        plentiful_at=policy.plentiful_at,
        fresh_seconds=policy.fresh_seconds,
        block=_block(policy, channels),
        product=Wanted(policy.fields, policy.tags, policy.price_from),
        demand_days=policy.demand_days,
        turns=_turns(policy),
        sells_from=groups[policy.location_group] if policy.location_group else (),
        exposure_accepted=policy.exposure_accepted,
    )
