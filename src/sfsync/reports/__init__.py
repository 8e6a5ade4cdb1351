"""Reports, JSON-ready: accuracy of the books (`ira`); what sells, lacks and is to be counted (`turnover`).

The accuracy is worked out from the store alone. What was sold is asked of the org's ledger, because tills and
people enter sales there too; the answer is kept for some minutes, and less than a whole ledger is never told.
"""

from __future__ import annotations

from collections.abc import Mapping

from sfsync.domain.ira_wish import BadWishError, IraWish
from sfsync.domain.turnover_wish import TurnoverWish
from sfsync.ports import Clock, Org, TryLater, Tx, telling
from sfsync.store import Database

from . import ira, turnover
from .ira import Live

__all__ = ["Live", "Reports"]


class Reports:
    """Works reports out, from one picture of the store each.

    Without an org only what the store knows can be told. Each raises `BadWishError` where the wish names a
    location or SKU that has no stock level. `without`: locations whose goods are not for sale.
    """

    def __init__(
        self,
        store: Database,
        clock: Clock,
        class_field: str = "",
        org: Org | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self._store, self._clock, self._class_field = store, clock, class_field
        self._sales = None if org is None else turnover.Sales(org, clock)
        self._without = without

    async def ira(self, wish: IraWish) -> Mapping[str, object]:
        """Inventory Record Accuracy."""
        tell = telling()
        await self._store.read(lambda tx: _known(tx, wish))
        return await self._store.read(lambda tx: ira.report(tx, wish, self._class(wish.class_field), tell))

    def ira_now(self, wish: IraWish) -> Mapping[str, object]:
        """`ira`, in the calling thread."""
        tell = telling()
        self._store.read_now(lambda tx: _known(tx, wish))
        return self._store.read_now(lambda tx: ira.report(tx, wish, self._class(wish.class_field), tell))

    async def sell_through(self, wish: TurnoverWish) -> Mapping[str, object]:
        """What sold, of what could have been sold. Asks the org: may raise its failures."""
        sold, name, tell = await self._sold(wish), self._class(wish.class_field), telling()
        return await self._store.read(
            lambda tx: turnover.sell_through(tx, sold, wish, self._without, name, tell)
        )

    async def replenish(self, wish: TurnoverWish) -> Mapping[str, object]:
        """What lacks where, whence it may come, and what is over-bought. Asks the org: may raise."""
        sold, tell = await self._sold(wish), telling()
        return await self._store.read(lambda tx: turnover.replenish(tx, sold, wish, self._without, tell))

    async def count_next(self, wish: TurnoverWish) -> Mapping[str, object]:
        """What to count next, and why. Asks the org: may raise its failures."""
        sold, now, tell = await self._sold(wish), self._clock.now(), telling()
        return await self._store.read(
            lambda tx: turnover.count_next(tx, sold, wish, self._without, now, tell)
        )

    async def _sold(self, wish: TurnoverWish) -> turnover.Sold:
        if self._sales is None:
            raise TryLater("what was sold is known to the running daemon only")
        await self._store.read(lambda tx: _known(tx, wish))
        return await self._sales.of(wish.days)

    def _class(self, asked: str) -> str:
        return asked or self._class_field


def _known(tx: Tx, wish: IraWish | TurnoverWish) -> None:
    """`BadWishError` where the wish names a location or SKU without a stock level: mistyped, perhaps."""
    problems = {}
    if wish.location is not None and wish.location not in tx.level_sums():
        problems["location"] = f"is {wish.location!r}, where no stock level is"
    if wish.sku is not None and not tx.levels_of([wish.sku]):
        problems["sku"] = f"is {wish.sku!r}, of which there is no stock level"
    if problems:
        raise BadWishError(problems)
