"""The stock ledger in the simulated org: roll-ups, rules and refusals, over the wire and under contention."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.sandbox import OrgSandbox, start_org
from tests.simulators.org_kit import BASE, LEVEL, MOVEMENT, OrgClient, codes, error_of, fresh, movement

REFUSED = "FIELD_CUSTOM_VALIDATION_EXCEPTION"
RULE, FALLBACK = "Reservation_needs_stock", "Reserved_within_on_hand"


@contextmanager
def knob(sandbox: OrgSandbox, name: str, value: object) -> Iterator[None]:
    """Another setting for the time of a test."""
    before = {each["name"]: each["value"] for each in sandbox.control("GET", "/knobs")}[name]
    sandbox.control("POST", "/knobs", {name: value})
    try:
        yield
    finally:
        sandbox.control("POST", "/knobs", {name: before})


@contextmanager
def only_rule(sandbox: OrgSandbox, name: str) -> Iterator[None]:
    """One of the two variants of the level's rule active, the other not."""
    try:
        for rule in (RULE, FALLBACK):
            sandbox.control("POST", "/rules", {"name": rule, "active": rule == name})
        yield
    finally:
        for rule in (RULE, FALLBACK):
            sandbox.control("POST", "/rules", {"name": rule, "active": rule == RULE})


@pytest.fixture(params=[RULE, FALLBACK])
def rule(request: pytest.FixtureRequest, sandbox: OrgSandbox) -> Iterator[str]:
    """Both variants of the rule, one after the other."""
    with only_rule(sandbox, request.param):
        yield request.param


def test_a_level_is_the_sum_of_its_movements(org: OrgClient) -> None:
    """On hand, reserved and version are roll-ups, available follows from them."""
    key = org.new_level(on_hand=5)
    changes: list[dict[str, Any]] = [
        {"on_hand": -2},
        {"reserved": 3},
        {"reserved": -1},
        {"on_hand": 1, "VersionDelta__c": 4},
    ]
    for change in changes:
        assert org.move(key, **change).status_code == 201
    level = org.level(key)
    assert (level["OnHand__c"], level["Reserved__c"], level["Available__c"]) == (4.0, 2.0, 2.0)
    assert level["Version__c"] == 8.0


