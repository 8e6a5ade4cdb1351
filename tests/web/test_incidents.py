"""Incidents over the API: an operator takes a way out, with a name and a reason; nobody else does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.web.kit import CHECKOUT, NOW, OPERATIONS, House, problem

from sfsync.domain.incidents import OVERSOLD, Resolved, Stage, Way, Wish
from sfsync.ports import Incident
from sfsync.web.incident_rows import incident_row

AT = "/v1/incidents/7/resolution"
MOVE = {"way": "move", "location": "MAYFAIR", "reason": "the customer is waiting"}
WAIT = {"way": "wait", "reason": "twelve are on their way", "until": "2026-12-05T23:59:59Z"}
ACCEPT = {"way": "accept", "reason": "the backup was restored by us"}


async def test_each_way_out_is_handed_on_as_it_was_asked() -> None:
    """Without a name it is that of the token's party."""
    house = House()
    asked: list[dict[str, Any]] = [
        MOVE | {"promise": "order:london:1042:1", "by": "Anna Kay"},
        WAIT,
        {"way": "cancel", "reason": "none is left", "refund": True, "whole_order": True},
        ACCEPT,
    ]
    async with house.client(OPERATIONS) as client:
        for body in asked:
            assert (await client.post(AT, json=body)).status_code == 200
    reasons = [body["reason"] for body in asked]
    moment = NOW.replace(month=12, day=5, hour=23, minute=59, second=59)
    assert house.resolutions.asked == [
        (7, Wish(Way.MOVE, "Anna Kay", reasons[0], "order:london:1042:1", "MAYFAIR")),
        (7, Wish(Way.WAIT, "operations", reasons[1], until=moment)),
        (7, Wish(Way.CANCEL, "operations", reasons[2], whole_order=True, refund=True)),
        (7, Wish(Way.ACCEPT, "operations", reasons[3])),
    ]


@pytest.mark.parametrize(
    ("resolved", "status", "kind"),
    [
        (Resolved(Stage.REFUSED, "1 wanted of BAG|MAYFAIR, 0 available"), 409, "refused"),
        (Resolved(problem="no-such-incident"), 404, "no-such-incident"),
        (Resolved(problem="over", detail="incident 7 is over"), 409, "over"),
        (Resolved(problem="no-such-way", detail="there is move, wait"), 409, "no-such-way"),
        (Resolved(problem="cannot-cancel", detail="by hand"), 409, "cannot-cancel"),
        (Resolved(problem="more-lines", detail="the whole order"), 409, "more-lines"),
        (Resolved(problem="unknown-level", detail="no level"), 422, "unknown-level"),
        (Resolved(problem="no-such-promise", detail="there is"), 422, "no-such-promise"),
        (Resolved(problem="busy", detail="try again"), 503, "later"),
    ],
)
async def test_what_did_not_happen_says_why(resolved: Resolved, status: int, kind: str) -> None:
    """In one word for programs, in a sentence for people."""
    house = House()
    house.resolutions.answer = resolved
    async with house.client(OPERATIONS) as client:
        problem(await client.post(AT, json=MOVE), status, kind)


async def test_what_the_org_has_not_answered_is_202_and_can_be_looked_up() -> None:
    """The incident tells what was decided about it, and how far that is."""
    house = House()
    house.resolutions.answer = Resolved(Stage.ASKED, resolution=1, more={"units": 1})
    async with house.client(OPERATIONS) as client:
        answer = await client.post(AT, json=MOVE)
        assert (answer.status_code, answer.json()["stage"], answer.json()["units"]) == (202, "asked", 1)
        told = (await client.get("/v1/incidents/7")).json()
        (decided,) = told["resolutions"]
        assert (decided["what"], decided["stage"]) == ("1 to be taken at MAYFAIR for order #1042", "asked")
        assert told["ways"] == ["move", "wait", "cancel"]
        problem(await client.get("/v1/incidents/8"), 404, "no-such-incident")
        problem(await client.get("/v1/incidents/x"), 404, "no-such-incident")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (MOVE | {"reason": ""}, "reason"),
        (MOVE | {"reason": "x" * 161}, "reason"),
        (MOVE | {"location": None}, "location"),
        (MOVE | {"location": "A|B"}, "location"),
        (MOVE | {"way": "forget"}, "way"),
        (MOVE | {"refund": True}, "refund"),
        (MOVE | {"until": WAIT["until"]}, "until"),
        (ACCEPT | {"location": "MAYFAIR"}, "location"),
        (WAIT | {"until": None}, "until"),
        (WAIT | {"until": (NOW - timedelta(days=1)).isoformat()}, "until"),
        (WAIT | {"until": (NOW + timedelta(days=400)).isoformat()}, "until"),
        (ACCEPT | {"colour": "red"}, "colour"),
        ({"way": "cancel", "reason": "none", "refund": "yes"}, "refund"),
    ],
)
async def test_a_decision_that_cannot_be_read_names_the_field(body: dict[str, Any], field: str) -> None:
    """Nothing is decided."""
    house = House()
    async with house.client(OPERATIONS) as client:
        told = problem(await client.post(AT, json=body), 422, "bad-input")
    assert field in str(told["errors"])
    assert house.resolutions.asked == []


async def test_only_an_operator_resolves() -> None:
    """A checkout sells; it decides nothing about whose order is kept."""
    house = House()
    async with house.client(CHECKOUT) as client:
        problem(await client.post(AT, json=MOVE), 403, "not-allowed")
        problem(await client.get("/v1/incidents/7"), 403, "not-allowed")
    assert house.resolutions.asked == []


@pytest.mark.parametrize("cancelling", [frozenset({"london"}), None])
@pytest.mark.parametrize(
    ("subject", "ways"),
    [
        ("order:london:1042:1", ["move", "wait", "cancel"]),
        ("reservation:r1:0", ["move", "wait"]),  # a cart is no order that one could cancel
        ("allocation:london:BAG|ECOM", ["move", "wait", "accept"]),  # no customer was promised it
    ],
)
def test_only_ways_that_work_are_offered(
    subject: str, ways: list[str], cancelling: frozenset[str] | None
) -> None:
    """The same to the page, the API and the command line."""
    promise = {"subject": subject, "units": 1, "uncovered": 1, "channel": "london", "since": NOW.isoformat()}
    detail = {"sku": "BAG", "units": 1, "promises": [promise]}
    incident = Incident(7, OVERSOLD, "BAG|ECOM", "1 of BAG|ECOM promised beyond stock", detail, NOW, None)
    assert incident_row(incident, (), cancelling, NOW)["ways"] == ways
