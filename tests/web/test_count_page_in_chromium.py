"""The count page in a real browser: scanned or typed, kept on the device, each line entered once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, Route, expect
from tests.web.browser import IN_CHROMIUM, browser_page
from tests.web.kit import CHECKOUT, SHOP, House

from sfsync.web import serve

pytestmark = IN_CHROMIUM


@asynccontextmanager
async def counting(house: House, width: int = 380, token: str = SHOP) -> AsyncIterator[Page]:
    """The page, opened with a token, and told the place."""
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    try:
        async with browser_page(width) as page:
            await page.goto(f"{server.address}/counts")
            await page.get_by_label("Token").fill(token)
            await page.get_by_role("button", name="Begin").click()
            await page.get_by_label("Location").fill("ECOM")
            await page.get_by_label("Counted by").fill("Amina")
            yield page
    finally:
        await server.stop()


async def scan(page: Page, *codes: str) -> None:
    """A scanner types a code and a line end."""
    for code in codes:
        await page.get_by_label("Scan or type a SKU").fill(code)
        await page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [380, 1280])
async def test_pieces_are_scanned_and_the_sheet_is_entered(width: int) -> None:
    """Four bags one by one, nine ties typed; the bag is one short, and nothing spills over the edge."""
    house = House()
    async with counting(house, width) as page:
        await scan(page, "BAG", "BAG", "TIE", "BAG", "BAG")
        await page.get_by_label("Units of TIE").fill("9")
        await page.get_by_label("Units of TIE").blur()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.get_by_role("button", name="Enter 2 counts").click()
        done = page.locator("#entered")
        await expect(done).to_contain_text("−1: the books had 5.")
        await expect(done).to_contain_text("As in the books.")
        await expect(page.locator("#lines li")).to_have_count(0)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    counts = {count.level.sku: (count.units, count.counted_by) for count in house.counter.entered.values()}
    assert counts == {"BAG": (4, "Amina"), "TIE": (9, "Amina")}


async def test_a_wrong_code_is_told_at_once_and_holds_no_other_back() -> None:
    """It stays on the sheet with what to do; the right line goes in."""
    house = House()
    async with counting(house) as page:
        await scan(page, "BAG", "40063")
        await expect(page.locator("#lines .said")).to_contain_text(
            "The org has no stock level 40063|ECOM: correct"
        )
        await page.get_by_role("button", name="Enter 2 counts").click()
        await expect(page.locator("#entered li")).to_have_count(1)
        await expect(page.locator("#lines li")).to_have_count(1)
        await page.get_by_role("button", name="One less of 40063").click()
        await page.get_by_role("button", name="Take off the sheet: 40063").click()
        await expect(page.locator("#empty")).to_be_visible()
    assert [count.level.sku for count in house.counter.entered.values()] == ["BAG"]


async def test_lines_that_were_counted_under_a_mistyped_location_are_moved_to_the_right_one() -> None:
    """Nobody counts the shelf again for a slip of the finger; a line that was not refused stays."""
    house = House()
    async with counting(house) as page:
        await scan(page, "TIE")
        await page.get_by_label("Location").fill("ECCOM")
        await scan(page, "BAG", "BAG")
        await expect(page.locator("#lines .said")).to_have_count(1)
        await page.get_by_label("Location").fill("ECOM")
        await page.get_by_label("Location").blur()
        await page.get_by_role("button", name="The refused line was counted at ECOM").click()
        await expect(page.locator("#lines .said")).to_have_count(0)
        await page.get_by_role("button", name="Enter 2 counts").click()
        await expect(page.locator("#entered li")).to_have_count(2)
    counts = {str(count.level): count.units for count in house.counter.entered.values()}
    assert counts == {"BAG|ECOM": 2, "TIE|ECOM": 1}


async def test_a_sheet_outlives_a_closed_page_and_an_answer_that_got_lost() -> None:
    """What was entered although the phone never heard of it is entered again, and counts once."""
    house = House()
    async with counting(house) as page:
        await scan(page, "BAG", "BAG")
        await page.reload()
        await expect(page.get_by_label("Units of BAG")).to_have_value("2")

        async def lose(route: Route) -> None:
            await route.fetch()
            await route.abort()

        await page.route("**/v1/counts", lose)
        await page.get_by_role("button", name="Enter 1 count").click()
        await expect(page.locator("#silent")).to_contain_text("The sheet stays on this device")
        await page.unroute("**/v1/counts")
        await page.get_by_role("button", name="Enter 1 count").click()
        await expect(page.locator("#entered li")).to_have_count(1)
    assert len(house.counter.entered) == 1


async def test_a_token_that_may_not_count_is_told_so() -> None:
    """And asked for another; the sheet stays."""
    async with counting(House(), token=CHECKOUT) as page:
        await scan(page, "BAG")
        await expect(page.locator("#wrong")).to_contain_text("lacks the scope counts")
        await page.get_by_label("Token").fill(SHOP)
        await page.get_by_role("button", name="Begin").click()
        await expect(page.get_by_label("Units of BAG")).to_have_value("1")
        assert SHOP not in await page.evaluate("JSON.stringify(localStorage)")
