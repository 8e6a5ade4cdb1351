"""Refunds over the API and the page: listed, opened, closed once, under the name of whoever did it."""

from __future__ import annotations

from dataclasses import replace

from tests.web.kit import AUDITOR, CHECKOUT, OPERATIONS, VIEWER, House, problem

from sfsync.domain.reservations import ReservationState

WISH = {"kind": "cart", "channel": "london", "owner": "cart-7", "lines": [{"sku": "BAG", "quantity": 1}]}


async def test_what_is_owed_is_listed_page_by_page() -> None:
    """Who owes what to whom, for which order; the list has an end."""
    async with House().client(CHECKOUT) as client:
        told = (await client.get("/v1/refunds")).json()
        assert [(each["debtor"], each["creditor"], each["lines"]) for each in told["refunds"]] == [
            ("london", "cart-7", [{"sku": "BAG", "units": 1}])
        ]
        assert told["next"] is None
        assert (await client.get("/v1/refunds", params={"after": "3"})).json()["refunds"] == []
        assert (await client.get("/v1/refunds/3")).json()["state"] == "open"
        problem(await client.get("/v1/refunds/4"), 404, "no-such-refund")
        problem(await client.get("/v1/refunds/x"), 404, "no-such-refund")
        wrong = {"state": "lost", "channel": "paris", "limit": "0", "after": "-1"}
        body = problem(await client.get("/v1/refunds", params=wrong), 422, "bad-input")
        assert {each["field"] for each in body["errors"]} == set(wrong)  # type: ignore[attr-defined]  # JSON


async def test_a_refund_is_opened_and_closed_once_with_a_name() -> None:
    """The second click finds the first; another ending is refused; who only looks on can do neither."""
    house = House()
    async with house.client(CHECKOUT) as client:
        assert (await client.post("/v1/reservations", json=WISH)).json()["id"] == "r1"
        house.desk.granted["r9"] = replace(house.desk.granted["r1"], id="r9")
        opened = await client.post("/v1/reservations/r1/refund", json={"reason": "sold at the till"})
        assert (opened.status_code, opened.headers["location"]) == (201, "/v1/refunds/3")
        assert opened.json()["opened_by"] == "checkout"
        again = await client.post("/v1/reservations/r1/refund", json={"reason": "sold at the till"})
        assert again.status_code == 200
        problem(await client.post("/v1/reservations/r9/refund", json={"reason": "x"}), 409, "nothing-owed")
        problem(
            await client.post("/v1/reservations/r7/refund", json={"reason": "x"}), 404, "no-such-reservation"
        )
        done = {"ending": "refunded", "reason": "by card", "by": "Anna Kay"}
        for _ in range(2):
            closed = await client.post("/v1/refunds/3/close", json=done)
            assert (closed.status_code, closed.json()["closed_by"]) == (200, "Anna Kay")
        problem(await client.post("/v1/refunds/3/close", json=done | {"ending": "withdrawn"}), 409, "over")
        wrong = problem(await client.post("/v1/refunds/3/close", json={"ending": "lost"}), 422, "bad-input")
        assert {each["field"] for each in wrong["errors"]} == {"ending", "reason"}  # type: ignore[attr-defined]  # JSON
    for token in (VIEWER, AUDITOR):
        async with house.client(token) as client:
            problem(await client.post("/v1/refunds/3/close", json=done), 403, "not-allowed")


async def test_other_pieces_take_the_place_of_what_was_paid_for() -> None:
    """201 with the new reservation, which names the former one; what cannot be had is 409 with what can."""
    house = House()
    async with house.client(CHECKOUT) as client:
        number = (await client.post("/v1/reservations", json=WISH)).json()["id"]
        address = f"/v1/reservations/{number}/substitute"
        scarf = {"lines": [{"sku": "TIE", "quantity": 1}]}
        problem(await client.post(address, json=scarf), 409, "ended")
        paid = replace(house.desk.granted[number], state=ReservationState.PAID_UNAVAILABLE)
        house.desk.granted[number] = paid
        none = await client.post(address, json={"lines": [{"sku": "BAG", "quantity": 1}]})
        assert problem(none, 409, "unavailable")["available"]
        taken = await client.post(address, json=scarf)
        assert (taken.status_code, taken.headers["location"]) == (201, "/v1/reservations/r8")
        assert (taken.json()["state"], taken.json()["instead_of"]) == ("confirmed", number)
        problem(await client.post(address, json={"lines": []}), 422, "bad-input")
        problem(await client.post("/v1/reservations/r77/substitute", json=scarf), 404, "no-such-reservation")


async def test_the_page_lists_what_is_owed_and_closes_it_by_a_form() -> None:
    """Without a script; the page says who closed it and how."""
    house = House()
    async with house.client(OPERATIONS) as client:
        front = (await client.get("/")).text
        assert "Refunds owed" in front
        assert 'href="/refunds/3"' in front
        page = (await client.get("/refunds/3")).text
        assert "london owes cart-7 a refund" in page
        assert (await client.get("/refunds/4")).status_code == 404
        form = page.partition('name="form" value="')[2].partition('"')[0]
        sent = {"form": form, "ending": "refunded", "reason": ""}
        assert "is empty" in (await client.post("/refunds/3", data=sent)).text
        told = await client.post("/refunds/3", data=sent | {"reason": "by card"})
        assert "Closed." in told.text
        assert house.refunds.task.said == "by card"
