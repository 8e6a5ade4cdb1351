"""A fold against the simulated org: one transaction, whatever order the org works in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.salesforce.conftest import settings_of
from tests.salesforce.kit import WallClock, bundle, movement, request
from tests.sandbox import OrgSandbox, start_org

from sfsync.domain.fold import Fold, Folded, FoldResult, plan
from sfsync.domain.stock import LevelKey
from sfsync.ports import Children, Severity
from sfsync.salesforce.org import SalesforceOrg

LATER = datetime.now(UTC) + timedelta(days=1)


async def filled(org: SalesforceOrg, sku: str) -> tuple[LevelKey, str]:
    """A level with ten received, an order delivered and one that is open."""
    level = LevelKey(sku, "ECOM")
    await org.create_levels([level])
    (made,) = await org.read_levels(keys=[level])
    ids = {level: made.record_id}
    for each in (
        movement(f"posting:receipt {sku}", level, on_hand=10, subject=f"posting:receipt {sku}"),
        movement(f"order:dubai:{sku}:1:0", level, reserved=2),
        movement(f"order:dubai:{sku}:1:1", level, on_hand=-2, reserved=-2),
        movement(f"order:dubai:{sku}:2:0", level, reserved=1),
    ):
        answer = await org.enter(request(bundle(1, each)), ids)
        assert [row.result.value for row in answer.results.values()] == ["created"]
    return level, made.record_id


async def planned(org: SalesforceOrg, level: LevelKey, record_id: str) -> Fold:
    found = plan(level, await org.level_rows(record_id), [], before=LATER).fold
    assert found is not None
    return found


async def folds_whole(org: SalesforceOrg, sku: str) -> None:
    level, record_id = await filled(org, sku)
    fold = await planned(org, level, record_id)
    (before,) = await org.read_levels(keys=[level])
    assert (await org.fold(fold, record_id)).result is FoldResult.DONE
    (after,) = await org.read_levels(keys=[level])
    assert (after.on_hand, after.reserved, after.version) == (8, 1, before.version + 1)
    rows = await org.level_rows(record_id)
    assert [row.movement.key for row in rows] == [f"order:dubai:{sku}:2:0", f"fold:{level}:0"]
    assert rows[1].folded == {f"order:dubai:{sku}:1": Folded(2, -2), f"posting:receipt {sku}": Folded(1, 10)}
    assert rows[1].version_delta == 4
    # Which of the two it finds first depends on the org's order.
    again = (await org.fold(fold, record_id)).result
    assert again in (FoldResult.DUPLICATE, FoldResult.GONE)
    found = [row async for page in org.openings() for row in page if row.movement.level == level]
    assert [row.id for row in found] == [rows[1].id]


async def test_a_fold_is_entered_once_and_read_back(org: SalesforceOrg, sku: str) -> None:
    """Three rows out, one in; the same request again finds its key taken and changes nothing."""
    await folds_whole(org, sku)


async def test_a_fold_whose_row_is_gone_changes_nothing(org: SalesforceOrg, sku: str) -> None:
    """The opening row is entered first, and taken back when a deletion fails."""
    level, record_id = await filled(org, sku)
    fold = await planned(org, level, record_id)
    broken = Fold(fold.opening, fold.version_delta, fold.folded, fold.fresh, (*fold.calls, fold.calls[0][:1]))
    before = await org.read_levels(keys=[level])
    assert (await org.fold(broken, record_id)).result is FoldResult.GONE
    assert await org.read_levels(keys=[level]) == before
    assert len(await org.level_rows(record_id)) == 4


async def test_rows_are_counted_by_level_and_age(org: SalesforceOrg, sku: str) -> None:
    """The fullest first; nothing is older than last year."""
    _, record_id = await filled(org, sku)
    counts = {each.level: each.rows for each in await org.children()}
    assert counts[record_id] == 4
    assert await org.children(datetime.now(UTC) - timedelta(days=365)) == []
    ours = [Children(record_id, 4)]
    assert await org.children(sku=sku) == await org.children(sku=sku, location="ECOM") == ours
    assert await org.children(sku=sku, location="MOON") == []
    assert await org.count_rows() == await org.count_rows(datetime.now(UTC) - timedelta(days=365))
    assert await org.count_rows() == sum(counts.values())
    assert await org.count_rows(datetime.now(UTC) + timedelta(days=1)) == 0
    storage = await org.storage()
    assert storage is not None
    assert 0 < storage.left_mb <= storage.allowed_mb


async def test_folding_is_proved_on_the_probe_s_level_again_and_again(org: SalesforceOrg) -> None:
    """Each proof folds what the one before left behind."""
    for _ in range(3):
        assert (await org.check_fold()).severity is Severity.GOOD


@pytest.fixture(params=["creates_first", "deletes_first"])
def reordering(request: pytest.FixtureRequest) -> Iterator[OrgSandbox]:
    """An org that works off a composite in an order of its own."""
    knobs = [f"atomic_composite_order={request.param}"]
    with start_org({"levels": []}, knobs=knobs) as started:
        yield started


async def test_an_org_that_reorders_a_composite_folds_all_the_same(reordering: OrgSandbox) -> None:
    """The rule that is active never refuses a lower on hand; only all or nothing matters."""
    ours = SalesforceOrg(settings_of(reordering), WallClock())
    try:
        assert (await ours.check_fold()).severity is Severity.GOOD
        await folds_whole(ours, "SKU-ORDER")
    finally:
        await ours.close()


@pytest.mark.parametrize("order", ["given", "creates_first", "deletes_first"])
async def test_under_the_fallback_rule_an_org_that_deletes_first_keeps_the_movements_of_a_reserved_level(
    order: str,
) -> None:
    """While the old rows are gone the stock is too, and somebody's bag is uncovered: refused and told why."""
    with start_org({"levels": []}, knobs=[f"atomic_composite_order={order}"]) as started:
        for name, active in (("Reservation_needs_stock", False), ("Reserved_within_on_hand", True)):
            started.control("POST", "/rules", {"name": name, "active": active})
        ours = SalesforceOrg(settings_of(started), WallClock())
        try:
            assert (await ours.check_fold()).severity is Severity.GOOD  # nothing is reserved there
            if order != "deletes_first":
                await folds_whole(ours, "SKU-ORDER")
                return
            level, record_id = await filled(ours, "SKU-ORDER")
            before = await ours.read_levels(keys=[level])
            answer = await ours.fold(await planned(ours, level, record_id), record_id)
            assert answer.result is FoldResult.REFUSED
            assert "only while nothing is reserved there" in answer.message
            assert await ours.read_levels(keys=[level]) == before
            assert len(await ours.level_rows(record_id)) == 4
            # As soon as nothing is reserved there any more, all of it is folded.
            release = movement("order:dubai:SKU-ORDER:2:1", level, reserved=-1)
            await ours.enter(request(bundle(1, release)), {level: record_id})
            fold = await planned(ours, level, record_id)
            assert (await ours.fold(fold, record_id)).result is FoldResult.DONE
        finally:
            await ours.close()
