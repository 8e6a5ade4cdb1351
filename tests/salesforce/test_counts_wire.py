"""Counts against the simulated org: the moment of the last count comes with every reading of a level."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.salesforce.kit import bundle, movement, request
from tests.sandbox import OrgSandbox

from sfsync.domain.counts import Count, compensation, counted_before, on_hand_at
from sfsync.domain.counts import movement as counted
from sfsync.domain.ledger import Verdict, judge
from sfsync.domain.stock import LevelKey, MovementKind
from sfsync.ports import told_to
from sfsync.salesforce.org import SalesforceOrg

NOON, FIVE, SIX = (datetime(2026, 11, 22, hour, 0, 0, tzinfo=UTC) for hour in (12, 17, 18))


async def test_a_late_sale_and_its_compensation_go_in_together(org: SalesforceOrg, sku: str) -> None:
    """Ten in the books, nine counted at six; the sale of five o'clock is entered in the morning."""
    level = LevelKey(sku, "ECOM")
    await org.create_levels([level])
    (made,) = await org.read_levels(keys=[level])
    assert made.counted_at is None
    ids = {level: made.record_id}
    receipt = movement(
        f"posting:in {sku}",
        level,
        on_hand=10,
        subject=f"posting:in {sku}",
        kind=MovementKind.RECEIPT,
        occurred_at=NOON,
    )
    await org.enter(request(bundle(1, receipt)), ids)
    rows = await org.level_rows(made.record_id)
    count = counted(Count("c-1", level, 9, SIX), 0, 9 - on_hand_at(rows, SIX))
    answer = await org.enter(request(bundle(2, count)), ids)
    assert (answer.levels[level].on_hand, answer.levels[level].counted_at) == (9, SIX)

    sale = movement(f"posting:out {sku}", level, on_hand=-1, subject=f"posting:out {sku}", occurred_at=FIVE)
    pair = bundle(3, sale, compensation(sale, SIX))
    answer = await org.enter(request(groups=[pair]), ids)
    assert judge(pair, answer).verdict is Verdict.DONE
    assert (answer.levels[level].on_hand, answer.levels[level].counted_at) == (9, SIX)

    rows = await org.level_rows(made.record_id)
    assert [row.movement.on_hand_delta for row in rows] == [10, -1, -1, 1]
    assert (on_hand_at(rows, SIX), on_hand_at(rows, FIVE)) == (9, 9)
    assert counted_before(sale, rows) == SIX
    assert counted_before(receipt, rows) is None  # the count came after it
    pages = [each async for page in org.snapshot() for each in page if each.key == level]
    assert [each.counted_at for each in pages] == [SIX]
    assert [each.counted_at for each in await org.read_levels(levels=[made.record_id])] == [SIX]


async def test_a_count_that_a_person_enters_in_the_org_has_its_moment(
    org: SalesforceOrg, sandbox: OrgSandbox, sku: str
) -> None:
    """Nobody thinks of the field: the org fills it in, and takes no count that names none."""
    level = LevelKey(sku, "ECOM")
    await org.create_levels([level])
    (made,) = await org.read_levels(keys=[level])
    sandbox.move(str(level), on_hand=9, kind="Count")
    (row,) = sandbox.query(
        f"SELECT OccurredAt__c, CreatedDate FROM StockMovement__c WHERE StockLevel__c = '{made.record_id}'"  # noqa: S608 — an id of our own
    )
    (counted_level,) = await org.read_levels(keys=[level])
    assert counted_level.counted_at == datetime.fromisoformat(row["OccurredAt__c"]).replace(microsecond=0)
    record = {"attributes": {"type": "StockMovement__c"}, "StockLevel__c": made.record_id}
    blank = {**record, "Kind__c": "Count", "OnHandDelta__c": 1, "OccurredAt__c": None}
    (answer,) = sandbox.control("POST", "/records/create", {"records": [blank]})
    assert not answer["success"]
    assert "SFSYNC_MOMENT" in str(answer)
    sale = {**record, "Kind__c": "Sale", "OnHandDelta__c": -1, "OccurredAt__c": None}
    assert sandbox.control("POST", "/records/create", {"records": [sale]})[0]["success"]


async def test_the_rows_of_many_levels_come_in_one_reading(org: SalesforceOrg, sku: str) -> None:
    """Each row with its own level, whatever the others have."""
    levels = [LevelKey(sku, place) for place in ("ECOM", "DUBAI", "SOHO")]
    await org.create_levels(levels)
    ids = {level.key: level.record_id for level in await org.read_levels(keys=levels)}
    rows = [counted(Count(f"c-{n}", level, n, NOON), 0, n) for n, level in enumerate(levels)]
    await org.enter(request(*(bundle(n, row) for n, row in enumerate(rows))), ids)
    found = await org.rows_at([ids[level] for level in levels])
    assert sorted((row.movement.level, row.movement.on_hand_delta) for row in found) == sorted(
        (level, n) for n, level in enumerate(levels)
    )


async def test_what_moved_since_a_moment_is_told_by_kind(org: SalesforceOrg, sku: str) -> None:
    """Sales of the evening, not the receipt of noon, and not what happened before."""
    level = LevelKey(sku, "ECOM")
    await org.create_levels([level])
    (made,) = await org.read_levels(keys=[level])
    told = (
        (10, MovementKind.RECEIPT, SIX),
        (-1, MovementKind.SALE, NOON),
        (-2, MovementKind.SALE, SIX),
        (1, MovementKind.RETURN, SIX),
    )
    keys = [f"posting:{number} {sku}" for number in range(len(told))]
    rows = [
        movement(key, level, on_hand=units, subject=key, kind=kind, occurred_at=at)
        for key, (units, kind, at) in zip(keys, told, strict=True)
    ]
    await org.enter(request(*(bundle(n, row) for n, row in enumerate(rows))), {level: made.record_id})
    seen: list[tuple[str, int, int | None]] = []
    with told_to(lambda *far: seen.append(far)):
        pages = [page async for page in org.moved(FIVE, (MovementKind.SALE, MovementKind.RETURN))]
    in_all = sum(map(len, pages))
    assert seen[-1] == ("movements read in the org", in_all, in_all)
    found = [row.movement for page in pages for row in page if row.movement.level == level]
    assert sorted(row.on_hand_delta for row in found) == [-2, 1]


async def test_an_older_count_does_not_move_the_moment_back(org: SalesforceOrg, sku: str) -> None:
    """The newest count is the last one, whatever was entered last."""
    level = LevelKey(sku, "ECOM")
    await org.create_levels([level])
    (made,) = await org.read_levels(keys=[level])
    for number, at in enumerate((SIX, NOON)):
        row = counted(Count(f"c-{number}", level, 0, at), 0, 0)
        answer = await org.enter(request(bundle(number, row)), {level: made.record_id})
        assert answer.levels[level].counted_at == SIX