def test_nobody_writes_a_roll_up(org: OrgClient) -> None:
    """The number of a level has no other source than the ledger."""
    level_id = org.level(org.new_level(on_hand=5))["Id"]
    answer = org.call("PATCH", f"/sobjects/{LEVEL}/{level_id}", {"OnHand__c": 50})
    assert error_of(answer)["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert error_of(answer)["fields"] == ["OnHand__c"]


def test_a_reservation_beyond_stock_is_refused_with_the_rules_words(org: OrgClient, rule: str) -> None:
    """The child gets the parent's error, and neither is saved."""
    key = org.new_level(on_hand=1)
    answer = org.move(key, reserved=2, kind="Cart")
    assert answer.status_code == 400
    assert error_of(answer)["errorCode"] == REFUSED
    assert error_of(answer)["message"].startswith("SFSYNC_INSUFFICIENT:")
    assert org.stock(key) == (1.0, 0.0)
    assert org.find(MOVEMENT, f"StockLevel__r.LevelKey__c = '{key}' AND Kind__c = 'Cart'") == []


def test_a_posting_is_never_refused_even_when_it_uncovers_a_promise(org: OrgClient) -> None:
    """Goods that are gone are gone; what cannot be covered is negative available, until a receipt."""
    key = org.new_level(on_hand=2)
    assert org.move(key, reserved=2, kind="Order").status_code == 201
    assert org.move(key, on_hand=-2, kind="Sale").status_code == 201
    assert org.level(key)["Available__c"] == -2.0
    assert org.move(key, on_hand=1, kind="Receipt").status_code == 201
    assert org.move(key, reserved=1, kind="Cart").status_code == 400
    assert org.move(key, reserved=-1, kind="Release").status_code == 201
    assert org.level(key)["Available__c"] == 0.0


def test_the_fallback_rule_refuses_such_a_posting_unless_the_promise_goes_with_it(
    org: OrgClient, sandbox: OrgSandbox
) -> None:
    """Posting and release in one all-or-none request pass together."""
    with only_rule(sandbox, FALLBACK):
        key = org.new_level(on_hand=2)
        assert org.move(key, reserved=2, kind="Order").status_code == 201
        assert org.move(key, on_hand=-1, kind="Sale").status_code == 400
        both = [movement(key, on_hand=-1, kind="Sale"), movement(key, reserved=-1, kind="Release")]
        assert codes(org.collection(both, all_or_none=True)) == [None, None]
        assert org.stock(key) == (1.0, 1.0)


def test_the_fallback_rule_lets_a_posting_below_zero_where_nothing_is_promised(
    org: OrgClient, sandbox: OrgSandbox
) -> None:
    """A till sells what is not on record: that has happened. Nothing may be promised there meanwhile."""
    with only_rule(sandbox, FALLBACK):
        key = org.new_level(on_hand=0)
        assert org.move(key, on_hand=-1, kind="Sale").status_code == 201
        assert org.move(key, reserved=1, kind="Cart").status_code == 400
        assert org.move(key, on_hand=2, kind="Receipt").status_code == 201
        assert org.move(key, reserved=1, kind="Cart").status_code == 201
        assert org.stock(key) == (1.0, 1.0)


async def _together(org: OrgClient, requests: list[tuple[str, Any]]) -> list[httpx.Response]:
    """The requests on as many connections at once."""
    headers = dict(org.http.headers)
    async with httpx.AsyncClient(
        base_url=org.ready["http_url"], headers=headers, trust_env=False, timeout=30.0
    ) as client:
        return list(await asyncio.gather(*(client.post(BASE + path, json=body) for path, body in requests)))


@pytest.mark.parametrize("reverse", [False, True])
def test_concurrent_reservations_of_the_last_unit_grant_exactly_one(
    org: OrgClient, rule: str, reverse: bool
) -> None:
    """Whoever comes first; everybody else is told why not."""
    key = org.new_level(on_hand=1)
    names = [f"{key}:{number}" for number in range(20)]
    if reverse:
        names.reverse()
    requests = [
        (f"/sobjects/{MOVEMENT}", movement(key, reserved=1, kind="Cart", IdempotencyKey__c=name))
        for name in names
    ]
    answers = asyncio.run(_together(org, requests))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 19
    assert {error_of(answer)["errorCode"] for answer in answers if answer.status_code == 400} == {REFUSED}
    assert org.stock(key) == (1.0, 1.0)


@pytest.mark.parametrize("variant", [RULE, FALLBACK])
def test_slow_transactions_grant_the_last_unit_once_as_well(variant: str) -> None:
    """With an org that takes its time between lock and commit, the locks make the difference."""
    with start_org(options=["--latency", "read=1,write=15,commit=10"]) as slow, only_rule(slow, variant):
        client = OrgClient(slow.ready)
        key = client.new_level(on_hand=3)
        single = [(f"/sobjects/{MOVEMENT}", movement(key, reserved=1, kind="Cart")) for _ in range(6)]
        grouped = [
            ("/composite/sobjects", {"records": [movement(key, reserved=1, kind="Order")]}) for _ in range(6)
        ]
        answers = asyncio.run(_together(client, [*single, *grouped]))
        granted = sum(answer.status_code == 201 for answer in answers[:6])
        granted += sum(answer.json()[0]["success"] for answer in answers[6:])
        assert granted == 3
        assert client.stock(key) == (3.0, 3.0)
        client.http.close()


def test_the_same_key_twice_at_once_is_entered_once(org: OrgClient) -> None:
    """One gets 201, the others DUPLICATE_VALUE with its id."""
    key, used = org.new_level(on_hand=5), fresh("once")
    body = movement(key, reserved=1, kind="Order", IdempotencyKey__c=used)
    answers = asyncio.run(_together(org, [(f"/sobjects/{MOVEMENT}", body)] * 8))
    [granted] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    refused = [error_of(answer) for answer in answers if answer.status_code != 201]
    assert {each["errorCode"] for each in refused} == {"DUPLICATE_VALUE"}
    assert all(each["message"].endswith(granted[:15]) for each in refused)
    assert org.stock(key) == (5.0, 1.0)


def test_a_repeated_key_is_told_before_the_level_is_asked(org: OrgClient) -> None:
    """A granted reservation that is sent again is a duplicate, not insufficient, though nothing is left."""
    key, used = org.new_level(on_hand=1), fresh("again")
    assert org.move(key, reserved=1, kind="Cart", IdempotencyKey__c=used).status_code == 201
    assert (
        error_of(org.move(key, reserved=1, kind="Cart", IdempotencyKey__c=used))["errorCode"]
        == "DUPLICATE_VALUE"
    )


# -- several movements of one level in one request ---------------------------------------------


def test_children_that_break_the_rule_together_fail_together(org: OrgClient) -> None:
    """Three would have been covered, but the parent is asked once for all four."""
    key, other = org.new_level(on_hand=3), org.new_level(on_hand=1)
    records = [movement(key, reserved=1, kind="Cart") for _ in range(4)]
    results = org.collection([*records, movement(other, reserved=1, kind="Cart")])
    assert codes(results) == [REFUSED] * 4 + [None]
    assert org.stock(key) == (3.0, 0.0)
    assert org.stock(other) == (1.0, 1.0)


def test_with_the_error_on_the_last_child_the_others_are_tried_again(
    org: OrgClient, sandbox: OrgSandbox
) -> None:
    """The other reading of the documents: one attempt for each child that goes, and three in all."""
    with knob(sandbox, "rollup_error_attribution", "last"):
        key = org.new_level(on_hand=2)
        results = org.collection([movement(key, reserved=1, kind="Cart") for _ in range(4)])
        assert codes(results) == [None, None, REFUSED, REFUSED]
        assert org.stock(key) == (2.0, 2.0)
        key = org.new_level(on_hand=1)
        results = org.collection([movement(key, reserved=1, kind="Cart") for _ in range(4)])
        assert {each["errors"][0]["message"] for each in results} == {
            "Too many batch retries in the presence of Apex triggers and partial failures."
        }
        assert org.stock(key) == (1.0, 0.0)


def test_a_release_and_a_reservation_in_one_request_net_out(org: OrgClient) -> None:
    """The rule sees the sum alone: why the product never puts them into one request."""
    key = org.new_level(on_hand=1)
    assert org.move(key, reserved=1, kind="Order").status_code == 201
    assert org.move(key, on_hand=-1, kind="Sale").status_code == 201
    both = [movement(key, reserved=-1, kind="Release"), movement(key, reserved=1, kind="Cart")]
    assert codes(org.collection(both)) == [None, None]
    assert org.stock(key) == (0.0, 1.0)


def test_rows_that_fail_by_themselves_do_not_hold_up_the_rest(org: OrgClient) -> None:
    """Their deltas never reach the parent."""
    key = org.new_level(on_hand=2)
    records = [movement(key, reserved=2, kind="Gift"), movement(key, reserved=2, kind="Cart")]
    assert codes(org.collection(records)) == ["INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", None]
    assert org.stock(key) == (2.0, 2.0)


def test_a_failed_level_takes_only_its_own_movements_along_with_all_or_none_off(org: OrgClient) -> None:
    """200 records over several levels: the uncovered level fails, every other movement is saved."""
    good = [org.new_level(on_hand=5) for _ in range(4)]
    bad = org.new_level(on_hand=0)
    records = [movement(good[number % 4], on_hand=1) for number in range(199)]
    records.insert(100, movement(bad, reserved=1, kind="Cart"))
    results = org.collection(records)
    assert [number for number, code in enumerate(codes(results)) if code] == [100]
    assert sum(org.stock(key)[0] for key in good) == 4 * 5 + 199


# -- what else the ledger promises --------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"OnHandDelta__c": 7},
        {"Kind__c": "Return"},
        {"IdempotencyKey__c": "x"},
        {"OccurredAt__c": "2026-01-01T00:00:00Z"},  # what a count has seen depends on it
    ],
)
def test_a_movement_cannot_be_changed(org: OrgClient, change: dict[str, Any]) -> None:
    """ISCHANGED sees it; an untouched number may be sent along."""
    key = org.new_level()
    record_id = org.move(key, on_hand=3, Reference__c="before").json()["id"]
    answer = org.call("PATCH", f"/sobjects/{MOVEMENT}/{record_id}", change)
    assert error_of(answer)["message"].startswith("SFSYNC_IMMUTABLE:")
    same = {"OnHandDelta__c": 3, "Reference__c": "after"}
    assert org.call("PATCH", f"/sobjects/{MOVEMENT}/{record_id}", same).status_code == 204


