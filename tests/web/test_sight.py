"""Whose things a token sees and touches: a storefront its channel's, a boutique what is at its location."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.web.kit import AUDITOR, CHECKOUT, GULF, NOW, OPERATIONS, SHOP, House, on_page, problem

from sfsync.domain.reservations import Reservation, ReservationKind, ReservationLine, ReservationState
from sfsync.domain.rights import EVERYTHING, Sight
from sfsync.domain.stock import LevelKey
from sfsync.web import RESERVATIONS, STORES, Token

MANAGER = "area-manager-token-0123456789"
MAYFAIR = "mayfair-boutique-token-0123456789"
FLAGSHIP = "flagship-token-0123456789"  # london's, and at a boutique that london does not sell from
AT_LARGE = "at-large-token-0123456789"
SITES = "every-site-token-0123456789"
WISH: dict[str, Any] = {"kind": "cart", "owner": "cart-17", "lines": [{"sku": "TIE", "quantity": 1}]}
STEPS: dict[str, Any] = {
    "confirm": {"order_reference": "#1"},
    "extend": {"expires_in_seconds": 60},
    "move": {"location": "KNIGHTSBRIDGE"},
    "hand-over": {"reference": "88213"},
    "release": {"reason": "changed her mind"},
    "substitute": {"lines": [{"sku": "TIE", "quantity": 1, "location": "ECOM"}]},
    "refund": {"reason": "sold at the till"},
}


def held(number: str, channel: str | None, *places: str) -> Reservation:
    lines = tuple(ReservationLine(LevelKey("BAG", place), 1) for place in places)
    state, kind = ReservationState.GRANTED, ReservationKind.PICK_UP
    return Reservation(number, state, kind, channel, f"owner of {number}", lines, NOW, None)


def house() -> House:
    """Reservations of two channels, of nobody, at two boutiques, and one that is at both."""
    tokens = (
        Token("manager", MANAGER, frozenset({RESERVATIONS, STORES}), EVERYTHING),
        Token("mayfair", MAYFAIR, frozenset({STORES}), Sight(frozenset(), frozenset({"MAYFAIR"}))),
        Token("flagship", FLAGSHIP, sight=Sight(frozenset({"london"}), frozenset({"MAYFAIR"}))),
        Token("at large", AT_LARGE, sight=Sight(frozenset({"london"}), None)),
        Token("sites", SITES, sight=Sight(None, frozenset())),
    )
    made = House()
    made = House(tokens=(*made.options.tokens, *tokens))
    for each in (
        held("london", "london", "DEPOT"),
        held("dubai", "dubai", "DEPOT"),
        held("nobody", None, "DEPOT"),
        held("here", "dubai", "KNIGHTSBRIDGE"),
        held("there", "london", "MAYFAIR"),
        held("both", "dubai", "KNIGHTSBRIDGE", "MAYFAIR"),
    ):
        made.desk.granted[each.id] = each
    return made


async def listed(client: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"/v1/reservations{query}")
    assert answer.status_code == 200, answer.text
    return sorted(each["id"] for each in answer.json()["reservations"])


@pytest.mark.parametrize(
    ("token", "sees"),
    [
        (CHECKOUT, {"london", "there"}),
        (GULF, {"dubai", "here", "both"}),
        (SHOP, {"here", "both"}),
        (MAYFAIR, {"there", "both"}),
        (MANAGER, {"london", "dubai", "nobody", "here", "there", "both"}),
        (AUDITOR, {"london", "dubai", "nobody", "here", "there", "both"}),
        (OPERATIONS, {"london", "dubai", "nobody", "here", "there", "both"}),
    ],
)
async def test_a_party_sees_its_own_and_of_all_others_not_even_that_they_are_there(
    token: str, sees: set[str]
) -> None:
    """In the list and one by one; a foreign id is answered as one that never was, to the letter."""
    made = house()
    async with made.client(token) as client:
        assert await listed(client, "?limit=100") == sorted(sees)
        unknown = problem(await client.get("/v1/reservations/r404"), 404, "no-such-reservation")
        for number in made.desk.granted:
            answer = await client.get(f"/v1/reservations/{number}")
            if number in sees:
                assert answer.json()["id"] == number
            else:
                assert problem(answer, 404, "no-such-reservation") == unknown


@pytest.mark.parametrize("step", STEPS)
async def test_no_step_of_a_foreign_reservation_is_taken(step: str) -> None:
    """404 and nothing has changed, for another storefront and for a boutique that has no piece of it."""
    made = house()
    before = dict(made.desk.granted)
    for token, number in ((CHECKOUT, "dubai"), (CHECKOUT, "nobody"), (GULF, "london"), (SHOP, "london")):
        async with made.client(token) as client:
            answer = await client.post(f"/v1/reservations/{number}/{step}", json=STEPS[step])
            unknown = await client.post(f"/v1/reservations/r404/{step}", json=STEPS[step])
        assert problem(answer, 404, "no-such-reservation") == problem(unknown, 404, "no-such-reservation")
    assert made.desk.granted == before


@pytest.mark.parametrize("step", ["confirm", "extend", "hand-over", "release", "move"])
async def test_a_boutique_changes_what_is_all_at_its_own_location(step: str) -> None:
    """What has a piece elsewhere too it sees and leaves alone: 409 says who can."""
    made = house()
    before = made.desk.granted["both"]
    body = STEPS[step] | ({"location": "ECOM"} if step == "move" else {})
    async with made.client(SHOP) as client:
        assert (await client.post(f"/v1/reservations/here/{step}", json=body)).status_code == 200
        problem(await client.post(f"/v1/reservations/both/{step}", json=body), 409, "elsewhere-too")
    assert made.desk.granted["both"] == before


async def test_a_boutique_speaks_for_pieces_in_its_own_hand_only() -> None:
    """Its word on a piece at another boutique is worth nothing, and tells it nothing."""
    made = house()
    async with made.client(MAYFAIR) as client:
        body: dict[str, object] = {"found": True, "sku": "TIE", "location": "MAYFAIR"}
        assert (await client.post("/v1/reservations/both/store-confirmation", json=body)).status_code == 200
        body["location"] = "SOHO"
        foreign = await client.post("/v1/reservations/both/store-confirmation", json=body)
        problem(foreign, 422, "bad-input")
        for number, status in (("there", 200), ("both", 200), ("here", 404), ("london", 404), ("r404", 404)):
            answer = await client.post(f"/v1/reservations/{number}/store-confirmation", json={"found": False})
            assert answer.status_code == status, number
    mayfair = frozenset({"MAYFAIR"})
    assert made.desk.words == [(mayfair, {"TIE"}), (mayfair, set()), (mayfair, set())]
    assert made.desk.granted["here"].state is ReservationState.GRANTED


async def test_a_boutique_hands_over_without_the_scope_to_reserve() -> None:
    """A boutique's own people need one scope; giving back and taking money are not theirs."""
    made = house()
    async with made.client(MAYFAIR) as client:
        handed = await client.post("/v1/reservations/there/hand-over", json={"reference": "88213"})
        assert handed.json()["state"] == "settled"
        problem(await client.post("/v1/reservations/there/release"), 403, "not-allowed")


