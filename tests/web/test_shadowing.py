"""What a shadow has seen, as JSON, as a page and as metrics: the same as the command tells."""

from __future__ import annotations

from datetime import timedelta

from tests.web.kit import NOW, VIEWER, House, problem, shadow_told
from tests.web.test_page import page_of


async def test_the_report_is_told_as_json_of_all_or_since_a_moment() -> None:
    """To whoever may look; a time that was not watched is 404, and no moment 422."""
    house = House(shadow=True)
    async with house.client() as nobody:
        assert (await nobody.get("/v1/shadow")).status_code == 401
    async with house.client(VIEWER) as client:
        assert (await client.get("/v1/shadow")).json() == shadow_told()
        recent = NOW - timedelta(hours=3)
        answer = await client.get("/v1/shadow", params={"since": recent.isoformat()})
        assert answer.status_code == 200
        long_ago = {"since": (NOW - timedelta(days=9)).isoformat()}
        problem(await client.get("/v1/shadow", params=long_ago), 404, "no-shadow")
        problem(await client.get("/v1/shadow", params={"since": "yesterday"}), 422, "bad-input")
        problem(await client.get("/v1/shadow", params={"sku": "BAG"}), 422, "bad-input")
    assert house.seen.asked == [None, recent, NOW - timedelta(days=9)]


async def test_the_page_names_what_went_wrong_and_what_would_not_have() -> None:
    """Each unit sold beyond stock with its sentence, the lines never entered, the numbers that were late."""
    house = House(shadow=True, open_status=True)
    said = (await page_of(house, "/shadow")).said
    for words in (
        "59 min watched, still in shadow. sfsync would have entered 6 movements; others entered 9.",
        "1 unit; 1 of them would not have been on offer with sfsync.",
        "would have shown 0 since 07:19:00, 60 s before the order",
        "london #1002 or #1002 at dubai BAG 1",
        "1 movement of others named no order",
        "1.7 s 48.5 s 10 min",
        "BELT london online 23 Nov 2026, 07:10:00 UTC 10 min and still 30 instead of 29",
        "london was never seen to show what sfsync would have told it of 1 number (HAT)",
    ):
        assert words in said
    await page_of(house, "/shadow?of=24h")
    assert house.seen.asked[-1] == NOW - timedelta(hours=24)


async def test_where_nothing_was_watched_the_page_says_what_a_shadow_is_and_how_to_begin() -> None:
    """Calmly, because whoever follows the link has done nothing wrong."""
    house = House(open_status=True)
    house.seen.told = None
    page = await page_of(house, "/shadow")
    assert "Nothing was watched yet. In shadow, sfsync runs beside the integration" in page.said
    assert "Start one with sfsync run --shadow" in page.said
    assert [attrs for _, attrs in page.tags if attrs.get("role") == "alert" and "hidden" not in attrs] == []


async def test_a_week_in_which_nothing_was_watched_leaves_the_way_to_all() -> None:
    """An older shadow is one link away."""
    page = await page_of(House(open_status=True), "/shadow?of=7d")
    assert "Nothing was watched in that time." in page.said
    assert ("a", {"href": "/shadow"}) in page.tags


async def test_scrapers_get_what_the_shadow_has_seen_while_it_is_one() -> None:
    """Without waiting for a report: none before the first; and none of a house that went live."""
    live = House(open_status=True)
    live.seen.last = shadow_told()
    async with live.client() as client:
        assert "sfsync_shadow" not in (await client.get("/metrics")).text
    fresh = House(shadow=True, open_status=True)
    fresh.board.told["health"]["shadow_since"] = "2026-11-20T06:00:00Z"
    async with fresh.client() as client:
        assert "sfsync_shadow" not in (await client.get("/metrics")).text
    seen = House(shadow=True, open_status=True)
    seen.board.told["health"]["shadow_since"], seen.seen.last = "2026-11-20T06:00:00Z", shadow_told()
    async with seen.client() as client:
        told = (await client.get("/metrics")).text
    for line in (
        "sfsync_shadow_watched_seconds 3540",
        'sfsync_shadow_late_numbers{channel="london"} 2',
        'sfsync_shadow_sales{channel="london",of="missing"} 1',
        "sfsync_shadow_oversold_units 1",
        "sfsync_shadow_prevented_units 1",
    ):
        assert line in told
