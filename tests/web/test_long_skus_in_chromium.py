"""A SKU of two hundred characters widens no page, on a phone or on a desk."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.web.browser import IN_CHROMIUM, browser_page
from tests.web.kit import (
    OPERATIONS,
    Answers,
    Biography,
    Divided,
    Drifts,
    House,
    RefundPile,
    Resolutions,
    compared,
    letters_told,
    life_of_bag,
    planned,
    status,
    stock_of_bag,
    waiting_pick_ups,
    why_of_bag,
)
from tests.web.test_looking import week

from sfsync.domain.by_hand import Allocated
from sfsync.domain.stock import SKU_LENGTH, LevelKey
from sfsync.domain.why import Question
from sfsync.web import serve
from sfsync.web.app import build_web

pytestmark = IN_CHROMIUM

LONG = ("W" * 39 + "Ü") * 5
SKUS = re.compile(
    r"\b(MIRROR-BAG-01|GATED-BAG-01|ALLOC-BAG-01|BELT-COGNAC-85|SCARF-07|BAG-NOIR|BAG|HAT|TIE)\b"
)
WIDTHS = (360, 1280)
PATHS = (
    "/",
    "/?sku=bag",
    f"/sku?sku={quote(LONG)}",
    "/accuracy",
    "/counts",
    "/counts/plain",
    "/incidents/7",
    "/refunds/3",
    "/editions/spring",
    "/resync",
    "/dead-letters",
    "/pick-ups?location=KNIGHTSBRIDGE",
    "/allocations",
    f"/allocations?sku={quote(LONG)}",
)

NAMING = {"/", "/?sku=bag", f"/sku?sku={quote(LONG)}", "/incidents/7", "/refunds/3", "/resync", *PATHS[-3:]}


def _long(told: Any) -> Any:
    """The same, with the long SKU wherever one stands."""
    if isinstance(told, str) and not isinstance(told, Enum):
        return SKUS.sub(LONG, told)
    if isinstance(told, dict):
        return {name: _long(each) for name, each in told.items()}
    if isinstance(told, list | tuple):
        return type(told)(map(_long, told)) if not hasattr(told, "_fields") else type(told)(*map(_long, told))
    if isinstance(told, LevelKey):
        return replace(told, sku=LONG[:SKU_LENGTH])  # the org takes no longer one
    if is_dataclass(told) and not isinstance(told, type):
        return replace(told, **{each.name: _long(getattr(told, each.name)) for each in fields(told)})
    return told


class LongAnswers(Answers):
    async def tell(self, asked: Question) -> Mapping[str, object]:
        self.asked.append(asked)
        return {**_long(why_of_bag(past=asked.at is not None))}


class LongLife(Biography):
    async def tell(self, sku: str) -> Mapping[str, object]:
        return {**_long(life_of_bag())}


class LongDrifts(Drifts):
    async def tell(self) -> Mapping[str, object]:
        return {**_long(await super().tell())}


class LongResolutions(Resolutions):
    async def incident(self, incident_id: int) -> Any:
        return _long(await super().incident(incident_id))


class LongRefunds(RefundPile):
    def __init__(self) -> None:
        super().__init__()
        self.task = _long(self.task)


class LongDivided(Divided):
    async def standing(self, sku: str | None = None) -> Sequence[Allocated]:
        self.left_behind = [Allocated("milan", "BAG", 0, None, 3, 0, 3, 0, 0, gone=True)]
        told: Sequence[Allocated] = _long(await super().standing(None))
        return told


def _house() -> House:
    house = House()
    house.board.told = _long(status())
    house.board.stock = [_long(stock_of_bag())]
    house.plans.told = _long(compared())
    house.plans.page = [planned(LONG, 9, 4), planned(LONG, 0, 2)]
    house.letters.listed = _long(letters_told())
    house.desk.granted = _long(waiting_pick_ups())
    house.reporter.rows = [week("ECOM", "2026-W46", 40, 92.5), week("ECOM", "2026-W47", 10, 90.0)]
    house.services = replace(
        house.services,
        why=LongAnswers(),
        lives=LongLife(),
        drift=LongDrifts(),
        incidents=LongResolutions(),
        refunds=LongRefunds(),
        allocations=LongDivided(),
    )
    house.app = build_web(house.services, house.options)
    return house


async def test_a_sku_of_two_hundred_characters_widens_no_page() -> None:
    """Reasons, incidents, scarce items, plans, letters, pick-ups, the SKU's own page: it folds everywhere."""
    server = serve(_house().app, "127.0.0.1", 0)
    await server.start()
    kept = os.environ.get("SFSYNC_SCREENSHOTS")  # a folder, for somebody who wants to look
    async with browser_page(WIDTHS[0]) as page:
        await page.context.request.post(f"{server.address}/login", form={"token": OPERATIONS})
        naming: set[str] = set()
        for path in PATHS:
            await page.goto(server.address + path.replace("bag", "W"))
            await page.evaluate(
                "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
            )
            naming |= {path} if LONG[:SKU_LENGTH] in (await page.text_content("body") or "") else set()
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 900})
                if kept:
                    name = re.sub(r"\W+", "_", path)[:20].strip("_") or "status"
                    await page.screenshot(path=Path(kept) / f"{name}-{width}.png", full_page=True)
                wide = await page.evaluate(
                    "[...document.querySelectorAll('body *')].filter((each) => each.getClientRects().length"
                    " && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML"
                    ".slice(0, 120))"
                )
                fits = await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert fits, (path, width, wide[:5])
        assert naming >= NAMING
    await server.stop()
