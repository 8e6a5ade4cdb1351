"""One headless Chromium for a run: each page stands in a context of its own, as in a browser just started.

Its tests share one event loop, because the browser belongs to the loop that started it.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import pytest
from playwright.async_api import Browser, Page, async_playwright
from tests.needs import needs

Test = TypeVar("Test", bound=Callable[..., Any])
IN_CHROMIUM = [
    needs("chromium"),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.usefixtures("chromium"),
]
_running: list[Browser] = []


def in_chromium(test: Test) -> Test:
    """One such test among others."""
    for mark in IN_CHROMIUM:
        test = mark(test)
    return test


@asynccontextmanager
async def running_chromium() -> AsyncIterator[None]:
    """The browser, for `browser_page`."""
    own = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=own, args=["--no-sandbox"])
        _running.append(browser)
        yield
        _running.clear()
        await browser.close()


@asynccontextmanager
async def browser_page(
    width: int = 1280, scheme: Literal["light", "dark"] = "light", *, scripts: bool = True
) -> AsyncIterator[Page]:
    """A page in headless Chromium; any error on its console fails the test."""
    context = await _running[0].new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=scripts
    )
    try:
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: errors.append(message.text) if "Content Security" in message.text else None,
        )
        yield page
        assert errors == []
    finally:
        await context.close()
