"""An open shop on real sockets, a client for it, and somebody who receives its webhooks."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from sfsync.simulators.shopify import SeedVariant, Shop, ShopClock, ShopConfig, build_shop, serving

TOKEN = "shpat_for_tests"
SECRET = "shpss_for_tests"
CLIENT_ID = "client-for-tests"
DEADLINE_SECONDS = 20.0

SET = """mutation Set($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup {
      id reason referenceDocumentUri createdAt
      changes { name delta quantityAfterChange ledgerDocumentUri item { id sku } location { id name } }
    }
    userErrors { field message code }
  }
}"""
ADJUST = """mutation Adjust($input: InventoryAdjustQuantitiesInput!, $key: String!) {
  inventoryAdjustQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id reason changes { name delta ledgerDocumentUri item { sku } } }
    userErrors { field message code }
  }
}"""
KEEP = object()  # stands for "leave the argument out"

_keys = (f"key-{number}" for number in itertools.count(1))


def seed(sku: str | None, units: int | Mapping[str, int] = 5, **settings: Any) -> SeedVariant:
    """An article with units at Online, or where the mapping says."""
    available = units if isinstance(units, Mapping) else {"Online": units}
    return SeedVariant(
        **{"sku": sku, "title": f"Title of {sku}", "price": "100.00", "available": available, **settings}
    )


@dataclass(slots=True)
class Client:
    """Acts as an app, as a shopper and as whoever holds the control port."""

    shop: Shop
    http: httpx.AsyncClient
    control: httpx.AsyncClient

    async def post(self, document: str, /, version: str = "2026-10", **variables: Any) -> httpx.Response:
        """One GraphQL call, as it comes back."""
        body = {"query": document, "variables": variables}
        return await self.http.post(f"/admin/api/{version}/graphql.json", json=body)

    async def ask(self, document: str, /, **variables: Any) -> Any:
        """The data of a call that must not fail."""
        answer = (await self.post(document, **variables)).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def errors(self, document: str, /, **variables: Any) -> list[dict[str, Any]]:
        """The top-level errors of a call that must fail."""
        answer = await self.post(document, **variables)
        assert answer.status_code == 200
        errors: list[dict[str, Any]] = answer.json()["errors"]
        return errors

    def row(self, sku: str, *, at: str = "Online", compare: Any = None, **values: Any) -> dict[str, Any]:
        """A row of a set or adjust call."""
        place = self.shop.stock.location_named(at)
        assert place is not None
        row = {"inventoryItemId": self.shop.stock.by_sku[sku][0].item_id, "locationId": place.id, **values}
        return row if compare is KEEP else {**row, "changeFromQuantity": compare}

    async def set(self, *rows: Mapping[str, Any], key: str | None = None, **head: Any) -> Any:
        """The payload of inventorySetQuantities."""
        call = {"name": "available", "reason": "correction", **head, "quantities": list(rows)}
        return (await self.ask(SET, input=call, key=key or next(_keys)))["inventorySetQuantities"]

    async def adjust(self, *rows: Mapping[str, Any], key: str | None = None, **head: Any) -> Any:
        """The payload of inventoryAdjustQuantities."""
        call = {"name": "available", "reason": "correction", **head, "changes": list(rows)}
        return (await self.ask(ADJUST, input=call, key=key or next(_keys)))["inventoryAdjustQuantities"]

    async def buy(self, sku: str, quantity: int = 1, **more: Any) -> httpx.Response:
        """A shopper's purchase."""
        return await self.http.post("/storefront/buy", json={"sku": sku, "quantity": quantity, **more})

    async def bought(self, sku: str, quantity: int = 1, **more: Any) -> dict[str, Any]:
        """The order of a purchase that must succeed."""
        answer = await self.buy(sku, quantity, **more)
        assert answer.status_code == 201, answer.text
        order: dict[str, Any] = answer.json()
        return order

    async def staff(self, order: Mapping[str, Any], verb: str, **body: Any) -> httpx.Response:
        """What staff do to an order."""
        return await self.http.post(f"/storefront/orders/{order['id']}/{verb}", json=body)

    async def states(self, sku: str, at: str = "Online") -> dict[str, int]:
        """available, committed and on_hand of an article, by the control port."""
        levels = (await self.control.get("/levels")).json()["levels"]
        level = next(each for each in levels if each["sku"] == sku and each["location"] == at)
        return {name: level[name] for name in ("available", "committed", "on_hand")}

    async def fault(self, kind: str, **settings: Any) -> None:
        """Order trouble."""
        answer = await self.control.post("/faults", json={"kind": kind, **settings})
        assert answer.status_code == 201, answer.text

    async def deliveries(self, topic: str | None = None) -> list[dict[str, Any]]:
        """The shop's own record of its webhooks."""
        rows = (await self.control.get("/webhooks")).json()["deliveries"]
        return [row for row in rows if topic in (None, row["topic"])]


@asynccontextmanager
async def opened(
    *variants: SeedVariant, clock: ShopClock | None = None, token: str | None = TOKEN, **settings: Any
) -> AsyncIterator[Client]:
    """A shop with these articles, served on sockets of its own."""
    standard: dict[str, Any] = {
        "name": "london",
        "locations": ("Online", "Store"),
        "offline_locations": ("Store",),
        "variants": variants or (seed("BAG-1"), seed("BAG-2")),
        "access_token": TOKEN,
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
    }
    headers = {"X-Shopify-Access-Token": token} if token else {}
    async with (
        build_shop(ShopConfig(**{**standard, **settings}), clock) as shop,
        serving(shop) as served,
        httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False, timeout=30) as http,
        httpx.AsyncClient(base_url=served.control_url, trust_env=False, timeout=30) as control,
    ):
        yield Client(shop, http, control)


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook as it arrived."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def topic(self) -> str:
        return self.headers["x-shopify-topic"]

    @property
    def payload(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    """Receives webhooks and answers with the given statuses in turn, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    answer_after: asyncio.Event | None = None  # holds answers back until it is set
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status = self.statuses.pop(0) if self.statuses else 200
        async with self._news:
            self.received.append(Received(headers, body))
            self._news.notify_all()
        if self.answer_after:
            await self.answer_after.wait()
        start = [(b"location", b"/elsewhere")] if 300 <= status < 400 else []
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": b""})

    def of(self, *topics: str) -> list[Received]:
        """What arrived of these topics."""
        return [each for each in self.received if each.topic in topics]

    async def wait(self, *topics: str, count: int = 1) -> list[Received]:
        """What arrived of these topics, when it is at least `count`."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.of(*topics)) >= count)
        return self.of(*topics)


@asynccontextmanager
async def receiving(statuses: Sequence[int] = ()) -> AsyncIterator[Receiver]:
    """A receiver on a socket of its own."""
    receiver = Receiver(statuses=list(statuses))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        receiver.url = f"http://localhost:{taken.getsockname()[1]}/webhooks"
        config = uvicorn.Config(receiver, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        run = asyncio.create_task(server._serve(sockets=[taken]))  # without its hands on the signals
        await until(lambda: server.started)
        try:
            yield receiver
        finally:
            server.should_exit = True
            await run


async def until(condition: Callable[[], Any]) -> None:
    """Return when the condition holds; fail when it does not in time."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 — what is waited for has no event of its own
            await asyncio.sleep(0.01)


def codes(payload: Mapping[str, Any]) -> list[str]:
    """The codes of a payload's user errors."""
    return [error["code"] for error in payload["userErrors"]]


def topics(webhooks: Iterable[Received]) -> set[str]:
    """The topics of webhooks."""
    return {each.topic for each in webhooks}