async def test_a_storefront_reserves_in_its_own_name_only() -> None:
    """Of one channel it need not say which; another's name is as unknown as one that never was."""
    made = house()
    async with made.client(CHECKOUT) as client:
        assert (await client.post("/v1/reservations", json=WISH)).json()["channel"] == "london"
        other = await client.post("/v1/reservations", json=WISH | {"channel": "dubai"})
        never = await client.post("/v1/reservations", json=WISH | {"channel": "nowhere"})
    assert problem(other, 422, "bad-input") == problem(never, 422, "bad-input")
    assert "dubai" not in other.text


async def test_a_boutique_reserves_what_is_at_its_own_location() -> None:
    """In nobody's name; what is elsewhere, or anywhere, is refused by its line."""
    made = house()
    lines = [{"sku": "TIE", "quantity": 1, "location": place} for place in ("ECOM", "MAYFAIR")]
    anywhere = {"sku": "BAG", "quantity": 1, "location_group": "uk"}
    async with made.client(SHOP) as client:
        granted = await client.post("/v1/reservations", json=WISH | {"lines": lines[:1]})
        assert (granted.status_code, granted.json()["channel"]) == (201, None)
        for wish, field in (
            ({"lines": lines}, "lines[1].location"),
            ({"lines": [*lines[:1], anywhere]}, "lines[1].location"),
            ({"lines": lines[1:], "in_hand": True}, "in_hand"),
            ({"lines": lines[:1], "channel": "london"}, "channel"),
        ):
            refused = problem(await client.post("/v1/reservations", json=WISH | wish), 422, "bad-input")
            assert field in {each["field"] for each in refused["errors"]}  # type: ignore[attr-defined]  # JSON
        away = {"location": "MAYFAIR"}
        problem(await client.post("/v1/reservations/here/move", json=away), 422, "bad-input")


def told(answer: httpx.Response) -> dict[str, str]:
    """What is wrong, field by field."""
    refused: Any = problem(answer, 422, "bad-input")
    return {each["field"]: each["detail"] for each in refused["errors"]}


