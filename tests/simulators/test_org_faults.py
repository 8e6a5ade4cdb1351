"""The control port: faults that strike as ordered, the clock, the knobs, and looking inside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.sandbox import OrgSandbox, start_org
from tests.simulators.org_kit import BASE, LEVEL, MOVEMENT, OrgClient, codes, error_of, fresh, movement

from sfsync.simulators.org.control import Control
from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.faults import KINDS, ConnectionCut
from sfsync.simulators.org.org import Org, OrgConfig, build_org

SOURCE = Path(__file__).resolve().parents[2] / "salesforce"


@pytest.fixture(autouse=True)
def _no_faults_left(sandbox: OrgSandbox) -> Iterator[None]:
    yield
    sandbox.control("DELETE", "/faults")


def test_a_request_cut_before_work_left_nothing(org: OrgClient, sandbox: OrgSandbox) -> None:
    """The client cannot know, but nothing happened."""
    key = org.new_level()
    sandbox.arm("drop", path="/sobjects/StockMovement__c")
    with pytest.raises(httpx.RemoteProtocolError):
        org.move(key, on_hand=1)
    assert org.stock(key) == (0.0, 0.0)


def test_a_request_cut_after_commit_did_its_work(org: OrgClient, sandbox: OrgSandbox) -> None:
    """The same key again is a duplicate: the way to find out."""
    key, used = org.new_level(), fresh("cut")
    sandbox.arm("cut_after", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        org.move(key, on_hand=1, IdempotencyKey__c=used)
    assert org.stock(key) == (1.0, 0.0)
    assert error_of(org.move(key, on_hand=1, IdempotencyKey__c=used))["errorCode"] == "DUPLICATE_VALUE"


@pytest.mark.parametrize(("kind", "done"), [("error", 0.0), ("error_after", 1.0)])
def test_an_error_may_come_before_or_after_the_work(
    org: OrgClient, sandbox: OrgSandbox, kind: str, done: float
) -> None:
    """503 with Retry-After either way."""
    key = org.new_level()
    sandbox.arm(kind, status=503, retry_after=2, path=MOVEMENT)
    answer = org.move(key, on_hand=1)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert error_of(answer)["errorCode"] == "SERVER_UNAVAILABLE"
    assert org.stock(key) == (done, 0.0)


def test_an_answer_that_hangs_is_given_up_by_the_client(org: OrgClient, sandbox: OrgSandbox) -> None:
    """No work was done, and the org goes on serving."""
    sandbox.arm("hang", path="/limits")
    with pytest.raises(httpx.ReadTimeout):
        org.call("GET", "/limits", timeout=0.2)
    assert org.call("GET", "/limits").status_code == 200


def test_an_answer_may_be_late_after_its_work(org: OrgClient, sandbox: OrgSandbox) -> None:
    """The client's time-out comes after the commit."""
    key = org.new_level()
    sandbox.arm("delay_after", seconds=1.0, path=MOVEMENT)
    with pytest.raises(httpx.ReadTimeout):
        org.call("POST", f"/sobjects/{MOVEMENT}", movement(key, on_hand=1), timeout=0.3)
    assert org.stock(key) == (1.0, 0.0)


