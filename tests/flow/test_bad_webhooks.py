"""Webhooks that are not what they should be: answered, told once, and in nobody's way."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.flow.kit import House, LittleShop, house

from sfsync.ports import Delivery, Forged

BAG = "BAG-1|ECOM"


class ChattyShop(LittleShop):
    """Its deliveries name their topic, and it signs what it was never asked for."""

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        if headers.get("x-shop") == "paris":
            raise Forged(f"it comes from paris, not from {self.name}")
        delivery = super().receive(headers, body)
        return Delivery(headers.get("x-topic", delivery.topic), delivery.dedup_key, delivery.body)

    def read_order(self, delivery: Delivery) -> object:  # type: ignore[override]  # the order, or None
        return super().read_order(delivery) if delivery.topic == "orders/updated" else None


def told(h: House, event: str) -> list[tuple[object, object]]:
    return [
        (line["channel"], line.get("reason") or line.get("topic"))
        for line in h.logged
        if line["event"] == event
    ]


async def test_a_webhook_of_a_foreign_shop_is_refused_each_time_and_told_once() -> None:
    """A shop repeats a delivery for hours; a person reads of it once, and another reason is told too."""
    async with house({BAG: 5}, make_shop=ChattyShop) as h:
        number = h.shops["london"].buy("BAG-1")
        headers, body = h.shops["london"].webhook(number)
        for _ in range(8):
            with pytest.raises(Forged):
                await h.door.accept("london", {**headers, "x-shop": "paris"}, body)
            with pytest.raises(Forged):
                await h.door.accept("london", {**headers, "x-signature": "another's"}, body)
        assert told(h, "webhook turned away") == [
            ("london", "it comes from paris, not from london"),
            ("london", "the signature is another's"),
        ]
        assert await h.door.accept("london", headers, body)
        await h.shows("BAG-1", 4, 4)


async def test_a_stranger_cannot_fill_the_log() -> None:
    """However many reasons he thinks of, and however long they are."""
    async with house({BAG: 5}) as h:
        for number in range(1000):
            h.door.turned_away("london", f"reason {number} " + "x" * 10_000)
        reasons = [str(reason) for _, reason in told(h, "webhook turned away")]
        assert len(reasons) == 100
        assert max(map(len, reasons)) == 200


async def test_a_topic_that_nobody_reads_is_taken_in_told_once_and_is_no_order() -> None:
    """It is answered, so that the shop does not repeat it, and the next order is read as ever."""
    async with house({BAG: 5}, make_shop=ChattyShop) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1")
        for event in ("one", "two", "three"):
            headers, body = london.webhook(number, event)
            assert await h.door.accept("london", {**headers, "x-topic": "products/update"}, body)
        await h.deliver("london", number)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        assert told(h, "a topic that nobody reads") == [("london", "products/update")]
        assert await h.store.read(lambda tx: tx.dead_letters()) == []
