"""Checks across keys, on the raw tree, so that they speak up even while single values are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sfsync.domain.block import HOLDER
from sfsync.domain.rights import (
    ADMIN,
    EVERY,
    LEVELS,
    OF_CHANNELS,
    OF_LOCATIONS,
    RESERVATIONS,
    TILLS,
    Role,
)

from .origins import Origins, variable
from .problems import KeyPath, meant, nearest
from .shape import Shape, sections
from .texts import is_loopback

NEVER_ASK = ("amazon", "mirakl")  # kinds of channel whose shoppers pay before anybody is asked
LOCAL = "local"  # the token that the daemon leaves beside its store
SAYS = (
    "guarantee",
    "safety_stock",
    "cap",
    "fresh_seconds",
    "block",
    "location_group",
    "exposure_accepted",
)  # what a policy may say of its SKUs


def check_across(tree: dict[str, Any], root: Shape, origins: Origins) -> None:
    """Note what no single key shows."""
    for path, _, section in sections(root, tree):
        _certificates(section.get("ca_file"), (*path, "ca_file"), origins)
    _org_credentials(tree.get("salesforce"), origins)
    for name, channel in _tables(tree.get("channels")):
        if name == HOLDER:
            what = "is the name under which sfsync itself holds units in the org"
            origins.problem(("channels", name), what, "Give the channel another name")
        if channel.get("kind") == "shopify":
            _credentials(channel, ("channels", name), origins)
        elif channel.get("kind") == "vendure":
            _administrator(channel, ("channels", name), origins)
        elif channel.get("kind") == "callback":
            _callback(channel, ("channels", name), origins)
        _locations(channel, ("channels", name), origins)
    alerts = tree.get("alerts")
    for name, receiver in _tables(alerts.get("receivers") if isinstance(alerts, dict) else None):
        _callback(receiver, ("alerts", "receivers", name), origins)
    for number, policy in enumerate(_list(tree.get("policies"))):
        _policy(policy, ("policies", number), tree, origins)
    _prices(tree, origins)
    _editions(tree, origins)
    _org_orders(tree, origins)
    _not_for_sale(tree, origins)
    _kept(tree, origins)
    _may_reserve_at(tree, origins)
    _tokens(tree, origins)
    _tills(tree, origins)
    _open_page(tree, origins)


def _certificates(file: object, path: KeyPath, origins: Origins) -> None:
    if not isinstance(file, str):
        return
    try:
        found = b"-----BEGIN CERTIFICATE-----" in Path(file).read_bytes()
    except OSError as error:
        origins.problem(path, f"names {file}: {error.strerror}", "Create it, or let us read it")
    else:
        if not found:
            origins.problem(path, f"names {file}, which holds no certificate", "Give certificates as PEM")


def _org_credentials(org: object, origins: Origins) -> None:
    """A client secret, or a private key with the user whom it signs in."""
    if not isinstance(org, dict):
        return
    path: KeyPath = ("salesforce",)
    secret = "client_secret" in org or "client_secret_file" in org
    key = "private_key" in org or "private_key_file" in org
    user = "username" in org
    if secret and (key or user):
        here = (*path, "private_key" if key else "username")
        origins.problem(here, "is given, and client_secret too", "Keep one of the two ways to sign in")
    elif key != user:
        missing = "username" if key else "private_key"
        remedy = "Give username, and private_key or private_key_file: the key signs in that user"
        origins.missing((*path, missing), remedy)
    elif not secret and not key:
        remedy = (
            "Give client_secret or client_secret_file, or username with private_key_file, or set "
            f"{variable((*path, 'client_secret'))}"
        )
        origins.missing((*path, "client_secret"), remedy)


def _credentials(channel: dict[str, Any], path: KeyPath, origins: Origins) -> None:
    """An access token, or a client's id and secret."""
    token = "access_token" in channel or "access_token_file" in channel
    secret = "client_secret" in channel or "client_secret_file" in channel
    client = "client_id" in channel
    if token and (client or secret):
        here = (*path, "client_id" if client else "client_secret")
        origins.problem(here, "is given, and access_token too", "Keep one of the two ways to sign in")
    elif not token and not (client and secret):
        missing = "access_token" if not client and not secret else "client_secret" if client else "client_id"
        remedy = (
            "Give access_token or access_token_file, or client_id with client_secret or client_secret_file"
        )
        origins.missing((*path, missing), f"{remedy}, or set {variable((*path, missing))}")


