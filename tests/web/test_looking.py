"""The pages of a SKU and of the books' accuracy: complete without a script, each chart with its table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.web.kit import NOW, VIEWER, House
from tests.web.test_page import Markup, page_of

from sfsync.domain.why import Question
from sfsync.web.charts import CAP, HEIGHT, WIDTH, Band, curve, steps


def week(location: str, name: str, n: int, percent: float | None) -> dict[str, Any]:
    """A line of the report, as it is grouped by location and week."""
    accuracy = {"n": n, "accurate": 9, "percent": percent, "low": 80.0, "high": 97.0}
    return {"location": location, "week": name, "accuracy": [accuracy]}


async def test_a_sku_tells_the_sum_of_its_numbers_as_a_tree() -> None:
    """With who holds and who moved each part, what the org has, its line, and what followed on what."""
    said = (await page_of(House(open_status=True), "/sku?sku=BAG")).said
    for words in (
        "shows 2, should show 1, which is on its way for 4.2 s",
        "+3 on hand at ECOM −1 sale receipt 88213 by somebody in the org 23 Nov 2026, 08:13:01 UTC",
        "−1 reserved at ECOM +1 order #1042 of london",
        "−1 safety stock 1 is what it should show",
        "ECOM sfsync still works with 4 and 1 3 1 2 4",
        "ECOM on hand 3 available 2",
        "20 Nov 2026, 09:00:00 UTC 4 0",
        "23 Nov 08:13:01.040 Push, confirmed london online −1 62 ms",
        "23 Nov 08:13:01.000 Sale by somebody in the org ECOM −1 receipt 88213",
    ):
        assert words in said


async def test_the_past_is_asked_for_by_a_form_whose_times_are_utc() -> None:
    """The browser's field gives no offset; what is written by hand may give one."""
    house = House(open_status=True)
    said = (await page_of(house, "/sku?sku=BAG&at=2026-11-22T08:15:00")).said
    assert "should have shown 1" in said
    assert "under the settings of today" in said
    await page_of(house, "/sku?sku=BAG&at=2026-11-22T09:15:00%2B01:00&channel=london&location=")
    day = NOW - timedelta(days=1)
    assert house.answers.asked == [Question("BAG", at=day), Question("BAG", "london", at=day)]


async def test_a_piece_has_a_page_of_its_life() -> None:
    """Where it is and whose, what it counts at each channel, and what happened to it; and a way back."""
    house = House(open_status=True)
    page = await page_of(house, "/sku?sku=BAG&unit=A-1&at=2026-11-22T08:15:00")
    for words in (
        "BAG piece A-1",
        "at ECOM, promised to order #1042 of london",
        "0 in the number of london online, mirrored +1 on hand at ECOM, piece A-1",
        "Older movements at ECOM, folded into one +1 posting:R7 +1 2 movements folded",
        "Promised at ECOM to order #1042 of london +1 #1042",
        "All of BAG",
    ):
        assert words in page.said
    assert "History" not in page.said
    assert ("input", {"type": "hidden", "name": "unit", "value": "A-1"}) in page.tags
    assert house.answers.asked == [Question("BAG", at=NOW - timedelta(days=1), unit="A-1")]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("sku=BAG&unit=Z-9", 404, "no piece &#39;Z-9&#39; of &#39;BAG&#39;; known are A-1"),
        ("sku=HAT", 404, "has no stock level of &#39;HAT&#39;"),
        ("sku=BAG&at=2025-01-01T00:00:00", 410, "were folded"),
        ("sku=BAG&at=yesterday", 422, "at is not a moment"),
        ("sku=BAG&at=2027-01-01T00:00:00", 422, "at lies ahead"),
        ("sku=BAG&channel=paris", 422, "channel is none of dubai, london"),
        ("", 422, "sku is missing"),
    ],
)
async def test_what_cannot_be_told_is_said_on_the_page(query: str, status: int, words: str) -> None:
    """With the form still there to ask otherwise."""
    async with House(open_status=True).client() as client:
        answer = await client.get(f"/sku?{query}")
    assert answer.status_code == status
    assert words in answer.text
    assert 'name="at"' in answer.text


async def test_nobody_looks_without_a_log_in() -> None:
    """And is led back to what was wanted."""
    house = House()
    for path in ("/sku?sku=BAG", "/accuracy"):
        async with house.client() as client:
            answer = await client.get(path)
            assert "Who is asking?" in answer.text
            assert f'name="next" value="{path}"' in answer.text
        async with house.client(VIEWER) as client:
            assert "Who is asking?" not in (await client.get(path)).text
    assert len(house.answers.asked) == 1


async def test_the_accuracy_of_a_large_house_keeps_no_page_waiting() -> None:
    """Half a year of counts takes seconds: the page says so and asks again, and it is worked out once."""
    house = House(open_status=True)
    house.reporter.rows = [week("ECOM", "2026-W47", 10, 90.0)]
    house.reporter.done.clear()
    for _ in range(2):
        page = await page_of(house, "/accuracy")
        assert "It is being worked out" in page.said
        assert ("meta", {"http-equiv": "refresh", "content": "2"}) in page.tags
    house.reporter.done.set()
    page = await page_of(house, "/accuracy")
    assert "ECOM" in page.said
    assert ("meta", {"http-equiv": "refresh", "content": "2"}) not in page.tags
    assert len(house.reporter.asked) == 1


