"""The first settings of a house, as text: what was answered, and what else is often wanted, commented out."""

from __future__ import annotations

import json
from dataclasses import dataclass

KEY_FILE = "secrets/salesforce-key.pem"
CERTIFICATE_FILE = "secrets/salesforce-key.crt"
SECRET_FILE = "secrets/salesforce-client-secret"  # noqa: S105 — a path
CHECKOUT_FILE = "secrets/checkout-token"
OPERATIONS_FILE = "secrets/operations-token"


@dataclass(frozen=True, slots=True)
class FirstShop:
    """A Shopify store, as far as it is known at the beginning."""

    name: str  # our name of the channel
    domain: str
    location: str  # the store's id of its location
    sells_from: tuple[str, ...]  # the org's locations, best first

    @property
    def access_token_file(self) -> str:
        """Where its access token is expected, beside the settings."""
        return f"secrets/{self.name}-access-token"

    @property
    def webhook_secret_file(self) -> str:
        """Where the secret of its webhooks is expected."""
        return f"secrets/{self.name}-webhook-secret"


@dataclass(frozen=True, slots=True)
class First:
    """What must be known to begin."""

    login_url: str
    client_id: str
    username: str = ""  # of the JWT bearer flow; "": client credentials, with a secret
    public_url: str = ""
    shop: FirstShop | None = None


def first_settings(first: First) -> str:
    """A settings file that says the same."""
    signs_in = (
        f"username = {_text(first.username)}   # the key signs in as\n"
        f"private_key_file = {_text(KEY_FILE)}   # its certificate stands in the app"
        if first.username
        else f"client_secret_file = {_text(SECRET_FILE)}   # the app's consumer secret"
    )
    public = _text(first.public_url) if first.public_url else '"https://stock.example.com"'
    return f"""\
# Settings of sfsync, made by `sfsync init`. Every key, with its default: config/example.toml.
# `sfsync check` says whether everything is in order; `sfsync run` starts.

[salesforce]
login_url = {_text(first.login_url)}   # the org's My Domain
client_id = {_text(first.client_id)}   # the External Client App's consumer key
{signs_in}
# pubsub_endpoint = "api.pubsub.salesforce.com:7443"   # EU orgs: api.deu.pubsub.salesforce.com:7443
# calls_reserved_percent = 20   # of the org's API calls: for others

[store]
# url = "sqlite:///var/sfsync.db"   # or postgresql://sfsync@db.internal/sfsync

[web]
# host = "127.0.0.1"   # 0.0.0.0 in a container
# port = 8181
{"" if first.public_url else "# "}public_url = {public}   # where shops reach it: for `sfsync channel setup`

{_checkout(first.shop)}
[[web.tokens]]
name = "operations"   # people and scripts
token_file = {_text(OPERATIONS_FILE)}
role = "operator"

{_shop(first.shop) if first.shop else _NO_SHOP}
# What holds for some SKUs instead of their channel's defaults; the first that matches counts.
# [[policies]]
# skus = ["LE-*"]
# guarantee = "allocated"   # "gated", "mirrored"
"""


def _checkout(shop: FirstShop | None) -> str:
    """The token of the shop's checkout; without a shop there is nobody who could use one yet."""
    mark, channel = ("", shop.name) if shop else ("# ", "london")
    lines = (
        "[[web.tokens]]",
        'name = "checkout"   # what the shop\'s checkout reserves with',
        f"token_file = {_text(CHECKOUT_FILE)}",
        'scopes = ["reservations"]',
        f"channels = [{_text(channel)}]   # it sees nothing of others",
    )
    return "".join(f"{mark}{line}\n" for line in lines)


def _shop(shop: FirstShop) -> str:
    places = ", ".join(_text(each) for each in shop.sells_from)
    return f"""\
[channels.{_text(shop.name)}]   # the name stands in addresses and in ledger keys: keep it
kind = "shopify"
url = {_text(f"https://{shop.domain}")}
shop_domain = {_text(shop.domain)}
access_token_file = {_text(shop.access_token_file)}
webhook_secret_file = {_text(shop.webhook_secret_file)}
guarantee = "mirrored"   # "gated": the shop asks before payment
# safety_stock = 0   # units never offered
# may_reserve_at = ["KNIGHTSBRIDGE"]   # where its checkout reserves besides: click & collect

[channels.{_text(shop.name)}.locations.online]
id = {_text(shop.location)}
sells_from = [{places}]   # the org's location codes, best first
"""


_NO_SHOP = """\
# A storefront: docs/shopify-setup.md.
# [channels.london]
# kind = "shopify"
# url = "https://example-london.myshopify.com"
# shop_domain = "example-london.myshopify.com"
# access_token_file = "secrets/london-access-token"
# webhook_secret_file = "secrets/london-webhook-secret"
# [channels.london.locations.online]
# id = "gid://shopify/Location/1"
# sells_from = ["ECOM"]
"""


def _text(value: str) -> str:
    """A TOML basic string: JSON's escapes are among its own."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