def _administrator(channel: dict[str, Any], path: KeyPath, origins: Origins) -> None:
    """An API key, or an administrator's name and password."""
    key = "api_key" in channel or "api_key_file" in channel
    password = "password" in channel or "password_file" in channel
    name = "username" in channel
    if key and (name or password):
        here = (*path, "username" if name else "password")
        origins.problem(here, "is given, and api_key too", "Keep one of the two ways to sign in")
    elif not key and not (name and password):
        missing = "api_key" if not name and not password else "password" if name else "username"
        remedy = "Give api_key or api_key_file, or username with password or password_file"
        origins.missing((*path, missing), f"{remedy}, or set {variable((*path, missing))}")


def _callback(channel: dict[str, Any], path: KeyPath, origins: Origins) -> None:
    """This machine is no public receiver."""
    url = channel.get("url")
    if isinstance(url, str) and is_loopback(url) and not _true(channel.get("allow_private")):
        what = "is this machine, where callbacks do not go by themselves"
        origins.problem((*path, "url"), what, "Say allow_private = true if the receiver is yours")


def _locations(channel: dict[str, Any], path: KeyPath, origins: Origins) -> None:
    """One location per id, and no org location shown twice."""
    ids: dict[object, str] = {}
    sources: dict[object, str] = {}
    for name, place in _tables(channel.get("locations")):
        here = (*path, "locations", name)
        place_id = str(place.get("id"))
        if place.get("id") and ids.setdefault(place_id, name) != name:
            origins.problem((*here, "id"), f"is that of {ids[place_id]} too", "Give each location its own id")
        seen: set[str] = set()
        for code in map(str, _list(place.get("sells_from"))):
            if code in seen:
                origins.problem((*here, "sells_from"), f"names {code} twice", "Name each org location once")
            elif sources.setdefault(code, name) != name:
                what = (
                    f"names {code}, as {sources[code]} does: a channel that adds up shows those units twice"
                )
                origins.warning((*here, "sells_from"), what, "Sell from each org location at one place only")
            seen.add(code)


def _policy(policy: object, path: KeyPath, tree: dict[str, Any], origins: Origins) -> None:
    if not isinstance(policy, dict):
        return
    known = [name for name, _ in _tables(tree.get("channels"))]
    named = _list(policy.get("channels"))
    for number, channel in enumerate(named):
        if isinstance(channel, str) and channel not in known:
            what = f"names {channel}, which is no channel of these settings"
            origins.problem((*path, "channels", number), what, meant(channel, known))
    kinds = {name: channel.get("kind") for name, channel in _tables(tree.get("channels"))}
    _division(policy, path, [str(channel) for channel in named or known], kinds, origins)
    for number, channel in enumerate(named):
        if policy.get("guarantee") == "gated" and kinds.get(str(channel)) in NEVER_ASK:
            what = f"names {channel}, which cannot ask before payment"
            origins.problem((*path, "channels", number), what, "Allocate these SKUs, or leave it out")
    _scarce(policy, path, origins)
    _group(policy, path, tree, origins)
    _fresh(policy, path, tree, origins)
    _block(policy, path, known, origins)
    _product(policy, path, tree, origins)
    if not any(key in policy for key in SAYS):
        origins.problem(
            path, "says nothing about its SKUs", f"Give {', '.join(SAYS[:-1])} or {SAYS[-1]}, or remove it"
        )


def _block(policy: dict[str, Any], path: KeyPath, channels: list[str], origins: Origins) -> None:
    """Units that are asked for: not those that are divided among channels, and at a place that is known."""
    if "block" not in policy:
        if "block_at" in policy:
            origins.problem((*path, "block_at"), "is given without block", "Give both, or neither")
        return
    if policy.get("guarantee") == "allocated":
        what = "is for SKUs that are asked for; these are divided among channels"
        origins.problem((*path, "block"), what, "Remove it, or the guarantee allocated")
    if not policy.get("block_at") and not channels:
        what = "does not say where, and there is no channel whose first location it could be"
        origins.problem((*path, "block"), what, "Give block_at")


def _scarce(policy: dict[str, Any], path: KeyPath, origins: Origins) -> None:
    """Two limits with some units between; for what may change while units are on their way."""
    scarce_at, plentiful_at = policy.get("scarce_at"), policy.get("plentiful_at")
    if plentiful_at is not None and scarce_at is None:
        origins.problem((*path, "plentiful_at"), "is given without scarce_at", "Give both, or neither")
    elif isinstance(plentiful_at, int) and isinstance(scarce_at, int) and plentiful_at <= scarce_at:
        what = f"is {plentiful_at}, not more than scarce_at"
        remedy = "Leave some units between, so that it does not flicker"
        origins.problem((*path, "plentiful_at"), what, remedy)
    for key in ("block", "location_group"):
        if key in policy and scarce_at is not None:
            what = "holds always, and scarce_at says that the policy does not"
            origins.problem((*path, key), what, "Give it in a policy of its own")


