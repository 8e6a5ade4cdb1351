"""Kinds of text in the settings, each with its check and its remedy. A refused value is never repeated."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from sfsync.domain.stock import BadKeyError, LevelKey

LOOPBACK = re.compile(r"^(localhost|[\w.-]+\.localhost|127(\.\d{1,3}){3}|::1)$", re.IGNORECASE)

# What the pages of an org have in the place of its My Domain's ".my.salesforce.com".
PAGES = (".lightning.force.com", ".my.salesforce-setup.com")


def refuse(what: str, remedy: str) -> PydanticCustomError:
    """An error whose texts the report takes over word for word."""
    return PydanticCustomError("told", "{what}", {"what": what, "remedy": remedy})


def matching(pattern: str, what: str, remedy: str) -> AfterValidator:
    """Accepts texts of a pattern; others are refused with `what` and `remedy`."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise refuse(what, remedy)
        return text

    return AfterValidator(check)


def _web_address(text: str) -> str:
    """An http(s) base address without a trailing slash."""
    remedy = "Give it like https://stock.example.com"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise refuse("is not a web address", remedy) from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise refuse("is not a web address", remedy)
    if parts.username or parts.password:
        raise refuse("holds a user name or a password", "Credentials have keys of their own")
    if parts.query or parts.fragment or re.search(r"\s", text):
        raise refuse("has more than a host and a path", remedy)
    return text.rstrip("/")


def _site_address(text: str) -> str:
    """A web address of a site itself; credentials go there, so it is encrypted unless it is this machine."""
    address = _web_address(text)
    if urlsplit(address).path:
        raise refuse("has more than a host", "Give the address without a path")
    if address.startswith("http://") and not is_loopback(address):
        raise refuse("would send credentials without encryption", "Use https://")
    return address


def _org_address(text: str) -> str:
    """The org's own address for programs: people know it by its pages, which sign nobody in."""
    address = _site_address(text)
    parts = urlsplit(address)
    host = parts.hostname or ""
    for pages in PAGES:
        if host.endswith(pages):
            mine = f"https://{host.removesuffix(pages)}.my.salesforce.com"
            raise refuse("is the address of the org's pages", f"Give its My Domain: {mine}")
    return address


def _public_address(text: str) -> str:
    """A web address at which others reach us, perhaps below a path."""
    address = _web_address(text)
    if address.startswith("http://") and not is_loopback(address):
        raise refuse("has no encryption", "Use https://: nobody sends webhooks in the clear")
    return address


def _callback_address(text: str) -> str:
    """Where signed messages go: encrypted, unless it is this machine; the path is the receiver's own."""
    remedy = "Give it like https://shop.example.com/stock"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise refuse("is not a web address", remedy) from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0 or re.search(r"\s", text):
        raise refuse("is not a web address", remedy)
    if parts.username or parts.password:
        raise refuse(
            "holds a user name or a password", "What proves who we are is the signature; remove them"
        )
    if parts.fragment:
        raise refuse("has a part after #, which no receiver would see", "Remove it")
    if parts.scheme == "http" and not is_loopback(text):
        raise refuse("would send stock without encryption", "Use https://")
    return text


def _signing_secret(secret: SecretStr) -> SecretStr:
    """A secret as Standard Webhooks has it."""
    text, prefix = secret.get_secret_value(), "whsec_"
    try:
        size = len(base64.b64decode(text.removeprefix(prefix), validate=True))
    except binascii.Error:
        size = 0
    if not text.startswith(prefix) or not 24 <= size <= 64:
        raise refuse(
            "is no secret for signing",
            "Make one by: echo whsec_$(openssl rand -base64 32); give both sides the same",
        )
    return secret


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or "/" in text or not port.isdecimal() or not 0 < int(port) < 65536:
        raise refuse("is not host:port", "Give it like api.pubsub.salesforce.com:7443")
    return text


