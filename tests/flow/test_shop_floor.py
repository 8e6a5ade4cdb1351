"""The last pieces on a shop floor whose till does not ask: promised when the shop has them in its hand."""

from __future__ import annotations

from datetime import timedelta

from tests.flow.kit import House, house
from tests.flow.test_reservation_life import kept, reservation_of

from sfsync.domain.assortment import Floor, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.incidents import NO_WORD, NOT_FOUND, ON_FLOOR, PAID_UNAVAILABLE, Stage, Way
from sfsync.domain.incidents import Wish as IncidentWish
from sfsync.domain.reservations import (
    OrphanCause,
    Outcome,
    ReservationKind,
    ReservationState,
    Wish,
    WishedLine,
)
from sfsync.flow.orphans import orphans

STORE, FLOOR = "BAG-1|ECOM", "BAG-1|TOWN"
TOWN = Floor(frozenset({"TOWN"}), scarce_at=2)
SET_ASIDE = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
State = ReservationState


async def ask(h: House, units: int = 1, *, in_hand: bool = False, location: str | None = None) -> Outcome:
    """Somebody asks for a bag."""
    lines = (WishedLine("BAG-1", units, location),)
    wish = Wish(ReservationKind.PICK_UP, "london", "client 4", lines, timedelta(days=1), in_hand=in_hand)
    return await h.desk.create(wish, idempotency_key=None, digest="")


def shown(h: House) -> list[int]:
    """What the shops show, in order."""
    return [shop.shelf["BAG-1"] for shop in h.shops.values()]


async def kinds(h: House) -> list[str]:
    """What a person has to look at."""
    return [each.kind for each in await h.store.read(lambda tx: tx.incidents())]


async def test_the_last_pieces_of_a_shop_floor_are_shown_nowhere_else() -> None:
    """Two may be in customers' hands already, however many stand there; what is beyond them is shown."""
    async with house({STORE: 1, FLOOR: 3}, floor=TOWN) as h:
        await h.shows("BAG-1", 2, 2)
        h.org.move(FLOOR, on_hand=-1)
        await h.shows("BAG-1", 1, 1)
        h.org.move(FLOOR, on_hand=3)
        await h.shows("BAG-1", 4, 4)


async def test_no_channel_is_given_a_shop_floors_last_pieces_for_its_own() -> None:
    """Three stand there. One is set aside; of all three, the counter would sell one that a site shows."""
    async with house({FLOOR: 3}, floor=TOWN, rules=(SET_ASIDE,)) as h:
        await h.until(lambda: h.org.numbers(FLOOR) == (3, 1))
        await h.until(lambda: sorted(shown(h)) == [0, 1])


async def test_what_was_set_aside_goes_back_when_no_more_than_a_shops_last_pieces_are_left() -> None:
    """Two of four were set aside, and the counter has sold two since: what is left is the shop's."""
    async with house({FLOOR: 4, STORE: 0}, floor=TOWN, rules=(SET_ASIDE,)) as h:
        await h.shows("BAG-1", 1, 1)
        h.org.move(FLOOR, on_hand=-2)
        await h.shows("BAG-1", 0, 0)
        await h.until(lambda: h.org.numbers(FLOOR) == (2, 0))
        h.org.move(STORE, on_hand=2)
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: h.org.numbers(STORE) == (2, 2))
        assert (h.org.numbers(FLOOR), await kinds(h)) == ((2, 0), [])


async def test_a_channel_keeps_what_is_left_beyond_a_shops_last_pieces() -> None:
    """Three of five were set aside, the counter has sold one since: two are still theirs."""
    async with house({FLOOR: 5}, floor=TOWN, rules=(SET_ASIDE,)) as h:
        await h.until(lambda: sorted(shown(h)) == [1, 2])
        h.org.move(FLOOR, on_hand=-1)
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: h.org.numbers(FLOOR) == (4, 2))


async def test_a_shop_is_asked_to_look_for_what_was_set_aside_when_only_its_last_pieces_are_left() -> None:
    """Sold by the site a moment after the counter sold the third: the customer may have bought one of two."""
    async with house({FLOOR: 3}, floor=TOWN, rules=(SET_ASIDE,), shops=("london",)) as h:
        await h.until(lambda: shown(h) == [1])
        await h.idle()
        number = h.shops["london"].buy("BAG-1")
        h.org.move(FLOOR, on_hand=-1)
        await h.until_kept(lambda tx: any(level.on_hand == 2 for level in tx.levels_of(["BAG-1"])))
        await h.deliver("london", number)
        await h.until(lambda: h.org.numbers(FLOOR) == (2, 1))
        await h.idle()
        assert await kinds(h) == [ON_FLOOR]