def test_a_level_keeps_its_key_once_it_has_movements(org: OrgClient) -> None:
    """A mistyped one can be corrected before; afterwards orders would be sent another article."""
    level = {"Sku__c": "TYPO-1", "LocationCode__c": "ECOM", "LevelKey__c": "TYPO-1|ECOM"}
    path = f"/sobjects/{LEVEL}/{org.call('POST', f'/sobjects/{LEVEL}', level).json()['id']}"
    assert org.call("PATCH", path, {"LevelKey__c": "TYPE-1|ECOM"}).status_code == 204
    org.move("TYPE-1|ECOM", on_hand=1)
    answer = org.call("PATCH", path, {"LevelKey__c": "TYPE-2|ECOM"})
    assert error_of(answer)["message"].startswith("SFSYNC_KEY:")


@pytest.mark.parametrize("version", [0, -1])
def test_a_movement_that_would_not_raise_its_levels_version_is_refused(org: OrgClient, version: int) -> None:
    """Else a number could change and look older than it is."""
    key = org.new_level(on_hand=1)
    answer = org.move(key, on_hand=3, VersionDelta__c=version)
    assert error_of(answer)["errorCode"] == REFUSED
    assert (org.stock(key), org.level(key)["Version__c"]) == ((1.0, 0.0), 1.0)


