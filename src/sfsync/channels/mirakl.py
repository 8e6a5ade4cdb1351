"""A shop at a Mirakl marketplace as a channel: stock files for numbers, the order list for news.

Numbers are plain: a stock file (STO01) replaces what the marketplace shows, whatever was sold meanwhile. It
is taken at once and imported later; its status (STO02) tells when, and its error report (STO03) which lines
were not. Each line stands for itself, so the others of the file are imported beside a bad one. Offers are
never written by OF24, which resets all that it is not told, prices too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from sfsync.channels.mirakl_client import MiraklClient
from sfsync.channels.mirakl_config import MiraklConfig
from sfsync.channels.mirakl_orders import RECEIVED, read_order, read_returns
from sfsync.domain.clocks import Ahead
from sfsync.domain.moments import Moment
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

_IMPORTS = "/api/offers/stock/imports"
_COLUMNS = ("offer-sku", "quantity", "warehouse-code", "update-delete")
_ROWS = 5_000
_PAGE = 100
_RETURNS_OVERLAP = timedelta(minutes=15)
_RETURNS_BEFORE = timedelta(days=1)  # that a look after a start goes back: it may not have been answered then
_ASKED_ALONE = 20  # so many SKUs are asked for one by one; for more, all offers are read
_DONE = frozenset({"COMPLETE", "COMPLETED", "SENT", "IMPORTED"})
_FAILED = frozenset({"FAILED", "CANCELLED", "CANCELED", "REJECTED"})


class MiraklChannel:
    """One shop at one marketplace; see `sfsync.ports.Channel` for what each call promises."""

    def __init__(
        self, config: MiraklConfig, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.name = config.name
        self.ability = Ability(
            batch_rows=_ROWS,
            relative=False,
            compare_and_set=False,
            key_life_seconds=0.0,  # it knows no keys: the same number again is the same number
            webhooks=False,
            asynchronous=True,
            outcome_every_seconds=config.status_every_seconds,
            outcome_within_seconds=config.outcome_within_minutes * 60,
            orders_every_seconds=config.orders_every_seconds,
            settle_seconds=config.settle_seconds,
        )
        self._config, self._clock = config, clock
        self._client = MiraklClient(config, clock, transport=transport)
        self._returns: dict[str, dict[str, Moment]] = {}  # by order line, by return
        self._returns_at: datetime | None = None  # when they were asked for last
        self._returns_known: datetime | None = None  # up to when they are known
        self._next_import: datetime | None = None  # when the marketplace takes another file

    async def check(self) -> Sequence[Finding]:
        """Address, key, and whether the shop is open."""
        try:
            shop = await self._client.read("/api/account")
        except Refused as error:
            return [Finding(Severity.FATAL, str(error), error.advice)]
        named = f"{self.name}: shop {shop.get('shop_name', '')} ({shop.get('shop_id', '')})"
        state = str(shop.get("shop_state", "OPEN"))
        if state != "OPEN":
            return [
                Finding(Severity.WARNING, f"{named} is {state}", "nothing is sold there until it is OPEN")
            ]
        return [Finding(Severity.GOOD, f"{named} answers, and is open")]

    def ahead(self) -> Ahead | None:
        """How far the marketplace's clock is ahead of ours, by its answers so far."""
        return self._client.their_clock.ahead

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()

    # -- numbers -------------------------------------------------------------------------------------

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """The shop's offers and what they show, in pages."""
        wanted = None if skus is None else set(skus)
        if wanted is not None and len(wanted) <= _ASKED_ALONE and not any("," in sku for sku in wanted):
            for sku in sorted(wanted):
                document = await self._client.read("/api/offers", sku=sku, max=_PAGE)
                if page := self._items(document["offers"], {sku}):
                    yield page
            return
        offset, total = 0, 1
        while offset < total:
            document = await self._client.read("/api/offers", max=_PAGE, offset=offset)
            offers, total = document["offers"], int(document["total_count"])
            if page := self._items(offers, wanted):
                yield page
            if not offers:
                return
            offset += len(offers)

    def _items(self, offers: Sequence[Mapping[str, Any]], wanted: set[str] | None) -> list[ChannelItem]:
        return [
            ChannelItem(
                sku,
                self._config.location,
                str(offer["offer_id"]),
                self._config.warehouse,
                int(offer.get("quantity") or 0),
            )
            for offer in offers
            if (sku := str(offer.get("shop_sku") or "")) and (wanted is None or sku in wanted)
        ]

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """The stock file. ValueError for rows that are no plain numbers."""
        if any(write.quantity is None or write.quantity < 0 or write.delta is not None for write in writes):
            raise ValueError("a marketplace takes plain numbers from 0 on, and no changes")
        told = io.StringIO()
        writer = csv.writer(told, delimiter=";", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((write.sku, write.quantity, self._config.warehouse, "update") for write in writes)
        return told.getvalue().encode()

    async def push(self, body: bytes) -> PushAnswer:
        """Hand in a stock file. It is taken with a ticket; what became of it `outcome` tells."""
        now = self._clock.now()
        if self._next_import is not None and now < self._next_import:
            wait = (self._next_import - now).total_seconds()
            raise TryLater(f"{self.name}: it takes one stock file a minute", after_seconds=wait)
        self._next_import = _after(now, self._config.imports_every_seconds)
        taken = await self._client.upload(_IMPORTS, body)
        ticket = taken.get("import_id")
        if not ticket:
            raise Unknown(f"{self.name}: the answer to a stock file does not name its import")
        return PushAnswer(applied=False, ticket=str(ticket))

    async def outcome(self, ticket: str, body: bytes) -> PushAnswer | None:
        """What became of a stock file: imported, with the lines in error; or failed; or None, not yet."""
        path = f"{_IMPORTS}/{quote(ticket, safe='')}"
        status = await self._client.get(f"{path}/status")
        state = str(status.get("status") or status.get("import_status") or "").upper()
        if state in _FAILED:
            reason = str(status.get("reason_status") or f"the import {ticket} is {state}")
            return PushAnswer(applied=False, reason=reason)
        if state not in _DONE:
            return None
        if not status.get("has_error_report") and not status.get("lines_in_error"):
            return PushAnswer(applied=True)
        report = await self._client.text(f"{path}/error_report")
        return PushAnswer(applied=True, bad_rows=_bad_rows(body, report), reason="some lines were in error")

    # -- orders --------------------------------------------------------------------------------------

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """A marketplace sends no webhooks."""
        raise Forged(f"{self.name} sends no webhooks")

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """It sends none."""
        return None

    def order_called(self, delivery: Delivery) -> str | None:
        """It sends none."""
        return None

    async def order(self, reference: str) -> OrderSnapshot | None:
        """One order by its id. One that cannot be read says why (`unreadable`)."""
        document = await self._client.read("/api/orders", order_ids=reference, max=_PAGE)
        found = self._read(document["orders"])
        return next((order for order in found if order.order_id == reference), None)

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """Orders changed at or after `at`, the oldest order first.

        One that cannot be read is among them and says why (`unreadable`); it hides no other.
        """
        since = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        offset, total = 0, 1
        while offset < total:
            document = await self._client.read(
                "/api/orders",
                start_update_date=since,
                sort="dateCreated",
                order="asc",
                max=_PAGE,
                offset=offset,
            )
            orders, total = document["orders"], int(document["total_count"])
            if page := self._read(orders):
                yield page
            if not orders:
                break
            offset += len(orders)
        for changed in await self._came_back(at):
            if order := await self.order(changed):
                yield [order]

    async def _came_back(self, at: datetime) -> Sequence[str]:
        """The orders of which goods came back since the last look, or about `at`; at most every so often.

        What is not told now is told the next time: no order waits for it.
        """
        now, last = self._clock.now(), self._returns_at
        if last is not None and now < _after(last, self._config.returns_every_seconds):
            return ()
        since = (self._returns_known or at - _RETURNS_BEFORE) - _RETURNS_OVERLAP
        asked: dict[str, str | int | list[str]] = {
            "return_last_updated_from": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "return_state": list(RECEIVED),
            "limit": _PAGE,
        }
        found: dict[str, None] = {}
        try:
            while True:
                document = await self._client.get("/api/returns", **asked)
                for told in read_returns(document):
                    for line, moment in told.lines:
                        if told.return_id not in self._returns.setdefault(line, {}):
                            self._returns[line][told.return_id] = moment
                            found[told.order_id] = None
                token = document.get("next_page_token")
                if not token:
                    break
                asked = {"page_token": str(token), "limit": _PAGE}
        except (TryLater, Refused) as failure:
            log.warning(
                "returns not read", channel=self.name, reason=str(failure), next="asked for again later"
            )
            return tuple(found)
        finally:
            self._returns_at = now
        self._returns_known = now
        return tuple(found)

    def _read(self, orders: Sequence[Mapping[str, Any]]) -> list[OrderSnapshot]:
        found = []
        for order in orders:
            try:
                back = {line: tuple(told.values()) for line, told in self._returns.items()}
                falls_at = self._config.falls_at
                found.append(read_order(self.name, order, falls_at=falls_at, returns=back))
            except Refused as failure:
                number = order.get("order_id") if isinstance(order, dict) else None
                log.error("an order cannot be read", channel=self.name, order=number, reason=str(failure))
                found.append(unreadable(self.name, number, str(failure)))
        return found

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """Orders are refused and cancelled by the shop's staff, at the marketplace."""
        raise Refused(f"{self.name} takes no cancellations from here", advice="cancel it at the marketplace")


def _bad_rows(body: bytes, report: str) -> dict[int, str]:
    """The lines in error, by their place in the file: found by SKU, for nobody says how they are counted."""
    sent = [row[0] for row in csv.reader(io.StringIO(body.decode()), delimiter=";")][1:]
    header, *lines = list(csv.reader(io.StringIO(report), delimiter=";")) or [[]]
    at = header.index(_COLUMNS[0]) if _COLUMNS[0] in header else 2
    reasons = {line[at]: line[1] for line in lines if len(line) > at}
    return {place: reasons[sku] or "in error" for place, sku in enumerate(sent) if sku in reasons}


def _after(moment: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() + seconds, UTC)
