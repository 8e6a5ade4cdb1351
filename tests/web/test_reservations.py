"""The reservation API: granted, pending, refused; strict about what it is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.web.kit import AUDITOR, CHECKOUT, GULF, OPERATIONS, SHOP, House, problem

from sfsync.domain.reservations import ReservationState
from sfsync.ports import TryLater

WISH: dict[str, Any] = {
    "kind": "cart",
    "channel": "london",
    "owner": "cart-17",
    "client": None,
    "lines": [{"sku": "BAG", "quantity": 1}],
}


async def test_a_granted_reservation_is_answered_201_with_its_address() -> None:
    """The address leads to the same reservation."""
    house = House()
    async with house.client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=WISH)
        assert answer.status_code == 201, answer.text
        again = await client.get(answer.headers["location"])
    assert again.json() == answer.json()
    assert answer.json() == {
        "id": "r1",
        "state": "granted",
        "kind": "cart",
        "channel": "london",
        "owner": "cart-17",
        "client": None,
        "lines": [
            {"sku": "BAG", "location": "ECOM", "unit": None, "quantity": 1, "wanted": 1, "found": False}
        ],
        "created_at": "2026-11-23T08:15:00.000Z",
        "expires_at": "2026-11-23T08:30:00.000Z",
        "pick_up": None,
        "order_reference": "",
        "instead_of": None,
        "found_at": None,
        "reason": "",
    }


async def test_a_reservation_beyond_stock_is_answered_409_with_what_there_is() -> None:
    """The second to ask for the last handbag is told where how much is left."""
    house = House()
    async with house.client(CHECKOUT) as client:
        assert (await client.post("/v1/reservations", json=WISH)).status_code == 201
        body = problem(await client.post("/v1/reservations", json=WISH), 409, "unavailable")
    assert body["available"] == {"BAG": {"ECOM": 0, "KNIGHTSBRIDGE": 0}, "TIE": {"ECOM": 9}}
    assert body["detail"] == "The org refused it."


@pytest.mark.parametrize(
    ("token", "channel", "places"),
    [
        (CHECKOUT, "london", {"ECOM", "KNIGHTSBRIDGE"}),
        (GULF, "dubai", {"ECOM", "DUBAI-MALL"}),
        (OPERATIONS, "london", {"ECOM", "KNIGHTSBRIDGE", "DUBAI-MALL", "TOWN"}),
    ],
)
async def test_a_no_names_only_places_where_the_asking_party_may_reserve(
    token: str, channel: str, places: set[str]
) -> None:
    """A storefront that offers its customer the boutique next door must be able to reserve there."""
    house = House()
    house.desk.stock["BAG"] = dict.fromkeys(("ECOM", "KNIGHTSBRIDGE", "DUBAI-MALL", "TOWN"), 1)
    line: dict[str, object] = {"sku": "BAG", "quantity": 2}
    wish = WISH | {"channel": channel, "lines": [line]}
    async with house.client(token) as client:
        body = problem(await client.post("/v1/reservations", json=wish), 409, "unavailable")
        line["quantity"] = 1
        address = (await client.post("/v1/reservations", json=wish)).headers["location"]
        house.desk.granted["r1"] = replace(house.desk.granted["r1"], state=ReservationState.PAID_UNAVAILABLE)
        house.desk.stock["BAG"]["TOWN"] = house.desk.stock["BAG"]["ECOM"] = 1
        paid = problem(
            await client.post(f"{address}/confirm", json={"order_reference": "#1"}), 409, "paid-unavailable"
        )
    for told in (body, paid):
        assert set(told["available"]["BAG"]) == places  # type: ignore[index]  # reason: JSON


async def test_a_reservation_the_org_has_not_answered_is_202_and_not_yet_confirmable() -> None:
    """The asking party reads it again, and is told when to."""
    house = House()
    house.desk.answers = False
    async with house.client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=WISH)
        assert answer.status_code == 202
        assert answer.headers["retry-after"] == "1"
        address = answer.headers["location"]
        early = await client.post(f"{address}/confirm", json={"order_reference": "#1"})
    body = problem(early, 503, "later")
    assert "has not answered" in str(body["detail"])


async def test_the_same_key_with_the_same_wish_gives_the_same_reservation() -> None:
    """However its JSON was written; another wish under the key is refused."""
    house = House()
    async with house.client(CHECKOUT) as client:
        headers = {"Idempotency-Key": "k1", "Content-Type": "application/json; charset=utf-8"}
        first = await client.post("/v1/reservations", content=json.dumps(WISH), headers=headers)
        spaced = json.dumps(dict(reversed(WISH.items())) | {"expires_in_seconds": 900}, indent=3)
        second = await client.post("/v1/reservations", content=spaced, headers=headers)
        other = await client.post("/v1/reservations", json=WISH | {"owner": "cart-18"}, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    problem(other, 422, "key-reused")


async def test_two_parties_never_meet_in_one_key() -> None:
    """A key is its party's own."""
    house = House()
    wish = WISH | {"lines": [{"sku": "TIE", "quantity": 1}]}
    numbers = []
    for token in (CHECKOUT, OPERATIONS):
        async with house.client(token) as client:
            answer = await client.post("/v1/reservations", json=wish, headers={"Idempotency-Key": "k"})
            numbers.append(answer.json()["id"])
    assert numbers == ["r1", "r2"]


