"""Promises 5 and 11 at every instant: no shop sells more of its own units than are set aside for it.

Of an article that is divided among shops, each shop's number and its sales that the ledger does not know yet
are together never more than what the org has reserved for that shop (correctness D). As the org reserves
nothing beyond stock, the shops together can then not sell more than there is. While an article turns scarce,
each number stands for shared units until it has been lowered or covered; from that moment on the rule holds,
until the article is shared again and the shop's number has risen: what it shows before that, or has sold
unheard, is still of its own units. Goods that come back are everybody's at first (docs/rules.md, what is
weaker): then too it holds from when the shop's number has been covered or lowered.

What is set aside may leave nevertheless, over a counter or by a count. So once the world has come to rest,
the shops show together no more than what on hand covers of what is set aside for them.

All of it is read from the org's rows and from the shops' own numbers and orders. Only whether an article is
divided at present is the daemon's own word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter

from sfsync.simulators.org.model import Commit
from sfsync.simulators.shopify.model import LineItem, Order, StockChange

from .actors import Day
from .checks import Watch
from .checks_debts import left
from .plan import ONLINE, PLACES, SHOPS
from .sold import wanted
from .world import World

Pair = tuple[str, str]  # shop, SKU
UNCOVERED = """
    SELECT line.order_name FROM order_line line
    WHERE line.channel = ? AND line.sku = ? AND line.uncovered > 0 AND NOT line.due
    AND EXISTS (SELECT 1 FROM holding WHERE subject > ? AND subject < ? AND reserved > 0)
    AND NOT EXISTS (SELECT 1 FROM movement WHERE sku = line.sku AND state = 'waiting')
"""
# By the bundle's index it would read all rows instead of the new ones: hence the plus.
ASKED = """
    SELECT sku, channel, sum(reserved_delta) FROM movement
    WHERE id > ? AND sku LIKE 'WANE-%' AND subject LIKE 'allocation:%'
    AND NOT EXISTS (SELECT 1 FROM movement own
                    WHERE own.bundle = movement.bundle AND own.subject LIKE 'order:%')
    GROUP BY +bundle HAVING count(*) = 1 AND sum(reserved_delta) > 0
"""
COVER = """
    SELECT max(0, published + flying) + spare
        - (SELECT coalesce(sum(reserved), 0) FROM holding WHERE sku = ?2 AND subject LIKE ?3)
        - (SELECT coalesce(sum(max(0, reserved_delta)), 0) FROM movement
           WHERE sku = ?2 AND subject LIKE ?3 AND state = 'waiting')
    FROM channel_level WHERE channel = ?1 AND sku = ?2 AND location = ?4
"""
FREE = """
    SELECT coalesce(sum(max(0, level.on_hand - level.reserved - (
        SELECT coalesce(sum(max(0, reserved_delta) + max(0, -on_hand_delta)), 0) FROM movement
        WHERE level_key = level.level_key AND state = 'waiting'
    ))), 0) FROM level WHERE sku = ? AND level_key IN (?, ?)
