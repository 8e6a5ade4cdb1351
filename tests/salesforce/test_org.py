"""Our side of the org against the simulated one: REST over TLS, in a process of its own."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.salesforce.conftest import settings_of
from tests.salesforce.kit import WallClock, bundle, movement, request
from tests.sandbox import OrgSandbox, start_org

from sfsync.domain.ledger import Request, RowResult, Verdict, judge
from sfsync.domain.promises import releases, shortfalls, uncovered
from sfsync.domain.stock import LevelKey, MovementKind, StockLevel
from sfsync.ports import CallsSpent, Refused, Severity, TryLater, Unknown
from sfsync.resources import metadata_folder
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.org import SalesforceOrg


def level_in(sandbox: OrgSandbox, sku: str, on_hand: int, location: str = "DUBAI") -> StockLevel:
    """A new level with that much on hand, entered by somebody in the org."""
    key = LevelKey(sku, location)
    record = sandbox.create("StockLevel__c", LevelKey__c=str(key), Sku__c=sku, LocationCode__c=location)
    if on_hand:
        sandbox.move(str(key), on_hand=on_hand)
    return StockLevel(key, on_hand, 0, 1 if on_hand else 0, record)


def ids(*levels: StockLevel) -> dict[LevelKey, str]:
    return {level.key: level.record_id for level in levels}


async def test_one_call_enters_movements_and_reads_them_and_their_levels_back(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A sale costs one API request, and the new level is known without an event."""
    bag, scarf = level_in(sandbox, f"{sku}A", 5), level_in(sandbox, f"{sku}B", 1)
    sale = movement(f"order:x:{sku}:1:0", bag.key, on_hand=-1)
    ask = movement(f"order:x:{sku}:2:0", bag.key, reserved=2)
    other = movement(f"order:x:{sku}:3:0", scarf.key, reserved=1)
    await org.org_id()
    used = sandbox.control("GET", "/calls")["used"]
    first = await org.enter(request(bundle(1, sale)), ids(bag, scarf))
    second = await org.enter(request(bundle(2, ask), bundle(3, other)), ids(bag, scarf))
    assert sandbox.control("GET", "/calls")["used"] == used + 2
    results = [*first.results.values(), *second.results.values()]
    assert [each.result for each in results] == [RowResult.CREATED] * 3
    assert first.levels == {bag.key: dataclasses.replace(bag, on_hand=4, version=2)}
    assert second.levels[bag.key] == dataclasses.replace(bag, on_hand=4, reserved=2, version=3)
    assert second.levels[scarf.key] == dataclasses.replace(scarf, reserved=1, version=2)
    assert second.rows == {ask.key: ask, other.key: other}


