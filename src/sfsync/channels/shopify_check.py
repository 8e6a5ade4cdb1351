"""What can be wrong between us and a Shopify store, found before it matters, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sfsync.channels import shopify_documents as documents
from sfsync.channels.config import ShopifyConfig
from sfsync.channels.shopify_client import ShopifyClient
from sfsync.ports import Finding, Refused, Severity

SCOPES = ("read_inventory", "write_inventory", "read_locations", "read_products", "read_orders")
ROUTING_SCOPE = "read_merchant_managed_fulfillment_orders"  # rows outside of it are left out without a word

UNSHOWN = "no number can be written there"


async def check(config: ShopifyConfig, client: ShopifyClient) -> list[Finding]:
    """Every finding; good ones too. Raises TryLater when the store does not answer."""
    findings: list[Finding] = []
    try:
        app = await client.read("CheckApp", documents.CHECK_APP, {})
        findings += [
            Finding(Severity.GOOD, f"{config.name}: the store {app['shop']['name']} accepts the token"),
            *_shop(config, app["shop"]),
            *_scopes(config, app["currentAppInstallation"]),
            *_version(config, client.answered_version, app["publicApiVersions"]),
            *_webhooks(config),
        ]
        places = await client.read("CheckLocations", documents.CHECK_LOCATIONS, {})
        findings += _locations(config, places["locations"]["nodes"])
    except Refused as failure:
        why = "nothing of the store can be read or written"
        findings.append(Finding(Severity.FATAL, str(failure), failure.advice, why))
    return findings


def _shop(config: ShopifyConfig, shop: Mapping[str, Any]) -> Iterator[Finding]:
    domain = shop["myshopifyDomain"]
    if config.shop_domain and domain.lower() != config.shop_domain.lower():
        what = f"{config.name}: the store calls itself {domain}, not {config.shop_domain}"
        remedy = f"set shop_domain = {domain!r} if this is the right store, else mend url"
        why = "every webhook would be refused, or the numbers of another store be written"
        yield Finding(Severity.FATAL, what, remedy, why)


def _scopes(config: ShopifyConfig, installation: Mapping[str, Any]) -> Iterator[Finding]:
    held = {scope["handle"] for scope in installation["accessScopes"]}
    held |= {f"read_{scope.removeprefix('write_')}" for scope in held if scope.startswith("write_")}
    needed = (*SCOPES, ROUTING_SCOPE) if len(config.locations) > 1 else SCOPES
    missing = [scope for scope in needed if scope not in held]
    if missing:
        what = f"{config.name}: the app lacks the access scopes {', '.join(missing)}"
        remedy = "add them to the app's configuration and install it anew"
        why = "Shopify leaves out, without a word, what an app may not see"
        yield Finding(Severity.FATAL, what, remedy, why)
    else:
        yield Finding(Severity.GOOD, f"{config.name}: the app holds every access scope it needs")


def _version(
    config: ShopifyConfig, answered: str | None, versions: list[Mapping[str, Any]]
) -> Iterator[Finding]:
    remedy = "set api_version to a supported one, after reading what changed"
    why = "an old version is answered by a newer one, whose fields may mean something else"
    supported = sorted(version["handle"] for version in versions if version["supported"])
    if answered is not None and answered != config.api_version:
        what = f"{config.name}: asked for API version {config.api_version}, the store answers with {answered}"
        yield Finding(Severity.WARNING, what, remedy, why)
    elif config.api_version not in supported:
        what = (
            f"{config.name}: API version {config.api_version} is not supported ({', '.join(supported)} are)"
        )
        yield Finding(Severity.WARNING, what, remedy, why)
    else:
        yield Finding(
            Severity.GOOD, f"{config.name}: API version {config.api_version} is spoken and supported"
        )


def _locations(config: ShopifyConfig, nodes: list[Mapping[str, Any]]) -> Iterator[Finding]:
    known = {node["id"]: node for node in nodes}
    listed = ", ".join(f"{node['name']} = {node['id']}" for node in nodes) or "none"
    for name, gid in config.locations.items():
        node = known.get(gid)
        if node is None:
            what = f"{config.name}: the store has no location {gid} (our {name})"
            yield Finding(Severity.FATAL, what, f"mend locations; the store's are: {listed}", UNSHOWN)
        elif not node["isActive"]:
            what = f"{config.name}: the location {node['name']} (our {name}) is not active"
            yield Finding(
                Severity.FATAL, what, "activate it in the store, or take it out of locations", UNSHOWN
            )
        elif not node["fulfillsOnlineOrders"]:
            what = f"{config.name}: the location {node['name']} (our {name}) does not fulfil online orders"
            remedy = "let it fulfil online orders (Settings → Locations), or take it out of locations"
            yield Finding(Severity.WARNING, what, remedy, "stock there is not sold online")
        else:
            yield Finding(Severity.GOOD, f"{config.name}: the location {node['name']} (our {name}) is active")


def _webhooks(config: ShopifyConfig) -> Iterator[Finding]:
    if not config.webhook_secrets:
        what = f"{config.name}: no webhook secret, so every webhook will be refused"
        remedy = "set webhook_secret to the app's client secret"
        yield Finding(Severity.WARNING, what, remedy, "sales are then heard of minutes later, by asking")
