"""What a channel must be told: what every kind has in common, and each kind's own keys.

A kind is a subclass of `ChannelSettings`, or of `SiteSettings` where it has an address. Which one a table of
the file means, its key `kind` says: `model_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, WrapValidator
from pydantic_core import InitErrorDetails

from sfsync import kinds
from sfsync.domain.believable import MOST_UNITS
from sfsync.domain.mapping import Identity
from sfsync.domain.orders import ORDERS_LAG

from .problems import nearest
from .section import Section
from .texts import (
    CallbackAddress,
    Name,
    OrgLocation,
    Secret,
    ShopDomain,
    ShopifyLocation,
    ShopifyVersion,
    SigningSecret,
    SiteAddress,
    Text,
    refuse,
)


class LocationSettings(Section):
    """One of a channel's locations, and the org locations that it draws on, best first."""

    id: Annotated[str, Field(max_length=255)] = ""  # the channel's own id, where it needs one
    sells_from: tuple[OrgLocation, ...] = Field(min_length=1)


class ChannelSettings(Section):
    """What every kind of channel has. A channel's guarantee holds where no policy says otherwise."""

    # Its own number falls by itself with what it sells; what its shoppers hold may stay shown until then.
    counts_down: ClassVar[bool] = True
    asks: ClassVar[bool] = True  # it can ask before payment

    kind: str
    guarantee: Literal["mirrored", "gated"] = "mirrored"
    safety_stock: int = Field(default=0, ge=0)  # units of the location group never offered
    cap: int | None = Field(default=None, ge=0)  # units; never show more
    # Its tokens reserve where it sells from, and at these locations and location groups: click & collect.
    may_reserve_at: tuple[OrgLocation, ...] = ()
    # When changed settings would change more of its numbers than so many per cent, a person is asked first.
    ask_above_percent: int = Field(default=20, ge=0, le=100)
    # Of one line of an order. An order with more is set aside for a person: it moves no stock before that.
    most_units: int = Field(default=MOST_UNITS, ge=1, le=1_000_000)
    # For so long an order may be missing from the channel's own list of orders. The list is read so much
    # further back, and a number that fell is a sale that nobody has told of yet for half as long again.
    orders_lag_seconds: float = Field(default=ORDERS_LAG.total_seconds(), ge=10, le=86_400)
    locations: Mapping[Name, LocationSettings] = Field(min_length=1)

    def shop(self) -> str:
        """Which shop it is, told from all others of its kind; no secret."""
        return ""

    def identity(self) -> Identity | None:
        """Shop and places: others mean that nothing known holds there. None: it cannot be read anyway."""
        return Identity(self.shop(), {name: place.id for name, place in self.locations.items()})


class ReceiverSettings(Section):
    """Somebody who is told by signed callbacks: where, and how messages are signed."""

    url: CallbackAddress
    secret: SigningSecret
    secret_file: Path | None = None
    previous_secret: SigningSecret | None = None  # messages are signed with both while secrets rotate
    previous_secret_file: Path | None = None
    allow_private: bool = False  # it is in our own network, or on this machine
    # A receiver that fails for so long is set aside: an incident, and slow tries until it is back.
    set_aside_after_minutes: float = Field(default=60.0, ge=1, le=4500)
    ca_file: Path | None = None
    timeout_seconds: float = Field(default=15.0, gt=0, le=60)


class CallbackSettings(ReceiverSettings, ChannelSettings):
    """A storefront without an API of its own, told its stock by signed callbacks: docs/callbacks.md."""

    counts_down: ClassVar[bool] = False

    kind: Literal["callback"]
    guarantee: Literal["mirrored", "gated"] = "gated"

    def identity(self) -> Identity | None:
        """None: it shows what it is told, and a new receiver asks for all of it (docs/callbacks.md)."""
        return None


