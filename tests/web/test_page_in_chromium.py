"""The status page in a real browser: fresh without a reload, honest about silence, legible on a phone."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from playwright.async_api import expect
from tests.web.browser import IN_CHROMIUM, browser_page
from tests.web.kit import CHECKOUT, OPERATIONS, VIEWER, House, standing, stock_of_bag

from sfsync.domain.incidents import Resolved, Stage, Way
from sfsync.domain.incidents import Wish as IncidentWish
from sfsync.web import serve
from sfsync.web.editions import describe

pytestmark = IN_CHROMIUM


async def test_news_appears_without_a_reload_and_a_calm_section_stays_as_it_is() -> None:
    """The sentence changes by itself; what did not change is not touched."""
    house = House(open_status=True)
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page() as page:
        await page.goto(server.address)
        await page.evaluate("document.getElementById('channels').dataset.same = 'yes'")
        sentence = "Every channel has been told what the org has."
        house.board.told["health"] |= {"sentence": sentence, "state": "good"}
        house.board.told["incidents"] = []
        await expect(page.locator("h1:visible")).to_have_text(sentence)
        await expect(page.locator("#incidents .none")).to_be_visible()
        assert await page.evaluate("document.getElementById('channels').dataset.same") == "yes"
    await server.stop()


async def test_a_page_opened_while_the_first_status_is_counted_says_so_and_fills_by_itself() -> None:
    """In a large house that takes seconds after a start; nobody looks at an empty window meanwhile."""
    house = House(open_status=True)
    house.board.counted.clear()
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page() as page:
        await page.goto(server.address)
        await expect(page.locator("#health h1")).to_have_text("the stream was heard 2 s ago")
        await expect(page.locator("#health")).to_contain_text("The rest of this page follows by itself.")
        await expect(page.locator("#channels")).to_have_count(0)
        house.board.counted.set()
        await expect(page.locator("#channels")).to_be_visible()
        await expect(page.locator("#health h1")).to_have_text(house.board.told["health"]["sentence"])
        order = await page.evaluate("[...document.querySelectorAll('main > [id]')].map(each => each.id)")
        await page.reload()
        again = await page.evaluate("[...document.querySelectorAll('main > [id]')].map(each => each.id)")
        assert order == again
    await server.stop()


async def test_a_silent_daemon_is_told_and_its_return_too() -> None:
    """Old numbers must not look fresh."""
    house = House(open_status=True)
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page() as page:
        await page.goto(server.address)
        await server.stop()
        await expect(page.locator("#silent")).to_contain_text("does not answer", timeout=20_000)
        again = serve(house.app, "127.0.0.1", int(server.address.rpartition(":")[2]))
        await again.start()
        await expect(page.locator("#silent")).to_be_hidden(timeout=20_000)
        await again.stop()


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_closed_page_opens_with_a_token_and_not_with_a_wrong_one(scripts: bool) -> None:
    """The log-in is out of reach of scripts, never in the address, ends by a button, and needs no script."""
    house = House()
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page(scripts=scripts) as page:
        await page.goto(f"{server.address}/?sku=BAG")
        await page.get_by_label("Token", exact=True).fill("wrong-token-0123456789")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#wrong")).to_be_visible()
        await page.get_by_label("Token", exact=True).fill(VIEWER)
        await page.get_by_label("Your name").fill("Anna Kay")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#health h1")).to_be_visible()
        await expect(page.locator(".resolve").first).to_be_hidden()  # a viewer is no operator
        assert page.url == f"{server.address}/?sku=BAG"
        await page.reload()
        await expect(page.locator("#health h1")).to_be_visible()
        await expect(page.locator(".who")).to_contain_text("Anna Kay")
        kept = await page.evaluate("Object.keys(localStorage).length + document.cookie.length")
        assert kept == 0
        (cookie,) = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Who is asking?")).to_be_visible()
        assert await page.context.cookies() == []
    await server.stop()


async def test_a_search_needs_no_reload_and_stays_in_the_address() -> None:
    """So that it can be sent to a colleague."""
    house = House(open_status=True)
    house.board.stock = [stock_of_bag()]
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page() as page:
        await page.goto(server.address)
        await page.get_by_label("Find a SKU").fill("gated")
        await page.keyboard.press("Enter")
        await expect(page.locator("#found h3")).to_have_text("GATED-BAG-01")
        assert page.url.endswith("/?sku=gated")
        await page.get_by_label("Find a SKU").fill("")
        await page.keyboard.press("Enter")
        await expect(page.locator("#found")).to_have_count(0)
    await server.stop()


async def test_an_operator_resolves_an_incident_and_a_second_click_asks_nothing_twice() -> None:
    """The page that anybody may read asks for the operator's token, and logs in by it."""
    house = House(open_status=True)
    house.board.stock = [stock_of_bag()]
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page() as page:
        await page.goto(server.address)
        await page.locator(".resolve").first.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("heading")).to_have_text("MIRROR-BAG-01 was sold twice")
        await expect(dialog.get_by_label("Accept")).to_be_hidden()
        await dialog.get_by_label("Location", exact=True).fill("MAYFAIR")
        await dialog.get_by_label("Your name").fill("Anna Kay")
        await dialog.get_by_label("Why").fill("found in the window")
        await dialog.get_by_label("token").fill(CHECKOUT)
        await dialog.get_by_role("button", name="Do it").click()
        await expect(dialog.get_by_role("status")).to_contain_text("lacks the scope admin")
        await dialog.get_by_label("token").fill(OPERATIONS)
        await dialog.get_by_role("button", name="Do it").dblclick()
        await expect(dialog.get_by_role("status")).to_have_text("Done.")
        promise = "order:dubai:2077:1"
        asked = IncidentWish(Way.MOVE, "Anna Kay", "found in the window", promise, "MAYFAIR")
        assert house.resolutions.asked == [(7, asked)]
        await dialog.get_by_role("button", name="Close").click()
        house.resolutions.answer = Resolved(Stage.REFUSED, "london has sent it")
        await page.locator(".resolve").first.click()
        await expect(dialog.get_by_label("token")).to_be_hidden()
        await dialog.get_by_label("Cancel the order").check()
        await dialog.get_by_label("Give the money back").check()
        await dialog.get_by_label("Why").fill("none is left")
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_role("status")).to_have_text("London has sent it.")
        refunded = IncidentWish(Way.CANCEL, "Anna Kay", "none is left", promise, refund=True)
        assert house.resolutions.asked[1:] == [(7, refunded)]
    await server.stop()