async def test_a_reservation_beyond_stock_is_refused_and_a_posting_is_not(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Only what asks can be refused: goods that left have left."""
    bag = level_in(sandbox, sku, 1)
    ask, sale = movement(f"{sku}:0", bag.key, reserved=2), movement(f"{sku}:1", bag.key, on_hand=-2)
    refused = await org.enter(request(bundle(1, ask)), ids(bag))
    assert refused.results[ask.key].result is RowResult.INSUFFICIENT
    assert refused.levels == {bag.key: bag}
    assert refused.rows == {}
    sold = await org.enter(request(bundle(2, sale)), ids(bag))
    assert sold.results[sale.key].result is RowResult.CREATED
    assert sold.levels[bag.key].on_hand == -1


async def test_the_same_request_again_is_answered_duplicate_with_its_rows(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A repetition has no effect and proves what stands in the ledger."""
    bag = level_in(sandbox, sku, 3)
    ask = movement(f"o'neil\\{sku}:0", bag.key, reserved=1)
    first = await org.enter(request(bundle(1, ask)), ids(bag))
    again = await org.enter(request(bundle(1, ask)), ids(bag))
    assert (first.results[ask.key].result, again.results[ask.key].result) == (
        RowResult.CREATED,
        RowResult.DUPLICATE,
    )
    assert again.rows == first.rows == {ask.key: ask}
    assert again.levels[bag.key].reserved == 1


async def test_a_key_differs_by_case(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """Two orders whose ids differ only by case are two orders."""
    bag = level_in(sandbox, sku, 3)
    lower, upper = (movement(f"{sku}-{each}:0", bag.key, reserved=1) for each in "aA")
    answer = await org.enter(request(bundle(1, lower), bundle(2, upper)), ids(bag))
    assert {each.result for each in answer.results.values()} == {RowResult.CREATED}
    assert await org.subject_rows([upper.subject]) == [upper]


async def test_a_group_is_entered_whole_or_not_at_all(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Of two rows that belong together, a refused one takes the other with it, and nothing else."""
    bag, scarf = level_in(sandbox, f"{sku}A", 1), level_in(sandbox, f"{sku}B", 0)
    pair = (movement(f"{sku}:p:0", bag.key, reserved=1), movement(f"{sku}:q:0", scarf.key, reserved=1))
    alone = movement(f"{sku}:r:0", bag.key, reserved=1)
    answer = await org.enter(request(bundle(1, alone), groups=[bundle(2, *pair)]), ids(bag, scarf))
    assert answer.results[alone.key].result is RowResult.CREATED
    assert {answer.results[each.key].result for each in pair} <= {
        RowResult.INSUFFICIENT,
        RowResult.ROLLED_BACK,
    }
    assert answer.levels[bag.key].reserved == 1
    assert list(answer.rows) == [alone.key]


async def test_units_change_hands_together_in_one_collection(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Forty orders out of one allocation are one call; one of them that is bad takes the others with it."""
    bag = level_in(sandbox, sku, 40)
    own = f"allocation:london:{bag.key}"
    held = movement(f"{own}:0", bag.key, reserved=40)
    await org.enter(request(bundle(0, held)), ids(bag))
    pairs = [
        bundle(
            n,
            movement(f"{own}:{n}", bag.key, reserved=-1),
            movement(f"order:{sku}:{n}:0", bag.key, reserved=1),
        )
        for n in range(1, 41)
    ]
    levels = frozenset({bag.key})
    spoiled = dataclasses.replace(pairs[7].movements[1], subject="x" * 300)
    bad = dataclasses.replace(pairs[7], movements=(pairs[7].movements[0], spoiled))
    answer = await org.enter(Request((), (), levels, handed=(*pairs[:7], bad, *pairs[8:])), ids(bag))
    assert judge(pairs[0], answer, in_company=True).verdict is Verdict.LATER
    assert judge(bad, answer, in_company=True).verdict is Verdict.WRONG
    answer = await org.enter(Request((), (), levels, handed=tuple(pairs)), ids(bag))
    assert {judge(each, answer, in_company=True).verdict for each in pairs} == {Verdict.DONE}
    assert answer.levels[bag.key].reserved == 40


async def test_levels_alone_may_be_read_back(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """A reservation that does not fit is judged by a fresh reading without being sent."""
    bag = level_in(sandbox, sku, 3)
    answer = await org.enter(Request((), (), frozenset({bag.key})), ids(bag))
    assert (answer.results, answer.levels, answer.rows) == ({}, {bag.key: bag}, {})


async def test_a_row_whose_level_is_locked_may_be_tried_later(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A lock says that nothing changed; the read-backs still come."""
    bag = level_in(sandbox, sku, 3)
    ask = movement(f"{sku}:0", bag.key, reserved=1)
    sandbox.arm("lock")
    answer = await org.enter(request(bundle(1, ask)), ids(bag))
    assert answer.results[ask.key].result is RowResult.LATER
    assert answer.levels == {bag.key: bag}


@pytest.mark.parametrize("fault", ["cut_after", "error_after"])
async def test_an_answer_lost_after_the_commit_is_unknown_and_asking_again_finds_it(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str, fault: str
) -> None:
    """The movement stands once, however the answer was lost."""
    bag = level_in(sandbox, sku, 3)
    ask = movement(f"{sku}:0", bag.key, reserved=1)
    await org.org_id()
    sandbox.arm(fault, path="/composite")
    with pytest.raises(Unknown):
        await org.enter(request(bundle(1, ask)), ids(bag))
    again = await org.enter(request(bundle(1, ask)), ids(bag))
    assert again.results[ask.key].result is RowResult.DUPLICATE
    assert again.rows == {ask.key: ask}
    assert sandbox.level(str(bag.key))["Reserved__c"] == 1


async def test_a_connection_cut_before_the_work_is_unknown_too(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """From our side it looks the same as one cut after it; asking again enters the row."""
    bag = level_in(sandbox, sku, 3)
    ask = movement(f"{sku}:0", bag.key, reserved=1)
    await org.org_id()
    sandbox.arm("drop", path="/composite")
    with pytest.raises(Unknown):
        await org.enter(request(bundle(1, ask)), ids(bag))
    again = await org.enter(request(bundle(1, ask)), ids(bag))
    assert again.results[ask.key].result is RowResult.CREATED


async def test_an_expired_session_is_renewed_in_the_middle_of_a_commit(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The row is entered once, and nobody hears of the token."""
    bag = level_in(sandbox, sku, 3)
    await org.org_id()
    sandbox.arm("expire_token", path="/composite")
    ask = movement(f"{sku}:0", bag.key, reserved=1)
    answer = await org.enter(request(bundle(1, ask)), ids(bag))
    assert answer.results[ask.key].result is RowResult.CREATED


async def test_the_daily_allowance_used_up_is_try_later(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Nothing was done, and it will be long."""
    bag = level_in(sandbox, sku, 3)
    await org.org_id()
    sandbox.arm("daily_limit", path="/composite")
    with pytest.raises(CallsSpent, match="used up") as caught:
        await org.enter(request(bundle(1, movement(f"{sku}:0", bag.key, reserved=1))), ids(bag))
    assert caught.value.until > datetime.now(UTC)
    assert sandbox.level(str(bag.key))["Reserved__c"] == 0


async def test_two_hundred_long_rows_fit_into_one_call(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """The largest request that the writer makes stays within every limit of the composite."""
    bag = level_in(sandbox, sku, 0)
    rows = [movement(f"order:{sku}:{'9' * 30}:{n}:0", bag.key, on_hand=1) for n in range(200)]
    answer = await org.enter(request(*(bundle(n, row) for n, row in enumerate(rows))), ids(bag))
    assert {each.result for each in answer.results.values()} == {RowResult.CREATED}
    assert len(answer.rows) == 200
    assert answer.levels[bag.key].on_hand == 200


@pytest.fixture(params=["simple-salesforce", "our own"])
async def reader(
    request: pytest.FixtureRequest, settings: OrgConfig, sandbox: OrgSandbox
) -> AsyncIterator[SalesforceOrg]:
    """The org by each way to read in bulk: the library speaks TLS only, so plain HTTP takes our own."""
    url = sandbox.ready["rest_url" if request.param == "simple-salesforce" else "http_url"]
    ours = SalesforceOrg(dataclasses.replace(settings, login_url=url), WallClock())
    yield ours
    await ours.close()
    sandbox.control("DELETE", "/faults")


async def everything(ours: SalesforceOrg) -> list[StockLevel]:
    return [level async for page in ours.snapshot() for level in page]


async def test_the_snapshot_has_every_level_and_not_the_probe(
    reader: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """What the rule was tried on is nobody's stock; a level whose key is none hides no other."""
    await reader.check()
    bag = level_in(sandbox, sku, 3)
    sandbox.create("StockLevel__c", LevelKey__c=f"no level key {sku}", Sku__c=sku, LocationCode__c="X")
    found = await everything(reader)
    assert bag in found
    assert not [level for level in found if level.key.sku == "SFSYNC-PROBE"]
    assert len(found) == len({level.key for level in found})


async def test_a_snapshot_has_as_many_pages_as_it_needs() -> None:
    """The org gives two thousand records at a time; none is lost or told twice between them."""
    with start_org(
        {"levels": [{"sku": f"S-{n}", "location": "L", "on_hand": n} for n in range(4_100)]}
    ) as org:
        for name in ("rest_url", "http_url"):
            ours = SalesforceOrg(
                dataclasses.replace(settings_of(org), login_url=org.ready[name]), WallClock()
            )
            pages = [page async for page in ours.snapshot()]
            await ours.close()
            assert [len(page) for page in pages] == [2_000, 2_000, 100]
            assert {level.key.sku: level.on_hand for page in pages for level in page} == {
                f"S-{n}": n for n in range(4_100)
            }


async def test_a_snapshot_survives_a_worn_token_and_a_hiccup(
    reader: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A reading that takes long meets both."""
    bag = level_in(sandbox, sku, 3)
    await reader.org_id()
    sandbox.arm("expire_token", path="/query")
    sandbox.arm("error", status=503, path="/query")
    sandbox.arm("cut_after", path="/query")
    assert bag in await everything(reader)


async def test_a_snapshot_of_an_org_that_is_down_is_tried_later(
    reader: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """Not every hiccup is over at once."""
    await reader.org_id()
    sandbox.arm("error", status=503, path="/query", times=20)
    with pytest.raises(TryLater, match="SERVER_UNAVAILABLE"):
        await everything(reader)


async def test_a_daily_allowance_used_up_stops_a_snapshot_for_a_while(
    reader: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """The library knows no difference between this refusal and others."""
    await reader.org_id()
    sandbox.arm("daily_limit", path="/query")
    with pytest.raises(CallsSpent, match="used up") as caught:
        await everything(reader)
    assert caught.value.until > datetime.now(UTC)


async def test_an_org_that_does_not_answer_is_given_up(settings: OrgConfig, sandbox: OrgSandbox) -> None:
    """The library alone would wait for ever."""
    ours = SalesforceOrg(dataclasses.replace(settings, timeout_seconds=0.5), WallClock())
    await ours.org_id()
    sandbox.arm("hang", path="/query", times=10)
    try:
        with pytest.raises(TryLater):
            await everything(ours)
    finally:
        sandbox.control("DELETE", "/faults")
        await ours.close()


async def test_levels_are_read_by_their_own_ids_and_by_their_movements(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A wake-up may name either; what does not exist is left out; a deleted movement names its level too."""
    bag, scarf = level_in(sandbox, f"{sku}A", 3), level_in(sandbox, f"{sku}B", 4)
    by_mistake = sandbox.move(str(scarf.key), on_hand=1)
    sandbox.records("delete", by_mistake)
    found = await org.read_levels(levels=[bag.record_id, "a00000000000999AAA"], movements=[by_mistake])
    assert {level.key: level.on_hand for level in found} == {bag.key: 3, scarf.key: 4}
    assert await org.read_levels() == []


async def test_many_levels_are_read_in_as_many_calls_as_a_uri_allows(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A list of a thousand ids is no single URI."""
    bag = level_in(sandbox, sku, 3)
    names = [bag.record_id, *(f"a00000000{number:06d}AAA" for number in range(1_000))]
    assert await org.read_levels(levels=names) == [bag]


async def test_levels_that_moved_since_a_moment_are_found(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A hole is closed by reading what changed in it, deleted movements included."""
    bag, scarf = level_in(sandbox, f"{sku}A", 3), level_in(sandbox, f"{sku}B", 4)
    gone = sandbox.move(str(scarf.key), on_hand=1)
    keyed = sandbox.create(
        "StockMovement__c",
        StockLevel__c=scarf.record_id,
        Kind__c="Adjustment",
        OnHandDelta__c=1,
        ReservedDelta__c=0,
        VersionDelta__c=1,
        IdempotencyKey__c=f"{sku}:gone",
    )
    sandbox.records("delete", gone, keyed)
    since = datetime.now(UTC) - timedelta(minutes=5)
    pages = [page async for page in org.levels_moved_since(since)]
    moved = [level for page in pages for level in page.levels]
    found = {level.key: level for level in moved}
    assert found[bag.key] == bag
    assert found[scarf.key].on_hand == 4
    assert len(found) == len(moved)
    told = {key for page in pages for key in page.deleted}
    assert {key for key in told if key.startswith(sku)} == {f"{sku}:gone"}
    later = datetime.now(UTC) + timedelta(hours=1)
    assert [page async for page in org.levels_moved_since(later)] == []


async def test_a_subjects_rows_come_oldest_first(org: SalesforceOrg, sandbox: OrgSandbox, sku: str) -> None:
    """What the ledger holds for an order line is read from the org, whoever entered it."""
    bag = level_in(sandbox, sku, 9)
    rows = [movement(f"order:{sku}:1:{step}", bag.key, reserved=step + 1) for step in range(3)]
    for row in rows:
        await org.enter(request(bundle(1, row)), ids(bag))
    assert await org.subject_rows([f"order:{sku}:1", "order:none"]) == rows
    assert await org.subject_rows([]) == []


async def test_a_healthy_org_has_no_fatal_finding(org: SalesforceOrg) -> None:
    """Everything is there, and the rule was really tried."""
    findings = await org.check()
    assert not [finding for finding in findings if finding.severity is Severity.FATAL]
    assert any("rule refuses" in finding.what for finding in findings)
    assert len([finding for finding in findings if "may be listened to" in finding.what]) == 2


async def test_a_rule_switched_off_is_found_and_the_probe_given_back(
    org: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """The rule is believed when it refuses, not when it is there."""
    sandbox.control("POST", "/rules", {"name": "Reservation_needs_stock", "active": False})
    try:
        findings = await org.check()
    finally:
        sandbox.control("POST", "/rules", {"name": "Reservation_needs_stock", "active": True})
    fatal = [finding for finding in findings if finding.severity is Severity.FATAL]
    assert len(fatal) == 1
    assert "not active" in fatal[0].what
    assert "activate Reservation_needs_stock" in fatal[0].remedy
    assert sandbox.level("SFSYNC-PROBE|PROBE")["Reserved__c"] == 0


@pytest.mark.parametrize("missing", [(), (0,), (1,), (0, 1)])
async def test_a_rule_of_the_movements_that_is_missing_is_found_by_trying(
    org: SalesforceOrg, sandbox: OrgSandbox, missing: tuple[int, ...]
) -> None:
    """A count without its moment, and a row that makes nothing newer, are tried; nothing is left behind."""
    rules = ("Count_names_its_moment", "Version_delta_at_least_one")
    await org.check()
    before = sandbox.level("SFSYNC-PROBE|PROBE")
    try:
        for each in missing:
            sandbox.control("POST", "/rules", {"name": rules[each], "active": False})
        findings = await org.check()
    finally:
        for each in missing:
            sandbox.control("POST", "/rules", {"name": rules[each], "active": True})
    warned = [each for each in findings if each.severity is Severity.WARNING and "the rule" in each.what]
    assert [rule for rule in rules if any(rule in each.what for each in warned)] == [
        rules[each] for each in missing
    ]
    assert all("missing or not active" in each.what and "activate it" in each.remedy for each in warned)
    told = ("a count that names no moment is refused", "a movement that makes its level no newer is refused")
    assert [any(words in each.what for each in findings) for words in told] == [
        number not in missing for number in (0, 1)
    ]
    after = sandbox.level("SFSYNC-PROBE|PROBE")
    if len(missing) < 2:
        assert after["Version__c"] == before["Version__c"]
    assert (after["OnHand__c"], after["Reserved__c"]) == (before["OnHand__c"], before["Reserved__c"])


async def test_a_field_that_was_not_deployed_is_a_finding(tmp_path: Path) -> None:
    """The finding names object, field and what to do; the rule is not tried on half an org."""
    source = tmp_path / "salesforce"
    shutil.copytree(metadata_folder(), source)
    objects = source / "force-app/main/default/objects"
    (objects / "StockMovement__c/fields/SourceVersion__c.field-meta.xml").unlink()
    permissions = source / "force-app/main/default/permissionsets/Sfsync_Integration.permissionset-meta.xml"
    kept = [
        block
        for block in permissions.read_text().split("    <fieldPermissions>")
        if "StockMovement__c.SourceVersion__c" not in block
    ]
    permissions.write_text("    <fieldPermissions>".join(kept))
    with start_org(options=["--source", str(source)]) as org:
        ours = SalesforceOrg(settings_of(org), WallClock())
        findings = await ours.check()
        await ours.close()
    fatal = [finding for finding in findings if finding.severity is Severity.FATAL]
    assert [finding.what for finding in fatal] == [
        "StockMovement__c.SourceVersion__c is missing, or hidden from us"
    ]
    assert "Sfsync_Integration" in fatal[0].remedy
    assert not any("rule" in finding.what for finding in findings)


async def test_an_endpoint_of_the_stream_that_cannot_be_reached_is_a_finding(settings: OrgConfig) -> None:
    """The rest of the examination is told all the same."""
    ours = SalesforceOrg(dataclasses.replace(settings, pubsub_endpoint="localhost:1"), WallClock())
    findings = await ours.check()
    await ours.close()
    assert any(
        "localhost:1" in finding.remedy for finding in findings if finding.severity is Severity.WARNING
    )
    assert any("rule refuses" in finding.what for finding in findings)


async def test_a_topic_that_is_not_there_is_a_finding(settings: OrgConfig) -> None:
    """The channel is metadata too, and easily forgotten."""
    ours = SalesforceOrg(dataclasses.replace(settings, stock_topic="/data/Forgotten__chn"), WallClock())
    fatal = [finding for finding in await ours.check() if finding.severity is Severity.FATAL]
    await ours.close()
    assert ["/data/Forgotten__chn" in finding.what for finding in fatal] == [True]
    assert "deploy" in fatal[0].remedy


async def test_an_api_version_that_the_org_does_not_speak_is_a_finding(settings: OrgConfig) -> None:
    """Said before anything else is asked, because everything else would fail for it."""
    ours = SalesforceOrg(dataclasses.replace(settings, api_version="99.0"), WallClock())
    findings = await ours.check()
    await ours.close()
    assert [finding.severity for finding in findings] == [Severity.FATAL]
    assert "API version 99.0" in findings[0].what


async def test_a_proxy_in_the_environment_does_not_come_between_loopback(
    settings: OrgConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REST, bulk and stream each have their own way to fall for it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    ours = SalesforceOrg(settings, WallClock())
    findings = await ours.check()
    await everything(ours)
    await ours.close()
    assert len([finding for finding in findings if "may be listened to" in finding.what]) == 2


async def test_a_wrong_secret_is_refused_in_the_orgs_words(settings: OrgConfig) -> None:
    """A person reads which of the two to look at."""
    ours = SalesforceOrg(dataclasses.replace(settings, client_secret="wrong"), WallClock())
    with pytest.raises(Refused, match="invalid client credentials") as caught:
        await ours.org_id()
    await ours.close()
    assert "client_secret" in caught.value.advice


async def test_a_certificate_of_an_unknown_authority_is_refused(settings: OrgConfig) -> None:
    """Nothing is sent to somebody who cannot show who he is; the advice names ca_file."""
    ours = SalesforceOrg(dataclasses.replace(settings, ca_file=None), WallClock())
    with pytest.raises(Refused) as caught:
        await ours.org_id()
    await ours.close()
    assert "ca_file" in caught.value.advice


async def test_an_org_that_cannot_be_reached_is_tried_later(settings: OrgConfig) -> None:
    """The network may come back."""
    ours = SalesforceOrg(dataclasses.replace(settings, login_url="https://localhost:1"), WallClock())
    with pytest.raises(TryLater):
        await ours.org_id()
    await ours.close()


async def test_the_calls_used_are_told_after_the_first_call(org: SalesforceOrg) -> None:
    """The org counts for us."""
    assert org.calls() is None
    await org.read_levels(levels=["a00000000000999AAA"])
    found = org.calls()
    assert found is not None
    assert 0 < found.ours_used <= found.used < found.allowed


async def test_the_fallback_rule_lets_a_posting_in_with_the_promises_that_give_way(tmp_path: Path) -> None:
    """Alone it is refused; with the release of what the org names as promised, all or none, it is in."""
    source = tmp_path / "salesforce"
    shutil.copytree(metadata_folder(), source)
    rules = source / "force-app/main/default/objects/StockLevel__c/validationRules"
    for name, active in (("Reservation_needs_stock", "false"), ("Reserved_within_on_hand", "true")):
        path = rules / f"{name}.validationRule-meta.xml"
        text = path.read_text()
        other = "true" if active == "false" else "false"
        path.write_text(text.replace(f"<active>{other}</active>", f"<active>{active}</active>"))
    with start_org({"levels": []}, options=["--source", str(source)]) as org:
        ours = SalesforceOrg(settings_of(org), WallClock())
        bag = level_in(org, "BAG", 2)
        ask = movement("order:x:1:1:0", bag.key, reserved=1)
        await ours.enter(request(bundle(1, ask)), ids(bag))
        org.move(str(bag.key), reserved=1)  # a person's, without a subject
        sale = movement("posting:r1", bag.key, on_hand=-2, subject="posting:r1")
        alone = await ours.enter(request(bundle(2, sale)), ids(bag))
        assert alone.results[sale.key].result is RowResult.INSUFFICIENT
        assert judge(bundle(2, sale), alone).verdict is Verdict.UNCOVERS
        promises = await ours.promises(ids(bag))
        held = {each.subject: (each.kind, each.units, each.next_step) for each in promises}
        assert held["order:x:1:1"] == (MovementKind.ORDER, 1, 1)
        assert sum(units for _, units, _ in held.values()) == 2
        along = releases(uncovered(promises, shortfalls([sale], alone.levels)[bag.key]), sale)
        together = await ours.enter(request(groups=[bundle(3, sale, *along)]), ids(bag))
        assert (together.levels[bag.key].on_hand, together.levels[bag.key].reserved) == (0, 0)
        assert not await ours.promises(ids(bag))
        await ours.close()


async def test_what_was_sold_is_added_up_whoever_entered_it(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """A parcel of ours, a till's two sales and one bag brought back; a receipt or a count is no sale."""
    bag, scarf = level_in(sandbox, f"{sku}A", 9), level_in(sandbox, f"{sku}B", 9)
    parcel = movement(f"order:x:{sku}:1:0", bag.key, on_hand=-1, kind=MovementKind.FULFILMENT)
    await org.enter(request(bundle(1, parcel)), ids(bag))
    sandbox.move(str(scarf.key), on_hand=-2, kind="Sale")
    sandbox.move(str(scarf.key), on_hand=1, kind="Return")
    sandbox.move(str(bag.key), on_hand=3, kind="Receipt")
    sandbox.move(str(bag.key), on_hand=-1, kind="Count")
    assert await org.sold([bag.key.sku, scarf.key.sku]) == 2
    assert await org.sold([bag.key.sku]) == 1
    assert await org.sold([bag.key.sku.lower(), "none"]) == 0
