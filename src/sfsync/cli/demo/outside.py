"""The two outside parties as the demo meets them: the org by its REST API, the storefronts as shoppers do.

The control ports are asked only for what no real party would tell so exactly: the moment of a commit, the
moment of a change, and calls and points used.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from .processes import DemoError
from .sums import Level, Row, SoldLine

API = "/services/data/v67.0"
ANSWER_SECONDS = 20.0
# Servers close a connection that was idle for five seconds; what is sent on it just then is lost.
SHORT_LIVED = httpx.Limits(keepalive_expiry=2.0)
LOG_PAGE = 10_000
OWN_CAUSES = frozenset({"order", "cancel", "refund", "edit", "fulfil"})  # a storefront's own changes


@dataclass(frozen=True, slots=True)
class Change:
    """One change of what a storefront shows. `at` in ms since 1970."""

    sku: str
    after: int
    at: float
    own: bool  # by a sale or a cancellation there, not told from outside


class Org:
    """The simulated org, as another system of the house sees it."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self.ready = ready
        self._rest = _client(ready["rest_url"], ssl.create_default_context(cafile=ready["ca_file"]))
        self._control = _client(ready["control_url"])
        self._asked = 0
        self._commits = 0

    async def log_in(self) -> None:
        """Get a token as any connected app does."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.ready["client_id"],
            "client_secret": self.ready["client_secret"],
        }
        answer = _good(await self._rest.post("/services/oauth2/token", data=form))
        self._rest.headers["authorization"] = f"Bearer {answer.json()['access_token']}"

    async def sell_at_till(self, sku: str, location: str, receipt: str) -> str:
        """A till enters the sale of one unit, as another system; returns the movement's id."""
        body = {
            "StockLevel__r": {"LevelKey__c": f"{sku}|{location}"},
            "Kind__c": "Sale",
            "OnHandDelta__c": -1,
            "IdempotencyKey__c": f"till:{receipt}",
            "Reference__c": receipt,
            "Source__c": "till",
        }
        answer = await self._ask("POST", f"{API}/sobjects/StockMovement__c", json=body)
        return str(answer.json()["id"])

    async def announce_at_till(self, sku: str, location: str, receipt: str) -> None:
        """A till only tells of the sale of one unit, by a platform event: sfsync enters it."""
        body = {
            "SourceId__c": receipt,
            "Kind__c": "Sale",
            "Sku__c": sku,
            "LocationCode__c": location,
            "Quantity__c": -1,
            "Reference__c": receipt,
        }
        await self._ask("POST", f"{API}/sobjects/StockEvent__e", json=body)

    async def levels(self) -> list[Level]:
        """Every stock level."""
        found = await self._query("SELECT Sku__c, LocationCode__c, OnHand__c, Reserved__c FROM StockLevel__c")
        return [
            Level(row["Sku__c"], row["LocationCode__c"], int(row["OnHand__c"]), int(row["Reserved__c"]))
            for row in found
        ]

    async def rows(self) -> list[Row]:
        """Every movement since the opening."""
        found = await self._query(
            "SELECT Id, IdempotencyKey__c, SubjectKey__c, Kind__c, OnHandDelta__c, ReservedDelta__c, "
            "Reference__c, StockLevel__r.Sku__c, StockLevel__r.LocationCode__c "
            "FROM StockMovement__c WHERE Kind__c != 'Opening'"
        )
        return [
            Row(
                row["Id"],
                row["IdempotencyKey__c"] or "",
                row["SubjectKey__c"] or "",
                row["StockLevel__r"]["Sku__c"],
                row["StockLevel__r"]["LocationCode__c"],
                row["Kind__c"],
                int(row["OnHandDelta__c"] or 0),
                int(row["ReservedDelta__c"] or 0),
                row["Reference__c"] or "",
            )
            for row in found
        ]

    async def _query(self, soql: str) -> list[dict[str, Any]]:
        answer = (await self._ask("GET", f"{API}/query", params={"q": soql})).json()
        found: list[dict[str, Any]] = answer["records"]
        while not answer["done"]:
            answer = (await self._ask("GET", answer["nextRecordsUrl"])).json()
            found += answer["records"]
        return found

    async def _ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Its REST API's good answer; when the session has ended, with a new one."""
        for again in (True, False):
            self._asked += 1
            answer = await self._rest.request(method, path, **how)
            if answer.status_code != httpx.codes.UNAUTHORIZED or not again:
                break
            await self.log_in()
        return _good(answer)

    async def commits(self) -> dict[str, float]:
        """When each movement made since the last asking was committed: ms since 1970 by record id."""
        found: dict[str, float] = {}
        while True:
            asked = {"since": self._commits, "limit": LOG_PAGE}
            commits = _good(await self._control.get("/log", params=asked)).json()["commits"]
            for commit in commits:
                self._commits = commit["number"]
                for change in commit["changes"]:
                    if change["entity"] == "StockMovement__c":
                        found[change["id"]] = commit["at_ms"]
            if len(commits) < LOG_PAGE:
                return found

    async def calls_by_sfsync(self) -> int:
        """API requests used, without those that the demo itself has sent."""
        used = _good(await self._control.get("/calls")).json()["used"]
        return int(used) - self._asked

    async def close(self) -> None:
        """Let go of its connections."""
        await self._rest.aclose()
        await self._control.aclose()


