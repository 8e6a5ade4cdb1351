"""A seller's listings in an Amazon store as a channel: patches for few, feeds for many, orders by polling.

Numbers are plain: a change replaces what the listing shows, whatever was sold meanwhile. A patch is accepted
at once and shown a little later, which nobody tells; so it counts as done `landing_seconds` after. A feed
(`JSON_LISTINGS_FEED`) tells when it was processed, and its report which messages were not. Only stock that
the seller sends is written (`DEFAULT`): what lies in Amazon's warehouses is Amazon's to count.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import structlog

from sfsync.channels.amazon_client import AmazonClient, AmazonRefused, said_of
from sfsync.channels.amazon_config import AmazonConfig
from sfsync.channels.amazon_orders import read_order
from sfsync.domain.clocks import Ahead
from sfsync.domain.orders import OrderSnapshot, unreadable
from sfsync.ports import (
    Ability,
    ChannelItem,
    Clock,
    Delivery,
    Finding,
    Forged,
    PushAnswer,
    Refused,
    Severity,
    TryLater,
    Unknown,
    Write,
)

log = structlog.get_logger(__name__)

_ROWS = 10_000  # of a feed: 25,000 messages are allowed, 10 MiB are advised
_PATCHED = 10  # so many rows are patched one by one, more go as a feed
_PATCH_TRIES = 5  # of each, while the bucket is empty
_SKUS_A_QUERY = 20
_PAGE = 20
_ORDERS_A_PAGE = 100
_OWN = "DEFAULT"  # fulfilled by the seller
_FEED_TYPE = "JSON_LISTINGS_FEED"
_AT = "/attributes/fulfillment_availability"


class AmazonChannel:
    """One seller in one store; see `sfsync.ports.Channel` for what each call promises."""

    def __init__(
        self, config: AmazonConfig, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.name = config.name
        self.ability = Ability(
            batch_rows=_ROWS,
            relative=False,
            compare_and_set=False,
            key_life_seconds=0.0,  # it knows no keys: the same number again is the same number
            webhooks=False,
            asynchronous=True,
            outcome_every_seconds=config.outcome_every_seconds,
            outcome_within_seconds=config.outcome_within_minutes * 60,
            orders_every_seconds=config.orders_every_seconds,
            settle_seconds=config.settle_seconds,
        )
        self._config, self._clock = config, clock
        self._client = AmazonClient(config, clock, transport=transport)
        self._processed: dict[str, datetime] = {}  # feeds, and when we first heard that they were
        self._listings = f"/listings/2021-08-01/items/{quote(config.seller_id, safe='')}"

    async def check(self) -> Sequence[Finding]:
        """Token, roles, and whether the seller sells in this store."""
        try:
            document = await self._client.read("/sellers/v1/marketplaceParticipations")
        except Refused as error:
            return [Finding(Severity.FATAL, str(error), error.advice)]
        for each in document.get("payload") or ():
            if each["marketplace"]["id"] == self._config.marketplace_id:
                named = f"{self.name}: {each['marketplace'].get('name', self._config.marketplace_id)}"
                if not each["participation"].get("isParticipating"):
                    remedy = "take part in this store, or name another marketplace_id"
                    return [Finding(Severity.FATAL, f"{named} has no listings of this seller", remedy)]
                if each["participation"].get("hasSuspendedListings"):
                    remedy = "look at the account's health in Seller Central"
                    return [Finding(Severity.WARNING, f"{named} has suspended listings", remedy)]
                return [Finding(Severity.GOOD, f"{named} answers, and the seller takes part")]
        what = f"{self.name}: the seller takes part in no store {self._config.marketplace_id}"
        return [Finding(Severity.FATAL, what, "look at marketplace_id, and at the region of url")]

    def ahead(self) -> Ahead | None:
        """How far the marketplace's clock is ahead of ours, by its answers so far."""
        return self._client.their_clock.ahead

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()

    # -- numbers -------------------------------------------------------------------------------------

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """The seller's listings and what they show, in pages."""
        wanted = None if skus is None else set(skus)
        if wanted is None or any("," in sku for sku in wanted):  # a list of SKUs has commas between them
            async for page in self._pages(wanted):
                yield page
            return
        left = iter(sorted(wanted))
        while some := list(islice(left, _SKUS_A_QUERY)):
            async for page in self._pages(set(some), identifiers=",".join(some), identifiersType="SKU"):
                yield page

    async def _pages(self, wanted: set[str] | None, **query: str) -> AsyncIterator[list[ChannelItem]]:
        token = ""
        while True:
            document = await self._client.read(
                self._listings,
                marketplaceIds=self._config.marketplace_id,
                includedData="summaries,fulfillmentAvailability",
                pageSize=_PAGE,
                **query,
                **({"pageToken": token} if token else {}),
            )
            items = [self._item(each) for each in document["items"]]
            if page := [item for item in items if wanted is None or item.sku in wanted]:
                yield page
            before, token = token, str((document.get("pagination") or {}).get("nextToken") or "")
            if not token or token == before:
                return

    def _item(self, listing: Mapping[str, Any]) -> ChannelItem:
        sku = str(listing["sku"])
        told = {each["fulfillmentChannelCode"]: each for each in listing.get("fulfillmentAvailability") or ()}
        shows = int((told.get(_OWN) or {}).get("quantity") or 0)
        # What lies in Amazon's warehouses has no number that we could write.
        tracked = _OWN in told or not told
        return ChannelItem(sku, self._config.location, sku, _OWN, shows, tracked=tracked)

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """The feed. ValueError for rows that are no plain numbers."""
        if any(write.quantity is None or write.quantity < 0 or write.delta is not None for write in writes):
            raise ValueError("Amazon takes plain numbers from 0 on, and no changes")
        messages = [
            {
                "messageId": number,
                "sku": write.sku,
                "operationType": "PATCH",
                "productType": "PRODUCT",
                "patches": [
                    {
                        "op": "merge",
                        "path": _AT,
                        "value": [{"fulfillment_channel_code": _OWN, "quantity": write.quantity}],
                    }
                ],
            }
            for number, write in enumerate(writes, 1)
        ]
        header = {"sellerId": self._config.seller_id, "version": "2.0", "issueLocale": "en_US"}
        return orjson.dumps({"header": header, "messages": messages})

    async def push(self, body: bytes) -> PushAnswer:
        """Hand in numbers: few as patches, many as a feed. What became of them `outcome` tells."""
        messages = orjson.loads(body)["messages"]
        return await (self._feed(body) if len(messages) > _PATCHED else self._patch(messages))

    async def _patch(self, messages: Sequence[Mapping[str, Any]]) -> PushAnswer:
        bad: dict[int, str] = {}
        for place, message in enumerate(messages):
            if reason := await self._patch_one(message, first=place == 0):
                bad[place] = reason
        if len(bad) == len(messages):
            return PushAnswer(applied=True, bad_rows=bad, reason="every row is in error")
        at = self._clock.now().timestamp()
        return PushAnswer(applied=False, ticket=orjson.dumps(["patches", at, list(bad.items())]).decode())

    async def _patch_one(self, message: Mapping[str, Any], *, first: bool) -> str:
        """Why a listing was not changed; empty when it was."""
        path = f"{self._listings}/{quote(message['sku'], safe='')}"
        body = {"productType": message["productType"], "patches": message["patches"]}
        store = {"marketplaceIds": self._config.marketplace_id}
        for attempt in range(1, _PATCH_TRIES + 1):
            try:
                answer = await self._client.call("PATCH", path, params=store, body=body)
            except TryLater as failure:
                if first:
                    raise
                if attempt == _PATCH_TRIES:  # some rows were sent: nobody can say that nothing has changed
                    raise Unknown(f"{self.name}: only a part of a push was taken: {failure}") from failure
                await self._clock.sleep(failure.after_seconds or 1.0)
            except AmazonRefused as failure:
                if failure.status not in (400, 404) or not failure.said:
                    raise
                return failure.said
            else:
                return "" if answer.get("status") != "INVALID" else said_of(answer) or "INVALID"
        raise AssertionError("the last try returns or raises")

    async def _feed(self, body: bytes) -> PushAnswer:
        kind = {"contentType": "application/json; charset=UTF-8"}
        made = await self._client.call("POST", "/feeds/2021-06-30/documents", body=kind, harmless=True)
        await self._client.upload(str(made["url"]), body)
        feed = await self._client.call(
            "POST",
            "/feeds/2021-06-30/feeds",
            body={
                "feedType": _FEED_TYPE,
                "marketplaceIds": [self._config.marketplace_id],
                "inputFeedDocumentId": made["feedDocumentId"],
            },
        )
        if not feed.get("feedId"):
            raise Unknown(f"{self.name}: the answer to a feed does not name it")
        return PushAnswer(applied=False, ticket=orjson.dumps(["feed", str(feed["feedId"])]).decode())

    async def outcome(self, ticket: str, body: bytes) -> PushAnswer | None:
        """What became of patches or a feed; None while their numbers may not be shown yet."""
        kind, *rest = orjson.loads(ticket)
        if kind == "patches":
            at, bad = rest
            if not self._landed(datetime.fromtimestamp(at, UTC)):
                return None
            return PushAnswer(applied=True, bad_rows=dict(bad))
        feed = await self._client.call("GET", f"/feeds/2021-06-30/feeds/{quote(rest[0], safe='')}")
        status = str(feed.get("processingStatus"))
        if status in ("CANCELLED", "FATAL"):
            return PushAnswer(applied=False, reason=f"the feed {rest[0]} is {status}")
        if status != "DONE":
            return None
        # By our own clock: theirs may be another.
        if not self._landed(self._processed.setdefault(rest[0], self._clock.now())):
            return None
        report = feed.get("resultFeedDocumentId")
        answer = await self._reported(str(report)) if report else PushAnswer(applied=True)
        del self._processed[rest[0]]
        return answer

    async def _reported(self, document: str) -> PushAnswer:
        place = f"/feeds/2021-06-30/documents/{quote(document, safe='')}"
        told = await self._client.call("GET", place)
        zipped = told.get("compressionAlgorithm") == "GZIP"
        try:
            report = orjson.loads(await self._client.download(str(told["url"]), zipped=zipped))
        except orjson.JSONDecodeError as error:
            raise TryLater(f"{self.name}: a report is not whole") from error
        bad = {
            int(issue["messageId"]) - 1: f"{issue.get('code')}: {issue.get('message')}"
            for issue in report.get("issues") or ()
            if issue.get("severity") == "ERROR" and issue.get("messageId")
        }
        return PushAnswer(applied=True, bad_rows=bad)

    def _landed(self, moment: datetime) -> bool:
        return (self._clock.now() - moment).total_seconds() >= self._config.landing_seconds

    # -- orders --------------------------------------------------------------------------------------

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Amazon sends no webhooks."""
        raise Forged(f"{self.name} sends no webhooks")

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """It sends none."""
        return None

    def order_called(self, delivery: Delivery) -> str | None:
        """It sends none."""
        return None

    async def order(self, reference: str) -> OrderSnapshot | None:
        """One order by its id. One that cannot be read says why (`unreadable`)."""
        path = f"/orders/2026-01-01/orders/{quote(reference, safe='')}"
        try:
            document = await self._client.read(path, includedData="FULFILLMENT")
        except AmazonRefused as failure:
            if failure.status == 404:
                return None
            raise
        return next(iter(self._read([document.get("order") or {}])), None)

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """Orders changed at or after `at`, in pages.

        One that cannot be read is among them and says why (`unreadable`); it hides no other.
        """
        token = ""
        while True:
            document = await self._client.read(
                "/orders/2026-01-01/orders",
                lastUpdatedAfter=at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                marketplaceIds=self._config.marketplace_id,
                fulfilledBy="MERCHANT",
                includedData="FULFILLMENT",
                maxResultsPerPage=_ORDERS_A_PAGE,
                **({"paginationToken": token} if token else {}),
            )
            if page := self._read(document["orders"]):
                yield page
            before, token = token, str((document.get("pagination") or {}).get("nextToken") or "")
            if not token or token == before:
                return

    def _read(self, orders: Sequence[Mapping[str, Any]]) -> list[OrderSnapshot]:
        found = []
        for order in orders:
            try:
                snapshot = read_order(self.name, order)
            except Refused as failure:
                log.error(
                    "an order cannot be read",
                    channel=self.name,
                    order=order.get("orderId"),
                    reason=str(failure),
                )
                found.append(unreadable(self.name, order.get("orderId"), str(failure)))
            else:
                found += [snapshot] if snapshot is not None else []
        return found

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """Orders are cancelled by the seller's staff, in Seller Central."""
        raise Refused(f"{self.name} takes no cancellations from here", advice="cancel it in Seller Central")
