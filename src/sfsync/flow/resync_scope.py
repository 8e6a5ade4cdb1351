"""Whether what a comparison is to be limited to exists: mistyped, nothing would differ of it.

A SKU of which nothing has been heard yet may be new in the org or at a channel, and then it is what somebody
wants to compare: both are asked before it is called unknown, and who does not answer is believed to know it.
"""

from __future__ import annotations

from collections.abc import Collection

from sfsync.domain.resync import Scope
from sfsync.ports import OutsideError, Tx

from .amiss import heard_of
from .context import Context, grouped
from .resync_keeping import SKUS_AT_ONCE

PLACES_TOLD = 10


class Scoping:
    """Looks at a wish before anything is compared."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def problems(self, scope: Scope) -> dict[str, str]:
        """What is wrong with it, by field."""
        found = {}
        if what := self._places(scope):
            found["locations"] = what
        if unknown := await self._unknown(scope):
            found["skus"] = f"has {unknown[0]!r}, which neither the org nor a channel knows"
        return found

    def _places(self, scope: Scope) -> str:
        assortment = self._ctx.assortment
        known = {
            place
            for name in scope.channels or self._ctx.channels
            for place in (*assortment.channels[name].locations, *assortment.places(name))
        }
        unknown = [place for place in scope.locations if place not in known]
        if not unknown:
            return ""
        who = "none of these channels" if scope.channels else "no channel"
        named = ", ".join(sorted(known)[:PLACES_TOLD]) + (" …" if len(known) > PLACES_TOLD else "")
        return f"has {unknown[0]!r}, which {who} has or sells from; there are {named}"

    async def _unknown(self, scope: Scope) -> list[str]:
        """The SKUs that nobody knows, as they were named."""
        ctx = self._ctx
        left = await ctx.store.read(lambda tx: _unheard(tx, ctx, scope.skus))
        try:
            for part in grouped(sorted(left) if scope.org else [], SKUS_AT_ONCE):
                left -= {level.key.sku for level in await ctx.org.levels_of_skus(part)}
            for name in scope.channels or ctx.channels:
                if left and ctx.channels[name].ability.callbacks is None:
                    async for page in ctx.channels[name].items(frozenset(left)):
                        left -= {item.sku for item in page}
        except OutsideError as error:
            ctx.warn("not asked whether a SKU exists", error, next="it is compared all the same")
            return []
        return [sku for sku in scope.skus if sku in left]


def _unheard(tx: Tx, ctx: Context, skus: Collection[str]) -> set[str]:
    known = {level.key.sku for level in tx.levels_of(skus)}
    return {sku for sku in set(skus) - known if not heard_of(tx, ctx, sku)}