async def test_a_repeated_wish_that_has_gone_on_since_is_answered_as_it_stands() -> None:
    """A retry after the confirmation is no new reservation."""
    house = House()
    async with house.client(CHECKOUT) as client:
        headers = {"Idempotency-Key": "k1"}
        address = (await client.post("/v1/reservations", json=WISH, headers=headers)).headers["location"]
        await client.post(f"{address}/confirm", json={"order_reference": "#1"})
        answer = await client.post("/v1/reservations", json=WISH, headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (200, "confirmed")


async def test_a_reservation_is_confirmed_and_then_never_expires() -> None:
    """With the order's reference."""
    async with House().client(CHECKOUT) as client:
        address = (await client.post("/v1/reservations", json=WISH)).headers["location"]
        answer = await client.post(f"{address}/confirm", json={"order_reference": "#1042"})
    assert (answer.status_code, answer.json()["state"], answer.json()["expires_at"]) == (
        200,
        "confirmed",
        None,
    )


async def test_a_released_reservation_cannot_be_confirmed() -> None:
    """The answer says how it stands."""
    async with House().client(CHECKOUT) as client:
        address = (await client.post("/v1/reservations", json=WISH)).headers["location"]
        assert (await client.post(f"{address}/release")).json()["state"] == "released"
        assert (await client.post(f"{address}/release", json={})).status_code == 200
        body = problem(await client.post(f"{address}/confirm", json={"order_reference": "#1"}), 409, "ended")
    assert body["reservation"]["state"] == "released"  # type: ignore[index]  # reason: the body is JSON


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("", None),
        ("/confirm", {"order_reference": "#1"}),
        ("/extend", {"expires_in_seconds": 60}),
        ("/hand-over", {"reference": "receipt 7"}),
        ("/release", {}),
    ],
)
async def test_an_unknown_reservation_is_404(what: str, body: dict[str, object] | None) -> None:
    """Read, confirmed, prolonged, handed over or released."""
    address = f"/v1/reservations/none{what}"
    async with House().client(CHECKOUT) as client:
        answer = await (client.get(address) if body is None else client.post(address, json=body))
    problem(answer, 404, "no-such-reservation")


async def test_a_pick_up_expires_with_its_window() -> None:
    """What is not collected by then goes back on sale."""
    window = {"begins": "2026-11-24T09:00:00Z", "ends": "2026-11-24T18:00:00+00:00"}
    async with House().client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=WISH | {"kind": "pick-up", "pick_up": window})
    assert answer.status_code == 201, answer.text
    assert answer.json()["expires_at"] == "2026-11-24T18:00:00.000Z"
    assert answer.json()["pick_up"]["begins"] == "2026-11-24T09:00:00.000Z"


async def test_a_reservation_is_prolonged_moved_and_handed_over() -> None:
    """Each step is answered with the reservation as it then stands."""
    async with House().client(CHECKOUT) as client:
        address = (await client.post("/v1/reservations", json=WISH)).headers["location"]
        longer = await client.post(f"{address}/extend", json={"expires_in_seconds": 3600})
        assert longer.json()["expires_at"] == "2026-11-23T09:15:00.000Z"
        moved = await client.post(f"{address}/move", json={"location": "KNIGHTSBRIDGE"})
        assert moved.json()["lines"][0]["location"] == "KNIGHTSBRIDGE"
        operator = {"Authorization": f"Bearer {OPERATIONS}"}
        nowhere = await client.post(f"{address}/move", json={"location": "NOWHERE"}, headers=operator)
        assert "available" in problem(nowhere, 409, "unavailable")
        over = await client.post(f"{address}/hand-over", json={"reference": "receipt 7"})
        assert (over.status_code, over.json()["state"]) == (200, "settled")


