"""Transfers over the API: told once, refused with every reason, and listed until they have arrived."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.web.kit import CHECKOUT, NOW, OPERATIONS, House, problem

from sfsync.domain.transfers import Stage, Transfer

SENT = {"id": "T-1/sent", "number": "T-1", "stage": "sent", "sku": "BAG", "quantity": 3, "from": "ECOM"}


async def test_a_transfer_is_entered_once_and_listed_while_it_is_on_its_way() -> None:
    """The same event again is answered as the first time; another one under its id is refused."""
    house = House()
    async with house.client(OPERATIONS) as client:
        for _ in range(2):
            answer = await client.post("/v1/transfers", json=SENT)
            assert answer.status_code == 201
            assert answer.json() == {"id": "T-1/sent", "number": "T-1", "state": "entered"}
        assert house.carrier.told == {
            "T-1/sent": Transfer("T-1/sent", "T-1", Stage.SENT, "BAG", 3, NOW, "ECOM")
        }
        problem(await client.post("/v1/transfers", json=SENT | {"quantity": 2}), 409, "id-reused")
        problem(await client.post("/v1/transfers", json=SENT | {"from": "PARIS"}), 422, "unknown-level")
        (row,) = (await client.get("/v1/transfers")).json()["in_transit"]
        assert (row["number"], row["sku"], row["quantity"]) == ("T-1", "BAG", 3)


async def test_what_the_org_has_not_yet_answered_is_written_down() -> None:
    """Nobody has to tell it again."""
    house = House()
    house.carrier.answers = False
    async with house.client(OPERATIONS) as client:
        answer = await client.post("/v1/transfers", json=SENT)
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": ""}, "id"),
        ({"stage": "stolen"}, "stage"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"from": None}, "stage"),
        ({"to": "DUBAI"}, "stage"),
        ({"sku": "BAG|ECOM"}, "sku"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": (NOW + timedelta(hours=1)).isoformat()}, "occurred_at"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_transfer_that_cannot_be_read_names_the_field(changes: dict[str, Any], field: str) -> None:
    """Nothing is written down."""
    house = House()
    async with house.client(OPERATIONS) as client:
        told = problem(await client.post("/v1/transfers", json=SENT | changes), 422, "bad-input")
    assert field in str(told["errors"])
    assert house.carrier.told == {}


async def test_only_an_admin_tells_of_transfers() -> None:
    """A checkout has no goods to send."""
    async with House().client(CHECKOUT) as client:
        problem(await client.post("/v1/transfers", json=SENT), 403, "not-allowed")
        problem(await client.get("/v1/transfers"), 403, "not-allowed")