async def test_the_accuracy_of_each_location_is_a_chart_and_a_table_week_by_week() -> None:
    """A week in which nothing was counted is no point at zero; the report is worked out once a minute."""
    house = House(open_status=True)
    house.reporter.rows = [
        week("ECOM", "2026-W46", 40, 92.5),
        week("ECOM", "2026-W47", 10, 90.0),
        week("MAYFAIR", "2026-W01", 0, None),
    ]
    page = await page_of(house, "/accuracy")
    assert "ECOM 90.0 % 9 of 10 counts in the newest week" in page.said
    assert "16 Nov 2026 90.0 % 80–97 10 09 Nov 2026 92.5 % 80–97 40" in page.said
    assert "MAYFAIR" not in page.said
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    (name,) = [str(each["aria-label"]) for each in pictures]
    assert name.startswith("ECOM: 90.0 percent in the newest week")
    await page_of(house, "/accuracy")
    assert len(house.reporter.asked) == 1
    assert house.reporter.asked[0].by == ("location", "week")
    house.reporter.rows = []
    assert "Nothing was counted" in (await page_of(House(open_status=True), "/accuracy")).said


async def test_what_the_org_calls_things_is_never_markup_on_these_pages() -> None:
    """A SKU may hold anything, also in an address."""
    evil = '"><script>alert(1)</script>'
    house = House(open_status=True)
    house.reporter.rows = [week(evil, "2026-W47", 10, 90.0)]
    async with house.client() as client:
        for path, asked in (("/sku", {"sku": evil}), ("/accuracy", {})):
            text = (await client.get(path, params=asked)).text
            assert [tag for tag, _ in Markup(text).tags].count("script") == 0
            assert evil in Markup(text).words


def test_a_step_keeps_its_value_until_the_next_and_the_last_one_until_the_end() -> None:
    """Four pieces, then two, then none; what is promised beyond them lies below zero."""
    chart = steps({"on-hand": [(0, 4), (50, 2)], "available": [(0, 4), (75, -1)]}, 100)
    top, bottom = 4, HEIGHT - 4
    assert chart.paths["on-hand"] == f"M0 {top}H500V{top + 0.4 * (HEIGHT - 8):g}H{WIDTH}"
    assert chart.paths["available"] == f"M0 {top}H750V{bottom}H{WIDTH}"
    assert (chart.low, chart.high, chart.zero) == (-1, 4, round(bottom - 0.2 * (HEIGHT - 8), 1))
    assert steps({"on-hand": [(7, 0)]}, 7).zero is None  # one moment, nothing there: still a picture
    assert steps({}, 7).paths == {}


def test_a_line_lies_in_its_band() -> None:
    """The band's edges go there along the top and back along the foot."""
    chart = curve([(0, 90), (2, 100)], Band([(0, 80, 95), (2, 70, 100)]), low=70, high=100)
    assert chart.dots[-1] == (WIDTH, 4)
    assert chart.band.startswith("M0 ")
    assert chart.band.endswith("Z")
    assert chart.band.count("L") == 3
    assert chart.whisker == ""


def test_a_point_alone_has_its_interval_as_a_whisker() -> None:
    """A band of no width is not seen; from 70 to 100 percent, half of the picture is 85."""
    one = curve([(5, 90)], Band([(5, 70, 85)]), low=70, high=100)
    assert (one.dots[0][0], one.band, one.paths) == (WIDTH / 2, "", {})
    middle, foot = HEIGHT / 2, HEIGHT - 4
    left, right = WIDTH / 2 - CAP / 2, WIDTH / 2 + CAP / 2
    assert one.whisker == (f"M500 {middle:g}V{foot}M{left:g} {middle:g}H{right:g}M{left:g} {foot}H{right:g}")


async def test_one_week_of_counts_is_a_point_with_its_interval() -> None:
    """The scale goes down to its foot, and the week is named once."""
    house = House(open_status=True)
    told = week("MAYFAIR", "2026-W47", 10, 90.0)
    told["accuracy"][0]["low"] = 59.6
    house.reporter.rows = [told]
    page = await page_of(house, "/accuracy")
    assert "100 % 50 % 16 Nov 2026 MAYFAIR" in page.said
    assert [attributes["class"] for tag, attributes in page.tags if tag == "path"] == ["whisker", "dot"]


async def test_a_picture_is_well_formed_and_has_no_text_that_would_shrink() -> None:
    """Its words stand around it."""
    async with House(open_status=True).client() as client:
        text = (await client.get("/sku?sku=BAG")).text
    svg = text[text.index("<svg") : text.index("</svg>") + 6]
    root = ElementTree.fromstring(svg)  # noqa: S314 — our own page
    assert {child.tag for child in root} == {"path"}
