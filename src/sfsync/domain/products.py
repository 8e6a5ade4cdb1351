"""What is said of a SKU, as far as policies ask: fields, tags, price by the org; price and tags by a channel.

The org's word counts. The price that a channel shows, and the tags that another or the same has on it, stand
in only where the org's product has none, or where there is no such product; a channel never says anything
else. One channel each, because two may sell in two currencies and tag in two languages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .values import replace


@dataclass(frozen=True, slots=True)
class Product:
    """One product of the org. `gone`: deleted, or without a SKU by now."""

    record_id: str
    sku: str
    fields: Mapping[str, str] = field(default_factory=dict)  # as text; a blank one is left out
    tags: frozenset[str] = frozenset()
    price: float | None = None  # in the org's currency
    gone: bool = False

    @property
    def of_channel(self) -> bool:
        """True for the word of a channel, which fills gaps only."""
        return self.record_id.startswith(_CHANNEL)


_CHANNEL = "channel:"  # the org's record ids have no colon


def priced(channel: str, sku: str, price: float | None, tags: frozenset[str] = frozenset()) -> Product:
    """What a channel says of a SKU."""
    return Product(f"{_CHANNEL}{channel}:{sku}", sku, price=price, tags=tags)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a product must be for a policy to hold; every part that is given must fit."""

    fields: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()  # one of them
    price_from: float | None = None

    @property
    def anything(self) -> bool:
        """True when nothing is asked of the product."""
        return not self.fields and not self.tags and self.price_from is None

    def fits(self, product: Product | None) -> bool:
        """True when the product is so; nothing is said of a SKU that the org has no product for."""
        if self.anything:
            return True
        if product is None:
            return False
        return (
            all(product.fields.get(name) == value for name, value in self.fields.items())
            and (not self.tags or not product.tags.isdisjoint(self.tags))
            and (self.price_from is None or (product.price is not None and product.price >= self.price_from))
        )


class Catalogue:
    """The products that we know, by SKU. Of two with one SKU the one with the lower record id counts.

    It learns in one thread while transactions ask in others: all that is learnt is there at one moment.
    """

    def __init__(self) -> None:
        self._products: Mapping[str, Product] = {}  # by record id; both are replaced, never changed
        self._by_sku: Mapping[str, Product] = {}
        self.changes = 0  # grows after every change: what was decided before it grew may be out of date

    def of(self, sku: str) -> Product | None:
        """The product of a SKU."""
        return self._by_sku.get(sku)

    def learn(self, products: Iterable[Product]) -> Collection[str]:
        """Take products over. Returns the SKUs of which something has changed."""
        changed: set[str] = set()
        known = dict(self._products)
        for product in products:
            before = known.get(product.record_id)
            if before == product or (before is None and product.gone):
                continue
            if before is not None:
                changed.add(before.sku)
                del known[before.record_id]
            if not product.gone:
                changed.add(product.sku)
                known[product.record_id] = product
        if changed:
            self._products = known
            last_first = sorted(known.values(), key=lambda product: product.record_id, reverse=True)
            by_sku = {product.sku: product for product in last_first if not product.of_channel}
            for product in last_first:
                if product.of_channel:
                    own = by_sku.get(product.sku, product)
                    price = product.price if own.price is None else own.price
                    by_sku[product.sku] = replace(own, price=price, tags=own.tags or product.tags)
            self._by_sku = by_sku
            self.changes += 1
        return changed
