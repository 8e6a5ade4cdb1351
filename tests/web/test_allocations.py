"""Divided units over HTTP and by a form: read with a view, changed by an admin, refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.kit import CHECKOUT, OPERATIONS, VIEWER, House, problem
from tests.web.test_log_in import log_in

from sfsync.domain.by_hand import Allocated, Do, Word

URL = "/v1/allocations"
MOVE = {"do": "move", "sku": "BAG", "channel": "london", "units": 2, "to": "dubai"}


async def test_a_word_is_handed_on_with_its_name_and_answered_with_how_units_stand() -> None:
    """200 when everybody has what he is to have, 202 while something is on its way."""
    house = House()
    async with house.client(OPERATIONS) as client, house.client(VIEWER) as viewer:
        before = (await viewer.get(URL)).json()
        assert ([row["by_hand"] for row in before["allocations"]], before["done"]) == ([None, None], True)
        answer = await client.post(URL, json=MOVE)
        assert answer.status_code == 200
        london = answer.json()["allocations"][0]
        assert (london["by_hand"], london["said_by"], london["goal"], london["held"]) == (
            3,
            "operations",
            3,
            3,
        )
        house.divided.held = 2
        waiting = await client.post(URL, json={"do": "set", "sku": "BAG", "channel": "london", "units": 3})
        assert (waiting.status_code, waiting.json()["done"]) == (202, False)
        assert (await viewer.get(f"{URL}?sku=HAT")).json()["allocations"] == []
        for do in ("withdraw", "release"):
            await client.post(URL, json={"do": do, "sku": "BAG", "channel": "london"})
    assert house.divided.said == [
        (Word(Do.MOVE, "london", "BAG", 2, "dubai"), "operations"),
        (Word(Do.SET, "london", "BAG", 3), "operations"),
        (Word(Do.WITHDRAW, "london", "BAG"), "operations"),
        (Word(Do.RELEASE, "london", "BAG"), "operations"),
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"do": "give"}, "do"),
        ({"sku": ""}, "sku"),
        ({"channel": 7}, "channel"),
        ({"units": 0}, "units"),
        ({"units": "two"}, "units"),
        ({"to": None}, "to"),
        ({"to": "london"}, "to"),
        ({"do": "set"}, "to"),
        ({"do": "release", "to": None}, "units"),
        ({"why": "x"}, "why"),
        ({"shows_none": True}, "shows_none"),
    ],
)
async def test_a_bad_word_names_its_field_and_does_nothing(change: dict[str, Any], field: str) -> None:
    """422, and nothing is handed on."""
    house = House()
    async with house.client(OPERATIONS) as client:
        told = problem(await client.post(URL, json=MOVE | change), 422, "bad-input")
    errors: Any = told["errors"]
    assert [each["field"] for each in errors] == [field]
    assert house.divided.said == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [("not-divided", 409), ("too-few", 409), ("no-such-channel", 404), ("not-said", 404)],
)
async def test_what_cannot_be_is_told_with_its_reason(kind: str, status: int) -> None:
    """And who may not, changes nothing."""
    house = House()
    house.divided.answer = kind
    async with house.client(OPERATIONS) as client:
        assert (
            problem(await client.post(URL, json=MOVE), status, kind)["detail"]
            == "London is to have 3 of BAG."
        )
    async with house.client(CHECKOUT) as client:
        problem(await client.post(URL, json=MOVE), 403, "not-allowed")
        problem(await client.get(URL), 403, "not-allowed")


async def test_the_buttons_of_the_page_do_what_the_command_does() -> None:
    """Set, move, withdraw, release, under the name of who has logged in; nothing that was typed is lost."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, OPERATIONS, "Anna Kay")
        page = (await client.get("/allocations?sku=BAG")).text
        assert "Allocations of BAG" in page
        assert "It stands under your name, Anna Kay" in page
        fields = {"form": form, "sku": "BAG", "channel": "london", "units": "2", "to": "dubai"}
        for do in ("set", "move", "withdraw", "release"):
            assert "Done." in (await client.post("/allocations", data={**fields, "do": do})).text
        bad = await client.post("/allocations", data={**fields, "do": "move", "units": "few"})
        assert (bad.status_code, 'value="few"' in bad.text) == (422, True)
        house.divided.answer = "too-few"
        few = await client.post("/allocations", data={**fields, "do": "move"})
        assert (few.status_code, "London is to have 3 of BAG." in few.text) == (409, True)
        assert "is not divided among channels" in (await client.get("/allocations?sku=HAT")).text
        assert 'href="/allocations?sku=BAG"' in (await client.get("/allocations")).text
    assert house.divided.said == [
        (Word(Do.SET, "london", "BAG", 2), "Anna Kay"),
        (Word(Do.MOVE, "london", "BAG", 2, "dubai"), "Anna Kay"),
        (Word(Do.WITHDRAW, "london", "BAG", 2), "Anna Kay"),
        (Word(Do.RELEASE, "london", "BAG"), "Anna Kay"),
    ]


async def test_what_has_left_of_a_channels_units_is_told() -> None:
    """One of Milan's three went over a counter, and Milan has not confirmed the lower number."""
    house = House()
    house.divided.left_behind = [Allocated("milan", "BAG", 2, None, 3, 0, 3, 0, 0, lacking=1)]
    async with house.client(OPERATIONS) as client:
        told = (await client.get(URL)).json()
        assert (told["done"], [row["lacking"] for row in told["allocations"]]) == (False, [0, 0, 1])
    async with house.client() as client:
        await log_in(client, OPERATIONS, "Anna Kay")
        assert "1 of it gone, over a counter" in (await client.get("/allocations?sku=BAG")).text


async def test_what_a_removed_channel_left_behind_is_withdrawn_by_who_says_that_it_shows_none() -> None:
    """The page asks whoever withdraws to have looked; the word says so."""
    house = House()
    house.divided.left_behind = [Allocated("milan", "BAG", 0, None, 3, 0, 3, 0, 0, gone=True)]
    async with house.client(OPERATIONS) as client:
        told = (await client.get(URL)).json()
        assert (told["done"], [row["gone"] for row in told["allocations"]]) == (False, [False, False, True])
        word = {"do": "withdraw", "sku": "BAG", "channel": "milan", "shows_none": True}
        assert (await client.post(URL, json=word)).status_code == 202
    async with house.client() as client:
        form = await log_in(client, OPERATIONS, "Anna Kay")
        page = (await client.get("/allocations?sku=BAG")).text
        assert "What milan left behind" in page
        assert "<option>milan</option>" not in page
        fields = {"form": form, "do": "withdraw", "sku": "BAG", "channel": "milan", "shows_none": "on"}
        assert (await client.post("/allocations", data=fields)).status_code == 200
    assert [each for each, _ in house.divided.said] == [
        Word(Do.WITHDRAW, "milan", "BAG", shows_none=True),
        Word(Do.WITHDRAW, "milan", "BAG", shows_none=True),
    ]
