"""The status page: complete without a script, nothing from elsewhere, nothing taken for markup."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from tests.web.kit import Board, House, standing, stock_of_bag

import sfsync.web
from sfsync.web import Status, build_web, words
from sfsync.web.editions import describe
from sfsync.web.status_shape import WaitingCalls

STYLE = (Path(sfsync.web.__file__).parent / "static" / "status.css").read_text(encoding="utf-8")


class Markup(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words += " "

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def said(self) -> str:
        return " ".join(self.words.replace("\u202f", " ").split())


async def page_of(house: House, path: str = "/") -> Markup:
    async with house.client() as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return Markup(answer.text)


async def test_the_page_tells_the_whole_status_without_a_script() -> None:
    """Health, stream, ledger, channels, scarce items, an incident's two orders, dead letters, movements."""
    said = (await page_of(House(open_status=True))).said
    for words_ in (
        "At risk One handbag was sold twice",
        "Stream SfsyncStock__chn 0.2 s behind the org Heard 2 s ago, 1 482 events",
        "Not connected",
        "1 hole in the stream /data/SfsyncStock__chn since 23 Nov 2026, 08:09:00 UTC (6 min)",
        "What closes it: a reading of all that moved since, next tried 23 Nov 2026, 08:15:20 UTC.",
        "Ledger queue 14 waiting 2 in flight, the oldest for 1.4 s; 3 to decide",
        "18 342 of 100 000",
        "Due 7 of 408 In flight 5 Dead letters 1 Lag p50 240 ms Lag p99 2.3 s Exposure 31.5 unit·s",
        "12 gated · 3 allocated · 397 mirrored",
        "GATED-BAG-01 1 ECOM 1 london asks first 1 gated dubai asks first 1 gated",
        "#1042 at london, 1 unit, 08:13:01 has its stock",
        "08:12:30 Pick-up BELT-90 MAYFAIR",
        "1 to be taken at MAYFAIR for order #2077 refused Anna Kay, 50 s ago: seen in the window",
        "May wait until 05 Dec 2026",
        "and 12 more incidents: sfsync incidents lists those that are open",
        "#2077 at dubai, 1 unit, 08:13:01 no stock covers it",
        "SCARF-07 dubai online 4 9 changed at the channel 15 min ago",
        "The org looked at 15 min ago · london london does not answer · dubai 15 min ago, 50 numbers read",
        "2026-11-23 dubai changed at the channel 1 5",
        "Give each item its own SKU at the channel, then run sfsync resync.",
        "08:14:51 Sale LOAFER-42-COGNAC KNIGHTSBRIDGE A-17 −1 3 till 4, receipt 88213 org",
        "KNIGHTSBRIDGE 96.2 % 93–98 212 98.6 % 94.8 % 94–96 1 640 96.1 % DUBAI-MALL – 0 – 100.0 % 70–100 9",
        "Org 00D5g000004XyZAEA0 · sfsync 0.1.0 · running for 2 h",
    ):
        assert words_ in said


async def test_an_empty_house_has_a_quiet_page() -> None:
    """Before the first channel, event and movement everything still reads."""
    house = House(open_status=True)
    told = house.board.told
    told["health"] |= {"state": "good", "sentence": "Waiting for the org.", "reasons": [], "org": ""}
    told["stream"] = {"state": "good", "topics": [], "holes": [], "deliveries": None}
    told["ledger"] |= {"oldest_seconds": None, "calls_used": None, "calls_allowed": None}
    for section in ("channels", "scarce", "incidents", "dead_letters", "recent", "accuracy"):
        told[section] = []
    said = (await page_of(house)).said
    for words_ in (
        "No channel is configured.",
        "Nothing is scarce.",
        "No stock has moved yet.",
        "not told yet",
    ):
        assert words_ in said


async def test_work_that_waits_for_api_calls_is_named_with_its_hour() -> None:
    """An admin sees what is used, what is ours, and when it is expected to go on."""
    house = House(open_status=True)
    waiting = [WaitingCalls(work="bulk", until="2026-11-24T09:00:00.000Z")]
    house.board.told["ledger"] |= {"calls_by_us": 64_001, "calls_waiting": waiting}
    said = (await page_of(house)).said
    assert "64 001 by sfsync, of its 80 000" in said
    assert "bulk must wait till about" in said


async def test_a_sentence_is_told_once_and_its_commands_are_marked() -> None:
    """The reasons do not repeat the headline; a command in backticks stands out, and only as text."""
    house = House(open_status=True)
    sentence = "2 dead letters wait for a person: `sfsync <b>`."
    house.board.told["health"] |= {"sentence": sentence, "reasons": [sentence, "an odd ` stays"]}
    page = await page_of(house)
    assert page.said.count("2 dead letters wait for a person: sfsync <b>.") == 1
    assert "an odd ` stays" in page.said
    assert [tag for tag, _ in page.tags].count("code") == 3  # and one each under incidents and drift
    assert "b" not in [tag for tag, _ in page.tags]


async def test_a_limited_edition_tells_what_is_left_for_whom_and_who_opened_it() -> None:
    """Or when it opens by itself."""
    house = House(open_status=True)
    said = (await page_of(house)).said
    assert "spring is open: 350 of 500 left, 1 to a client, opened by operations 23 Nov 2026, 08:15" in said
    assert "london 200 150 50 all others 300 0 300 Close everywhere… spring" in said
    house.board.told["editions"] = [describe(standing(is_open=False))]
    assert "1 to a client, opens 23 Nov 2026, 09:15:00 UTC" in (await page_of(house)).said


