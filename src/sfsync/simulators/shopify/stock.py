"""The shop's catalogue and stock, and the numbered record of every change to it.

The record is the outside's truth in tests and demos: each change has a number, a time, a cause
and the quantity after it. Levels change only through `change`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import SeedVariant
from sfsync.simulators.shopify.model import Level, Location, StockChange, Variant


class Numbers:
    """Hands out ids. Catalogue ids are the same at each start of a shop; others are never reused."""

    def __init__(self, shop_name: str, started_at: float) -> None:
        self._shop = zlib.crc32(shop_name.encode()) % 1_000_000
        self._started_ms = int(started_at * 1000)
        self._used: defaultdict[str, int] = defaultdict(int)
        self._ranges: dict[str, int] = {}

    def catalogue(self, kind: str) -> int:
        """The next id of a thing that stands in the seed."""
        return (self._range(kind) + 7) * 10**12 + self._shop * 10**6 + self._next(kind)

    def runtime(self, kind: str) -> int:
        """The next id of a thing that came to be while the shop was open."""
        return (self._range(kind) + 1) * 10**14 + self._started_ms * 10 + self._next(kind)

    def _next(self, kind: str) -> int:
        self._used[kind] += 1
        return self._used[kind]

    def _range(self, kind: str) -> int:
        return self._ranges.setdefault(kind, len(self._ranges))


class Stock:
    """Articles, locations, levels, and the record of changes."""

    def __init__(self, clock: ShopClock, numbers: Numbers) -> None:
        self._clock = clock
        self._numbers = numbers
        self._levels: dict[int, Level] = {}
        self._news = asyncio.Event()
        self.locations: dict[int, Location] = {}
        self.variants: dict[int, Variant] = {}
        self.items: dict[int, Variant] = {}  # the same articles by inventory item number
        self.by_sku: dict[str, list[Variant]] = {}
        self.changes: list[StockChange] = []
        self.watchers: list[Callable[[StockChange], None]] = []  # told of each change, at once
        self.connection_watchers: list[Callable[[Level], None]] = []  # told when an article gets a place

    def open(self, locations: Iterable[str], offline: Iterable[str], variants: Iterable[SeedVariant]) -> None:
        """Fill the empty shop with its places and articles; opening stock is not a change."""
        offline = set(offline)
        for name in locations:
            self.add_location(name, fulfills_online_orders=name not in offline)
        for seed in variants:
            self._add_variant(seed)

    def add_location(self, name: str, *, fulfills_online_orders: bool = True) -> Location:
        """A new place, with nothing stocked there yet."""
        now = self._clock.now()
        location = Location(
            number=self._numbers.catalogue("Location"),
            name=name,
            fulfills_online_orders=fulfills_online_orders,
            created_at=now,
            updated_at=now,
        )
        self.locations[location.number] = location
        return location

    def _add_variant(self, seed: SeedVariant) -> None:
        now = self._clock.now()
        variant = Variant(
            number=self._numbers.catalogue("ProductVariant"),
            item_number=self._numbers.catalogue("InventoryItem"),
            product_number=self._numbers.catalogue("Product"),
            sku=seed.sku,
            product_title=seed.title,
            price=seed.price,
            inventory_policy=seed.inventory_policy,
            tracked=seed.tracked,
            requires_components=seed.requires_components,
            gift_card=seed.gift_card,
            tags=sorted(seed.tags),
            created_at=now,
            updated_at=now,
        )
        self.variants[variant.number] = variant
        self.items[variant.item_number] = variant
        if seed.sku is not None:
            self.by_sku.setdefault(seed.sku, []).append(variant)
        for location in self.locations.values():
            if location.name in seed.available or not seed.available:
                level = self.connect(variant, location)
                level.quantities["available"] = seed.available.get(location.name, 0)

    def location_named(self, name_or_id: str) -> Location | None:
        """A place by its name or global id."""
        return next(
            (place for place in self.locations.values() if name_or_id in (place.name, place.id)), None
        )

    def level(self, variant: Variant, location: Location) -> Level | None:
        """The article's level there, active or not; None when it was never stocked there."""
        return variant.levels.get(location.number)

    def level_numbered(self, number: int) -> Level | None:
        """A level by its own number."""
        return self._levels.get(number)

    def connect(self, variant: Variant, location: Location) -> Level:
        """The article's level there, made or made active when need be."""
        level = variant.levels.get(location.number)
        if level is not None and level.is_active:
            return level
        if level is None:
            now = self._clock.now()
            number = self._numbers.catalogue("InventoryLevel")
            level = Level(number=number, variant=variant, location=location, created_at=now, updated_at=now)
            variant.levels[location.number] = level
            self._levels[level.number] = level
        level.is_active = True
        for watcher in self.connection_watchers:
            watcher(level)
        return level

    def change(
        self,
        level: Level,
        name: str,
        delta: int,
        cause: str,
        *,
        reference_document_uri: str | None = None,
        order_name: str | None = None,
    ) -> None:
        """Add `delta` units to a state, and record it. A delta of 0 is no change."""
        if not delta:
            return
        now = self._clock.now()
        level.quantities[name] += delta
        level.changed_at[name] = level.updated_at = now
        change = StockChange(
            number=len(self.changes) + 1,
            at=now,
            sku=level.variant.sku,
            level=level,
            name=name,
            delta=delta,
            after=level.quantities[name],
            cause=cause,
            reference_document_uri=reference_document_uri,
            order_name=order_name,
        )
        self.changes.append(change)
        self._news.set()
        self._news = asyncio.Event()
        for watcher in self.watchers:
            watcher(change)

    async def wait_for_change_after(self, number: int, within_seconds: float) -> None:
        """Return when the record reaches beyond `number`, or when the time is up."""
        try:
            async with asyncio.timeout(within_seconds):
                while len(self.changes) <= number:
                    await self._news.wait()
        except TimeoutError:
            return