async def test_a_storefront_reserves_where_its_channel_sells_from() -> None:
    """It cannot take another's last piece: by name, in a group, by a move, or as a substitute."""
    made = house()
    paid = replace(held("paid", "london", "ECOM"), state=ReservationState.PAID_UNAVAILABLE)
    made.desk.granted["paid"] = paid
    where = "is none of ECOM, KNIGHTSBRIDGE, where london may reserve; "
    where += "channels.london.may_reserve_at names others"
    async with made.client(CHECKOUT) as client:
        for place in ({"location": "ECOM"}, {"location_group": "uk"}, {}):
            lines = [{"sku": "TIE", "quantity": 1, **place}]
            assert (await client.post("/v1/reservations", json=WISH | {"lines": lines})).status_code == 201
        there = await client.post("/v1/reservations/london/move", json={"location": "KNIGHTSBRIDGE"})
        assert there.status_code == 200
        before = dict(made.desk.granted)
        here, away = {"sku": "TIE", "quantity": 1}, {"sku": "BAG", "quantity": 1, "location": "MAYFAIR"}
        world = {"sku": "TIE", "quantity": 1, "location_group": "world"}
        for path, body in (
            ("/v1/reservations", WISH | {"lines": [here, away, world]}),
            ("/v1/reservations/paid/substitute", {"lines": [here, away, world]}),
        ):
            assert told(await client.post(path, json=body)) == {
                "lines[1].location": where,
                "lines[2].location_group": f"has MAYFAIR, which {where}",
            }
        gone = await client.post("/v1/reservations/there/move", json={"location": "DUBAI-MALL"})
        assert told(gone) == {"location": where}
        assert made.desk.granted == before


@pytest.mark.parametrize("token", [OPERATIONS, FLAGSHIP, AT_LARGE])
async def test_an_operator_and_a_token_of_the_location_reserve_there_in_a_channel_s_name(token: str) -> None:
    """A token with the location among its own needs no setting of the channel; nor does an operator."""
    made = house()
    lines = [
        {"sku": "TIE", "quantity": 1, "location": "MAYFAIR"},
        {"sku": "TIE", "quantity": 1, "location_group": "world"},
    ]
    async with made.client(token) as client:
        answer = await client.post("/v1/reservations", json=WISH | {"lines": lines, "channel": "london"})
        assert answer.status_code == 201, answer.text
        moved = await client.post("/v1/reservations/london/move", json={"location": "MAYFAIR"})
        assert moved.json()["lines"][0]["location"] == "MAYFAIR"


async def test_a_token_of_every_channel_reserves_where_the_named_one_may() -> None:
    """In no channel's name it reserves where any of them may, and nowhere else."""
    made = house()
    async with made.client(SITES) as client:
        for channel, place, status in (
            ("london", "KNIGHTSBRIDGE", 201),
            ("london", "DUBAI-MALL", 422),
            ("dubai", "DUBAI-MALL", 201),
            (None, "DUBAI-MALL", 201),
            (None, "MAYFAIR", 422),
        ):
            lines = [{"sku": "TIE", "quantity": 1, "location": place}]
            answer = await client.post("/v1/reservations", json=WISH | {"lines": lines, "channel": channel})
            assert answer.status_code == status, (channel, place, answer.text)
    assert told(answer) == {
        "lines[0].location": "is none of DUBAI-MALL, ECOM, KNIGHTSBRIDGE, where any channel may reserve; "
        "may_reserve_at of a channel names others"
    }


async def test_a_key_is_its_channel_s_whichever_token_comes_with_it() -> None:
    """A token is changed for another while a checkout repeats itself: it still reserves once."""
    new = "checkout-token-of-next-year-0123"
    made = house()
    rotated = Token("checkout-2027", new, frozenset({RESERVATIONS}), Sight(frozenset({"london"})))
    made = House(tokens=(*made.options.tokens, rotated))
    key = {"Idempotency-Key": "cart-17"}
    numbers = []
    for token in (CHECKOUT, new, GULF, OPERATIONS):
        async with made.client(token) as client:
            channel = {} if token == GULF else {"channel": "london"}
            answer = await client.post("/v1/reservations", json=WISH | channel, headers=key)
            numbers.append(answer.json()["id"])
    assert numbers == ["r1", "r1", "r2", "r3"]


async def test_no_two_parties_share_a_key_whatever_they_are_called() -> None:
    """A party called `a` with the key `b:c` is not one called `a:b` with the key `c`."""
    names = {"a": "b:c", "a:b": "c", "channel london": "c"}
    made = House(
        tokens=tuple(
            Token(name, f"{name}-token-0123456789", frozenset({RESERVATIONS}), EVERYTHING) for name in names
        )
    )
    wish = WISH | {"channel": "london"}
    numbers = set()
    for name, key in names.items():
        async with made.client(f"{name}-token-0123456789") as client:
            answer = await client.post("/v1/reservations", json=wish, headers={"Idempotency-Key": key})
            numbers.add(answer.json()["id"])
    assert len(numbers) == 3