async def test_a_stream_without_a_measured_lag_tells_its_last_event() -> None:
    """Or that there was none."""
    house = House(open_status=True)
    house.board.told["stream"]["topics"][0]["lag_seconds"] = None
    said = (await page_of(house)).said
    assert "Stream SfsyncStock__chn 9 s ago last event Heard 2 s ago" in said
    assert "Stream StockEvent__e – no event yet Not connected, 0 events" in said


async def test_many_who_look_at_once_are_told_the_same_worked_out_once() -> None:
    """A page open on every desk of the house costs the store one look at a time."""
    house = House(open_status=True)
    looks, go = 0, asyncio.Event()

    class SlowBoard(Board):
        async def status(self) -> Status:
            nonlocal looks
            looks += 1
            await go.wait()
            return await super().status()

    services = replace(house.services, overview=SlowBoard(house.board.told))
    app = build_web(services, house.options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        asked = [asyncio.create_task(client.get("/status.json")) for _ in range(20)]
        while not looks:  # noqa: ASYNC110 — the test's own time limit ends it
            await asyncio.sleep(0)
        go.set()
        answers = [await one for one in asked]
        assert {answer.status_code for answer in answers} == {200}
        assert looks < len(asked)
        before = looks
        await client.get("/status.json")
        assert looks == before + 1


async def test_a_search_shows_the_stock_of_the_skus_that_contain_it() -> None:
    """In the org and at the channels, with what hinders them."""
    house = House(open_status=True)
    house.board.stock = [stock_of_bag()]
    said = (await page_of(house, "/?sku=gated")).said
    assert "KNIGHTSBRIDGE S/N 0071 0 1 −1" in said
    assert "dubai online the channel does not track this item gated 1 –" in said
    assert "No SKU contains this." in (await page_of(house, "/?sku=hat")).said


async def test_what_comes_from_outside_is_never_markup() -> None:
    """A SKU, a reference or a search may hold anything."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    house = House(open_status=True)
    told, bag = house.board.told, stock_of_bag()
    bag["sku"] = told["recent"][0]["reference"] = told["incidents"][0]["title"] = evil
    told["channels"][0]["name"] = told["dead_letters"][0]["reason"] = evil
    told["scarce"][0]["sellers"][0]["why"] = told["stream"]["holes"][0]["reason"] = evil
    house.board.stock = [bag]
    async with house.client() as client:
        page = Markup((await client.get("/", params={"sku": evil})).text)
    scripts = [str(attributes["src"]) for tag, attributes in page.tags if tag == "script"]
    assert [script.partition("?")[0] for script in scripts] == [
        f"/static/{name}.js" for name in ("status", "act")
    ]
    assert not [tag for tag, attributes in page.tags if tag == "img" or "onerror" in attributes]
    assert evil in page.words


async def test_nothing_on_the_page_comes_from_elsewhere() -> None:
    """Its own address serves all; no inline style or script, so that the strict policy holds."""
    house = House(open_status=True)
    page = await page_of(house)
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name == "style" or name.startswith("on")}, (
            tag,
            attributes,
        )
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "/").startswith(("/", "#")), (tag, attributes)
    assert not [tag for tag, _ in page.tags if tag == "style"]
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    async with house.client() as client:
        policy = (await client.get("/")).headers["content-security-policy"]
        for _, attributes in page.tags:
            file = attributes.get("src") or attributes.get("href") or ""
            if file.startswith("/static/"):
                answer = await client.get(file)
                assert answer.status_code == 200
                assert "immutable" in answer.headers["cache-control"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_every_field_has_a_label_and_every_region_a_name() -> None:
    """For those who hear the page."""
    tags = (await page_of(House(open_status=True))).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    labelled = {attributes.get("for") for tag, attributes in tags if tag == "label"}
    for tag, attributes in tags:
        if tag == "input":
            assert attributes["id"] in labelled
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    assert next(attributes for tag, attributes in tags if tag == "html")["lang"] == "en"
    assert [tag for tag, _ in tags].count("h1") == 1


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_colour_is_legible_on_every_ground(scheme: str) -> None:
    """A contrast of 4.5 or more (WCAG AA), by day and by night."""
    palettes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", part)) for part in STYLE.split("prefers-color-scheme")
    ]
    palette = palettes[0] if scheme == "light" else palettes[1]
    for ground in ("paper", "card"):
        for ink in ("ink", "soft", "good", "warning", "bad"):
            light, dark = sorted((luminance(palette[ground]), luminance(palette[ink])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ground, ink)


@pytest.mark.parametrize(
    ("seconds", "words_"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.18, "0.2 s"),
        (1.4, "1.4 s"),
        (42.4, "42 s"),
        (119, "119 s"),
        (150, "2 min"),
        (7300, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_a_duration_reads_in_one_unit(seconds: float | None, words_: str) -> None:
    """The largest that still says something."""
    assert words.lasting(seconds).replace("\u202f", " ") == words_


@pytest.mark.parametrize(
    ("value", "words_"),
    [
        (None, "–"),
        (0, "0"),
        (-1, "−1"),
        (1234567, "1 234 567"),
        (31.5, "31.5"),
        (0.034, "0.034"),
        (0.5, "0.5"),
        (1234.5, "1 234"),
    ],
)
def test_a_number_reads_in_groups_of_three(value: float | None, words_: str) -> None:
    """With a real minus sign."""
    assert words.number(value).replace("\u202f", " ") == words_


def test_a_moment_in_the_future_is_just_now() -> None:
    """Clocks differ; a negative age would puzzle."""
    assert words.ago("2026-11-23T08:15:03Z", "2026-11-23T08:15:00Z") == "just now"
    assert words.ago(None, "2026-11-23T08:15:00Z") == "never"
