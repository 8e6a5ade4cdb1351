"""Limited editions over HTTP: read with any token, switched by an admin, refused with the limit named."""

from __future__ import annotations

import pytest
from tests.web.kit import CHECKOUT, OPERATIONS, VIEWER, House, problem

from sfsync.domain.editions import Denial

WISH = {"kind": "cart", "channel": "london", "owner": "c", "lines": [{"sku": "BAG", "quantity": 1}]}


async def test_an_admin_opens_and_closes_and_who_may_look_reads_how_it_stands() -> None:
    """Pressed twice it is open; who pressed is kept; a viewer may look and not press."""
    house = House()
    async with house.client(OPERATIONS) as client, house.client(VIEWER) as viewer:
        assert (await viewer.get("/v1/editions/spring")).json()["state"] == "closed"
        for _ in range(2):
            answer = await client.post("/v1/editions/spring/open")
            assert (answer.status_code, answer.json()["state"]) == (200, "open")
        told = (await viewer.get("/v1/editions")).json()["editions"]
        assert told == [(await viewer.get("/v1/editions/spring")).json()]
        assert told[0]["shares"] == [
            {"channel": "london", "limit": 200, "taken": 150, "left": 50},
            {"channel": None, "limit": 300, "taken": 0, "left": 300},
        ]
        assert (told[0]["left"], told[0]["opens_at"]) == (350, None)  # nothing is planned any more
        problem(await viewer.post("/v1/editions/spring/close"), 403, "not-allowed")
        assert (await client.post("/v1/editions/spring/close")).json()["opens_at"] == "2026-11-23T09:15:00Z"
        problem(await client.post("/v1/editions/spring/open", json={"at": "noon"}), 422, "bad-input")
        none = problem(await client.post("/v1/editions/autumn/open"), 404, "no-such-edition")
        assert none["detail"] == "There is no edition autumn; known are spring."
        problem(await client.get("/v1/editions/autumn"), 404, "no-such-edition")
    assert house.drops.pressed == [
        ("spring", True, "operations"),
        ("spring", True, "operations"),
        ("spring", False, "operations"),
    ]


@pytest.mark.parametrize(
    ("kind", "status_code"),
    [("edition-closed", 409), ("edition-sold-out", 409), ("client-limit", 409), ("client-missing", 422)],
)
async def test_what_an_edition_does_not_allow_is_told_with_its_limit(kind: str, status_code: int) -> None:
    """The checkout can say to its shopper what it is: not yet, no more, or no more for you."""
    house = House()
    house.desk.denial = Denial(kind, "spring", "why", 2, 1)
    async with house.client(CHECKOUT) as client:
        told = problem(await client.post("/v1/reservations", json=WISH), status_code, kind)
    assert (told["edition"], told["limit"], told["has"], told["detail"]) == ("spring", 2, 1, "Why.")


async def test_whose_it_is_goes_with_the_reservation() -> None:
    """A client's own reservation is that client's; a cart is nobody's unless it says so."""
    async with House().client(CHECKOUT) as client:
        line = {"sku": "TIE", "quantity": 1, "location": "ECOM"}
        told = [
            await client.post("/v1/reservations", json={"kind": kind, "owner": "C7", "lines": [line]} | more)
            for kind, more in (("client", {}), ("cart", {}), ("cart", {"client": "C8"}))
        ]
        assert [answer.json()["client"] for answer in told] == ["C7", None, "C8"]
