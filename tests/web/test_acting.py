"""The operator's forms without a script: the same ways out, the same switch, the same care."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.web.kit import OPERATIONS, VIEWER, House, on_page
from tests.web.test_log_in import log_in

from sfsync.domain.incidents import Resolved, Stage, Way, Wish


async def test_an_incident_is_resolved_by_a_form_under_the_name_of_who_has_logged_in() -> None:
    """What belongs to another way is left out: a form without a script cannot hide it."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, OPERATIONS, "Anna Kay")
        page = (await client.get("/incidents/7")).text
        assert re.search(r'name="form" value="(\w+)"', page)
        assert "1 of BAG sold twice" in page
        assert "It stands under your name, Anna Kay" in page
        fields = {"form": form, "way": "wait", "until": "2026-12-05", "location": "MAYFAIR", "refund": "on"}
        sent = await client.post("/incidents/7", data={**fields, "reason": "twelve come", "by": "Nobody"})
        assert sent.status_code == 200
        assert "Done." in sent.text
        fields = {"form": form, "way": "cancel", "refund": "on", "until": "", "reason": "none is left"}
        house.resolutions.answer = Resolved(Stage.REFUSED, "london has sent it")
        refused = await client.post("/incidents/7", data=fields)
        assert refused.status_code == 409
        assert "London has sent it." in refused.text
        assert 'value="none is left"' in refused.text  # nothing that was typed is lost
    until = datetime(2026, 12, 5, 23, 59, 59, tzinfo=UTC)
    assert house.resolutions.asked == [
        (7, Wish(Way.WAIT, "Anna Kay", "twelve come", until=until)),
        (7, Wish(Way.CANCEL, "Anna Kay", "none is left", refund=True)),
    ]


async def test_a_form_that_says_too_little_is_answered_with_what_is_missing() -> None:
    """And nothing is asked of anybody."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, OPERATIONS)
        for fields, words in (
            ({"way": "wait", "until": "", "reason": "x"}, "until"),
            ({"way": "move", "location": "", "reason": "x"}, "location"),
            ({"way": "accept", "reason": " "}, "reason"),
            ({"reason": "x"}, "way"),
        ):
            answer = await client.post("/incidents/7", data={"form": form, **fields})
            assert answer.status_code == 422
            told = re.search(r'role="alert">([^<]+)<', answer.text)
            assert told is not None
            assert words in told[1]
        on_page(await client.get("/incidents/8"), 404, "There is no incident")
    assert house.resolutions.asked == []


async def test_an_edition_is_opened_by_a_form() -> None:
    """The switch says what it will do, and how it stands then."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, OPERATIONS, "Anna Kay")
        assert "Open it everywhere" in (await client.get("/editions/spring")).text
        opened = await client.post("/editions/spring", data={"form": form, "word": "open"})
        assert "spring is open" in opened.text
        assert "Close it everywhere" in opened.text
        assert (await client.post("/editions/spring", data={"form": form})).status_code == 422
        on_page(await client.get("/editions/autumn"), 404, "There is no edition")
    assert house.drops.pressed == [("spring", True, "Anna Kay")]


async def test_nobody_else_acts_by_a_form() -> None:
    """Not without a log-in, not as a viewer, not from another site's form."""
    house = House(open_status=True)
    for path, fields in (
        ("/incidents/7", {"way": "accept", "reason": "x"}),
        ("/editions/spring", {"word": "open"}),
        ("/allocations", {"do": "set", "sku": "BAG", "channel": "london", "units": "1"}),
    ):
        async with house.client() as client:
            assert "Who is asking?" in (await client.get(path)).text
            on_page(await client.post(path, data=fields), 401, "Log in")
            await log_in(client, OPERATIONS)
            on_page(await client.post(path, data=fields), 403, "another log-in")
            on_page(await client.post(path, data={**fields, "form": "x"}), 403, "another log-in")
        async with house.client() as client:
            form = await log_in(client, VIEWER)
            on_page(await client.get(path), 403, "lacks the scope")
            on_page(await client.post(path, data={**fields, "form": form}), 403, "lacks the scope")
    assert (house.resolutions.asked, house.drops.pressed, house.divided.said) == ([], [], [])