async def test_paid_and_not_available_is_409_with_its_ways_out() -> None:
    """A program can offer them: another location, a substitute, a refund."""
    house = House()
    async with house.client(CHECKOUT) as client:
        address = (await client.post("/v1/reservations", json=WISH)).headers["location"]
        house.desk.granted["r1"] = replace(house.desk.granted["r1"], state=ReservationState.PAID_UNAVAILABLE)
        answer = await client.post(f"{address}/confirm", json={"order_reference": "#1"})
    body = problem(answer, 409, "paid-unavailable")
    assert body["ways_out"] == ["move", "substitute", "refund"]
    assert body["available"]["TIE"] == {"ECOM": 9}  # type: ignore[index]  # reason: JSON


async def test_a_release_keeps_its_reason_and_who_gave_it() -> None:
    """The name is the token's, not what somebody wrote."""
    async with House().client(CHECKOUT) as client:
        address = (await client.post("/v1/reservations", json=WISH)).headers["location"]
        answer = await client.post(f"{address}/release", json={"reason": "refunded"})
    assert answer.json()["reason"] == "refunded (checkout)"


async def test_a_shop_confirms_what_it_has_in_its_hand() -> None:
    """Until then it cannot be paid for; and only a shop's token may say so."""
    house = House()
    house.desk.floor = True
    async with house.client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=WISH)
        assert (answer.status_code, answer.json()["state"]) == (201, "awaiting-store")
        address = answer.headers["location"]
        early = await client.post(f"{address}/confirm", json={"order_reference": "#1"})
        problem(early, 409, "awaiting-store")
        problem(await client.post(f"{address}/store-confirmation", json={"found": True}), 403, "not-allowed")
        problem(await client.post("/v1/reservations", json=WISH | {"in_hand": True}), 422, "bad-input")
    async with house.client(SHOP) as client:
        for body in ({}, {"found": "yes"}, {"found": True, "x": 1}):
            problem(await client.post(f"{address}/store-confirmation", json=body), 422, "bad-input")
        assert (await client.post(f"{address}/store-confirmation", json={"found": True})).json()[
            "state"
        ] == "granted"


async def test_reservations_are_listed_in_pages() -> None:
    """`next` leads on until there is no more."""
    house = House()
    wish = WISH | {"lines": [{"sku": "TIE", "quantity": 1}]}
    async with house.client(CHECKOUT) as client:
        for _ in range(3):
            await client.post("/v1/reservations", json=wish)
        first = (await client.get("/v1/reservations?limit=2&state=open&kind=cart&location=ECOM")).json()
        rest = (await client.get(f"/v1/reservations?limit=2&after={first['next']}")).json()
    assert [each["id"] for each in first["reservations"]] == ["r1", "r2"]
    assert [each["id"] for each in rest["reservations"]] == ["r3"]
    assert rest["next"] is None
    asked = house.desk.asked[0]
    assert sorted(asked["states"]) == ["awaiting-store", "confirmed", "granted", "ordered", "pending"]
    assert (asked["kind"], asked["location"], asked["owner"]) == ("cart", "ECOM", None)


@pytest.mark.parametrize(
    "query", ["kind=gift", "state=lost", "limit=0", "limit=201", "limit=x", "colour=red"]
)
async def test_a_list_that_is_asked_for_wrongly_is_422(query: str) -> None:
    """It names what is wrong instead of listing something else."""
    async with House().client(CHECKOUT) as client:
        answer = await client.get(f"/v1/reservations?{query}")
    assert query.split("=", maxsplit=1)[0] in str(problem(answer, 422, "bad-input")["detail"])