async def test_whoever_wants_a_shops_last_pieces_waits_for_its_word() -> None:
    """Three stand there. For one of them nobody is asked; for all three the shop is, before they count."""
    for units, state in ((1, State.GRANTED), (2, State.AWAITING_STORE), (3, State.AWAITING_STORE)):
        async with house({FLOOR: 3}, floor=TOWN) as h:
            assert reservation_of(await ask(h, units)).state is state


async def test_a_reservation_that_is_moved_to_all_that_a_shop_has_waits_for_its_word() -> None:
    """Two go from the warehouse to where three stand: one of them is among the boutique's last."""
    async with house({STORE: 2, FLOOR: 3}, floor=TOWN) as h:
        number = reservation_of(await ask(h, 2)).id
        assert reservation_of(await h.desk.move(number, "TOWN")).state is State.AWAITING_STORE
    async with house({STORE: 2, FLOOR: 4}, floor=TOWN) as h:
        number = reservation_of(await ask(h, 2)).id
        assert reservation_of(await h.desk.move(number, "TOWN")).state is State.GRANTED


async def test_an_order_for_all_that_a_shop_has_asks_it_to_look() -> None:
    """One is shown, and three are sold all the same: two of them may have gone over the counter."""
    async with house({FLOOR: 3}, floor=TOWN) as h:
        london = h.shops["london"]
        london.shelf["BAG-1"] = 3
        await h.deliver("london", london.buy("BAG-1", 3))
        await h.until(lambda: h.org.numbers(FLOOR) == (3, 3))
        await h.idle()
        assert await kinds(h) == [ON_FLOOR]


