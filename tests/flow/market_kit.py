"""A marketplace to tell stories with: it takes plain numbers, and an order lowers its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.flow.kit import HastyClock, LittleShop

from sfsync.ports import PushAnswer, Write


class LittleMarket(LittleShop):
    """A number written is the number shown, whatever was sold meanwhile."""

    def __init__(
        self, clock: HastyClock, name: str, shelf: Mapping[str, int], *, batch_rows: int = 250
    ) -> None:
        super().__init__(clock, name, shelf, batch_rows=batch_rows)
        self.ability = replace(self.ability, relative=False, compare_and_set=False)

    def encode(self, key: str, writes: Sequence[Write]) -> bytes:
        assert all(write.delta is None and write.compare is None for write in writes)
        return json.dumps([key, [[write.sku, write.quantity] for write in writes]]).encode()

    def _push(self, body: bytes) -> PushAnswer:
        _, rows = json.loads(body)
        bad = {index: self.bad[sku] for index, (sku, _) in enumerate(rows) if sku in self.bad}
        if not bad:
            self.shelf |= {sku: quantity for sku, quantity in rows if sku not in self.ignored}
        return PushAnswer(not bad, bad, reason="one of the rows is bad" if bad else "")


def numbers_sent(shop: LittleShop) -> list[dict[str, int]]:
    """The numbers of every push that was tried at a marketplace, by SKU."""
    return [dict(json.loads(body)[1]) for body in shop.sent]