def test_locks_allowance_and_token_fail_on_order(org: OrgClient, sandbox: OrgSandbox) -> None:
    """Each with the code that the real org uses, each as often as ordered."""
    key = org.new_level()
    sandbox.arm("lock", times=2)
    single = org.move(key, on_hand=1)
    assert (single.status_code, error_of(single)["errorCode"]) == (400, "UNABLE_TO_LOCK_ROW")
    assert codes(org.collection([movement(key, on_hand=1)] * 2)) == ["UNABLE_TO_LOCK_ROW"] * 2
    sandbox.arm("daily_limit")
    limited = org.call("GET", "/limits")
    assert (limited.status_code, error_of(limited)["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    sandbox.arm("expire_token")
    assert org.call("GET", "/limits").status_code == 401
    org.sign_in()
    assert org.move(key, on_hand=1).status_code == 201


def test_one_record_is_refused_by_a_rule_and_those_beside_it_are_not(
    org: OrgClient, sandbox: OrgSandbox
) -> None:
    """Only what begins as ordered is met; of a collection that is all or none, nothing is entered."""
    key = org.new_level()
    rows = [
        movement(key, on_hand=1, SubjectKey__c=subject) for subject in ("posting:1", "order:1", "posting:2")
    ]
    sandbox.arm("refuse_row", times=2, begins="order:")
    refused, rolled_back = "FIELD_CUSTOM_VALIDATION_EXCEPTION", "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert codes(org.collection(rows)) == [None, refused, None]
    assert org.stock(key) == (2.0, 0.0)
    assert codes(org.collection(rows, all_or_none=True)) == [rolled_back, refused, rolled_back]
    assert org.stock(key) == (2.0, 0.0)
    assert codes(org.collection(rows)) == [None, None, None]  # twice was ordered, and not for ever


def test_a_full_org_takes_no_new_record_and_gives_what_it_has(org: OrgClient, sandbox: OrgSandbox) -> None:
    """Until there is room again."""
    key = org.new_level()
    sandbox.arm("storage_full", times=2)
    single = org.move(key, on_hand=1)
    assert (single.status_code, error_of(single)["errorCode"]) == (400, "STORAGE_LIMIT_EXCEEDED")
    assert codes(org.collection([movement(key, on_hand=1)])) == ["STORAGE_LIMIT_EXCEEDED"]
    assert org.stock(key) == (0.0, 0.0)
    assert org.move(key, on_hand=1).status_code == 201


def test_a_key_may_be_taken_by_a_record_that_never_comes_to_stand(
    org: OrgClient, sandbox: OrgSandbox
) -> None:
    """Another request was saving the same key, and is rolled back: the answer proves nothing."""
    key = org.new_level()
    row = movement(key, on_hand=1, IdempotencyKey__c="order:1:0")
    sandbox.arm("phantom", begins="order:")
    assert codes(org.collection([movement(key, on_hand=1), row])) == [None, "DUPLICATE_VALUE"]
    assert org.stock(key) == (1.0, 0.0)
    assert codes(org.collection([row])) == [None]
    assert codes(org.collection([row])) == ["DUPLICATE_VALUE"]  # now it is taken
    assert org.stock(key) == (2.0, 0.0)


def test_too_many_requests_at_once_are_told_apart_from_a_spent_day(
    org: OrgClient, sandbox: OrgSandbox
) -> None:
    """The same code, other words; the next request goes through."""
    sandbox.arm("throttle")
    limited = org.call("GET", "/limits")
    assert (limited.status_code, error_of(limited)["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert error_of(limited)["message"].startswith("ConcurrentRequests")
    assert org.call("GET", "/limits").status_code == 200


def test_a_token_may_end_in_the_middle_of_a_batch_of_requests(org: OrgClient, sandbox: OrgSandbox) -> None:
    """What was sent before is done and answered; the next request is refused until a new sign-in."""
    key = org.new_level()
    sandbox.arm("expire_token_after", path=MOVEMENT)
    assert org.move(key, on_hand=1).status_code == 201
    assert error_of(org.move(key, on_hand=1))["errorCode"] == "INVALID_SESSION_ID"
    org.sign_in()
    assert org.stock(key) == (1.0, 0.0)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_fault_strikes_by_chance_and_again_alike_with_the_same_seed(kind: str) -> None:
    """Some requests are struck and some are not, and which ones follows from the seed alone."""
    org = build_org(OrgConfig(SOURCE))
    control = httpx.ASGITransport(Control(org).app())
    async with httpx.AsyncClient(transport=control, base_url="http://control") as people:

        async def struck(seed: int) -> list[bool]:
            await people.delete("/faults")
            armed = {"kind": kind, "probability": 0.4, "seed": seed, "seconds": 0.001}
            assert (await people.post("/faults", json=armed)).status_code == 200
            return [await _strikes(org, kind) for _ in range(16)]

        first = await struck(7)
        assert first == await struck(7)
        assert {True, False} == set(first)
        assert first != await struck(8)


async def _strikes(org: Org, kind: str) -> bool:
    """Sends one request that writes, and looks whether the fault met it."""
    before = org.faults.struck.get(kind, 0)
    session = org.sessions.open(next(iter(org.identity.users.values())), next(iter(org.identity.apps)))
    headers = {"Authorization": f"Bearer {session.token}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(org.app), base_url="https://org", headers=headers
    ) as client:
        with suppress(ConnectionCut, TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                body = {"LevelKey__c": fresh(), "Sku__c": "A", "LocationCode__c": "L"}
                await client.post(f"{BASE}/sobjects/{LEVEL}", json=body)
    return org.faults.struck.get(kind, 0) > before


_PATIENCE_SECONDS = 0.3  # of a client whose request hangs


def test_the_daily_allowance_runs_out_and_comes_back(lonely: OrgSandbox) -> None:
    """Counted over 24 hours of the org's clock."""
    org = OrgClient(lonely.ready)
    used = lonely.control("GET", "/calls")["used"]
    lonely.control("POST", "/knobs", {"daily_api_requests": used + 1})
    assert org.call("GET", "/limits").json()["DailyApiRequests"] == {"Max": used + 1, "Remaining": 0}
    assert org.call("GET", "/limits").status_code == 403
    lonely.control("POST", "/clock", {"seconds": 86_401})
    org.sign_in()
    assert org.call("GET", "/limits").status_code == 200
    org.http.close()


def test_a_held_lock_delays_a_save(org: OrgClient, sandbox: OrgSandbox) -> None:
    """Somebody else's slow transaction; with no patience it is an error."""
    key = org.new_level()
    level_id = org.level(key)["Id"]
    sandbox.control("POST", "/locks", {"id": level_id, "seconds": 0.3})
    assert org.move(key, on_hand=1).status_code == 201
    sandbox.control("POST", "/knobs", {"lock_wait_seconds": 0.05, "lock_error_status": 409})
    try:
        sandbox.control("POST", "/locks", {"id": level_id, "seconds": 0.5})
        answer = org.move(key, on_hand=1)
        assert (answer.status_code, error_of(answer)["errorCode"]) == (409, "UNABLE_TO_LOCK_ROW")
    finally:
        sandbox.control("POST", "/knobs", {"lock_wait_seconds": 10.0, "lock_error_status": 400})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/faults", {"kind": "flood"}),
        ("POST", "/faults", {"kind": "drop", "colour": "red"}),
        ("POST", "/faults", {"kind": "drop", "probability": 2}),
        ("POST", "/knobs", {"nothing": 1}),
        ("POST", "/knobs", {"priorvalue_sees_rollup": "perhaps"}),
        ("POST", "/knobs", {"rollup_error_attribution": "first"}),
        ("POST", "/rules", {"name": "Nothing", "active": True}),
        ("POST", "/clock", {}),
        ("POST", "/records/paint", {"ids": []}),
        ("POST", "/bus", {"do": "dance"}),
        ("POST", "/query", {"q": "SELECT nonsense"}),
    ],
)
def test_the_control_port_says_what_it_does_not_understand(
    sandbox: OrgSandbox, method: str, path: str, body: Any
) -> None:
    """400 with a sentence, and nothing is changed."""
    answer = httpx.request(method, sandbox.ready["control_url"] + path, json=body, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_erased_records_leave_roll_ups_as_they_were(org: OrgClient, sandbox: OrgSandbox) -> None:
    """As lost data would: no rule, no event, no recycle bin; the level does not add up any more."""
    key = org.new_level(on_hand=2)
    record_id = org.move(key, on_hand=5).json()["id"]
    last = sandbox.control("GET", "/")["commits"]
    assert sandbox.control("POST", "/records/erase", {"ids": [record_id]})["erased"] == [record_id]
    assert org.stock(key) == (7.0, 0.0)
    assert org.call("GET", f"/sobjects/{MOVEMENT}/{record_id}").status_code == 404
    assert sandbox.control("GET", "/")["commits"] == last


def test_calls_are_counted_by_kind(org: OrgClient, sandbox: OrgSandbox) -> None:
    """What a benchmark of request costs reads."""
    before = sandbox.control("GET", "/calls")["by_kind"].get("POST composite/sobjects", 0)
    org.collection([movement(org.new_level(), on_hand=1)])
    assert sandbox.control("GET", "/calls")["by_kind"]["POST composite/sobjects"] == before + 1


def test_every_knob_has_a_meaning(sandbox: OrgSandbox) -> None:
    """The table is complete, so that the documentation can be made from it."""
    table = sandbox.control("GET", "/knobs")
    assert [each["name"] for each in table if not each["meaning"]] == []


async def test_the_org_needs_no_socket() -> None:
    """The same application answers in-process; where there is no socket a cut is an exception."""
    org = build_org(OrgConfig(SOURCE, seed={"levels": [{"sku": "A", "location": "L", "on_hand": 3}]}))
    session = org.sessions.open(next(iter(org.identity.users.values())), next(iter(org.identity.apps)))
    headers = {"Authorization": f"Bearer {session.token}"}
    transport = httpx.ASGITransport(org.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://org", headers=headers) as client:
        path = f"{BASE}/sobjects/{LEVEL}/LevelKey__c/A%7CL"
        assert (await client.get(path)).json()["OnHand__c"] == 3.0
        org.faults.arm(_fault("drop"))
        with pytest.raises(ConnectionCut):
            await client.get(path)
        assert (await client.get(path)).status_code == 200


def _fault(kind: str) -> Any:
    from sfsync.simulators.org.faults import Fault

    return Fault(kind)


def test_a_mix_of_faults_is_survived_with_keys_alone() -> None:
    """Cut, failed, locked out and signed out at random: each key sent until known is entered once."""
    with start_org(options=["--faults", "11"]) as stormy:
        org = OrgClient(stormy.ready)
        stormy.control("POST", "/faults", {"mix": 12})
        level_id = stormy.create(LEVEL, LevelKey__c="A|L", Sku__c="A", LocationCode__c="L")
        for number in range(150):
            _send_until_known(
                org, {"StockLevel__c": level_id, "OnHandDelta__c": 1, "IdempotencyKey__c": f"k{number}"}
            )
        struck = stormy.control("GET", "/faults")["struck"]
        assert stormy.level("A|L")["OnHand__c"] == 150.0
        assert sum(struck.values()) > 5
        org.http.close()


def _send_until_known(org: OrgClient, body: dict[str, Any]) -> None:
    for _ in range(20):
        try:
            answer = org.call("POST", f"/sobjects/{MOVEMENT}", body)
            if answer.status_code == 401:
                org.sign_in()
            elif answer.status_code == 201 or error_of(answer)["errorCode"] == "DUPLICATE_VALUE":
                return
        except (httpx.HTTPStatusError, httpx.TransportError):
            continue
    pytest.fail(f"never known: {body}")


def test_the_documentation_lists_every_knob_and_every_fault(sandbox: OrgSandbox) -> None:
    """With the defaults and meanings that the org itself tells."""
    page = (SOURCE.parent / "docs" / "org-simulator.md").read_text(encoding="utf-8")
    for knob in sandbox.control("GET", "/knobs"):
        assert f"| `{knob['name']}` |" in page
        assert knob["meaning"] in page
    for kind, meaning in sandbox.control("GET", "/faults")["kinds"].items():
        assert f"| `{kind}` | {meaning} |" in page
    for fate in Fate:
        assert f"| `{fate}` | `{fate}_rate` |" in page
    for action in sandbox.control("GET", "/bus")["actions"]:
        assert f"`{action}`" in page or f'"do": "{action}"' in page
