"""`why` of one-of-one pieces: each named with its own rows, and the life of one from receipt to return."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.flow.kit import House, house

from sfsync.domain.assortment import SharedOrders
from sfsync.domain.reservations import Outcome, ReservationKind, Wish, WishedLine
from sfsync.domain.sources import Source
from sfsync.domain.transfers import Stage, Transfer
from sfsync.domain.why import Question, UnknownPieceError
from sfsync.flow.why import Why
from sfsync.ports import TryLater

PIECES = {"BAG|VAULT|A-1": 1, "BAG|VAULT|B-2": 1, "BAG|TOWN|C-3": 1}


async def told(h: House, unit: str | None = None, **asked: Any) -> Any:
    """The whole answer."""
    return await Why(h.ctx).tell(Question("BAG", unit=unit, **asked))


async def piece(h: House, unit: str, **asked: Any) -> Any:
    """The part on one piece."""
    return (await told(h, unit, **asked))["piece"]


async def ask(h: House, unit: str) -> Outcome:
    """A client of London's wants this very piece."""
    wish = Wish(ReservationKind.CLIENT, "london", "C7", (WishedLine("BAG", 1, unit=unit),), timedelta(days=1))
    return await h.desk.create(wish, idempotency_key=None, digest="")


async def test_each_piece_has_its_own_branch_with_its_own_rows() -> None:
    """Number one is reserved and number two is not: the sum does not mix them up."""
    async with house(PIECES) as h:
        held = (await ask(h, "A-1")).reservation
        assert held is not None
        await h.shows("BAG", 2, 2)
        answer = await told(h)
        (london,) = [each for each in answer["channels"] if each["channel"] == "london"]
        parts = {part["what"]: (part["units"], len(part["because"])) for part in london["sum"]}
        assert parts == {
            "on hand at VAULT, piece A-1": (1, 1),
            "reserved at VAULT, piece A-1": (-1, 1),
            "on hand at VAULT, piece B-2": (1, 1),
            "on hand at TOWN, piece C-3": (1, 1),
        }
        assert answer["piece"] is None


async def test_the_life_of_a_piece_is_told_from_its_receipt_to_its_return() -> None:
    """Reserved for a client, sold to her under an order, sent, brought back; and whose it was in between."""
    shared = {"london": SharedOrders(Source.CHANNEL, returns_to="RETURNS")}
    async with house(PIECES, shared=shared) as h:
        held = (await ask(h, "A-1")).reservation
        assert held is not None
        name = f"client reservation {held.id} of C7, for london"
        reserved = await piece(h, "A-1")
        assert reserved["stands"] == f"at VAULT, promised to {name}"
        assert [(each["channel"], each["units"]) for each in reserved["counts_at"]] == [
            ("london", 0),
            ("dubai", 0),
        ]
        then = h.clock.now()
        shop = h.shops["london"]
        number = shop.buy("BAG", reservations=(held.id,))
        await h.deliver("london", number)
        await h.until(lambda: any(r.subject.startswith("order:") for r in h.org.rows.values()))
        await h.idle()
        order = f"order #{number} of london"
        (promise,) = (await piece(h, "A-1"))["promised_to"]
        assert (promise["what"], promise["location"], promise["units"]) == (order, "VAULT", 1)
        shop.change(number, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers("BAG|VAULT|A-1") == (0, 0))
        await h.idle()
        sold = await piece(h, "A-1")
        assert sold["stands"] == f"not in stock: sent from VAULT: sold under {order}"
        assert (sold["promised_to"], sold["counts_at"]) == ([], [])
        (london, _) = (await told(h))["channels"]
        (gone,) = [part for part in london["sum"] if "not there any more" in part["what"]]
        assert gone["what"] == "1 piece that is not there any more"
        assert gone["because"][0]["what"] == f"piece A-1: sent from VAULT: sold under {order}"
        refused = await ask(h, "A-1")
        assert refused.problem == "unavailable"
        shop.change(number, returned_quantity=1)
        await h.deliver("london", number)
        await h.until(lambda: any(str(key) == "BAG|RETURNS|A-1" for key in h.org.keys.values()))
        await h.idle()
        back = await piece(h, "A-1")
        assert back["stands"] == "at RETURNS, not for sale there"
        assert [event["what"] for event in back["life"] if "in vain" not in event["what"]] == [
            "received at VAULT",
            f"reserved at VAULT by {name}",
            f"promised at VAULT to {order}, out of {name}",
            f"sent from VAULT: sold under {order}",
            f"came back to RETURNS from {order}",
        ]
        assert {event["channel"] for event in back["life"]} == {None, "london"}
        past = await told(h, "A-1", at=then)
        assert past["piece"]["stands"] == f"at VAULT, promised to {name}"
        assert len(past["piece"]["life"]) == 2
        assert [(level["location"], level["on_hand"]) for level in past["levels"]] == [
            ("RETURNS", 0),
            ("VAULT", 1),
        ]


