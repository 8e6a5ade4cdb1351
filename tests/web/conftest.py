"""One browser for all tests of pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.web.browser import running_chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[None]:
    """Runs from the first test that needs it to the end."""
    async with running_chromium():
        yield