def _group(policy: dict[str, Any], path: KeyPath, tree: dict[str, Any], origins: Origins) -> None:
    """A group that there is."""
    name, groups = policy.get("location_group"), tree.get("location_groups")
    known = list(groups) if isinstance(groups, dict) else []
    if isinstance(name, str) and name not in known:
        what = f"names {name}, which is no group of these settings"
        remedy = meant(name, known) if known else f'Give location_groups.{name} = ["..."]'
        origins.problem((*path, "location_group"), what, remedy)


def _product(policy: dict[str, Any], path: KeyPath, tree: dict[str, Any], origins: Origins) -> None:
    """What is asked of products is among what is read of them."""
    products = tree.get("products")
    products = products if isinstance(products, dict) else {}
    read = [str(name) for name in _list(products.get("fields"))]
    wanted = policy.get("fields")
    for name in wanted if isinstance(wanted, dict) else ():
        if name not in read:
            what = "is no field that is read of products"
            remedy = meant(name, read) if read else f'Give products.fields = ["{name}"]'
            origins.problem((*path, "fields", name), what, remedy)
    tagged = any(_true(channel.get("product_tags")) for _, channel in _tables(tree.get("channels")))
    if "tags" in policy and not products.get("tags_field") and not tagged:
        what = "cannot be known: no field of products is named for it, and no store's tags are read"
        remedy = "Give products.tags_field, or product_tags = true to one Shopify channel, or remove it"
        origins.problem((*path, "tags"), what, remedy)
    if "price_from" in policy and not (products.get("price_field") or products.get("price_from_channel")):
        what = "cannot be known: no field of products is named for it"
        remedy = "Give products.price_field or products.price_from_channel, or remove it"
        origins.problem((*path, "price_from"), what, remedy)


def _prices(tree: dict[str, Any], origins: Origins) -> None:
    """The channel whose prices stand in is one of ours, and one that tells prices; tags are one store's."""
    tagged = [each for each, table in _tables(tree.get("channels")) if _true(table.get("product_tags"))]
    for other in tagged[1:]:
        what = f"is true, and that of {tagged[0]} too: two stores may tag one product differently"
        origins.problem(("channels", other, "product_tags"), what, "Read the tags of one store")
    products = tree.get("products")
    name = products.get("price_from_channel") if isinstance(products, dict) else None
    if not name:
        return
    path: KeyPath = ("products", "price_from_channel")
    telling = [channel for channel, table in _tables(tree.get("channels")) if table.get("kind") == "shopify"]
    if name not in telling:
        remedy = meant(str(name), telling) or "Remove it: there is no channel of the kind shopify"
        origins.problem(path, f"names {name!r}, which is no channel that tells prices", remedy)


def _fresh(policy: dict[str, Any], path: KeyPath, tree: dict[str, Any], origins: Origins) -> None:
    """A limit that two polls keep while the stream is away, on units that are not a channel's own anyway."""
    limit, here = _number(policy.get("fresh_seconds")), (*path, "fresh_seconds")
    if limit is None:
        return
    org = tree.get("salesforce")
    poll = _number(org.get("poll_after_seconds", 60.0)) if isinstance(org, dict) else None
    if poll is not None and limit < 2 * poll:
        what = f"is {limit:g}, less than two polls of the org ({poll:g} s each): scarce items would flicker"
        origins.problem(here, what, f"Give {2 * poll:g} or more, or lower salesforce.poll_after_seconds")
    if policy.get("guarantee") == "allocated":
        what = "has no effect: what is allocated is reserved in the org, and may be sold without it"
        origins.problem(here, what, "Remove it, or give it in a policy of its own")