async def test_a_piece_from_the_warehouse_needs_no_word_of_the_shop() -> None:
    """What is sure comes first, whatever the order of the locations."""
    async with house({FLOOR: 1, STORE: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        assert (reservation.state, str(reservation.lines[0].level)) == (State.GRANTED, STORE)


async def test_the_last_piece_of_a_shop_counts_when_the_shop_has_it_in_its_hand() -> None:
    """Held in the org at once, so that no second one is promised; paid for only after the shop's word."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        assert reservation.state is State.AWAITING_STORE
        assert h.org.numbers(FLOOR) == (1, 1)
        assert (await ask(h)).problem == "unavailable"
        assert (await h.desk.confirm(reservation.id, "#1")).problem == "awaiting-store"
        said = await h.desk.store_confirmation(reservation.id, found=True, who="town")
        assert reservation_of(said).state is State.GRANTED
        again = await h.desk.store_confirmation(reservation.id, found=True, who="town")
        assert reservation_of(again).state is State.GRANTED
        assert reservation_of(await h.desk.confirm(reservation.id, "#1")).state is State.CONFIRMED


async def test_what_the_shop_does_not_find_goes_back_and_is_to_be_counted() -> None:
    """Sold at the till a minute ago: the customer is told before she pays, and somebody counts."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        said = reservation_of(await h.desk.store_confirmation(reservation.id, found=False, who="town"))
        assert (said.state, said.reason) == (State.RELEASED, "not found in the shop (town)")
        await h.idle()
        assert h.org.numbers(FLOOR) == (1, 0)
        assert [each.kind for each in await h.store.read(lambda tx: tx.incidents())] == [NOT_FOUND]


async def test_the_shop_itself_needs_nobodys_word() -> None:
    """Its own people scan the piece: a till that asks is a gated channel."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h, in_hand=True, location="TOWN"))
        assert reservation.state is State.GRANTED
        await h.desk.hand_over(reservation.id, "receipt 3")
        await h.idle()
        assert h.org.numbers(FLOOR) == (0, 0)


async def test_a_reservation_that_nobody_in_the_shop_answers_expires() -> None:
    """It does not hold the piece for ever."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        lines = (WishedLine("BAG-1", 1),)
        wish = Wish(ReservationKind.CART, "london", "cart", lines, timedelta(milliseconds=1))
        number = reservation_of(await h.desk.create(wish, idempotency_key=None, digest="")).id
        await h.until_kept(lambda tx: (r := tx.reservation(number)) and r.state is State.EXPIRED)
        await h.idle()
        assert h.org.numbers(FLOOR) == (1, 0)


async def test_a_reservation_that_is_moved_to_a_shop_floor_waits_for_the_shop() -> None:
    """The piece is reserved there; whether it is there, only the shop can say."""
    async with house({STORE: 1, FLOOR: 1}, floor=TOWN) as h:
        number = reservation_of(await ask(h)).id
        moved = reservation_of(await h.desk.move(number, "TOWN"))
        assert moved.state is State.AWAITING_STORE
        await h.desk.store_confirmation(number, found=True, who="town")
        assert (await kept(h, number)).state is State.GRANTED


async def test_a_piece_that_is_moved_off_the_shop_floor_waits_for_nobody() -> None:
    """The shop need not say that it has what the warehouse sends instead."""
    async with house({FLOOR: 1, STORE: 0}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        assert reservation.state is State.AWAITING_STORE
        h.org.move(STORE, on_hand=1)
        await h.until_kept(lambda tx: any(level.on_hand == 1 for level in tx.levels_of(["BAG-1"])))
        moved = reservation_of(await h.desk.move(reservation.id, "ECOM"))
        assert (moved.state, str(moved.lines[0].level)) == (State.GRANTED, STORE)
        assert reservation_of(await h.desk.confirm(reservation.id, "#1")).state is State.CONFIRMED


async def test_what_waits_for_the_shop_can_be_given_more_time() -> None:
    """The boutique opens at ten; the client would rather wait than lose the piece."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        assert reservation.expires_at is not None
        longer = reservation_of(await h.desk.extend(reservation.id, timedelta(days=3)))
        assert longer.expires_at is not None
        assert (longer.state, longer.expires_at > reservation.expires_at) == (State.AWAITING_STORE, True)


async def test_paid_after_the_shop_did_not_find_it_says_so_and_holds_nothing() -> None:
    """Money without goods is never forgotten, and the piece that nobody found is not promised again."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        await h.desk.store_confirmation(reservation.id, found=False, who="town")
        await h.idle()
        outcome = await h.desk.confirm(reservation.id, "#1")
        assert outcome.problem == "paid-unavailable"
        assert reservation_of(outcome).state is State.PAID_UNAVAILABLE
        assert h.org.numbers(FLOOR) == (1, 0)
        kinds = {each.kind for each in await h.store.read(lambda tx: tx.incidents())}
        assert kinds == {NOT_FOUND, PAID_UNAVAILABLE}


async def test_paid_after_the_last_piece_of_a_floor_was_let_go_asks_the_shop_again() -> None:
    """It has lain on the floor since: the org has it, and only the shop knows whether that is true."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        await h.desk.store_confirmation(reservation.id, found=True, who="town")
        await h.desk.release(reservation.id, "changed her mind")
        await h.idle()
        paid = reservation_of(await h.desk.confirm(reservation.id, "#1"))
        assert (paid.state, h.org.numbers(FLOOR)) == (State.AWAITING_STORE, (1, 1))
        said = await h.desk.store_confirmation(reservation.id, found=True, who="town")
        assert reservation_of(said).state is State.CONFIRMED


async def test_a_shop_that_did_not_find_what_is_paid_is_not_asked_again_by_itself() -> None:
    """What it does not find goes back in the org, and is not there again by that: a person must see to it."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        reservation = reservation_of(await ask(h))
        await h.desk.release(reservation.id, "changed her mind")
        await h.idle()
        await h.desk.confirm(reservation.id, "#1")
        await h.desk.store_confirmation(reservation.id, found=False, who="town")
        await h.until_kept(lambda tx: not any(each.reserved for each in tx.holdings(reservation.subjects())))
        await h.idle()
        h.org.move(FLOOR, on_hand=-1)  # and whatever else is heard of its level
        h.org.move(FLOOR, on_hand=1)
        await h.until_kept(
            lambda tx: [x.version for x in tx.levels_of(["BAG-1"])] == [h.org.level(FLOOR).version]
        )
        await h.idle()
        assert (await kept(h, reservation.id)).state is State.PAID_UNAVAILABLE
        assert sorted(await kinds(h)) == sorted([NOT_FOUND, PAID_UNAVAILABLE])
        assert h.org.numbers(FLOOR) == (1, 0)


async def test_an_order_draws_on_the_last_pieces_of_a_floor_after_all_others() -> None:
    """Shown was the piece in the warehouse, and that is the one that was sold."""
    async with house({FLOOR: 1, STORE: 1}, floor=TOWN, plan={"online": ("TOWN", "ECOM")}) as h:
        await h.shows("BAG-1", 1, 1)
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.idle()
        assert (h.org.numbers(FLOOR), h.org.numbers(STORE)) == ((1, 0), (1, 1))
        assert await kinds(h) == []


async def test_a_shop_is_asked_to_look_when_an_order_has_nothing_but_its_last_piece() -> None:
    """Both websites sold what was shown once. The second order gets the piece on the floor, and says so."""
    async with house({FLOOR: 1, STORE: 1}, floor=TOWN, plan={"online": ("TOWN", "ECOM")}) as h:
        await h.shows("BAG-1", 1, 1)
        numbers = [h.shops[name].buy("BAG-1") for name in ("london", "dubai")]
        for name, number in zip(("london", "dubai"), numbers, strict=True):
            await h.deliver(name, number)
        await h.idle()
        assert (h.org.numbers(FLOOR), h.org.numbers(STORE)) == ((1, 1), (1, 1))
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert (incident.kind, incident.detail["level"]) == (ON_FLOOR, FLOOR)
        resolved = await h.supervisor.resolver.resolve(
            incident.id, IncidentWish(Way.ACCEPT, "town", "in my hand")
        )
        assert resolved.stage is Stage.DONE
        await h.idle()
        assert await kinds(h) == []


async def test_an_order_that_was_given_a_floors_last_piece_is_taken_elsewhere_when_the_shop_has_it_not() -> (
    None
):
    """A receipt comes to the warehouse: the order moves there, and nobody need look any more."""
    async with house({FLOOR: 1, STORE: 0}, floor=TOWN, plan={"online": ("TOWN", "ECOM")}) as h:
        london = h.shops["london"]
        london.shelf["BAG-1"] = 1
        await h.deliver("london", london.buy("BAG-1"))
        await h.idle()
        assert (await kinds(h), h.org.numbers(FLOOR)) == ([ON_FLOOR], (1, 1))
        h.org.move(STORE, on_hand=1)
        await h.until_kept(lambda tx: any(level.on_hand == 1 for level in tx.levels_of(["BAG-1"])))
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        moved = await h.supervisor.resolver.resolve(
            incident.id, IncidentWish(Way.MOVE, "town", "sold this morning", location="ECOM")
        )
        assert moved.stage is Stage.DONE, moved
        await h.idle()
        assert (h.org.numbers(FLOOR), h.org.numbers(STORE)) == ((1, 0), (1, 1))
        assert await kinds(h) == []


async def test_the_shops_word_counts_when_an_order_has_taken_the_piece_over_before_it() -> None:
    """She paid without waiting for the shop. It has it, or it has not: both are told."""
    for found, told in ((True, []), (False, [NOT_FOUND, ON_FLOOR, PAID_UNAVAILABLE])):
        async with house({FLOOR: 1}, floor=TOWN) as h:
            reservation = reservation_of(await ask(h))
            london = h.shops["london"]
            london.shelf["BAG-1"] = 1
            await h.deliver("london", london.buy("BAG-1", reservations=(reservation.id,)))
            await h.idle()
            assert await kinds(h) == [ON_FLOOR]
            await h.desk.store_confirmation(reservation.id, found=found, who="town")
            await h.desk.store_confirmation(reservation.id, found=found, who="town")
            await h.idle()
            assert sorted(await kinds(h)) == sorted(told)


async def test_what_is_paid_and_waits_for_a_shop_that_says_nothing_is_told_after_a_day() -> None:
    """She paid after its time. It does not end by itself any more, and somebody has to ask the shop."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        number = reservation_of(await ask(h)).id
        await h.desk.release(number, "changed her mind")
        await h.idle()
        await h.desk.confirm(number, "#1")
        assert (await kept(h, number)).state is State.AWAITING_STORE
        for hours, told, causes in ((23, [], []), (25, [NO_WORD], [OrphanCause.NO_WORD])):
            later = h.clock.now() + timedelta(hours=hours)
            await h.store.write(lambda tx, now=later: h.desk.report(tx, now=now))
            assert await kinds(h) == told
            h.clock.stopped_at = later
            assert [each.cause for each in await h.store.read(lambda tx: orphans(tx, h.ctx))] == causes
            h.clock.stopped_at = None
        await h.desk.store_confirmation(number, found=True, who="town")
        assert ((await kept(h, number)).state, await kinds(h)) == (State.CONFIRMED, [])


async def test_only_the_shop_that_was_asked_does_not_find_it() -> None:
    """Two from the warehouse and one from the floor: the warehouse is not told to look for its two."""
    async with house({STORE: 2, FLOOR: 1}, floor=TOWN) as h:
        lines = (WishedLine("BAG-1", 3),)
        wish = Wish(ReservationKind.CART, "london", "cart", lines, timedelta(days=1))
        cart = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
        assert cart.state is State.AWAITING_STORE
        said = await h.desk.store_confirmation(
            cart.id, found=False, who="town", locations=frozenset({"TOWN"})
        )
        assert reservation_of(said).state is State.RELEASED
        await h.idle()
        told = [(each.kind, each.key) for each in await h.store.read(lambda tx: tx.incidents())]
        assert told == [(NOT_FOUND, FLOOR)]
        await h.shows("BAG-1", 2, 2)


async def test_what_a_shop_does_not_find_of_what_is_paid_is_lost_and_nothing_else() -> None:
    """Two from the warehouse, one from the floor, paid: two stay hers, one is had elsewhere later."""
    async with house({STORE: 2, FLOOR: 1}, floor=TOWN) as h:
        lines = (WishedLine("BAG-1", 3),)
        wish = Wish(ReservationKind.CART, "london", "cart", lines, timedelta(days=1))
        cart = reservation_of(await h.desk.create(wish, idempotency_key=None, digest=""))
        await h.desk.store_confirmation(cart.id, found=True, who="town")
        await h.desk.confirm(cart.id, "#1")
        said = reservation_of(await h.desk.store_confirmation(cart.id, found=False, who="town"))
        assert (said.state, sorted(said.due())) == (State.CONFIRMED, [0, 2])
        await h.idle()
        assert (h.org.numbers(STORE), h.org.numbers(FLOOR)) == ((2, 2), (1, 0))
        (lost,) = await h.store.read(lambda tx: tx.paid_unavailable())
        assert [(str(line.level), line.quantity) for line in lost.lines] == [(FLOOR, 1)]
        assert sorted(await kinds(h)) == sorted([NOT_FOUND, PAID_UNAVAILABLE])
        h.org.move(STORE, on_hand=1)
        await h.until_kept(lambda tx: any(level.on_hand == 3 for level in tx.levels_of(["BAG-1"])))
        moved = reservation_of(await h.desk.move(lost.id, "ECOM"))
        assert (moved.state, h.org.numbers(STORE)) == (State.CONFIRMED, (3, 3))


async def test_goods_that_came_after_it_was_not_found_are_hers_who_pays() -> None:
    """The shop lacked its one, and five have come since: who pays is told no more that it was not found."""
    async with house({FLOOR: 1}, floor=TOWN) as h:
        cart = reservation_of(await ask(h))
        await h.desk.store_confirmation(cart.id, found=False, who="town")
        await h.idle()
        h.org.move(FLOOR, on_hand=5)
        await h.until_kept(lambda tx: any(level.on_hand == 6 for level in tx.levels_of(["BAG-1"])))
        paid = reservation_of(await h.desk.confirm(cart.id, "#1"))
        assert (paid.state, h.org.numbers(FLOOR)) == (State.CONFIRMED, (6, 1))


async def test_goods_that_came_after_it_was_not_found_are_asked_for_by_themselves_for_who_has_paid() -> None:
    """She has paid, and the shop does not find it; three come in: hers is asked for, and two are on show."""
    async with house({FLOOR: 1}, floor=Floor(frozenset({"TOWN"}), scarce_at=0), shops=("london",)) as h:
        cart = reservation_of(await ask(h))
        await h.desk.confirm(cart.id, "#1")
        await h.desk.store_confirmation(cart.id, found=False, who="town")
        await h.idle()
        assert (await kept(h, cart.id)).state is State.PAID_UNAVAILABLE
        h.org.move(FLOOR, on_hand=3)
        await h.until_kept(lambda tx: (r := tx.reservation(cart.id)) and r.state is State.CONFIRMED)
        await h.shows("BAG-1", 2)
        assert (h.org.numbers(FLOOR), await kinds(h)) == ((4, 1), [NOT_FOUND])


async def test_an_order_that_a_person_moves_to_a_floors_last_piece_asks_the_shop_to_look() -> None:
    """Sold out where the site sells from: staff take the boutique's, and the boutique has to find it."""
    async with house({FLOOR: 1, STORE: 0}, floor=TOWN, plan={"online": ("ECOM",)}) as h:
        london = h.shops["london"]
        london.shelf["BAG-1"] = 1
        await h.deliver("london", london.buy("BAG-1"))
        await h.idle()
        (oversold,) = await h.store.read(lambda tx: tx.incidents())
        wish = IncidentWish(Way.MOVE, "town", "the boutique has one", location="TOWN")
        assert (await h.supervisor.resolver.resolve(oversold.id, wish)).stage is Stage.DONE
        await h.idle()
        assert (await kinds(h), h.org.numbers(FLOOR)) == ([ON_FLOOR], (1, 1))