async def test_an_operator_resolves_an_incident_without_a_script() -> None:
    """The same link leads to a page with the form, and the log-in lies on the way."""
    house = House(open_status=True)
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page(390, scripts=False) as page:
        await page.goto(server.address)
        await page.locator(".resolve").first.click()
        await page.get_by_label("Token", exact=True).fill(OPERATIONS)
        await page.get_by_label("Your name").fill("Anna Kay")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_label("Take the units at another location").check()
        await page.get_by_label("Location, to move to").fill("MAYFAIR")
        await page.get_by_label("Why").fill("found in the window")
        await page.get_by_role("button", name="Do it").click()
        await expect(page.get_by_role("status")).to_have_text("Done.")
        ((number, asked),) = house.resolutions.asked
        assert (number, asked.way, asked.by, asked.location) == (7, Way.MOVE, "Anna Kay", "MAYFAIR")
    await server.stop()


async def test_a_drop_is_opened_by_a_button_that_asks_once_more() -> None:
    """One press opens it everywhere; who leaves it has pressed nothing, nor has a checkout's token."""
    house = House(open_status=True)
    house.board.told["editions"] = [describe(standing(is_open=False))]
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page() as page:
        await page.goto(server.address)
        button, dialog = page.locator("#editions .switch"), page.get_by_role("dialog")
        await button.click()
        await dialog.get_by_role("button", name="Leave it").click()
        await button.click()
        await expect(dialog.get_by_role("heading")).to_have_text("Open spring?")
        for secret, words in ((CHECKOUT, "lacks the scope admin"), (OPERATIONS, "spring is open.")):
            await dialog.get_by_label("token").fill(secret)
            await dialog.get_by_role("button", name="Open it everywhere").dblclick()
            await expect(dialog.get_by_role("status")).to_contain_text(words)
        assert house.drops.pressed == [("spring", True, "operations")]
        house.board.told["editions"] = [describe(standing(is_open=True))]
        await dialog.get_by_role("button", name="Leave it").click()
        await expect(button).to_have_text("Close everywhere… spring")
    await server.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
async def test_nothing_overflows_at_any_width(width: int, scheme: Literal["light", "dark"]) -> None:
    """No sideways scrolling, and the ground is light by day and dark by night."""
    house = House(open_status=True)
    house.board.stock = [stock_of_bag()]
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page(width, scheme) as page:
        await page.goto(f"{server.address}/?sku=bag")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 380) == (scheme == "light")
    await server.stop()