async def test_what_is_held_for_nobody_is_listed_with_what_to_do() -> None:
    """Whose it is as far as that is known, since when, and how to mend it. A shop is told of its own."""
    house = House()
    async with house.client(CHECKOUT) as client:
        address = (await client.post("/v1/reservations", json=WISH)).headers["location"]
        await client.post(f"{address}/confirm", json={"order_reference": "#1042"})
        own = await client.get("/v1/reservations/orphans")
    assert [each["owner"] for each in own.json()["orphans"]] == ["cart-17"]
    async with house.client(AUDITOR) as client:
        answer = await client.get("/v1/reservations/orphans")
    assert answer.status_code == 200
    lost, foreign = answer.json()["orphans"]
    assert (lost["cause"], lost["order_reference"]) == ("its order never came", "#1042")
    assert lost["remedy"] == "name the order in the shop's note, or release it"
    assert (foreign["reservation"], foreign["owner"], foreign["units"]) == ("r99", None, {"BAG-1|ECOM": 2})


async def test_a_sku_that_the_org_does_not_have_is_422() -> None:
    """It is the input that is wrong, not the stock."""
    async with House().client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=WISH | {"lines": [{"sku": "HAT", "quantity": 1}]})
    assert "HAT" in str(problem(answer, 422, "unknown-sku")["detail"])


async def test_an_unreachable_org_is_503_with_its_own_time_to_wait() -> None:
    """The retry is not asked for before the org wants it."""
    house = House()
    house.desk.failure = TryLater("the org is busy", after_seconds=17.2)
    async with house.client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=WISH)
    problem(answer, 503, "later")
    assert answer.headers["retry-after"] == "18"


def pick_up(**window: object) -> dict[str, object]:
    return {"kind": "pick-up", "pick_up": window or "soon"}


def line(**fields: object) -> dict[str, object]:
    return {"lines": [{"sku": "BAG", "quantity": 1} | fields]}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"kind": "gift"}, "kind", "none of cart, order, pick-up, client"),
        ({"kind": None}, "kind", "missing"),
        ({"channel": "paris"}, "channel", "none of dubai, london"),
        ({"channel": ""}, "channel", "empty"),
        ({"channel": None}, "lines[0].location", "give it, a location_group, or a channel"),
        ({"owner": ""}, "owner", "empty"),
        ({"owner": " x"}, "owner", "blanks"),
        ({"owner": "x" * 121}, "owner", "more than 120"),
        ({"owner": "a\x00b"}, "owner", "printed"),
        ({"owner": "a\ud800"}, "owner", "printed"),
        ({"owner": 7}, "owner", "not a text"),
        ({"lines": []}, "lines", "at least one"),
        ({"lines": {}}, "lines", "at least one"),
        ({"lines": [{"sku": f"S{n}", "quantity": 1} for n in range(101)]}, "lines", "more than 100"),
        ({"lines": ["BAG"]}, "lines[0]", "not an object"),
        (line(quantity=0), "lines[0].quantity", "between 1 and 1000"),
        (line(quantity=-1), "lines[0].quantity", "between 1 and 1000"),
        (line(quantity=1001), "lines[0].quantity", "between 1 and 1000"),
        (line(quantity=1.0), "lines[0].quantity", "whole number"),
        (line(quantity="1"), "lines[0].quantity", "whole number"),
        (line(quantity=True), "lines[0].quantity", "whole number"),
        (line(quantity=None), "lines[0].quantity", "missing"),
        (line(quantity=10**400), "lines[0].quantity", "between"),
        (line(sku="a|b"), "lines[0].sku", "'|'"),
        (line(sku="x" * 121), "lines[0].sku", "more than 120"),
        (line(location="A|B"), "lines[0].location", "'|'"),
        (line(location="x" * 81), "lines[0].location", "more than 80"),
        (line(unit="1", quantity=2), "lines[0].quantity", "one unit"),
        (line(colour="red"), "lines[0].colour", "not known"),
        ({"lines": [{"sku": "BAG", "quantity": 1}] * 2}, "lines[1]", "add them up"),
        ({"expires_in_seconds": 0}, "expires_in_seconds", "between"),
        ({"expires_in_seconds": 2_592_001}, "expires_in_seconds", "between 1 and 2592000"),
        ({"expires_in_seconds": "60"}, "expires_in_seconds", "whole number"),
        ({"expires": 60}, "expires", "known are kind"),
        ({"partial": "yes"}, "partial", "true or false"),
        (line(location_group="mars"), "lines[0].location_group", "known are uk"),
        (line(location_group="uk", location="ECOM"), "lines[0].location_group", "one of them"),
        (
            {"pick_up": {"begins": "2026-11-24T09:00Z", "ends": "2026-11-24T18:00Z"}},
            "pick_up",
            "pick-up only",
        ),
        (pick_up(), "pick_up", "not an object"),
        (pick_up(begins="2026-11-24T09:00Z"), "pick_up.ends", "missing"),
        (pick_up(begins="tomorrow", ends="2026-11-24T18:00Z"), "pick_up.begins", "a moment like"),
        (pick_up(begins="2026-11-24T09:00", ends="2026-11-24T18:00Z"), "pick_up.begins", "a moment like"),
        (pick_up(begins="2026-11-24T18:00Z", ends="2026-11-24T09:00Z"), "pick_up.ends", "after its begin"),
        (pick_up(begins="2026-11-20T09:00Z", ends="2026-11-20T18:00Z"), "pick_up.ends", "after now"),
        (pick_up(begins="2026-11-24T09:00Z", ends="2027-11-24T18:00Z"), "pick_up.ends", "30 days away"),
    ],
)
async def test_bad_input_is_422_and_names_the_field(
    change: dict[str, object], field: str, words: str
) -> None:
    """Nothing is asked of the org."""
    house = House()
    content = json.dumps(WISH | change)
    async with house.client(OPERATIONS) as client:
        answer = await client.post(
            "/v1/reservations", content=content, headers={"Content-Type": "application/json"}
        )
    body = problem(answer, 422, "bad-input")
    named = {error["field"]: error["detail"] for error in body["errors"]}  # type: ignore[attr-defined]  # reason: JSON
    assert words in named[field]
    assert house.desk.granted == {}