def _editions(tree: dict[str, Any], origins: Origins) -> None:
    """Each SKU in one edition; a split among channels that there are, of no more than there is."""
    known = [name for name, _ in _tables(tree.get("channels"))]
    known += ["org"] if isinstance(tree.get("org_orders"), dict) else []
    owners: dict[object, str] = {}
    for name, edition in _tables(tree.get("editions")):
        here = ("editions", name)
        for number, sku in enumerate(map(str, _list(edition.get("skus")))):
            owner = owners.setdefault(sku, name)
            if owner != name:
                what = f"names {sku}, which is of the edition {owner} too"
                origins.problem((*here, "skus", number), what, "Name each SKU in one edition")
        split, size = edition.get("split"), _number(edition.get("size"))
        split = split if isinstance(split, dict) else {}
        for channel in split:
            if channel not in known:
                what = "is no channel of these settings"
                origins.problem((*here, "split", channel), what, meant(channel, known))
        shares = sum(_number(units) or 0 for units in split.values())
        if size is not None and shares > size:
            what = f"gives {shares:g} to channels, more than its size of {size:g}"
            origins.problem((*here, "split"), what, "Lower the shares, or raise the size")


def _tills(tree: dict[str, Any], origins: Origins) -> None:
    """Tokens that there are, and for each till a folder of its own."""
    web = tree.get("web")
    tokens = _list(web.get("tokens")) if isinstance(web, dict) else []
    known = [str(token.get("name")) for token in tokens if isinstance(token, dict)]
    owners: dict[str, str] = {}
    for name, till in _tables(tree.get("tills")):
        here = ("tills", name)
        for number, token in enumerate(_list(till.get("tokens"))):
            if isinstance(token, str) and token not in known:
                what = f"names {token}, which is no token of these settings"
                origins.problem((*here, "tokens", number), what, meant(token, known))
        inbox, out = till.get("inbox"), till.get("levels_out")
        if isinstance(inbox, str):
            owner = owners.setdefault(inbox, name)
            if owner != name:
                what = f"is the folder of {owner} too"
                origins.problem((*here, "inbox"), what, "Give each till a folder of its own")
            elif not Path(inbox).is_dir():
                origins.problem((*here, "inbox"), f"names {inbox}, which is no folder", "Create it")
        if isinstance(out, str) and not Path(out).parent.is_dir():
            what = f"names {out}, whose folder is not there"
            origins.problem((*here, "levels_out"), what, "Create the folder")
        if isinstance(out, str) and str(Path(out).parent) == inbox:
            what = "is in the folder that is watched for sales"
            origins.problem((*here, "levels_out"), what, "Give it another folder")


def _org_orders(tree: dict[str, Any], origins: Origins) -> None:
    """Orders in the org name channels that there are, by fields that are given."""
    orders = tree.get("org_orders")
    if not isinstance(orders, dict):
        return
    known = [name for name, _ in _tables(tree.get("channels"))]
    if "org" in known:
        what = "is the name of orders that are no channel's, while org_orders is there"
        origins.problem(("channels", "org"), what, "Give the channel another name")
    named = orders.get("channels")
    for value, channel in named.items() if isinstance(named, dict) else ():
        if isinstance(channel, str) and channel not in known:
            what = f"names {channel}, which is no channel of these settings"
            origins.problem(("org_orders", "channels", value), what, meant(channel, known))
    if named and not orders.get("channel_field"):
        what = "is given, but no channel_field whose values they would be"
        origins.problem(("org_orders", "channels"), what, "Give channel_field, or remove it")
    if orders.get("channel_field") and orders.get("order_field") == "":
        what = "is empty, so no order of a channel could be known again"
        origins.problem(
            ("org_orders", "order_field"), what, "Name the field with the storefront's id or name"
        )


def _kept(tree: dict[str, Any], origins: Origins) -> None:
    """Units that stay at a location that something is sold from."""
    places, groups = tree.get("locations"), tree.get("location_groups")
    kept = places.get("safety_stock") if isinstance(places, dict) else None
    if not isinstance(kept, dict):
        return
    known = [code for codes in (groups.values() if isinstance(groups, dict) else ()) for code in _list(codes)]
    for _, channel in _tables(tree.get("channels")):
        for _, place in _tables(channel.get("locations")):
            known += _list(place.get("sells_from"))
    for code in kept:
        if code not in known:
            what = "is no location that a channel or a location group names"
            remedy = meant(str(code), [str(each) for each in known]) or "Remove it"
            origins.problem(("locations", "safety_stock", code), what, remedy)