def _store_url(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    scheme, found, rest = text.partition("://")
    if not found or scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise refuse("is neither sqlite:///path nor postgresql://user@host/database", "Give one of these two")
    if scheme == "sqlite" and (not rest.startswith("/") or rest.strip("/") in ("", ":memory:")):
        raise refuse(
            "names no file, so nothing would survive a restart", "Give it like sqlite:///var/sfsync.db"
        )
    return secret


def _org_location(text: str) -> str:
    return _key_part(text, lambda: LevelKey("SKU", text))


def _key_part(text: str, build: Callable[[], LevelKey]) -> str:
    try:
        build()
    except BadKeyError as error:
        raise refuse(f"cannot be part of a level key: {error}", "Write it as the org does") from None
    return text


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        what, remedy = "is no address or network", 'Give it like "10.0.0.7" or "10.0.0.0/24"'
        raise refuse(what, remedy) from None


def is_loopback(address: str) -> bool:
    """True when a web address leads to this machine."""
    return bool(LOOPBACK.match(urlsplit(address).hostname or ""))


CallbackAddress = Annotated[str, AfterValidator(_callback_address)]
SigningSecret = Annotated[SecretStr, AfterValidator(_signing_secret)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
OrgAddress = Annotated[str, AfterValidator(_org_address)]
SiteAddress = Annotated[str, AfterValidator(_site_address)]
PublicAddress = Annotated[str, AfterValidator(_public_address)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
StoreUrl = Annotated[SecretStr, AfterValidator(_store_url)]
OrgLocation = Annotated[str, AfterValidator(_org_location)]
Text = Annotated[str, Field(min_length=1, max_length=255)]
Secret = Annotated[SecretStr, Field(min_length=1)]
BearerToken = Annotated[SecretStr, Field(min_length=16, max_length=1024)]
Name = Annotated[
    str,
    matching(
        r"[a-z][a-z0-9_-]{0,39}",
        "is not a name",
        "Use up to 40 lower-case letters, digits, '-' and '_', a letter first: it is part of addresses",
    ),
]
NameOrAll = Annotated[
    str, matching(r"\*|[a-z][a-z0-9_-]{0,39}", "is not a name", 'Give a channel\'s name, or "*" for all')
]
ShopDomain = Annotated[
    str, matching(r"[A-Za-z0-9.-]+(:\d+)?", "is not a host name", "Give it like example.myshopify.com")
]
OrgVersion = Annotated[
    str, matching(r"\d\d\.0", "is not an API version of Salesforce", 'Give it like "67.0"')
]
ShopifyVersion = Annotated[
    str,
    matching(
        r"2026-(01|04|07|10)",
        "is not an API version of Shopify that sfsync has been checked against",
        'Set it to "2026-10" (2026-01, 2026-04 and 2026-07 are checked too)',
    ),
]
ShopifyLocation = Annotated[
    str,
    matching(
        r"(gid://shopify/Location/)?[0-9]+",
        "is not the id of a location",
        'Give it like "gid://shopify/Location/1"',
    ),
]
StockTopic = Annotated[
    str, matching(r"/(data|event)/\w+", "is not a topic", 'Give a channel like "/data/SfsyncStock__chn"')
]
PosTopic = Annotated[
    str,
    matching(
        r"(/event/\w+__e)?", "is not a platform event", 'Give it like "/event/StockEvent__e"; "" turns it off'
    ),
]
Network = Annotated[str, AfterValidator(_network)]
HeaderName = Annotated[
    str, matching(r"[A-Za-z0-9-]{1,80}", "is no name of a header", 'Give it like "X-Forwarded-User"')
]
OwnField = Annotated[
    str,
    matching(
        r"[A-Za-z]\w*(\.[A-Za-z]\w*){0,4}",
        "is not a field",
        'Give an API name, or a path to one like "Product2.Family"',
    ),
]
FieldPath = Annotated[
    str,
    matching(
        r"([A-Za-z]\w*(\.[A-Za-z]\w*){0,4})?",
        "is not a field",
        'Give an API name, or a path to one like "Product2.StockKeepingUnit"',
    ),
]
SkuPattern = Annotated[
    str,
    matching(r"[^|\s]([^|]*[^|\s])?", "is not a SKU pattern", "Write SKUs, with * and ? for what may vary"),
]


def _moment(value: object) -> datetime:
    """A moment from the file's own kind of it, or from a text; in UTC."""
    remedy = "Give it like 2026-12-01T09:00:00Z, with Z or an offset"
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime):
        raise refuse("is not a moment", remedy)
    if moment.tzinfo is None:
        raise refuse("does not say in which time zone", remedy)
    return moment.astimezone(UTC)


Moment = Annotated[datetime, BeforeValidator(_moment)]
Sku = Annotated[
    str,
    matching(
        r"[^|\s*?]([^|*?]{0,118}[^|\s*?])?",
        "is not a SKU",
        "Name each SKU by itself, without * and ?",
    ),
]