class Shop:
    """One simulated storefront, as shoppers and its staff see it."""

    def __init__(self, name: str, ready: Mapping[str, Any], time_scale: float) -> None:
        self.name, self.ready = name, ready
        self._time_scale = time_scale
        self._front = _client(ready["url"])
        self._control = _client(ready["control_url"])
        self._seen = 0
        self.changes: list[Change] = []

    async def shows(self) -> dict[str, int]:
        """What it offers of every SKU."""
        found = _good(await self._front.get("/storefront/products")).json()["products"]
        return {row["sku"]: row["available"] for row in found}

    async def shows_of(self, sku: str) -> int:
        """What it offers of one SKU."""
        return int(_good(await self._front.get(f"/storefront/products/{sku}")).json()["available"])

    async def buy(self, sku: str, units: int = 1, *, reservation: str | None = None) -> dict[str, Any] | None:
        """Somebody buys; the order, or None when it is sold out and nothing was charged."""
        body: dict[str, Any] = {"sku": sku, "quantity": units}
        if reservation is not None:
            body["note_attributes"] = {"sfsync_reservation": reservation}
        answer = await self._front.post("/storefront/buy", json=body)
        if answer.status_code == 409:
            return None
        order: dict[str, Any] = _good(answer).json()
        return order

    async def staff(self, order_id: int, verb: str, body: Mapping[str, Any] | None = None) -> bool:
        """Staff `cancel` an order, its units going back on the shelf, `fulfil`, `edit` or `refund` it.

        False when the storefront says that it is not possible as the order stands.
        """
        answer = await self._front.post(f"/storefront/orders/{order_id}/{verb}", json=body or {})
        return answer.status_code != 422 and _good(answer).is_success

    async def lines(self) -> list[SoldLine]:
        """Every line of every order it has accepted."""
        orders = _good(await self._control.get("/orders")).json()["orders"]
        return [self.line(order, row) for order in orders for row in order["line_items"]]

    def line(self, order: Mapping[str, Any], row: Mapping[str, Any]) -> SoldLine:
        """A line of one of its orders."""
        subject = f"order:{self.name}:{order['id']}:{row['id']}"
        sent = row["fulfilled_quantity"]
        return SoldLine(self.name, order["name"], subject, row["sku"], row["current_quantity"], sent)

    async def follow(self) -> Sequence[Change]:
        """Every change so far of what it shows, oldest first."""
        while True:
            page = _good(await self._control.get("/log", params={"since": self._seen})).json()
            self.changes += [
                Change(row["sku"], row["after"], row["at_ms"], row["cause"] in OWN_CAUSES)
                for row in page["changes"]
            ]
            if page["next"] == self._seen:
                return self.changes
            self._seen = page["next"]

    async def send_webhooks_to(self, url: str) -> None:
        """What the app's own settings at the storefront say."""
        _good(await self._control.post("/webhook-target", json={"url": url}))

    async def hold_back_next_order(self, seconds: float) -> None:
        """The webhook of its next order arrives that much later."""
        fault = {"kind": "late", "match": "orders/create", "times": 1, "seconds": seconds * self._time_scale}
        _good(await self._control.post("/faults", json=fault))

    async def webhooks_pending(self) -> int:
        """Deliveries that have not arrived yet and will be tried again."""
        found = _good(await self._control.get("/webhooks")).json()["deliveries"]
        return sum(row["state"] == "pending" for row in found)

    async def points(self) -> tuple[int, float]:
        """(calls, points) of its Admin API used so far."""
        total = _good(await self._control.get("/calls")).json()["total"]
        return int(total["count"]), float(total["points"])

    async def close(self) -> None:
        """Let go of its connections."""
        await self._front.aclose()
        await self._control.aclose()


def _client(url: str, verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """A client that never asks a proxy for this machine, nor on a connection just being closed."""
    return httpx.AsyncClient(
        base_url=url, verify=verify, timeout=ANSWER_SECONDS, trust_env=False, limits=SHORT_LIVED
    )


def _good(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        asked = f"{answer.request.method} {answer.request.url}"
        raise DemoError(f"{asked} was answered {answer.status_code}: {answer.text[:500]}")
    return answer
