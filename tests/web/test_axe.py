"""Other people's rules for accessible pages, axe-core's, find nothing on ours: wide, narrow, day, night."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page
from tests.needs import NODE_CLIENTS_VARIABLE, needs
from tests.web.browser import IN_CHROMIUM, browser_page
from tests.web.kit import (
    OPERATIONS,
    House,
    compared,
    letters_told,
    planned,
    stock_of_bag,
    waiting_pick_ups,
)
from tests.web.test_looking import week

from sfsync.web import serve

pytestmark = [*IN_CHROMIUM, needs("axe")]


PATHS = (
    "/?sku=bag",
    "/sku?sku=BAG",
    "/accuracy",
    "/counts",
    "/counts/plain",
    "/incidents/7",
    "/refunds/3",
    "/editions/spring",
    "/allocations?sku=BAG",
    "/resync",
    "/dead-letters",
    "/shadow",
    "/pick-ups?location=KNIGHTSBRIDGE",
)


async def findings(page: Page) -> list[str]:
    """What axe-core has against a page, each with where it stands."""
    file = Path(os.environ[NODE_CLIENTS_VARIABLE]) / "node_modules" / "axe-core" / "axe.min.js"
    await page.evaluate(file.read_text(encoding="utf-8"))
    told = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert told["passes"]  # it has looked
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in told["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_no_page_breaks_a_rule_of_accessibility(width: int, scheme: Literal["light", "dark"]) -> None:
    """Names, roles, labels, landmarks, order of headings, contrast."""
    house = House()
    house.board.stock = [stock_of_bag()]
    house.plans.told, house.plans.page = compared(), [planned("BAG", 9, 4), planned("TIE", 0, 2)]
    house.letters.listed = letters_told()
    house.desk.granted = waiting_pick_ups()
    house.reporter.rows = [week("ECOM", "2026-W46", 40, 92.5), week("ECOM", "2026-W47", 10, 90.0)]
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with browser_page(width, scheme) as page:
        await page.goto(server.address)
        assert await findings(page) == []
        await page.context.request.post(f"{server.address}/login", form={"token": OPERATIONS})
        for path in PATHS:
            await page.goto(server.address + path)
            await page.evaluate(
                "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
            )
            assert await findings(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        await page.goto(server.address)
        await page.locator(".resolve").first.click()
        assert await findings(page) == []
    await server.stop()