async def test_a_piece_is_followed_through_a_transfer_and_only_its_own_rows_are_read() -> None:
    """It was never in town before; one call for the one that was asked for; each place may be asked for."""
    async with house(PIECES) as h:
        moved = Transfer("e1", "T1", Stage.MOVED, "BAG", 1, h.clock.now(), "VAULT", "TOWN", "A-1")
        assert (await h.supervisor.transfers.enter(moved)).state == "entered"
        await h.idle()
        for unit, target in (("Z-9", "TOWN"), ("B-2", "MOON")):  # no such piece; nothing of it is ever there
            wrong = Transfer("e2", "T2", Stage.MOVED, "BAG", 1, h.clock.now(), "VAULT", target, unit)
            assert (await h.supervisor.transfers.enter(wrong)).problem == "unknown-level"
        reads = h.org.reads
        answer = await told(h, "A-1")
        assert h.org.reads == reads + 1
        assert [level["location"] for level in answer["levels"]] == ["TOWN", "VAULT"]
        assert answer["piece"]["stands"] == "at TOWN, promised to nobody"
        assert answer["piece"]["life"][-1]["what"] == "moved from VAULT to TOWN"
        assert answer["piece"]["life"][-1]["where"] == ["VAULT", "TOWN"]
        (vault,) = (await told(h, "A-1", location="VAULT"))["levels"]
        assert (vault["location"], vault["on_hand"]) == ("VAULT", 0)


async def test_a_piece_that_nobody_knows_is_answered_with_those_that_are_known() -> None:
    """A wrong serial, one that is elsewhere, a SKU that has none."""
    async with house({**PIECES, "SCARF|TOWN": 3}) as h:
        for asked, words in (
            (Question("BAG", unit="Z-9"), "no piece 'Z-9' of 'BAG'; known are A-1, B-2, C-3"),
            (Question("BAG", None, "TOWN", unit="A-1"), "no piece 'A-1' of 'BAG' at 'TOWN', but at VAULT"),
            (Question("SCARF", unit="A-1"), "'SCARF' is kept without piece numbers"),
        ):
            with pytest.raises(UnknownPieceError, match=words):
                await Why(h.ctx).tell(asked)


async def test_a_piece_that_the_books_have_twice_is_told_as_wrong() -> None:
    """Somebody received it in town without sending it: one of the two is not there."""
    async with house({**PIECES, "BAG|TOWN|A-1": 1}) as h:
        answer = await told(h, "A-1")
        assert answer["piece"]["stands"].startswith("at TOWN and VAULT, 2 times by the books")
        (finding,) = answer["findings"]
        assert (finding["what"], finding["wrong"]) == ("has piece A-1 2 times: at TOWN and at VAULT", True)
        assert (await told(h))["findings"] == [finding]
        assert (await told(h, "B-2"))["findings"] == []


async def test_without_the_org_it_is_told_whose_a_piece_is() -> None:
    """Its life is in the ledger; of the past nothing can be said."""
    async with house(PIECES) as h:
        held = (await ask(h, "A-1")).reservation
        assert held is not None
        await h.idle()
        h.org.cut_off = True
        answer = await told(h, "A-1")
        assert answer["org"].startswith("not read")
        assert held.id in answer["piece"]["stands"]
        assert answer["piece"]["life"] == []
        with pytest.raises(TryLater):
            await told(h, "A-1", at=h.clock.now())
