"""A Vendure shop as a channel: numbers by its Admin API, news by the webhooks of a small plugin.

The shop keeps two numbers for each variant and stock location: on hand, which falls when goods leave, and
allocated, which an order raises. What it shows is the difference, and what it takes is a new number on hand,
as it is. So what is written is what should be shown plus what the shop itself has allocated: a sale that we
have not heard of is in the allocated number, and no write of ours goes over it.

It knows neither a comparison nor keys. So the comparison is made here: the numbers are read, a row whose
number is not the one believed in stops its push, and then all rows are written in one transaction. A sale
between the two does no harm, for it is kept apart. Whatever else changes a number on hand in that moment is
seen in the answer, which is read in the same transaction, and then the number is read again. Where the shop
has miscounted, allocated may be below zero; then so is what is written, for the difference counts.

A push that is repeated finds its own numbers on hand: `_sent` keeps which they are. Nobody but the shop's
staff, its fulfilments and we change them; after a restart of ours a push of unknown outcome finds that its
rows are not as believed, unless nothing has come of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import structlog

from sfsync.channels import vendure_documents as documents
from sfsync.channels.signing import is_signed
from sfsync.channels.vendure_client import VendureClient
from sfsync.channels.vendure_config import VendureConfig
from sfsync.channels.vendure_orders import CANCELLED, read_order, sent_units
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
    Write,
)

log = structlog.get_logger(__name__)

ORDER_CHANGED = "order.changed"
_ROWS = 100
_PAGE = 100
_ASKED = 100  # SKUs of one question
_KEPT = 20  # pushes whose numbers on hand are remembered
_RIGHTS: Mapping[str, tuple[str, ...]] = {  # those that no reading proves
    "write stock": ("UpdateCatalog", "UpdateProduct"),
    "cancel orders": ("UpdateOrder",),
}
_Place = tuple[str, str]  # variant id, stock location id


@dataclass(frozen=True, slots=True)
class _Level:
    """What the shop keeps of a variant at a stock location."""

    on_hand: int = 0
    allocated: int = 0

    @property
    def shows(self) -> int:
        return self.on_hand - self.allocated


class VendureChannel:
    """One shop; see `sfsync.ports.Channel` for what each call promises."""

    def __init__(
        self, config: VendureConfig, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.name = config.name
        self._routes = len(config.locations) > 1
        self.ability = Ability(
            batch_rows=_ROWS,
            relative=False,
            compare_and_set=True,
            key_life_seconds=0.0,  # it knows no keys: the same number again is the same number
            webhooks=True,
            routes=self._routes,
            cancels=True,
        )
        self._config, self._clock = config, clock
        self._names = {number: name for name, number in config.locations.items()}
        self._client = VendureClient(config, clock, transport=transport)
        self._writing = asyncio.Lock()  # from reading numbers on hand to writing them
        self._sent: dict[str, dict[_Place, tuple[int, int]]] = {}  # push -> on hand before, and as written
        self._lowered: set[str] = set()  # orders whose units were taken off before they are cancelled

    def ahead(self) -> Ahead | None:
        """How far the shop's clock is ahead of ours, by its answers so far."""
        return self._client.their_clock.ahead

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()

    async def check(self) -> Sequence[Finding]:
        """Address, credential, plugin, stock locations and rights."""
        try:
            shop = await self._client.read(documents.SHOP, since=_wire(self._clock.now()))
        except Refused as error:
            return [Finding(Severity.FATAL, str(error), error.advice)]
        name, known = self.name, {str(each["id"]): each["name"] for each in shop["stockLocations"]["items"]}
        found = [
            Finding(
                Severity.FATAL,
                f"{name}: the shop has no stock location {number} ({ours})",
                f"its locations are {', '.join(f'{key} ({told})' for key, told in known.items())}",
            )
            for ours, number in self._config.locations.items()
            if number not in known
        ]
        if not self._config.api_key:  # a key may read what it needs, as was just seen; the shop tells no more
            found += await self._missing_rights()
        if not found:
            locations = ", ".join(f"{ours} is {known[key]!r}" for key, ours in self._names.items())
            found.append(Finding(Severity.GOOD, f"{name}: the shop answers, with its plugin; {locations}"))
        return found

    async def _missing_rights(self) -> list[Finding]:
        told = await self._client.read(documents.RIGHTS)
        rights = {
            right
            for channel in told["me"]["channels"]
            if channel["token"] == told["activeChannel"]["token"]
            for right in channel["permissions"]
        }
        return [
            Finding(
                Severity.WARNING,
                f"{self.name}: {told['me']['identifier']} may not {what}",
                f"give its role {enough[0]}",
            )
            for what, enough in _RIGHTS.items()
            if not rights & {*enough, "SuperAdmin"}
        ]

    # -- numbers -------------------------------------------------------------------------------------

    async def items(self, skus: Collection[str] | None = None) -> AsyncIterator[Sequence[ChannelItem]]:
        """The shop's variants and what they show at each of its locations, in pages.

        Everything is read before the first page is given: a SKU may be on several variants, far apart.
        """
        if skus is None:
            found = await self._variants({})
            for start in range(0, len(found), _PAGE):
                yield self._items(found, found[start : start + _PAGE])
            return
        wanted = sorted(set(skus))
        for start in range(0, len(wanted), _ASKED):
            asked = wanted[start : start + _ASKED]
            found = [each for each in await self._variants({"sku": {"in": asked}}) if each["sku"] in asked]
            if found:
                yield self._items(found, found)

    async def _variants(self, asked: Mapping[str, object]) -> list[Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        read, total = 0, 1
        while read < total:
            options = {"take": _PAGE, "skip": read, "sort": {"createdAt": "ASC"}, "filter": asked}
            told = await self._client.read(documents.VARIANTS, options=options)
            page, total = told["productVariants"]["items"], told["productVariants"]["totalItems"]
            everywhere = told["globalSettings"]
            found |= {str(each["id"]): _with_settings(each, everywhere) for each in page}
            if not page:
                break
            read += len(page)
        return list(found.values())

    def _items(
        self, all_of_them: Sequence[Mapping[str, Any]], page: Sequence[Mapping[str, Any]]
    ) -> list[ChannelItem]:
        carriers = Counter(each["sku"] for each in all_of_them)
        return [
            ChannelItem(
                variant["sku"],
                name,
                str(variant["id"]),
                number,
                _levels(variant).get(number, _Level()).shows,
                tracked=variant["tracked"],
                oversell_allowed=variant["threshold"] < 0,
                duplicate=carriers[variant["sku"]] > 1,
            )
            for variant in page
            for name, number in self._config.locations.items()
        ]

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        """The numbers to be shown, with those believed in. ValueError for rows that are no numbers."""
        if any(write.quantity is None or write.delta is not None for write in writes):
            raise ValueError("a Vendure shop takes plain numbers, and no changes")
        rows = [
            {
                "variant": write.item_id,
                "location": write.location_id,
                "shows": write.quantity,
                "believed": write.compare,
            }
            for write in writes
        ]
        return orjson.dumps({"key": key, "rows": rows})

    async def push(self, body: bytes) -> PushAnswer:
        """Write numbers: all of one transaction, without those that cannot be written at all."""
        rows = orjson.loads(body)["rows"]
        push = hashlib.sha256(body).hexdigest()
        async with self._writing:
            levels, locations = await self._levels_now({row["variant"] for row in rows})
            bad = {
                index: reason
                for index, row in enumerate(rows)
                if (reason := _unwritable(row, levels, locations))
            }
            before = self._sent.get(push, {})
            wanted: dict[_Place, int] = {}
            stale = set()
            for index, row in enumerate(rows):
                if index in bad:
                    continue
                place = row["variant"], row["location"]
                level = levels[row["variant"]].get(row["location"], _Level())
                old, new = before.get(place, (None, None))
                if new is not None and level.on_hand == new != old:
                    continue  # this very push has written it
                if row["believed"] is not None and (
                    level.shows != row["believed"] or (old is not None and level.on_hand != old)
                ):
                    stale.add(index)
                wanted[place] = row["shows"] + level.allocated
            if stale:
                return PushAnswer(applied=False, bad_rows=bad, stale_rows=frozenset(stale))
            now = {place: levels[place[0]].get(place[1], _Level()) for place in wanted}
            self._remember(push, {place: (now[place].on_hand, units) for place, units in wanted.items()})
            doubtful = await self._write(
                {place: units for place, units in wanted.items() if now[place].on_hand != units}, now
            )
        unsure = {
            index for index, row in enumerate(rows) if (row["variant"], row["location"]) in doubtful
        } - bad.keys()
        applied = len(bad) < len(rows)
        return PushAnswer(applied=applied, bad_rows=bad, stale_rows=frozenset(unsure))

    async def _write(self, wanted: Mapping[_Place, int], before: Mapping[_Place, _Level]) -> set[_Place]:
        """Write numbers on hand; returns those beside which something else has changed in that moment."""
        if not wanted:
            return set()
        by_variant: dict[str, list[dict[str, object]]] = defaultdict(list)
        for (variant, location), units in wanted.items():
            by_variant[variant].append({"stockLocationId": location, "stockOnHand": units})
        rows = [{"id": variant, "stockLevels": levels} for variant, levels in by_variant.items()]
        told = await self._client.ask(documents.SET_STOCK, input=rows)
        after = {str(each["id"]): _levels(each) for each in told["updateProductVariants"]}
        return {
            place
            for place, units in wanted.items()
            if (level := after.get(place[0], {}).get(place[1], _Level())).on_hand != units
            or level.allocated < before[place].allocated
        }

    def _remember(self, push: str, written: Mapping[_Place, tuple[int, int]]) -> None:
        self._sent[push] = self._sent.pop(push, {}) | dict(written)
        while len(self._sent) > _KEPT:
            del self._sent[next(iter(self._sent))]

    async def _levels_now(
        self, variants: Collection[str]
    ) -> tuple[Mapping[str, Mapping[str, _Level]], frozenset[str]]:
        """What the shop keeps of some variants, by stock location; and the locations that it has."""
        options = {"take": len(variants), "filter": {"id": {"in": sorted(variants)}}}
        told = await self._client.read(documents.LEVELS, options=options)
        locations = frozenset(str(each["id"]) for each in told["stockLocations"]["items"])
        return {str(each["id"]): _levels(each) for each in told["productVariants"]["items"]}, locations

    # -- orders --------------------------------------------------------------------------------------

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The plugin's webhook, once one of the secrets has proved it. Raises `Forged`."""
        if not is_signed(self._config.webhook_secrets, headers, body):
            raise Forged("the signature is not by the plugin's secret, or it is not from now")
        try:
            told = orjson.loads(body)
            return Delivery(str(told["type"]), headers["webhook-id"], body)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Forged("it is signed, and none of the plugin's") from error

    def read_order(self, delivery: Delivery) -> OrderSnapshot | None:
        """None: a webhook says which order to read, and not what it is."""
        return None

    def order_called(self, delivery: Delivery) -> str | None:
        """The id of the order that has changed."""
        if delivery.topic != ORDER_CHANGED:
            return None
        try:
            number = orjson.loads(delivery.body)["data"]["order"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Refused(
                f"a webhook of {self.name} cannot be read: {type(error).__name__}: {error}",
                advice="look whether the plugin is the one of this version of sfsync",
            ) from error
        if not isinstance(number, str) or not number:
            raise Refused(f"a webhook of {self.name} names no order", advice="look at the plugin")
        return number

    async def order(self, reference: str) -> OrderSnapshot | None:
        """One order by its id; None for a cart. One that cannot be read says why (`unreadable`)."""
        told = await self._client.read(documents.ORDER, id=reference)
        found = self._read([] if told["order"] is None else [told["order"]])
        return found[0] if found else None

    async def orders_since(self, at: datetime) -> AsyncIterator[Sequence[OrderSnapshot]]:
        """Orders changed at or after `at`, by their ids. One that cannot be read says why."""
        after: str | None = None
        while True:
            changed = await self._client.read(documents.CHANGED, since=_wire(at), after=after, take=_PAGE)
            numbers = changed["sfsyncOrdersChanged"]
            if not numbers:
                return
            options = {"take": len(numbers), "filter": {"id": {"in": numbers}}}
            told = await self._client.read(documents.ORDERS, options=options)
            if page := self._read(told["orders"]["items"]):
                yield page
            after = numbers[-1]

    def _read(self, orders: Sequence[Mapping[str, Any]]) -> list[OrderSnapshot]:
        found = []
        for order in orders:
            try:
                snapshot = read_order(self.name, order, self._names, routes=self._routes)
            except Refused as failure:
                number = order.get("code") if isinstance(order, dict) else None
                log.error("an order cannot be read", channel=self.name, order=number, reason=str(failure))
                snapshot = unreadable(
                    self.name, order.get("id") if isinstance(order, dict) else None, str(failure)
                )
            if snapshot is not None:
                found.append(snapshot)
        return found

    async def cancel_order(self, order_id: str, *, refund: bool, notify: bool, note: str) -> None:
        """Have a whole order called off. The shop's own mail says so to the customer, or does not.

        The shop puts the units of a cancelled order back on sale. So they are taken off its number first, and
        in no moment are they on sale; if the order is not cancelled then, they are put back. An order of
        which something has left is not cancelled.
        """
        order = (await self._client.read(documents.TO_CANCEL, id=order_id))["order"]
        if order is None or order["state"] == CANCELLED:
            what = "is none of its orders" if order is None else "is cancelled already"
            raise Refused(f"{self.name}: {order_id} {what}", advice="look at the order at the shop")
        if any(sent_units(line) for line in order["lines"]):
            raise Refused(
                f"{self.name}: of the order {order_id} goods have left", advice="have it mended at the shop"
            )
        units: Counter[_Place] = Counter()
        for line in order["lines"]:
            for place in line["sfsyncPlaces"]:
                held = place["allocated"] - place["released"] - place["cancelled"]
                units[str(line["productVariant"]["id"]), str(place["stockLocationId"])] += max(0, held)
        if order_id not in self._lowered:
            await self._change(units, -1)
            self._lowered.add(order_id)
        asked = {"orderId": order_id, "cancelShipping": True, "reason": note}
        told = (await self._client.ask(documents.CANCEL, input=asked))["cancelOrder"]
        if told["__typename"] != "Order":
            await self._change(units, 1)
            self._lowered.discard(order_id)
            raise Refused(f"{self.name}: {told.get('message')}", advice="look at the order at the shop")
        self._lowered.discard(order_id)
        if refund:
            await self._refund(order_id, order["payments"] or (), note)

    async def _change(self, units: Mapping[_Place, int], sign: int) -> None:
        """Change numbers on hand."""
        units = {place: part for place, part in units.items() if part}
        if not units:  # what the shop has allocated nothing for, it puts nothing back of
            return
        async with self._writing:
            levels, _ = await self._levels_now({variant for variant, _ in units})
            now = {place: levels.get(place[0], {}).get(place[1], _Level()) for place in units}
            wanted = {place: level.on_hand + sign * units[place] for place, level in now.items()}
            await self._write(wanted, now)

    async def _refund(self, order_id: str, payments: Sequence[Mapping[str, Any]], note: str) -> None:
        for payment in payments:
            back = sum(each["total"] for each in payment["refunds"] if each["state"] != "Failed")
            if payment["state"] != "Settled" or payment["amount"] <= back:
                continue
            # The shop needs the fields that its own schema calls old ones, and computes with `amount`.
            asked = {
                "paymentId": payment["id"],
                "amount": payment["amount"] - back,
                "lines": [],
                "shipping": 0,
                "adjustment": 0,
                "reason": note,
            }
            told = (await self._client.ask(documents.REFUND, input=asked))["refundOrder"]
            if told["__typename"] != "Refund":
                raise Refused(
                    f"{self.name}: {order_id} is cancelled, and not refunded: {told.get('message')}",
                    advice="refund it at the shop",
                )


def _with_settings(variant: Mapping[str, Any], everywhere: Mapping[str, Any]) -> Mapping[str, Any]:
    """A variant with what holds for it, where it only says to do as all do."""
    said = variant["trackInventory"]
    tracked = everywhere["trackInventory"] if said == "INHERIT" else said == "TRUE"
    own = not variant["useGlobalOutOfStockThreshold"]
    threshold = (variant if own else everywhere)["outOfStockThreshold"]
    return {**variant, "tracked": bool(tracked), "threshold": int(threshold)}


def _levels(variant: Mapping[str, Any]) -> Mapping[str, _Level]:
    return {
        str(each["stockLocationId"]): _Level(int(each["stockOnHand"]), int(each["stockAllocated"]))
        for each in variant["stockLevels"]
    }


def _unwritable(
    row: Mapping[str, Any], levels: Mapping[str, Mapping[str, _Level]], locations: Collection[str]
) -> str:
    """Why a row can never be written; "" when it can."""
    if row["variant"] not in levels:
        return f"the shop has no variant {row['variant']}"
    if row["location"] not in locations:
        return f"the shop has no stock location {row['location']}"
    return ""


def _wire(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