async def test_a_refund_is_its_channel_s_own() -> None:
    """Another storefront does not find it, and cannot say that it is paid back."""
    made = house()
    done = {"ending": "refunded", "reason": "by card"}
    async with made.client(GULF) as client:
        assert (await client.get("/v1/refunds")).json()["refunds"] == []
        unknown = problem(await client.get("/v1/refunds/4"), 404, "no-such-refund")
        assert problem(await client.get("/v1/refunds/3"), 404, "no-such-refund") == unknown
        problem(await client.post("/v1/refunds/3/close", json=done), 404, "no-such-refund")
        problem(await client.get("/v1/refunds?channel=london"), 422, "bad-input")
    assert made.refunds.task.ending is None
    async with made.client(CHECKOUT) as client:
        assert [each["id"] for each in (await client.get("/v1/refunds")).json()["refunds"]] == [3]


async def test_a_boutique_counts_its_own_stock_and_reads_its_own_figures() -> None:
    """A row of another boutique keeps the whole sheet out; a report is of one of its own locations."""
    made = House()
    row = {"sku": "BAG", "quantity": 5, "counted_at": "2026-11-23T08:00:00Z"}
    rows = [row | {"location": place} for place in ("ECOM", "MAYFAIR")]
    async with made.client(SHOP) as client:
        refused = problem(await client.post("/v1/counts", json={"counts": rows}), 422, "bad-input")
        assert [each["field"] for each in refused["errors"]] == ["counts[1].location"]  # type: ignore[attr-defined]  # JSON
        assert made.counter.entered == {}
        assert (await client.post("/v1/counts", json={"counts": rows[:1]})).status_code == 201
        for report in ("ira", "sell-through", "replenish", "count-next"):
            for query in ("", "?location=MAYFAIR"):
                problem(await client.get(f"/v1/reports/{report}{query}"), 422, "bad-input")
            assert (await client.get(f"/v1/reports/{report}?location=ECOM")).status_code == 200
    async with made.client(AUDITOR) as client:
        assert (await client.get("/v1/reports/ira")).status_code == 200


async def test_the_page_of_pick_ups_shows_a_boutique_its_own() -> None:
    """Whichever boutique is typed into the field; and a step on another's is not taken."""
    made = house()
    async with made.client() as client:
        said = await client.post(
            "/login", data={"token": MAYFAIR, "person": "Anna"}, headers={"Accept": "application/json"}
        )
        form = said.json()["form"]
        for query in ("", "?location=KNIGHTSBRIDGE"):
            page = (await client.get(f"/pick-ups{query}")).text
            assert "owner of here" not in page
            assert "owner of london" not in page
        assert "owner of there" in (await client.get("/pick-ups")).text
        step = {"form": form, "do": "hand-over", "text": "88213"}
        on_page(await client.post("/pick-ups", data=step | {"reservation": "here"}), 404, "no reservation")
        on_page(await client.post("/pick-ups", data=step | {"reservation": "both"}), 409, "An operator")
        done = await client.post("/pick-ups", data=step | {"reservation": "there"})
        assert "owner of there: settled." in done.text
    assert made.desk.granted["here"].state is ReservationState.GRANTED


async def test_a_till_that_names_no_token_is_an_operator_s() -> None:
    """A scope alone speaks for nobody's till."""
    made = House()
    (till,) = made.options.tills.values()
    made = House(tills={"rinascente": type(till)(till.till)})
    async with made.client("concession-token-0123456789") as client:
        problem(await client.get("/v1/tills/rinascente/levels"), 404, "no-such-till")
    async with made.client(OPERATIONS) as client:
        assert (await client.get("/v1/tills/rinascente/levels")).status_code == 200


async def test_who_may_not_open_a_page_is_told_by_a_page_what_is_missing() -> None:
    """And which pages are open instead; a program is told the same as a problem."""
    made = House()
    async with made.client() as client:
        await client.post("/login", data={"token": AUDITOR, "person": "Audrey"})
        page = on_page(await client.get("/counts/plain"), 403, "lacks the scope counts")
        assert "Audrey" in page
        for path in ("/", "/accuracy", "/pick-ups"):
            assert f'<a href="{path}">' in page
        assert '<a href="/counts">' not in page
        program = await client.get("/counts/plain", headers={"Accept": "application/problem+json"})
        assert "counts" in str(problem(program, 403, "not-allowed")["detail"])
        browser = {"Accept": "text/html,application/xhtml+xml"}
        on_page(await client.get("/nowhere", headers=browser), 404, "nothing at this address")
        problem(await client.get("/v1/nowhere", headers=browser), 404, "no-such-path")
        problem(await client.get("/nowhere"), 404, "no-such-path")
