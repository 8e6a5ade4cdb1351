"""A real Vendure shop in a process of its own, its shoppers and its staff."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.needs import VENDURE_VARIABLE

SCRIPT = Path(__file__).with_name("shop.js")
START_SECONDS = 240.0
STOP_SECONDS = 10.0
PASSWORD = "a-password-for-tests"
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
SHIPPING = "1"  # the id of the only way of shipping that shop.js makes
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RealShop:
    """A running shop. `ready` is what it told when it was: addresses, ids, credentials."""

    process: subprocess.Popen[str]
    ready: Json

    def post_to(self, url: str) -> None:
        """Have its webhooks sent to another address."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{url}\n")
        self.process.stdin.flush()

    @property
    def url(self) -> str:
        """Where its APIs are."""
        return str(self.ready["url"])

    def number(self, sku: str) -> str:
        """The id of the variant with this SKU."""
        return next(str(each["id"]) for each in self.ready["variants"] if each["sku"] == sku)


@contextmanager
def start_real_shop(
    *,
    variants: Sequence[Json],
    locations: Sequence[str] = ("warehouse",),
    webhook_url: str = "http://127.0.0.1:9/webhooks",
    database: Json | None = None,
) -> Iterator[RealShop]:
    """A shop of its own, with its database in memory where none is given."""
    folder = Path(os.environ[VENDURE_VARIABLE]).resolve()
    wanted = {
        "port": _free_port(),
        "password": PASSWORD,
        "secret": SECRET,
        "webhookUrl": webhook_url,
        "locations": list(locations),
        "variants": list(variants),
        **({} if database is None else {"database": dict(database)}),
    }
    environment = {
        **os.environ,
        "NODE_PATH": str(folder / "node_modules"),
        "VENDURE_DISABLE_TELEMETRY": "true",
        "TZ": "UTC",
    }
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            ["node", str(SCRIPT), json.dumps(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            cwd=folder,
            env=environment,
        )
        try:
            yield RealShop(process, _ready_line(process, complaints))
        finally:
            _stop(process)


def _ready_line(process: subprocess.Popen[str], complaints: Any) -> Json:
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS
    lines: list[str] = []
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(0.5):
                line = process.stdout.readline()
                if line.startswith('{"ready":'):
                    ready: Json = json.loads(line)
                    return ready
                lines.append(line)
            complaints.seek(0)
            told = f"{''.join(lines)[-2000:]}\n{complaints.read()[-4000:]}"
            assert process.poll() is None, f"the shop ended with {process.returncode}: {told}"
            assert time.monotonic() < deadline, f"the shop was not ready in {START_SECONDS:g} s: {told}"


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Api:
    """One of the shop's two APIs, as one person uses it."""

    def __init__(self, shop: RealShop, api: str, headers: Mapping[str, str] | None = None) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{shop.url}/{api}", headers=headers, trust_env=False, timeout=240
        )
        self._session = ""

    async def close(self) -> None:
        """Give back connections."""
        await self._http.aclose()

    async def ask(self, document: str, **variables: object) -> Json:
        """The data; AssertionError with the shop's words when there are errors."""
        headers = {"authorization": f"Bearer {self._session}"} if self._session else {}
        answer = await self._http.post("", json={"query": document, "variables": variables}, headers=headers)
        self._session = answer.headers.get("vendure-auth-token") or self._session
        told = answer.json()
        assert "errors" not in told, told
        data: Json = told["data"]
        return data