async def test_all_bad_fields_are_named_at_once() -> None:
    """One answer is enough to mend them."""
    async with House().client(OPERATIONS) as client:
        answer = await client.post("/v1/reservations", json={"lines": [{"sku": ""}], "x": 1})
    body = problem(answer, 422, "bad-input")
    fields = {error["field"] for error in body["errors"]}  # type: ignore[attr-defined]  # reason: JSON
    assert fields == {"x", "kind", "owner", "lines[0].sku", "lines[0].quantity", "lines[0].location"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'{"kind": NaN}', "NaN"),
        (b'{"kind": 1, "kind": 2}', "twice"),
        (b'{"kind": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
async def test_what_two_readers_may_understand_differently_is_400(content: bytes, words: str) -> None:
    """Broken JSON, repeated names, NaN, endless nesting or digits."""
    async with House().client(CHECKOUT) as client:
        answer = await client.post(
            "/v1/reservations", content=content, headers={"Content-Type": "application/json"}
        )
    assert words in str(problem(answer, 400, "bad-json")["detail"])


async def test_only_json_is_read() -> None:
    """A form that a browser can send across sites is not."""
    async with House().client(CHECKOUT) as client:
        problem(
            await client.post("/v1/reservations", content=b"{}", headers={"Content-Type": "text/plain"}),
            415,
            "not-json",
        )
        problem(await client.post("/v1/reservations", json=[]), 422, "bad-input")


async def test_a_huge_request_is_413_although_webhooks_may_be_larger() -> None:
    """A reservation never needs that much."""
    async with House().client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=WISH | {"owner": "x" * 300_000})
    problem(answer, 413, "too-large")


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "caf\u00e9"])
async def test_an_unusable_idempotency_key_is_400(key: str) -> None:
    """It must be printable ASCII of some length."""
    async with House().client(CHECKOUT) as client:
        headers = {b"Idempotency-Key": key.encode()}
        answer = await client.post("/v1/reservations", json=WISH, headers=headers)
    problem(answer, 400, "bad-idempotency-key")


@pytest.mark.parametrize(
    "body", [{}, {"order_reference": ""}, {"order_reference": 1}, {"order_reference": "a", "b": 1}]
)
async def test_a_confirmation_needs_exactly_the_orders_reference(body: dict[str, object]) -> None:
    """It ends in the ledger, so it is checked like everything else."""
    async with House().client(CHECKOUT) as client:
        address = (await client.post("/v1/reservations", json=WISH)).headers["location"]
        problem(await client.post(f"{address}/confirm", json=body), 422, "bad-input")
