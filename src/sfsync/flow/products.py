"""What the org says of its products, kept and followed, so that policies may ask for it.

Read whole at every start, and what has changed once an hour: a product changes its family seldom, and no
event tells of it. What was read last stands in the store: a restart without the org decides by it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial

from sfsync.domain.coverage import OVERLAP
from sfsync.domain.products import Product, priced
from sfsync.ports import ChannelItem, OutsideError, Refused, Tx

from .context import Context, grouped
from .shelf import refresh

EVERY_SECONDS = 3600.0
SKUS_AT_ONCE = 500


class Products:
    """Follows the org's products, where a policy asks for them."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._read_at: datetime | None = None

    async def run(self) -> None:
        """Until cancelled; at once done where no policy asks."""
        ctx = self._ctx
        while ctx.org.has_products:
            await ctx.clock.sleep(EVERY_SECONDS)
            try:
                await self.read()
            except Refused as error:
                ctx.log.error("products not read", reason=str(error), next=error.advice)
            except OutsideError as error:
                ctx.log.warning("products not read", reason=str(error), next="again in an hour")

    async def read(self) -> int:
        """Read what has changed since the last time, all at first. How many SKUs are other than before."""
        ctx = self._ctx
        if not ctx.org.has_products:
            return 0
        at, since = ctx.clock.now(), self._read_at
        found: list[Product] = []
        async for page in ctx.org.products(None if since is None else since - OVERLAP):
            found.extend(page)
        whole = since is None
        known = await ctx.store.read(lambda tx: tx.products())
        if whole:
            there = {product.record_id for product in found}
            ours = [product for product in known if not product.of_channel]
            found += [_gone(product) for product in ours if product.record_id not in there]
        await ctx.store.write(partial(_keep, products=found))
        changed = ctx.assortment.learn(found)
        # What the store holds may have been decided by what was known before a restart.
        skus = await ctx.store.read(lambda tx: tx.all_skus()) if whole else sorted(changed)
        for part in grouped(skus, SKUS_AT_ONCE):
            ctx.bell.ring(*await ctx.store.write(partial(self._refresh, skus=part)))
        self._read_at = at
        if changed:
            ctx.log.info("products read", changed=len(changed))
        return len(changed)

    def _refresh(self, tx: Tx, *, skus: Collection[str]) -> set[str]:
        return refresh(tx, self._ctx.assortment, self._ctx.pulse, skus, self._ctx.clock.now())


def of_listing(ctx: Context, channel: str, items: Collection[ChannelItem]) -> list[Product]:
    """What a part of a channel's listing says of prices and tags, where policies take them from it."""
    prices, tags = channel == ctx.assortment.price_channel, channel == ctx.assortment.tags_channel
    return [
        priced(
            channel, item.sku, item.price if prices else None, (item.tags if tags else None) or frozenset()
        )
        for item in items
        if (prices and item.price is not None) or (tags and item.tags is not None)
    ]


async def learn_listing(ctx: Context, channel: str, told: Collection[Product]) -> None:
    """Keep what a channel's listing says (`of_listing`), each SKU once."""
    if not told:
        return
    known = {product.record_id: product for product in await ctx.store.read(lambda tx: tx.products())}
    changed = [product for product in told if known.get(product.record_id) != product]
    await ctx.store.write(partial(_keep, products=changed))
    skus = sorted(ctx.assortment.learn(told))

    def work_out(tx: Tx, part: Collection[str]) -> set[str]:
        return refresh(tx, ctx.assortment, ctx.pulse, part, ctx.clock.now())

    for part in grouped(skus, SKUS_AT_ONCE):
        ctx.bell.ring(*await ctx.store.write(partial(work_out, part=part)))
    if skus:
        ctx.log.info("listing read", channel=channel, changed=len(skus))


def _keep(tx: Tx, *, products: Collection[Product]) -> None:
    tx.put_products(products)


def _gone(product: Product) -> Product:
    return Product(product.record_id, product.sku, gone=True)
