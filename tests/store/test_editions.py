"""What is kept of limited editions: the switch, what is taken of them, and whose it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sfsync.domain.editions import Switch
from sfsync.domain.orders import OrderLine
from sfsync.domain.reservations import Reservation, ReservationKind, ReservationLine, ReservationState
from sfsync.domain.stock import LevelKey, Movement, MovementKind, step_key
from sfsync.ports import LineState
from sfsync.store import Database
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, 0, 250_001, tzinfo=UTC)
NOON = NOW + timedelta(hours=4)
BAG, RED = LevelKey("BAG", "ECOM"), LevelKey("RED", "ECOM")
K = MovementKind


def entered(
    tx: SqlTx, subject: str, level: LevelKey, kind: MovementKind, on_hand: int, reserved: int, state: str
) -> None:
    """A movement of a subject, answered or still waiting."""
    channel = "london" if subject.startswith("order:london") else None
    key = subject if subject.startswith("posting:") else step_key(subject, tx.next_step(subject))
    row = Movement(key, subject, level, kind, on_hand, reserved, "", "", NOW)
    number = tx.add_bundle([row], {subject: channel}, NOW)
    if state != "waiting":
        tx.finish_bundle(number, state, "", NOW)


async def test_a_switch_is_kept_with_its_moment_and_the_plan_that_it_settled(store: Database) -> None:
    """To the microsecond; pressed again, the newest counts."""
    for switch in (Switch(True, NOW, "anna", None), Switch(False, NOON, "the plan", NOON)):
        await store.write(lambda tx, switch=switch: tx.put_switch("drop", switch))  # type: ignore[misc]  # a default argument
        assert await store.read(lambda tx: tx.switches()) == {"drop": switch}
    assert await store.read(lambda tx: tx.sold_elsewhere("drop")) == (0, None)
    for told in ((3, 9), (2, None)):
        await store.write(lambda tx, told=told: tx.put_sold_elsewhere("drop", *told))  # type: ignore[misc]  # as above
        assert await store.read(lambda tx: tx.sold_elsewhere("drop")) == told


async def test_taken_is_what_orders_reservations_and_tills_have_and_no_allocation(store: Database) -> None:
    """Held two, sent one, one sent and brought back, two over the counter; what was refused is nobody's."""

    def work(tx: SqlTx) -> None:
        entered(tx, "order:london:1:1", BAG, K.ORDER, 0, 2, "done")
        entered(tx, "order:london:2:1", BAG, K.FULFILMENT, -1, 0, "done")
        entered(tx, "order:london:3:1", RED, K.FULFILMENT, -1, 0, "done")
        entered(tx, "order:london:3:1", RED, K.RETURN, 1, 0, "done")
        entered(tx, "order:london:4:1", RED, K.ORDER, 0, 1, "refused")
        entered(tx, "reservation:r1:0", BAG, K.CART, 0, 1, "done")
        entered(tx, "allocation:london:BAG|ECOM", BAG, K.ALLOCATION, 0, 5, "done")
        entered(tx, "posting:77", BAG, K.SALE, -2, 0, "done")
        entered(tx, "posting:78", BAG, K.RECEIPT, 9, 0, "done")
        entered(tx, "order:london:5:1", RED, K.FULFILMENT, -1, 0, "waiting")

    await store.write(work)
    taken = await store.read(lambda tx: tx.taken(["BAG", "RED"]))
    assert sorted(taken, key=str) == [("london", 3), (None, 1), (None, 2)]
    assert await store.read(lambda tx: tx.taken(["RED"])) == [(None, 0)]
    assert await store.read(lambda tx: tx.sold_by_us(["BAG", "RED"])) == 4  # sent, counter, on its way
    assert await store.read(lambda tx: tx.sold_by_us(["NONE"])) == 0


async def test_a_client_is_known_by_reservations_and_by_orders(store: Database) -> None:
    """All lines of the one, and the other; nobody's are nobody's."""

    def work(tx: SqlTx) -> None:
        lines = ReservationLine(BAG, 1), ReservationLine(RED, 1)
        for number, client in (("r1", "C7"), ("r2", "")):
            tx.put_reservation(
                Reservation(
                    number,
                    ReservationState.GRANTED,
                    ReservationKind.CART,
                    "london",
                    "cart",
                    lines,
                    NOW,
                    NOON,
                    client=client,
                )
            )
        for order, client in (("1", "C7"), ("2", "C8")):
            wish = OrderLine("1", "BAG", 1)
            subject = f"order:london:{order}:1"
            tx.put_line(LineState(subject, "london", order, order, wish, NOW, NOW, "online", client=client))

    await store.write(work)
    assert await store.read(lambda tx: tx.subjects_of("C7")) == {
        "reservation:r1:0",
        "reservation:r1:1",
        "order:london:1:1",
    }
    (kept,) = (await store.read(lambda tx: tx.lines(["order:london:2:1"]))).values()
    assert kept.client == "C8"
    assert (await store.read(lambda tx: tx.reservation("r1"))).client == "C7"  # type: ignore[union-attr]  # it is there