class SiteSettings(ChannelSettings):
    """A channel that is spoken to at a web address of its own."""

    url: SiteAddress
    ca_file: Path | None = None
    timeout_seconds: float = Field(default=10.0, gt=0, le=600)

    def shop(self) -> str:
        """Its address."""
        return urlsplit(self.url).netloc.lower()


class ShopifyLocationSettings(LocationSettings):
    """A location of a Shopify store."""

    id: ShopifyLocation  # its gid, or the number in it


class ShopifySettings(SiteSettings):
    """A Shopify store, spoken to as a custom app: by its access token, or by its client id and secret."""

    kind: Literal["shopify"]
    locations: Mapping[Name, ShopifyLocationSettings] = Field(min_length=1)
    shop_domain: ShopDomain
    api_version: ShopifyVersion = "2026-10"
    access_token: Secret | None = None
    access_token_file: Path | None = None
    client_id: Text | None = None
    client_secret: Secret | None = None
    client_secret_file: Path | None = None
    webhook_secret: Secret
    webhook_secret_file: Path | None = None
    previous_webhook_secret: Secret | None = None  # still accepted while a new one takes over
    previous_webhook_secret_file: Path | None = None
    product_tags: bool = False  # its products' tags count in policies, where the org's product has none

    def shop(self) -> str:
        """Its address and the store's name."""
        return f"{super().shop()} {self.shop_domain.lower()}"

    def identity(self) -> Identity | None:
        """A gid and the number in it are the same place."""
        return Identity(
            self.shop(), {name: place.id.rpartition("/")[2] for name, place in self.locations.items()}
        )


class MiraklSettings(SiteSettings):
    """A shop at a Mirakl marketplace, spoken to with its API key."""

    asks: ClassVar[bool] = False

    kind: Literal["mirakl"]
    guarantee: Literal["mirrored"] = "mirrored"
    # Its offers show the stock of one place; `id` is its warehouse code, where stock is kept by warehouse.
    locations: Mapping[Name, LocationSettings] = Field(min_length=1, max_length=1)
    api_key: Secret
    api_key_file: Path | None = None
    shop_id: Annotated[str, Field(pattern=r"^\d*$")] = ""  # where the key's user has several shops
    # When the marketplace itself lowers an offer's quantity for an order.
    falls_at: Literal["order", "acceptance"] = "order"
    settle_seconds: float = Field(default=120.0, ge=0, le=86_400)  # a raise waits so long, and for the orders
    # The marketplace's own limits: how often it takes a stock file, tells a file's status, lists orders.
    imports_every_seconds: float = Field(default=60.0, ge=0, le=3600)
    status_every_seconds: float = Field(default=15.0, gt=0, le=3600)
    outcome_within_minutes: float = Field(default=60.0, gt=0, le=1440)  # or an incident says so
    orders_every_seconds: float = Field(default=60.0, gt=0, le=3600)
    returns_every_seconds: float = Field(default=900.0, gt=0, le=86_400)

    def shop(self) -> str:
        """The marketplace's address and the shop there."""
        return f"{super().shop()} {self.shop_id}".rstrip()


class AmazonSettings(SiteSettings):
    """A seller in an Amazon store, spoken to as an app that the seller has authorized."""

    asks: ClassVar[bool] = False

    kind: Literal["amazon"]
    guarantee: Literal["mirrored"] = "mirrored"
    # Its listings show the stock of one place.
    locations: Mapping[Name, LocationSettings] = Field(min_length=1, max_length=1)
    auth_url: SiteAddress = "https://api.amazon.com"
    seller_id: Text
    marketplace_id: Text
    client_id: Text
    client_secret: Secret
    client_secret_file: Path | None = None
    refresh_token: Secret
    refresh_token_file: Path | None = None
    settle_seconds: float = Field(default=300.0, ge=0, le=86_400)  # a raise waits so long, and for the orders
    landing_seconds: float = Field(default=60.0, ge=0, le=3600)  # from a change's acceptance to the listing
    outcome_every_seconds: float = Field(default=15.0, gt=0, le=3600)  # how often a feed is asked for
    outcome_within_minutes: float = Field(default=60.0, gt=0, le=1440)  # or an incident says so
    orders_every_seconds: float = Field(default=180.0, gt=0, le=3600)  # so long read orders count as known

    def shop(self) -> str:
        """The API's address, the seller and the marketplace."""
        return f"{super().shop()} {self.seller_id} {self.marketplace_id}"


