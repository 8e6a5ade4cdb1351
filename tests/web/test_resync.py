"""Comparisons over HTTP: what may be asked, and how what is wrong is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.web.kit import NOW, OPERATIONS, House, problem

from sfsync.domain.resync import Cause, Difference, Scope

ROW = {
    "channel": "london",
    "sku": "BAG",
    "location": "online",
    "shows": 9,
    "target": 5,
    "cause": "changed at the channel",
}
PLAN = {"version": 1, "org": "00D1", "made_at": NOW.isoformat(), "rows": [ROW]}


async def test_an_admin_compares_follows_reads_and_applies() -> None:
    """With or without limits; a plan that is gone is 404."""
    house = House()
    async with house.client(OPERATIONS) as client:
        problem(await client.get("/v1/resync"), 404, "no-such-plan")
        began = await client.post("/v1/resync")
        assert (began.status_code, began.headers["location"]) == (202, "/v1/resync/p1")
        assert (await client.get("/v1/resync")).json() == {"id": "p1"}
        assert (await client.get("/v1/resync/p1")).json() == {"id": "p1", "state": "ready"}
        page = await client.get("/v1/resync/p1/rows?after=london&after=BAG&after=online&limit=7")
        assert (page.json()["next"], page.json()["limit"]) == (["london", "BAG", "online"], 7)
        applied = await client.post("/v1/resync/p1/apply")
        assert (applied.status_code, applied.json()["id"]) == (202, "p1")
        for method, path in (("GET", ""), ("GET", "/rows"), ("POST", "/apply")):
            problem(await client.request(method, f"/v1/resync/p0{path}"), 404, "no-such-plan")
    assert house.plans.asked == [Scope()]


async def test_a_comparison_is_limited_in_every_way() -> None:
    """SKUs, channels, locations, time and causes; the org itself may be left out."""
    house = House()
    since = NOW - timedelta(hours=2)
    wish = {
        "skus": ["BAG", "HAT", "BAG"],
        "channels": ["london"],
        "locations": ["ECOM"],
        "changed_since": since.isoformat(),
        "causes": ["manual-edit", "mapping"],
        "org": False,
    }
    async with house.client(OPERATIONS) as client:
        assert (await client.post("/v1/resync", json=wish)).status_code == 202
    causes = ("manual-edit", "mapping")
    assert house.plans.asked == [Scope(("BAG", "HAT"), ("london",), ("ECOM",), since, causes, org=False)]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"channels": ["paris"]}, "channels"),
        ({"causes": ["bad luck"]}, "causes"),
        ({"skus": "BAG"}, "skus"),
        ({"skus": ["BAG", 7]}, "skus[1]"),
        ({"skus": ["x"] * 1001}, "skus"),
        ({"changed_since": "yesterday"}, "changed_since"),
        ({"changed_since": "2027-01-01T00:00:00Z"}, "changed_since"),
        ({"skus": ["NOPE"]}, "skus"),
        ({"locations": ["NOWHERE"]}, "locations"),
        ({"org": "no"}, "org"),
        ({"sku": "BAG"}, "sku"),
    ],
)
async def test_a_wrong_limit_is_named(wish: dict[str, Any], field: str) -> None:
    """And nothing begins."""
    house = House()
    async with house.client(OPERATIONS) as client:
        told = problem(await client.post("/v1/resync", json=wish), 422, "bad-input")
    errors = told["errors"]
    assert isinstance(errors, list)
    assert [each["field"] for each in errors] == [field]
    assert house.plans.asked == []


async def test_nothing_is_compared_while_a_plan_is_applied() -> None:
    """409, and the plan goes on."""
    house = House()
    house.plans.busy = True
    async with house.client(OPERATIONS) as client:
        problem(await client.post("/v1/resync"), 409, "already-applying")


async def test_a_plan_that_changes_too_much_asks_for_its_number() -> None:
    """409 with the number; a wrong type is 422."""
    async with House().client(OPERATIONS) as client:
        told = problem(
            await client.post("/v1/resync/p1/apply", json={"yes_change": 899}), 409, "changes-too-much"
        )
        assert (told["changes"], "900 of 1,000 numbers at london" in str(told["detail"])) == (900, True)
        assert (await client.post("/v1/resync/p1/apply", json={"yes_change": 900})).status_code == 202
        for body in ({"yes_change": "900"}, {"yes_change": -1}, {"force": True}):
            problem(await client.post("/v1/resync/p1/apply", json=body), 422, "bad-input")


async def test_a_plan_comes_in_from_a_file() -> None:
    """What stands in it for people only is passed over."""
    house = House()
    async with house.client(OPERATIONS) as client:
        assert (await client.post("/v1/resync/plan", json=PLAN | {"price": {}})).status_code == 201
    (plan,) = house.plans.brought
    assert plan.made_at == NOW
    assert plan.rows == (Difference("london", "BAG", "online", 9, 5, Cause.MANUAL_EDIT),)


async def test_a_large_plan_comes_in_by_parts() -> None:
    """Rows that are wrong are told by their place in the part; of another plan is 404."""
    house = House()
    path = "/v1/resync/p1/rows"
    async with house.client(OPERATIONS) as client:
        first = await client.post("/v1/resync/plan", json=PLAN | {"more": True})
        assert (first.status_code, first.json()["state"]) == (201, "bringing")
        assert (await client.post(path, json={"rows": [ROW], "more": True})).json()["state"] == "bringing"
        assert (await client.post(path, json={"rows": [ROW]})).json()["state"] == "ready"
        problem(await client.post("/v1/resync/p2/rows", json={"rows": [ROW]}), 404, "no-such-plan")
        for body, field in (
            ({"rows": [ROW, ROW | {"shows": "9"}]}, "rows[1].shows"),
            ({"rows": [ROW | {"sku": "TWICE"}]}, "rows"),
            ({"rows": []}, "rows"),
            ({"rows": [ROW], "more": "yes"}, "more"),
            ({"rows": [ROW], "last": True}, "last"),
        ):
            told = problem(await client.post(path, json=body), 422, "bad-input")
            assert [each["field"] for each in told["errors"]] == [field]  # type: ignore[attr-defined]  # reason: JSON
    row = Difference("london", "BAG", "online", 9, 5, Cause.MANUAL_EDIT)
    assert house.plans.further == [((row,), True), ((row,), False)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 2}, "version"),
        ({"org": "00D2"}, "org"),
        ({"org": None}, "org"),
        ({"made_at": "now"}, "made_at"),
        ({"rows": []}, "rows"),
        ({"rows": [ROW, "BAG"]}, "rows[1]"),
        ({"rows": [ROW, ROW]}, "rows[1]"),
        ({"rows": [ROW | {"channel": "paris"}]}, "rows[0].channel"),
        ({"rows": [ROW | {"shows": "9"}]}, "rows[0].shows"),
        ({"rows": [ROW | {"cause": "bad luck"}]}, "rows[0].cause"),
        ({"rows": [{**ROW, "sku": ""}]}, "rows[0].sku"),
    ],
)
async def test_a_wrong_plan_names_the_place(change: dict[str, Any], field: str) -> None:
    """And nothing of it comes in."""
    house = House()
    async with house.client(OPERATIONS) as client:
        told = problem(await client.post("/v1/resync/plan", json=PLAN | change), 422, "bad-input")
    errors = told["errors"]
    assert isinstance(errors, list)
    assert [each["field"] for each in errors] == [field]
    assert house.plans.brought == []