"""
SELLING = "SELECT 1 FROM movement WHERE id > ? AND sku = ? AND subject LIKE 'order:london:%'"
Sold = tuple[Order, LineItem]
_LINES: Callable[[Order], Sequence[LineItem]] = attrgetter("lines")


class LastOne:
    """Follows every change of the last pieces, at the org and at the shops."""

    def __init__(self, world: World, day: Day, watch: Watch) -> None:
        self.world, self.day, self.watch = world, day, watch
        plan = world.plan
        self._always = {("london", sku) for sku in plan.skus if sku.startswith("ALLOC")}
        self._always |= {(shop, sku) for sku in plan.last_one.split for shop in SHOPS}
        self._waning = [(shop, sku) for sku in plan.last_one.wane for shop in SHOPS]
        if plan.habits.copied:  # the org's copies may say otherwise of London's orders: `checks_org`
            self._always = {pair for pair in self._always if pair[0] != "london"}
            self._waning = [pair for pair in self._waning if pair[0] != "london"]
        self.skus = {sku for _, sku in (*self._always, *self._waning)}
        self.covered: set[Pair] = set(self._always)  # from now on the rule holds
        self._shared: set[Pair] = set()  # of those, shared again, and not raised since
        self._since: dict[Pair, object] = {}  # since when it was divided that time, of what wanes
        self._heard: dict[Pair, object] = {}  # the last time it was divided that all its sales were heard of
        self.beyond: dict[Pair, int] = defaultdict(int)  # units that the shop by itself sold below zero
        self._mended: dict[Pair, int] = defaultdict(int)  # of those, raised to nothing by the daemon
        self._held: dict[Pair, int] = defaultdict(int)  # set aside in the org
        self._aside: dict[str, int] = defaultdict(int)  # of those, by stock level
        self._taken: dict[Pair, int] = defaultdict(int)  # by order lines, of all stock
        self._due: set[str] = set()
        self._newest = 0  # of the movements that were looked at
        self._sold: dict[
            str, tuple[int, dict[str, list[tuple[Order, LineItem]]]]
        ] = {}  # by shop: see `_lines`
        inner = world.org.engine.on_commit
        assert inner is not None

        def on_commit(commit: Commit) -> None:
            inner(commit)
            self._org_commit(commit)

        world.org.engine.on_commit = on_commit
        for name, shop in world.shops.items():
            shop.stock.watchers.append(partial(self._shop_change, name))
        world.on_commit.append(self._store_commit)

    # -- what is told

    def _org_commit(self, commit: Commit) -> None:
        for change in commit.changes:
            row = change.after
            if change.entity != "StockMovement__c" or not row or not row.get("SubjectKey__c"):
                continue
            kind, _, rest = str(row["SubjectKey__c"]).partition(":")
            key = self.watch.key_of(str(row["StockLevel__c"]))
            pair = rest.partition(":")[0], key.partition("|")[0]
            if pair[1] not in self.skus:
                continue
            reserved, on_hand = int(row["ReservedDelta__c"] or 0), int(row["OnHandDelta__c"] or 0)
            if kind == "allocation":
                self._held[pair] += reserved
                self._aside[key] += reserved
            elif kind == "order":
                self._taken[pair] += reserved - on_hand
                if on_hand > 0:
                    self._uncover(pair)
            self._look_soon(pair[1])

    def _shop_change(self, shop: str, change: StockChange) -> None:
        if change.sku not in self.skus or change.name != "available":
            return
        pair = shop, str(change.sku)
        if pair in self._shared and change.delta > 0:
            self._uncover(pair)
        if change.cause == "adjust":  # the daemon's: nobody's permission to go below zero
            # Raised to nothing by it, the units are still sold, and may be moved below zero once more.
            self._mended[pair] += max(0, min(change.delta, change.delta - change.after))
        else:
            self.beyond[pair] = max(self.beyond[pair], self._below_zero(pair) + self._mended[pair])
        self._look_soon(change.sku)

    def _store_commit(self) -> None:
        """What is shared again owes nothing to the rule once its number has risen."""
        self._look_for_uncovered()
        self._look_who_is_covered()
        if not self._waning or not self.watch.changed:
            return
        for pair in self._waning:
            # Shared and divided again in one moment is seen by the time alone since when it is divided.
            if pair in self.covered and (since := self._divided_since(pair[1])) != self._since[pair]:
                if since is None:
                    self._shared.add(pair)
                else:
                    self._uncover(pair)
            elif pair not in self.covered:
                self._look_soon(pair[1])

    def _uncover(self, pair: Pair) -> None:
        self.covered.discard(pair)
        self._shared.discard(pair)

    def _look_for_uncovered(self) -> None:
        """A shop with two locations: no order is told as oversold while the shop has a unit at either."""
        if self.world.plan.habits.mall is None or self.world.plan.fallback or not self.watch.changed:
            return
        for sku in self.world.plan.last_one.split:
            own = f"allocation:dubai:{sku}"
            found = self.watch.query(UNCOVERED, "dubai", sku, f"{own}|", f"{own}}}")  # "}" comes after "|"
            for (order,) in found:
                self.world.violated(5, f"dubai {order}: nothing covers {sku}, and dubai has some set aside")

    def _look_who_is_covered(self) -> None:
        """Of an article that turns scarce, whoever comes first has all that it may still sell covered.

        Until then nobody after it is given any: it may sell its old number meanwhile.
        """
        if not self.world.plan.last_one.wane or not self.watch.changed:
            return
        before, self._newest = self._newest, self.watch.newest
        if self._newest == before:
            return
        for sku, taker, units in self.watch.query(ASKED, before):  # what an order gives up is its shop's own
            if self.watch.query(SELLING, before, sku):
                continue  # the numbers are of after a sale that was heard of in the same moment
            for shop in SHOPS[: SHOPS.index(taker)]:
                # What it is kept from asking for just now lies in the pool, and is promised to nobody else.
                if (short := self._not_covered(shop, sku) - self._free(sku)) > 0:
                    self.world.violated(
                        5, f"{taker} is given {units} {sku}, and nothing covers {short} that {shop} may sell"
                    )

    def _not_covered(self, shop: str, sku: str) -> int:
        """Units that it may show, by the store, and that are not set aside for it nor being so."""
        found = self.watch.query(COVER, shop, sku, f"allocation:{shop}:{sku}|%", ONLINE.lower())
        return found[0][0] if found else 0

    def _free(self, sku: str) -> int:
        """Units that nobody has and nobody is being given, by the store."""
        return int(self.watch.query(FREE, sku, *(f"{sku}|{place}" for place in PLACES))[0][0])

    def _look_soon(self, sku: str) -> None:
        """Once whoever changed something has told all of it: nothing happens in between."""
        if not self._due:
            self.world.loop.call_soon(self._look)
        self._due.add(sku)

    # -- what is checked

    def _look(self) -> None:
        due, self._due = self._due, set()
        if self.world.plan.fallback:
            return  # its postings take the cover of allocations away, and an incident says so
        for pair in sorted({*self._always, *self._waning}):
            if pair[1] not in due:
                continue
            if pair[0] in self.world.unapplied:
                self._uncover(pair)  # who says yes to a lower number and does nothing is found out afterwards
                continue
            # Nobody is offered less than nothing: a number below zero makes up for no sale.
            shows, sold = self.shown(pair), self.unsettled(pair)
            if pair not in self.covered:
                self._may_be_covered(pair, shows, sold)
            elif shows + sold > self._held[pair] + self.beyond[pair]:
                self.world.violated(
                    5,
                    f"{pair[0]} shows {shows} of {pair[1]} and sold {sold} that the ledger does not know; "
                    f"{self._held[pair]} are set aside for it",
                )
                self._uncover(pair)

    def _may_be_covered(self, pair: Pair, shows: int, sold: int) -> None:
        if not (pair in self._always or self.divided(pair[1])):
            return
        since = self._divided_since(pair[1])
        if sold <= 0:
            self._heard[pair] = since
        if shows + sold > self._held[pair]:
            return
        # What was sold while it was shared is no sale of its own units: its number has long counted it.
        if pair not in self._always and self._heard.get(pair) != since:
            return
        # Nor while its number is to be changed, or the org asked: was it shared for a moment, its units may
        # be on their way back. And units that are about to be shown cover no sale from while it was shared,
        # which its number has long counted, and nobody has heard of.
        flying = self.watch.query(
            "SELECT 1 FROM channel_level WHERE channel = ? AND sku = ? "
            "AND (push IS NOT NULL OR target <> published)",
            *pair,
        )
        moving = self.watch.query(
            "SELECT 1 FROM movement WHERE state = 'waiting' AND reserved_delta <> 0 AND subject LIKE ?",
            f"allocation:{pair[0]}:{pair[1]}|%",
        )
        if not flying and not moving:
            self.covered.add(pair)
            self._since[pair] = since

    def _divided_since(self, sku: str) -> object:
        """When the daemon last divided it; None while it is shared."""
        ((since,),) = self.watch.query("SELECT max(since) FROM scarce WHERE sku = ?", sku)
        return since

    def divided(self, sku: str) -> bool:
        """Whether the daemon has divided what turned scarce."""
        return bool(self.watch.query("SELECT 1 FROM scarce WHERE sku = ?", sku))

    def shown(self, pair: Pair) -> int:
        """Units that the shop offers, at all its locations."""
        return sum(max(0, units) for units in self._numbers(pair))

    def _below_zero(self, pair: Pair) -> int:
        """Units that it sold by itself where it did not have them, or has moved there to be sent."""
        return sum(max(0, -units) for units in self._numbers(pair))

    def _numbers(self, pair: Pair) -> list[int]:
        variant = self.world.shops[pair[0]].stock.by_sku[pair[1]][0]
        return [level.quantities["available"] for level in variant.levels.values()]

    def unsettled(self, pair: Pair) -> int:
        """Units sold by the shop's own record, less those that the ledger has taken for them."""
        shop, sku = pair
        sold = 0
        for order, line in self._lines(shop).get(sku, ()):
            on_hand, reserved = wanted(order, line)
            sold += reserved - on_hand
        return sold - self._taken[pair]

    def _lines(self, shop: str) -> Mapping[str, Sequence[Sold]]:
        """A shop's order lines by SKU. None is ever taken away: their count tells whether there are more."""
        orders = self.world.shops[shop].selling.orders.values()
        count = sum(map(len, map(_LINES, orders)))
        if self._sold.get(shop, (0, {}))[0] != count:
            found: dict[str, list[Sold]] = defaultdict(list)
            for order in orders:
                for line in order.lines:
                    found[line.variant.sku or ""].append((order, line))
            self._sold[shop] = count, found
        return self._sold.get(shop, (0, {}))[1]

    def own_shown(self, sku: str) -> int:
        """Units that the shops offer of what is set aside for them."""
        pairs = self._always if not self.divided(sku) else self._always.union(self._waning)
        return sum(self.shown(pair) for pair in sorted(pairs) if pair[1] == sku)

    def own_there(self, sku: str) -> int:
        """Units set aside that on hand covers, after everybody who was promised some."""
        levels = {f"{sku}|{place}": self.watch.levels[f"{sku}|{place}"] for place in PLACES}
        return sum(
            max(0, min(self._aside[key], level.on_hand - level.reserved + self._aside[key]))
            for key, level in levels.items()
        )

    def held(self, pair: Pair) -> int:
        """Units set aside in the org for this shop."""
        return self._held[pair]