class VendureLocationSettings(LocationSettings):
    """A stock location of a Vendure shop."""

    id: Text  # as the shop's API has it


class VendureSettings(SiteSettings):
    """A Vendure shop with our plugin, spoken to by an API key, or by an administrator's name and password."""

    kind: Literal["vendure"]
    locations: Mapping[Name, VendureLocationSettings] = Field(min_length=1)
    admin_path: Annotated[str, Field(pattern=r"^/[^\s?#]*$")] = "/admin-api"
    api_key: Secret | None = None
    api_key_file: Path | None = None
    username: Text | None = None
    password: Secret | None = None
    password_file: Path | None = None
    channel_token: Secret | None = None  # where the shop has several channels
    channel_token_file: Path | None = None
    webhook_secret: SigningSecret
    webhook_secret_file: Path | None = None
    previous_webhook_secret: SigningSecret | None = None  # still accepted while a new one takes over
    previous_webhook_secret_file: Path | None = None


BUILT_IN: Mapping[str, type[ChannelSettings]] = {
    "amazon": AmazonSettings,
    "callback": CallbackSettings,
    "mirakl": MiraklSettings,
    "shopify": ShopifySettings,
    "vendure": VendureSettings,
}


def known_kinds() -> list[str]:
    """Every kind that settings may name here, ours and others'."""
    return sorted({*BUILT_IN, *(offer.kind for offer in kinds.offers())})


def model_of(kind: str) -> type[ChannelSettings]:
    """The settings of a kind. Raises `BadKindError`; a built-in kind cannot be replaced from outside."""
    if (ours := BUILT_IN.get(kind)) is not None:
        return ours
    offered = kinds.load(kind)
    if offered is None:
        known = known_kinds()
        close = nearest(kind, known)
        hint = f"; did you mean {close}?" if close else ""
        raise kinds.BadKindError(f"is {kind!r}", f"Use one of {', '.join(known)}{hint}")
    model = getattr(offered, "settings", None)
    if not (isinstance(model, type) and issubclass(model, ChannelSettings)):
        what = "is offered by a package whose entry point is no sfsync.channels.Kind with ChannelSettings"
        raise kinds.BadKindError(what, "Mend that package: see docs/add-a-channel.md")
    return model


def meant_model(kind: object) -> type[ChannelSettings]:
    """The settings of the kind that was named, or probably meant: for telling what else is wrong with it."""
    try:
        return model_of(str(kind))
    except kinds.BadKindError:
        return BUILT_IN.get(nearest(str(kind), BUILT_IN) or "", ChannelSettings)


def _of_its_kind(value: Any, handler: ModelWrapValidatorHandler[ChannelSettings]) -> ChannelSettings:
    """A table read as its `kind` says. Its mistakes are told at their own keys."""
    if not isinstance(value, dict):
        return handler(value)
    kind = value.get("kind")
    if not isinstance(kind, str):
        told = InitErrorDetails(type="missing" if kind is None else "string_type", loc=("kind",), input=kind)
        raise ValidationError.from_exception_data("channel", [told])
    try:
        model = model_of(kind)
    except kinds.BadKindError as error:
        told = InitErrorDetails(type=refuse(error.what, error.remedy), loc=("kind",), input=kind)
        raise ValidationError.from_exception_data("channel", [told]) from error
    return model.model_validate(value)


AnyChannel = Annotated[ChannelSettings, WrapValidator(_of_its_kind)]
