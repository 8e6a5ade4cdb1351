"""Counting without a script: looked at first, entered once, and nothing that was typed is lost."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.async_api import expect
from tests.web.browser import browser_page, in_chromium
from tests.web.kit import AUDITOR, CHECKOUT, SHOP, House, on_page
from tests.web.test_log_in import log_in

from sfsync.web import serve

PATH = "/counts/plain"
SHEET = {"location": "ECOM", "by": "Amina", "reason": "cycle count"}


def hidden(answer: httpx.Response, name: str) -> str:
    found = re.search(rf'type="hidden" name="{name}" value="([^"]*)"', answer.text)
    assert found is not None
    return found[1]


async def test_a_sheet_is_looked_at_and_entered_once_however_often_it_is_sent() -> None:
    """Its moment is that of the look: a second click counts nothing twice."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, SHOP, "Ms Kay")
        typed = {"form": form, **SHEET, "sheet": "BAG\nBAG\nTIE = 9\nBAG\nBAG\n"}
        looked = await client.post(PATH, data={**typed, "do": "look"})
        assert (looked.status_code, house.counter.entered) == (200, {})
        assert "Enter 2 counts" in looked.text
        sent = {**typed, "do": "enter", "at": hidden(looked, "at")}
        done = await client.post(PATH, data=sent)
        assert "−1" in done.text
        assert "as in the books" in done.text
        assert ">BAG\nBAG" not in done.text  # the sheet is empty again
        again = await client.post(PATH, data=sent)
        assert "entered before" in again.text
    counts = {count.level.sku: (count.units, count.counted_by) for count in house.counter.entered.values()}
    assert counts == {"BAG": (4, "Amina"), "TIE": (9, "Amina")}


async def test_wrong_lines_are_told_and_kept_for_another_try() -> None:
    """A code that the org does not know, and a number that is none: the good ones go in when ticked."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, SHOP)
        typed = {"form": form, **SHEET, "sheet": "BAG = 5\n40063\nTIE = many"}
        looked = await client.post(PATH, data={**typed, "do": "look"})
        for words in ("the org has no stock level 40063|ECOM", "has no whole number", 'name="partial"'):
            assert words in looked.text
        sent = {**typed, "do": "enter", "at": hidden(looked, "at")}
        refused = await client.post(PATH, data=sent)
        assert (refused.status_code, house.counter.entered) == (422, {})
        done = await client.post(PATH, data={**sent, "partial": "on"})
        assert done.status_code == 200
        assert "40063 = 1\nTIE = many</textarea>" in done.text
    assert [count.units for count in house.counter.entered.values()] == [5]


async def test_a_number_that_nobody_believes_is_told_and_not_entered() -> None:
    """A barcode behind the sign, or a nought too many: what to do stands beside it."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, SHOP)
        looked = await client.post(
            PATH, data={"form": form, **SHEET, "sheet": "BAG = 5\nTIE = 10001", "do": "look"}
        )
    for words in ("10,001 units of TIE|ECOM are more than the 10,000 believed", "[counts] most_units"):
        assert words in looked.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**SHEET, "sheet": " \n "}, "Nothing is on the sheet."),
        ({**SHEET, "location": "", "sheet": "BAG"}, "The location is empty"),
        ({**SHEET, "reason": "x" * 101, "sheet": "BAG"}, "Why has more than 100 characters"),
    ],
)
async def test_a_sheet_that_says_too_little_is_answered_with_what_is_missing(
    fields: dict[str, str], words: str
) -> None:
    """And nothing is counted."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, SHOP)
        answer = await client.post(PATH, data={"form": form, "do": "look", **fields})
    assert (answer.status_code, words in answer.text) == (422, True)
    assert house.counter.entered == {}


async def test_nobody_else_counts_by_the_form() -> None:
    """Not without a log-in, not without the scope, not from another site."""
    house = House()
    fields = {**SHEET, "sheet": "BAG", "do": "enter"}
    async with house.client() as client:
        assert "Who is asking?" in (await client.get(PATH)).text
        on_page(await client.post(PATH, data=fields), 401, "Log in")
        await log_in(client, SHOP)
        on_page(await client.post(PATH, data=fields), 403, "another log-in")
    for token in (CHECKOUT, AUDITOR):
        async with house.client() as client:
            form = await log_in(client, token)
            on_page(await client.post(PATH, data={**fields, "form": form}), 403, "lacks the scope")
    assert house.counter.entered == {}


@in_chromium
async def test_on_a_phone_without_scripts_a_scanner_fills_the_sheet() -> None:
    """The count page leads there; each scan ends its line; nothing spills over the edge."""
    house = House()
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page(390, scripts=False) as page:
        await page.context.request.post(f"{server.address}/login", form={"token": SHOP})
        await page.goto(f"{server.address}/counts")
        await page.wait_for_url(f"{server.address}{PATH}")
        await page.get_by_label("Location").fill("ECOM")
        await page.get_by_label("Scan or type").focus()
        for code in ("BAG", "BAG", "TIE = 9"):
            await page.keyboard.type(code)
            await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Look at it").click()
        await page.get_by_role("button", name="Enter 2 counts").click()
        await expect(page.get_by_text("as in the books")).to_be_visible()
        assert await page.locator("html").evaluate("(html) => html.scrollWidth") <= 390
    await server.stop()
    assert {count.level.sku: count.units for count in house.counter.entered.values()} == {"BAG": 2, "TIE": 9}