def settled_last_one(last: LastOne) -> Iterator[tuple[int, str]]:
    """(promise, what differs) once the world has come to rest."""
    yield from _divided_as_scarce(last)
    yield from _sold_from_its_own(last)
    for sku in sorted(last.skus):
        shows, there = last.own_shown(sku), last.own_there(sku)
        if shows > there:
            yield (
                5,
                f"shops show {shows} of {sku} of what is set aside for them, and {there} of that are there",
            )


def _divided_as_scarce(last: LastOne) -> Iterator[tuple[int, str]]:
    """Few are divided, many are shared; between the two limits either will do."""
    plan = last.world.plan.last_one
    for sku in plan.wane:
        free = left(last.watch, sku)
        units = sum(free[place] for place in PLACES)
        units += sum(last.held((shop, sku)) for shop in SHOPS)
        if last.divided(sku) and units >= plan.plentiful_at:
            yield 9, f"{sku} is divided, and with {units} it should be shared"
        if not last.divided(sku) and units <= plan.scarce_at:
            yield 9, f"{sku} is shared, and with {units} it should be divided"


def _sold_from_its_own(last: LastOne) -> Iterator[tuple[int, str]]:
    """Who sold within its own units has them in the end; beyond that only what the shop sold below zero.

    Nor is anything left of its own for somebody else to buy while a sale of it has nothing.
    """
    if last.world.plan.fallback:
        return
    for shop, sku in sorted(last.covered & last._always):
        missing = last.unsettled((shop, sku))
        if missing > last.beyond[shop, sku]:
            yield 5, f"{shop} sold {missing} of {sku} within its own units, and nobody has them"
        elif missing > 0 and last.held((shop, sku)) > 0:  # wherever the shop sold them, and sends them from
            yield 5, f"{shop} sold {missing} of {sku} that nothing covers, and has some of its own left"