def _may_reserve_at(tree: dict[str, Any], origins: Origins) -> None:
    """Groups, and locations that these settings know from elsewhere: a slip of the pen opens nothing."""
    groups, known = tree.get("location_groups"), _named_locations(tree)
    known |= {str(name) for name in groups} if isinstance(groups, dict) else set()
    for name, channel in _tables(tree.get("channels")):
        for number, place in enumerate(_list(channel.get("may_reserve_at"))):
            if isinstance(place, str) and place not in known:
                what = f"names {place}, which is no location group, and no location that is named elsewhere"
                close = nearest(place, sorted(known))
                remedy = f"Did you mean {close}? " if close else ""
                remedy += f'If the org has it, put it in a group: location_groups.boutiques = ["{place}"]'
                origins.warning(("channels", name, "may_reserve_at", number), what, remedy)


def _named_locations(tree: dict[str, Any]) -> set[str]:
    """Every location of the org that some table names, but for `may_reserve_at`."""
    found: list[object] = []
    groups, places, web = (tree.get(name) for name in ("location_groups", "locations", "web"))
    for codes in groups.values() if isinstance(groups, dict) else ():
        found += _list(codes)
    for _, channel in _tables(tree.get("channels")):
        for _, place in _tables(channel.get("locations")):
            found += _list(place.get("sells_from"))
    found += [till.get("location") for _, till in _tables(tree.get("tills"))]
    if isinstance(places, dict):
        found += _list(places.get("tills_after_sale"))
    orders = tree.get("org_orders")
    found += _list(orders.get("sells_from")) if isinstance(orders, dict) else []
    for token in _list(web.get("tokens")) if isinstance(web, dict) else ():
        found += _list(token.get("locations")) if isinstance(token, dict) else []
    for policy in _list(tree.get("policies")):
        found += _list(policy.get("block_at")) if isinstance(policy, dict) else []
    return {code for code in found if isinstance(code, str) and code != EVERY}


def _not_for_sale(tree: dict[str, Any], origins: Origins) -> None:
    """Goods in transit, returned or set apart are never sold from where they stand."""
    places, orders = tree.get("locations"), tree.get("org_orders")
    places = places if isinstance(places, dict) else {}
    orders = orders if isinstance(orders, dict) else {}
    closed = {str(places.get("in_transit", "IN-TRANSIT")), *map(str, _list(places.get("not_for_sale")))}
    closed |= {str(orders["returns_to"])} if orders.get("returns_to") else set()
    sold: list[tuple[KeyPath, object]] = [(("org_orders", "sells_from"), orders.get("sells_from"))]
    for name, channel in _tables(tree.get("channels")):
        for place, entry in _tables(channel.get("locations")):
            sold.append((("channels", name, "locations", place, "sells_from"), entry.get("sells_from")))
        sold.append((("channels", name, "may_reserve_at"), channel.get("may_reserve_at")))
    groups = tree.get("location_groups")
    for name, codes in groups.items() if isinstance(groups, dict) else ():
        sold.append((("location_groups", name), codes))
    for number, policy in enumerate(_list(tree.get("policies"))):
        if isinstance(policy, dict):
            sold.append((("policies", number, "block_at"), policy.get("block_at")))
    for path, codes in sold:
        for code in map(str, _list(codes)):
            if code in closed:
                what = (
                    f"names {code}, where goods are in transit, returned or set apart: they are not for sale"
                )
                origins.problem(
                    path, what, f"Remove {code} here, or from locations and org_orders.returns_to"
                )


TURNS = ("turn_hours", "turn_idle_hours")


def _division(
    policy: dict[str, Any], path: KeyPath, channels: list[str], told: dict[str, object], origins: Origins
) -> None:
    """How units are divided makes sense only where they are."""
    shares = policy.get("shares")
    if policy.get("guarantee") == "allocated":
        for channel in channels:
            if told.get(channel) == "callback":
                what = f"would set units aside for {channel}, which shows what it is told and asks first"
                remedy = f"Give the policy channels without {channel}; it shows none of these then"
                origins.problem((*path, "channels"), what, remedy)
    else:
        for key in ("shares", "demand_days", *TURNS):
            if key in policy:
                what = "is for the guarantee allocated only"
                origins.problem((*path, key), what, 'Say guarantee = "allocated", or remove it')
        return
    for key in [key for key in TURNS if key in policy][:1]:
        if len(channels) < 2:
            what = "is for a policy of several channels, which take turns"
            origins.problem((*path, key), what, "Name them in channels, in the order of their turns")
        for other in [other for other in ("shares", "demand_days") if other in policy]:
            what = f"divides units among channels, of which by {key} one has all of them at a time"
            origins.problem((*path, other), what, f"Remove {other}, or {key}")
    for channel in shares if isinstance(shares, dict) else ():
        if channel not in channels:
            what = f"names {channel}, which is no channel of this policy"
            origins.problem((*path, "shares", channel), what, meant(channel, channels))


