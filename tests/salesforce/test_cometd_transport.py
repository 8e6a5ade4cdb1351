"""What is CometD's own: real HTTP against the simulated org, each unsettled habit both ways."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from tests.salesforce.listening import (
    knob,
    listening,
    live_stream,
    new_level,
    off_loop,
)
from tests.sandbox import OrgSandbox, start_org

from sfsync.ports import CursorRefused, TryLater
from sfsync.salesforce.org import SalesforceOrg

TIMERS = ["cometd_timeout_seconds=0.5", "cometd_max_interval_seconds=20"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[OrgSandbox]:
    """An org whose polls are short."""
    with start_org({"levels": []}, knobs=TIMERS) as org:
        yield org


@pytest.fixture
def transport() -> Any:
    return "cometd"


async def hears_a_sale(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """From the till to the level that is to be read again."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1, kind="Sale")
        await listener.heard()
        assert (listener.levels, listener.movements) == ({record}, set())


@pytest.mark.parametrize("accepted", [True, False])
async def test_it_signs_in_whether_or_not_the_org_takes_bearer(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, accepted: bool
) -> None:
    """The library's own scheme may be refused by live orgs; ours is taken by all."""
    async with knob(sandbox, "cometd_accepts_bearer", accepted, True):
        await hears_a_sale(org, sandbox, sku)


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_first_poll_may_be_answered_at_once_or_be_held(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, at_once: bool
) -> None:
    """It is asked to come back at once, so that the subscription need not wait for it."""
    async with (
        knob(sandbox, "cometd_first_connect_at_once", at_once, True),
        knob(sandbox, "cometd_timeout_seconds", 15, 0.5),
    ):
        await hears_a_sale(org, sandbox, sku)


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("moved_before", [True, False])
async def test_a_token_that_ends_is_renewed_unseen(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, bare: bool, moved_before: bool
) -> None:
    """Told by a bare HTTP 401 or by a message, before the first event or after it."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with knob(sandbox, "cometd_expired_token_is_http_401", bare, False), live_stream(org) as listener:
        if moved_before:
            await off_loop(sandbox.move, key, on_hand=-1)
            await listener.heard()
        await off_loop(sandbox.control, "POST", "/sessions/end")
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.until(lambda _: listener.events == 1 + moved_before)
        assert listener.levels == {record}


@pytest.mark.parametrize("bare", [True, False])
async def test_a_token_that_ended_before_the_handshake_is_renewed(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, bare: bool
) -> None:
    """The token is older than the stream."""
    await org.org_id()
    async with knob(sandbox, "cometd_expired_token_is_http_401", bare, False):
        await off_loop(sandbox.control, "POST", "/sessions/end")
        await hears_a_sale(org, sandbox, sku)


@pytest.mark.parametrize("milliseconds", [0, 300])
async def test_the_pause_that_the_org_advises_is_milliseconds(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, milliseconds: int
) -> None:
    """Taken for seconds, the stream would be deaf for five minutes."""
    async with knob(sandbox, "cometd_interval_milliseconds", milliseconds, 0):
        await hears_a_sale(org, sandbox, sku)


@pytest.mark.parametrize(("told", "levels"), [("updates", 0), ("never", 1)])
async def test_an_update_that_does_not_say_what_it_changed_is_read_again(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, told: str, levels: int
) -> None:
    """A note was edited. Where the event says so, nobody need read the level; where it does not, we do."""
    key, record = await off_loop(new_level, sandbox, sku)
    row = await off_loop(sandbox.move, key, on_hand=-1)
    note = {"records": [{"Id": row, "Reference__c": "seen by a person"}]}
    async with knob(sandbox, "cometd_changed_fields", told, "updates"), live_stream(org) as listener:
        await off_loop(sandbox.control, "POST", "/records/update", note)
        await listener.heard()
        assert listener.levels == ({record} if levels else set())


@pytest.mark.parametrize("named", [True, False])
async def test_a_session_that_the_org_forgot_is_followed_by_another_unseen(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, named: bool
) -> None:
    """From our own place: what happened between the two is told, once."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with knob(sandbox, "cometd_names_missing_cookie", named, False), live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
        assert await off_loop(sandbox.bus, "drop_cometd_sessions") >= 1
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.until(lambda _: listener.events == 2)
        assert listener.levels == {record}


async def test_a_stale_place_after_the_org_forgot_the_session_is_told(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The library would swallow the refusal and listen to nothing for ever."""
    key, _ = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
        await off_loop(sandbox.bus, "reset_stream")
        assert isinstance(await listener.end(), CursorRefused)


async def test_an_answer_lost_on_its_way_loses_no_event(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A session tells nothing twice, so polling on would lose it; what goes on starts at our cursor."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with live_stream(org) as listener:
        await off_loop(sandbox.move, key, on_hand=-1)
        await listener.heard()
        await off_loop(sandbox.arm, "cut_after", path="/cometd")
        row = await off_loop(sandbox.move, key, on_hand=-1)
        assert type(await listener.end()) is TryLater
    heard, cursor = listener.events, listener.batches[-1].cursor
    async with listening(org, cursor=cursor) as again:
        if heard < 2:
            await again.heard()
        assert (heard + again.events, again.levels <= {record}) == (2, True), row


@pytest.mark.parametrize("kind", ["drop", "error"])
async def test_a_way_that_breaks_is_try_later(org: SalesforceOrg, sandbox: OrgSandbox, kind: str) -> None:
    """At once, and not after the library's own second thoughts."""
    async with live_stream(org) as listener:
        await off_loop(sandbox.arm, kind, path="/cometd", status=503)
        assert type(await listener.end()) is TryLater


@pytest.mark.parametrize("answered", [0, 1, 2, 3], ids=["handshake", "first poll", "subscription", "poll"])
@pytest.mark.parametrize("kind", ["hang", "drop"])
async def test_a_stream_that_is_called_off_leaves_nothing_behind_and_nothing_to_complain_of(
    org: SalesforceOrg, sandbox: OrgSandbox, kind: str, answered: int
) -> None:
    """The daemon stops while the org keeps an answer, or cuts the line: that is no alarm."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, told: complaints.append(told))
    await org.org_id()  # signed in
    before = asyncio.all_tasks()

    async def struck() -> int:
        told = await off_loop(sandbox.control, "GET", "/faults")
        return int(told["struck"].get(kind, 0))

    known = await struck()
    if answered:
        await off_loop(sandbox.arm, "delay", path="/cometd", times=answered, seconds=0.0)
    await off_loop(sandbox.arm, kind, path="/cometd")
    async with listening(org) as listener:
        for _ in range(2000):
            if await struck() > known:
                break
            await asyncio.sleep(0.01)
        assert await struck() > known
        if kind == "drop":
            assert type(await listener.end()) is TryLater
    left = asyncio.all_tasks() - before
    gc.collect()  # what failed and was never asked tells so when it is thrown away
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert complaints == []
    assert left == set()