class Staff:
    """Those who keep the shop."""

    def __init__(self, shop: RealShop) -> None:
        self._shop = shop
        self._api = Api(shop, "admin-api", {"vendure-api-key": shop.ready["apiKey"]})

    async def close(self) -> None:
        """Give back connections."""
        await self._api.close()

    async def ask(self, document: str, **variables: object) -> Json:
        """The Admin API's answer."""
        return await self._api.ask(document, **variables)

    async def levels(self) -> dict[str, dict[str, tuple[int, int]]]:
        """On hand and allocated of each SKU, by the name of the location."""
        names = {str(number): name for name, number in self._shop.ready["locations"].items()}
        told = await self.ask(
            """{ productVariants(options: { take: 1000 }) { items {
                sku stockLevels { stockLocationId stockOnHand stockAllocated } } } }"""
        )
        return {
            each["sku"]: {
                names[str(level["stockLocationId"])]: (level["stockOnHand"], level["stockAllocated"])
                for level in each["stockLevels"]
            }
            for each in told["productVariants"]["items"]
        }

    async def set_on_hand(self, location: str, units: Mapping[str, int]) -> None:
        """Somebody types numbers."""
        number = self._shop.ready["locations"][location]
        await self.ask(
            "mutation ($i: [UpdateProductVariantInput!]!) { updateProductVariants(input: $i) { id } }",
            i=[
                {
                    "id": self._shop.number(sku),
                    "stockLevels": [{"stockLocationId": number, "stockOnHand": part}],
                }
                for sku, part in units.items()
            ],
        )

    async def cancel(self, order_id: str, units: int | None = None) -> None:
        """All of an order is called off, or so many units of each line."""
        asked: dict[str, Any] = {"orderId": order_id, "cancelShipping": units is None, "reason": "by staff"}
        if units is not None:
            asked["lines"] = [
                {"orderLineId": line, "quantity": units} for line in await self._lines(order_id)
            ]
        told = await self.ask(
            "mutation ($i: CancelOrderInput!) { cancelOrder(input: $i) { __typename } }", i=asked
        )
        assert told["cancelOrder"]["__typename"] == "Order", told

    async def send(self, order_id: str) -> None:
        """All of an order is sent."""
        lines = [
            {"orderLineId": line, "quantity": units} for line, units in (await self._lines(order_id)).items()
        ]
        handler = {
            "code": "manual-fulfillment",
            "arguments": [{"name": "method", "value": "post"}, {"name": "trackingCode", "value": ""}],
        }
        told = await self.ask(
            """mutation ($i: FulfillOrderInput!) { addFulfillmentToOrder(input: $i) {
                __typename ... on Fulfillment { id } ... on ErrorResult { message } } }""",
            i={"lines": lines, "handler": handler},
        )
        number = told["addFulfillmentToOrder"].get("id")
        assert number, told
        await self.ask(
            'mutation ($f: ID!) { transitionFulfillmentToState(id: $f, state: "Shipped") { __typename } }',
            f=number,
        )

    async def _lines(self, order_id: str) -> dict[str, int]:
        told = await self.ask("query ($id: ID!) { order(id: $id) { lines { id quantity } } }", id=order_id)
        return {line["id"]: line["quantity"] for line in told["order"]["lines"]}


class Shopper:
    """Somebody who buys through the Shop API."""

    def __init__(self, shop: RealShop, name: str = "anna") -> None:
        self._shop, self._api, self._name = shop, Api(shop, "shop-api"), name

    async def close(self) -> None:
        """Give back connections."""
        await self._api.close()

    async def fill_cart(self, units: Mapping[str, int]) -> bool:
        """Put units into the cart, and say where to send them; False when the shop has too few."""
        for sku, wanted in units.items():
            told = await self._api.ask(
                """mutation ($v: ID!, $n: Int!) { addItemToOrder(productVariantId: $v, quantity: $n) {
                    __typename ... on ErrorResult { errorCode } } }""",
                v=self._shop.number(sku),
                n=wanted,
            )
            if told["addItemToOrder"]["__typename"] != "Order":
                return False
        told = await self._api.ask(
            """mutation ($e: String!, $m: [ID!]!) {
                setCustomerForOrder(input: { emailAddress: $e, firstName: "A", lastName: "B" }) { __typename }
                setOrderShippingAddress(input: { streetLine1: "1 Mall", countryCode: "GB" }) { __typename }
                setOrderShippingMethod(shippingMethodId: $m) { __typename } }""",
            e=f"{self._name}@example.com",
            m=[SHIPPING],
        )
        assert {each["__typename"] for each in told.values()} == {"Order"}, told
        return True

    async def pay(self) -> str | None:
        """Pay for what is in the cart: the order's id; None when the shop says no."""
        told = await self._api.ask(
            """mutation {
                transitionOrderToState(state: "ArrangingPayment") { __typename }
                addPaymentToOrder(input: { method: "card", metadata: {} }) {
                    __typename ... on Order { id state } } }"""
        )
        number: str | None = told["addPaymentToOrder"].get("id")
        return number

    async def buy(self, units: Mapping[str, int]) -> str | None:
        """From cart to payment: the order's id; None when the shop has too few."""
        return await self.pay() if await self.fill_cart(units) else None


async def until(true: Any, *, what: str, seconds: float = 240.0) -> None:
    """Wait for a condition: something awaitable that comes to be true."""
    deadline = time.monotonic() + seconds
    while not (last := await true()):
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}; last {last!r}"
        await asyncio.sleep(0.1)
