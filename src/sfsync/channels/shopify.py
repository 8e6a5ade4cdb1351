"""A Shopify store as a channel: Admin GraphQL for numbers and orders, signed webhooks for news.

Changes are written (`inventoryAdjustQuantities`) in calls of up to 250 rows, all or none, each call under its
own idempotency key, optionally only where the store shows what we believe it to show. What is written is the
state `available`: the store keeps its own count of units sold and not yet sent.

Numbers (`inventorySetQuantities`) are never written, not even to put a difference right. Compared with the
number just read, a set goes over a sale that we have not heard of; compared with the one we believe in, it
does so too once a sale and a return have met there. A change keeps both, and reconcile needs no more: what
was read becomes the baseline once the orders before it are known, and the rest is a change like any other.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import structlog

from sfsync.channels import shopify_documents as documents
from sfsync.channels import shopify_orders, shopify_setup, shopify_webhooks
from sfsync.channels.config import ShopifyConfig
from sfsync.channels.shopify_bulk import unpacked, variants_behind
from sfsync.channels.shopify_check import check
from sfsync.channels.shopify_client import Reply, ShopifyClient
from sfsync.channels.shopify_order_list import changed_orders, one_order, order_heads
from sfsync.domain.clocks import Ahead
from sfsync.domain.orders import OrderSnapshot, unreadable
from sfsync.domain.resync import Tariff
from sfsync.domain.subscriptions import Subscription
from sfsync.domain.values import replace
from sfsync.ports import (
    Ability,
    Budget,
    ChannelItem,
    Clock,
    Delivery,
    Finding,
    LevelHint,
    PushAnswer,
    Refused,
    TryLater,
    Unknown,
    Write,
)

log = structlog.get_logger(__name__)

_KEY_LIFE_SECONDS = 24 * 3600 - 600  # the store forgets a key 24 hours after it first heard it
_SKUS_A_QUERY = 50
_MUTATION_POINTS = 10.0
_REASON = "correction"

_STALE = "CHANGE_FROM_QUANTITY_STALE"
_KEY_SPENT = frozenset({"IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"})


class ShopifyChannel:
    """One store; see `sfsync.ports.Channel` for what each call promises."""

    ability = Ability(
        batch_rows=documents.PAGE_ROWS,
        relative=True,
        compare_and_set=True,
        key_life_seconds=_KEY_LIFE_SECONDS,
        cancels=True,
    )

    def __init__(
        self,
        config: ShopifyConfig,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self.name = config.name
        # With one location there is nothing to ask, and nothing to be allowed to ask.
        self._routes = len(config.locations) > 1
        self.ability = replace(type(self).ability, routes=self._routes)
        self._config, self._clock = config, clock
        self._client = ShopifyClient(config, clock, transport=transport, luck=luck)
        self._location_names = {gid: name for name, gid in config.locations.items()}

    async def check(self) -> Sequence[Finding]:
        """Token, scopes, API version, locations, webhook secret. A store that does not answer is TryLater."""
        return await check(self._config, self._client)

    def ahead(self) -> Ahead | None:
        """How far the store's clock is ahead of ours, by its answers so far."""
        return self._client.their_clock.ahead

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()

    # -- webhooks that it sends ----------------------------------------------------------------------

    @property
    def topics(self) -> Sequence[str]:
        """What we want to hear of; of routing only where there is any."""
        return (*shopify_setup.TOPICS, *(shopify_setup.ROUTING_TOPICS if self._routes else ()))

    async def subscriptions(self) -> Sequence[Subscription]:
        """What this app has subscribed to through the API."""
        return await shopify_setup.subscriptions(self._client)

    async def subscribe(self, topic: str, address: str) -> None:
        """Have webhooks of a topic sent to an address."""
        await shopify_setup.subscribe(self._client, self.name, topic, address)

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Have them sent no more."""
        await shopify_setup.unsubscribe(self._client, self.name, subscription)

    # -- numbers -------------------------------------------------------------------------------------

    def budget(self) -> Budget | None:
        """The store's points as far as is known, without asking."""
        points = self._client.points
        if points.held is None or points.most is None or points.rate is None:
            return None
        return Budget(int(points.held), int(points.most), points.rate, "points")

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """What the store lists and shows at the configured locations, in pages.

        An item that is not stocked at a location has no entry for it. A SKU is compared exactly, whatever the
        store's search finds; one that several items carry is marked `duplicate` on each of them.
        """
        if skus is None:
            async for _, listed in self.items_from(None):
                yield listed
            return
        wanted = iter(sorted(set(skus)))
        while chunk := list(islice(wanted, _SKUS_A_QUERY)):
            found: list[Mapping[str, Any]] = []
            async for _, _, page in self._variants(chunk):
                found += (node for node in page if _sku(node) in chunk)
            if found:
                yield self._items(found)

    async def items_from(self, place: str | None) -> AsyncIterator[tuple[str, Sequence[ChannelItem]]]:
        """All that the store lists after a place, each page with the place after it.

        A place is the number of a group of locations, and the last variant that was read for it.
        """
        group, after = (int(part) for part in place.split(":")) if place else (0, 0)
        async for number, last, page in self._variants(group=group, after=after):
            yield f"{number}:{last}", self._items(page)

    async def _variants(
        self, skus: Sequence[str] | None = None, *, group: int = 0, after: int = 0
    ) -> AsyncIterator[tuple[int, int, list[dict[str, Any]]]]:
        """(group of locations, last variant, variants that have a SKU), page by page.

        Each has `levels`: what is available, by our location name. Begins after a variant of a group.
        """
        names = list(self._config.locations)
        for start in range(group * documents.LOCATIONS_A_QUERY, len(names), documents.LOCATIONS_A_QUERY):
            places, number = (
                names[start : start + documents.LOCATIONS_A_QUERY],
                start // documents.LOCATIONS_A_QUERY,
            )
            async for nodes in self._pages(places, skus, after):
                if nodes:
                    rows = [{**node, "levels": _levels(node, places)} for node in nodes if _sku(node)]
                    yield number, shopify_orders.number(nodes[-1]["id"]), rows
            after = 0

    async def _pages(
        self, locations: Sequence[str], skus: Sequence[str] | None, behind: int
    ) -> AsyncIterator[list[dict[str, Any]]]:
        tags = self._config.product_tags
        document = documents.variants_document(len(locations), tags=tags)
        fixed: dict[str, Any] = {f"at{n}": self._config.locations[name] for n, name in enumerate(locations)}
        fixed["first"] = documents.variants_rows(
            len(locations), None if skus is None else len(skus), tags=tags
        )
        query = f"id:>{behind}" if behind else None if skus is None else documents.sku_query(skus)
        after: str | None = None
        paged = pages = 0
        while True:
            variables = {**fixed, "after": after, "query": query}
            connection = (await self._client.read("Variants", document, variables))["productVariants"]
            nodes, page = connection["nodes"], connection["pageInfo"]
            yield nodes
            if not page["hasNextPage"] or page["endCursor"] in (None, after):
                return
            after, paged, pages = page["endCursor"], paged + len(nodes), pages + 1
            if skus is None and pages == documents.PAGES_BEFORE_BULK:
                gids = [self._config.locations[name] for name in locations]
                last = shopify_orders.number(nodes[-1]["id"])
                rest = await variants_behind(self._client, self._clock, self.name, gids, last, tags=tags)
                if rest is not None:
                    for packed in rest:
                        yield unpacked(packed)
                    return
            if skus is None and paged >= documents.PAGED_ROWS:
                query, after, paged = f"id:>{shopify_orders.number(nodes[-1]['id'])}", None, 0

    def tariff(self) -> Tariff:
        """What calls cost: as the store last charged for them, or the documented 10 points of a mutation."""
        points, locations = self._client.points, len(self._config.locations)
        tags = self._config.product_tags
        rows = documents.variants_rows(locations, _SKUS_A_QUERY, tags=tags)
        return Tariff(
            documents.PAGE_ROWS,
            _SKUS_A_QUERY,
            points.cost("AdjustQuantities") or _MUTATION_POINTS,
            points.cost(f"Variants {rows}") or rows * (2 + tags + 2 * locations) + 2,
            points.rate,
            points.held,
        )

    def _items(self, nodes: Sequence[Mapping[str, Any]]) -> list[ChannelItem]:
        carriers: dict[str, set[str]] = {}
        for node in nodes:
            carriers.setdefault(_sku(node), set()).add(node["inventoryItem"]["id"])
        return [
            ChannelItem(
                sku=_sku(node),
                location=location,
                item_id=node["inventoryItem"]["id"],
                location_id=self._config.locations[location],
                shows=shows,
                # The number of a bundle follows from its parts: nobody can write it.
                tracked=node["inventoryItem"]["tracked"] and not node["requiresComponents"],
                oversell_allowed=node["inventoryPolicy"] == "CONTINUE",
                duplicate=len(carriers[_sku(node)]) > 1 or node["inventoryItem"]["duplicateSkuCount"] > 0,
                price=float(node["price"]),
                tags=frozenset(node["product"]["tags"]) if self._config.product_tags else None,
            )
            for node in nodes
            for location, shows in node["levels"].items()
        ]

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """The body of one call. ValueError for rows that cannot be in one call."""
        _check_rows(key, writes)
        rows = [
            {
                "inventoryItemId": write.item_id,
                "locationId": write.location_id,
                "delta": write.delta,
                "changeFromQuantity": write.compare,  # must be said even when it is null
            }
            for write in writes
        ]
        uri = f"gid://sfsync/Push/{quote(key, safe='')}"
        change = {"name": "available", "reason": _REASON, "referenceDocumentUri": uri}
        return orjson.dumps(
            {
                "query": documents.ADJUST_QUANTITIES,
                "operationName": "AdjustQuantities",
                "variables": {"key": key, "input": {**change, "changes": rows}},
            }
        )

    async def push(self, body: bytes) -> PushAnswer:
        """Send a body of `encode`. The same bytes may be sent again while the key lives: one effect."""
        operation = str(orjson.loads(body)["operationName"])
        reply = await self._client.push(operation, body)
        payload = next(iter((reply.data or {}).values()), None)
        if payload is None:
            return self._not_carried_out(operation, reply)
        if payload.get("userErrors") is None:
            raise Unknown(f"{self.name}: the answer to {operation} does not say what became of it")
        return self._answer(payload["userErrors"])

    def _not_carried_out(self, operation: str, reply: Reply) -> PushAnswer:
        """The store did not begin: rows it could not even read are to blame, or the call as a whole."""
        if not reply.errors:
            raise Unknown(f"{self.name}: the answer to {operation} does not say what became of it")
        bad: dict[int, str] = {}
        for error in reply.errors:
            for problem in (error.get("extensions") or {}).get("problems") or ():
                row = next((part for part in problem.get("path") or () if isinstance(part, int)), None)
                if row is not None:
                    bad.setdefault(row, str(problem.get("explanation") or error.get("message")))
        if bad:
            return PushAnswer(applied=False, bad_rows=bad, reason=reply.text())
        raise self._client.refusal(operation, reply)

    def _answer(self, errors: Sequence[Mapping[str, Any]]) -> PushAnswer:
        if not errors:
            return PushAnswer(applied=True)
        codes = {str(error.get("code")) for error in errors}
        reason = "; ".join(_sentence(error) for error in errors)
        if "IDEMPOTENCY_CONCURRENT_REQUEST" in codes:
            raise Unknown(f"{self.name}: the same push is still under way at the store")
        if codes & _KEY_SPENT:
            return PushAnswer(applied=False, reason=reason, key_spent=True)
        if "SERVICE_UNAVAILABLE" in codes:
            raise TryLater(f"{self.name}: {reason}")
        stale, bad = set(), {}
        for error in errors:
            row = _row(error.get("field"))
            if row is not None and error.get("code") == _STALE:
                stale.add(row)
            elif row is not None:
                bad[row] = _sentence(error)
        return PushAnswer(applied=False, bad_rows=bad, stale_rows=frozenset(stale - set(bad)), reason=reason)

    # -- orders --------------------------------------------------------------------------------------

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Check a webhook's signature with every configured secret, then its store. Raises `Forged`."""
        return shopify_webhooks.receive(headers, body, self._config.webhook_secrets, self._config.shop_domain)

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """The order of an orders/… webhook that carries one whole.

        orders/edited, refunds/create and fulfillments/… tell ids and differences only; the orders/updated
        that comes with each of them tells the outcome, so they are None.
        """
        if delivery.topic not in shopify_orders.ORDER_TOPICS:
            return None
        return shopify_orders.read_payload(
            self.name, delivery.body, self._location_names, routes=self._routes
        )

    def order_called(self, delivery: Delivery) -> str | None:
        """The fulfilment order of a webhook that tells of routing: its order is to be read again.

        Such a payload names ids only, and is no news to a store with one location.
        """
        if not self._routes or delivery.topic not in shopify_orders.CALL_TOPICS:
            return None
        return shopify_orders.read_call(self.name, delivery.topic, delivery.body)

    def level_hint(self, delivery: Delivery) -> LevelHint | None:
        """The level of an inventory_levels/update."""
        if delivery.topic != shopify_webhooks.LEVEL_TOPIC:
            return None
        return shopify_webhooks.read_level(self.name, delivery.body)

    async def order(self, reference: str) -> OrderSnapshot | None:
        """One order as it stands: by its id, or by the gid of one of its fulfilment orders.

        One that cannot be read says why (`unreadable`).
        """
        gid = f"gid://shopify/Order/{reference}" if reference.isdigit() else reference
        node = await one_order(self._client, gid, routed=self._routes)
        return None if node is None else self._read(node)

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """Orders changed at or after `at`, oldest change first.

        The store's search lags behind its orders: ask from some minutes before the last time asked. An
        order that cannot be read is among them and says why (`unreadable`).
        """
        async for nodes in changed_orders(self._client, at, routed=self._routes):
            page = [order for node in nodes if (order := self._read(node)) is not None]
            if page:
                yield page

    async def order_times(self, at: datetime) -> AsyncIterator[Sequence[tuple[str, datetime]]]:
        """(id, time of its last change) of orders changed at or after `at`: a page is one cheap call."""
        async for nodes in order_heads(self._client, at):
            yield [shopify_orders.read_head(node) for node in nodes]

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """Have an order cancelled: the store does it in a job of its own, so that `order` tells when.

        No key makes the call happen once, nor is one needed: a cancelled order is refused, and stays so.
        """
        variables = {
            "orderId": f"gid://shopify/Order/{order_id}",
            "refundMethod": {"originalPaymentMethodsRefund": refund},
            "notifyCustomer": notify,
            "staffNote": note,
        }
        body = {"query": documents.CANCEL_ORDER, "operationName": "CancelOrder", "variables": variables}
        reply = await self._client.push("CancelOrder", orjson.dumps(body))
        payload = (reply.data or {}).get("orderCancel")
        if payload is None and reply.errors:
            raise self._client.refusal("CancelOrder", reply, scope="write_orders")
        if payload is None or payload.get("orderCancelUserErrors") is None:
            raise Unknown(f"{self.name}: the answer to CancelOrder does not say what became of it")
        if errors := payload["orderCancelUserErrors"]:
            reason = "; ".join(_sentence(error) for error in errors)
            if any(error.get("code") == "INTERNAL_ERROR" for error in errors):
                raise TryLater(f"{self.name}: {reason}")
            raise Refused(
                f"{self.name} does not cancel the order: {reason}", advice="look at the order there"
            )

    def _read(self, node: Mapping[str, Any]) -> OrderSnapshot | None:
        try:
            return shopify_orders.read_node(self.name, node, self._location_names, routes=self._routes)
        except Refused as failure:
            order = node.get("name")
            log.error("an order cannot be read", channel=self.name, order=order, reason=str(failure))
            return unreadable(self.name, str(node.get("id", order)).rpartition("/")[2], str(failure))


def _check_rows(key: str, writes: Sequence[Write]) -> None:
    if not key.strip():
        raise ValueError("a push needs a key")
    if not 1 <= len(writes) <= documents.PAGE_ROWS:
        raise ValueError(f"a push has 1 to {documents.PAGE_ROWS} rows, not {len(writes)}")
    if any(write.delta is None or write.quantity is not None for write in writes):
        raise ValueError("each row of a push has a delta: a number could go over a sale")
    if len({(write.item_id, write.location_id) for write in writes}) < len(writes):
        raise ValueError("an item stands twice for one location in the same push")


def _sku(node: Mapping[str, Any]) -> str:
    return (node["sku"] or "").strip()


def _levels(node: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    levels = ((name, node["inventoryItem"][f"at{n}"]) for n, name in enumerate(names))
    return {name: level["quantities"][0]["quantity"] for name, level in levels if level is not None}


def _row(field: Sequence[str] | None) -> int | None:
    """The row in a path such as input, changes, 3, delta."""
    return next((int(part) for part in field or () if str(part).isdigit()), None)


def _sentence(error: Mapping[str, Any]) -> str:
    return f"{error.get('code')}: {error.get('message')}"