def _open_page(tree: dict[str, Any], origins: Origins) -> None:
    """A status page for everybody is meant for this machine."""
    web = tree.get("web")
    if not isinstance(web, dict) or not _true(web.get("open_status")):
        return
    host = str(web.get("host", "127.0.0.1"))
    if not is_loopback(f"//[{host}]" if ":" in host else f"//{host}"):
        what = f"shows the stock to everybody who reaches {host}"
        origins.warning(("web", "open_status"), what, "Leave it out; the page then asks for a token")


def _tokens(tree: dict[str, Any], origins: Origins) -> None:
    """A name and a token each, none twice."""
    web = tree.get("web")
    names: set[object] = set()
    tokens: set[object] = set()
    for number, token in enumerate(_list(web.get("tokens")) if isinstance(web, dict) else []):
        if not isinstance(token, dict):
            continue
        for key, seen in (("name", names), ("token", tokens)):
            value = token.get(key)
            if isinstance(value, str) and value in seen:
                origins.problem(
                    ("web", "tokens", number, key), "is that of another token too", "Make it unique"
                )
            seen.add(str(value))
        _rights(token, ("web", "tokens", number), tree, origins)


def _rights(token: dict[str, Any], path: KeyPath, tree: dict[str, Any], origins: Origins) -> None:
    """A token says whose things it may touch: a storefront's its channel, a boutique's its location."""
    role, scopes = token.get("role"), [str(scope) for scope in _list(token.get("scopes"))]
    if token.get("name") == LOCAL:
        what = "is the name of the token that the daemon leaves for the command line of its own machine"
        origins.problem((*path, "name"), what, "Give it another name")
    known = sorted(name for name, _ in _tables(tree.get("channels")))
    channels, locations = _list(token.get("channels")), _list(token.get("locations"))
    for number, channel in enumerate(channels):
        if isinstance(channel, str) and channel not in (EVERY, *known):
            what = f"names {channel}, which is no channel of these settings"
            origins.problem((*path, "channels", number), what, meant(channel, known))
    if role == Role.OPERATOR or ADMIN in scopes:
        for key in ("channels", "locations"):
            if key in token:
                what = "limits a token that may do everything everywhere"
                origins.problem((*path, key), what, "Remove it, or the role operator and the scope admin")
        return
    scopes = scopes or ([] if role else [RESERVATIONS])
    some = known[0] if known else "london"
    every = 'or ["*"] for one that speaks for all of them'
    if LEVELS in scopes and not channels:
        remedy = f'Give the channels whose numbers it reads, like channels = ["{some}"], {every}'
        origins.missing((*path, "channels"), remedy)
    elif RESERVATIONS in scopes and not channels and not locations:
        remedy = (
            f'Give the channels whose reservations it makes and sees, like channels = ["{some}"], {every}; '
            'or a boutique\'s own locations = ["..."]'
        )
        origins.missing((*path, "channels"), remedy)
    places = [scope for scope in OF_LOCATIONS if scope in scopes]
    if places and not locations:
        remedy = (
            f"Give the org's locations that its {' and '.join(places)} are about, like "
            'locations = ["KNIGHTSBRIDGE"], or ["*"] for all of them'
        )
        origins.missing((*path, "locations"), remedy)
    _without_meaning(token, path, {*scopes}, origins)
    named = {str(name) for _, till in _tables(tree.get("tills")) for name in _list(till.get("tokens"))}
    if TILLS in scopes and token.get("name") not in named:
        what = "has the scope tills, and no till names it: it could speak for none"
        origins.problem((*path, "scopes"), what, f'Give the till tokens = ["{token.get("name")}"]')


def _without_meaning(token: dict[str, Any], path: KeyPath, scopes: set[str], origins: Origins) -> None:
    for key, uses in (("channels", OF_CHANNELS), ("locations", (*OF_LOCATIONS, RESERVATIONS))):
        if _list(token.get(key)) and scopes.isdisjoint(uses):
            what = f"limits a token that has none of the scopes {', '.join(uses)}"
            origins.problem((*path, key), what, "Remove it, or give the scope that was meant")


def _tables(table: object) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(table, dict):
        yield from ((str(name), entry) for name, entry in table.items() if isinstance(entry, dict))


def _true(value: object) -> bool:
    """True for what is read as true, also from the environment."""
    return str(value).lower() in ("true", "1", "yes", "on")


def _number(value: object) -> float | None:
    """A number, also one that the environment gives as text; None for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