def test_deleting_and_restoring_a_movement_moves_the_level(org: OrgClient, sandbox: OrgSandbox) -> None:
    """An administrator rewrites the ledger: numbers and version go back, and forward again."""
    key = org.new_level(on_hand=4)
    record_id = org.move(key, on_hand=6).json()["id"]
    assert sandbox.control("POST", "/records/delete", {"ids": [record_id]})[0]["success"]
    assert (org.stock(key), org.level(key)["Version__c"]) == ((4.0, 0.0), 1.0)
    assert sandbox.control("POST", "/records/undelete", {"ids": [record_id]})[0]["success"]
    assert (org.stock(key), org.level(key)["Version__c"]) == ((10.0, 0.0), 2.0)


def test_deleting_a_release_that_promises_rely_on_is_refused(org: OrgClient) -> None:
    """Reserved would rise above on hand: the parent's rule falls on the delete."""
    key = org.new_level(on_hand=1)
    assert org.move(key, reserved=1, kind="Cart").status_code == 201
    release = org.move(key, reserved=-1, kind="Release").json()["id"]
    assert org.move(key, reserved=1, kind="Order").status_code == 201
    answer = org.call("DELETE", f"/sobjects/{MOVEMENT}/{release}")
    assert (answer.status_code, error_of(answer)["errorCode"]) == (400, REFUSED)
    assert org.stock(key) == (1.0, 1.0)


def test_a_level_comes_back_with_the_movements_that_went_with_it(org: OrgClient, sandbox: OrgSandbox) -> None:
    """Deleted in one cascade, restored in one; a movement deleted before stays deleted."""
    key = org.new_level(on_hand=4)
    level_id = org.level(key)["Id"]
    earlier = org.move(key, on_hand=1).json()["id"]
    assert org.call("DELETE", f"/sobjects/{MOVEMENT}/{earlier}").status_code == 204
    assert org.call("DELETE", f"/sobjects/{LEVEL}/{level_id}").status_code == 204
    assert sandbox.control("POST", "/records/undelete", {"ids": [level_id]})[0]["success"]
    children = f"SELECT COUNT(Id) n FROM {MOVEMENT} WHERE StockLevel__c = '{level_id}'"  # noqa: S608 — own id
    assert org.query(children)[0]["n"] == 1
    assert org.stock(key) == (4.0, 0.0)


def test_a_rule_that_cannot_see_the_change_lets_the_reservation_through(
    org: OrgClient, sandbox: OrgSandbox
) -> None:
    """Where PRIORVALUE is the recalculated roll-up already, only the fallback rule holds."""
    with knob(sandbox, "priorvalue_sees_rollup", "false"):
        key = org.new_level(on_hand=0)
        assert org.move(key, reserved=1, kind="Cart").status_code == 201
        with only_rule(sandbox, FALLBACK):
            other = org.new_level(on_hand=0)
            assert org.move(other, reserved=1, kind="Cart").status_code == 400


def test_without_a_rule_nothing_holds(org: OrgClient, sandbox: OrgSandbox) -> None:
    """An administrator who deactivates the rule takes the promise away, silently."""
    sandbox.control("POST", "/rules", {"name": RULE, "active": False})
    try:
        key = org.new_level(on_hand=0)
        assert org.move(key, reserved=1, kind="Cart").status_code == 201
    finally:
        sandbox.control("POST", "/rules", {"name": RULE, "active": True})


def test_a_commit_tells_child_and_parent_in_one_transaction(org: OrgClient, sandbox: OrgSandbox) -> None:
    """One number, one key; the parent says that only its roll-ups changed, from what to what."""
    key = org.new_level(on_hand=2)
    assert org.move(key, reserved=1, kind="Cart").status_code == 201
    commit = sandbox.control("GET", "/log")["commits"][-1]
    child, parent = commit["changes"]
    assert (child["entity"], child["kind"], child["roll_up_only"]) == (MOVEMENT, "CREATE", False)
    assert (parent["entity"], parent["kind"], parent["roll_up_only"]) == (LEVEL, "UPDATE", True)
    assert (parent["before"]["Reserved__c"], parent["after"]["Reserved__c"]) == (0.0, 1.0)
    assert sandbox.control("GET", f"/log?since={commit['number']}")["commits"] == []


@pytest.mark.parametrize(
    "send",
    [
        lambda org, key: org.move(key, reserved=9, kind="Cart"),
        lambda org, key: org.collection([movement(key, reserved=9, kind="Cart")]),
    ],
)
def test_a_refused_save_commits_nothing(
    org: OrgClient, sandbox: OrgSandbox, send: Callable[[OrgClient, str], Any]
) -> None:
    """No number is used, so no event can tell of it, and no lock stays."""
    key = org.new_level()
    last = sandbox.control("GET", "/")["commits"]
    send(org, key)
    overview = sandbox.control("GET", "/")
    assert (overview["commits"], overview["locks_held"]) == (last, 0)
