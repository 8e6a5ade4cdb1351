"""Pages that do what commands do: put channels right, deal with dead letters and a boutique's pick-ups."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import httpx
from tests.web.kit import (
    AUDITOR,
    CHECKOUT,
    NOW,
    OPERATIONS,
    SHOP,
    VIEWER,
    House,
    compared,
    letters_told,
    on_page,
    planned,
    waiting_pick_ups,
)
from tests.web.test_log_in import log_in

from sfsync.domain.letters import Cause
from sfsync.domain.reservations import ReservationKind, ReservationLine, ReservationState
from sfsync.domain.resync import Scope
from sfsync.domain.sku_mapping import SkuMapping
from sfsync.domain.stock import LevelKey


def trouble(answer: httpx.Response) -> str:
    found = re.search(r'role="alert">([^<]+)<', answer.text)
    assert found is not None, answer.text
    return found[1]


async def test_a_comparison_is_begun_and_its_plan_looked_at_before_it_is_applied() -> None:
    """All, some SKUs of a channel, or what drift names; the plan is applied by its number."""
    house = House()
    async with house.client() as client:
        form = await log_in(client, OPERATIONS, "Anna Kay")
        assert "Compare now" in (await client.get("/resync")).text
        house.plans.told = compared("reading")
        begun = await client.post(
            "/resync",
            data={"form": form, "do": "compare", "channel": "london", "skus": "BAG\r\n  SIZE 42 \r\n\r\nTIE"},
        )
        assert (begun.status_code, "100 numbers of london" in begun.text.replace("\u202f", "")) == (200, True)
        assert "Apply it" not in begun.text
        await client.post("/resync", data={"form": form, "do": "drift"})
        day = {"form": form, "do": "compare", "cause": "manual-edit", "changed": "24"}
        assert (await client.post("/resync", data=day)).status_code == 200
        assert house.plans.asked == [
            Scope(("BAG", "SIZE 42", "TIE"), ("london",)),
            Scope(("SCARF-07",)),
            Scope(changed_since=NOW - timedelta(days=1), causes=("manual-edit",)),
        ]
        house.plans.told, house.plans.page = compared(), [planned("BAG", 9, 4)]
        plan = await client.get("/resync")
        for words in ("Apply this plan?", "I have looked at the plan", "dubai does not answer", "BAG"):
            assert words in plan.text
        assert "2 calls and 422 points at london" in plan.text.replace("\u202f", "").replace("\xa0", " ")
        assert "after=london&amp;after=SCARF" in plan.text
        done = await client.post("/resync", data={"form": form, "do": "apply", "run": "p1", "looked": "on"})
        assert "It is being applied." in done.text
        old = await client.post("/resync", data={"form": form, "do": "apply", "run": "p0", "looked": "on"})
        assert old.status_code == 409
    assert house.plans.applied == [("p1", None)]


async def test_a_plan_that_changes_too_much_is_applied_only_with_its_number_typed() -> None:
    """The page asks for it, as the command does."""
    house = House()
    house.plans.told, house.plans.page = compared(changes=900), [planned("BAG", 9, 4)]
    async with house.client() as client:
        form = await log_in(client, OPERATIONS)
        sent = {"form": form, "do": "apply", "run": "p1"}
        asked = await client.post("/resync", data=sent)
        assert asked.status_code == 409
        assert "900 of 1,000 numbers at london" in trouble(asked)
        assert 'name="yes_change"' in asked.text
        assert (await client.post("/resync", data={**sent, "yes_change": "9e2"})).status_code == 422
        assert (await client.post("/resync", data={**sent, "yes_change": "899"})).status_code == 409
        assert (await client.post("/resync", data={**sent, "yes_change": "900"})).status_code == 200
        house.plans.busy = True
        assert (await client.post("/resync", data={"form": form, "do": "compare"})).status_code == 409
        house.plans.busy = False
        typed = {"form": form, "do": "compare", "location": "NOWHERE"}
        unknown = await client.post("/resync", data=typed)
        assert (unknown.status_code, "has a name that nobody knows" in trouble(unknown)) == (422, True)
        wrong = await client.post("/resync", data={"form": form, "do": "compare", "channel": "paris"})
        assert wrong.status_code == 422
    assert house.plans.applied == [("p1", 900)]


async def test_chosen_letters_are_tried_again_or_dropped_with_a_reason() -> None:
    """All of a cause at once too; what is kept says why."""
    house = House()
    house.letters.listed = letters_told()
    async with house.client() as client:
        form = await log_in(client, OPERATIONS, "Anna Kay")
        page = (await client.get("/dead-letters")).text
        assert "push:A@o" in page
        assert "201 items" in page
        assert 'href="/dead-letters?cause=item%20refused&amp;after=3"' in page
        tried = await client.post("/dead-letters", data={"form": form, "do": "retry", "letter-1": "on"})
        assert "1 tried again" in tried.text
        kept = await client.post("/dead-letters", data={"form": form, "do": "retry", "letter-3": "on"})
        assert "no. 3: kept" in trouble(kept)
        await client.post("/dead-letters", data={"form": form, "do": "retry", "all": "item refused"})
        gone = {"form": form, "do": "drop", "letter-1": "on", "letter-3": "on", "reason": "a gift"}
        assert "2 dropped" in (await client.post("/dead-letters", data=gone)).text
        assert "Drop all 201" in page.replace("\u202f", " ")
        every = {"form": form, "do": "drop", "all": "item refused", "up_to": "209", "reason": "no season"}
        assert "2 dropped" in (await client.post("/dead-letters", data=every)).text
        assert "up_to" in trouble(await client.post("/dead-letters", data=every | {"up_to": "x"}))
        for fields in (
            {"do": "retry"},
            {"do": "retry", "all": "bad luck"},
            {"do": "drop", "reason": "a gift"},
            {"do": "drop", "letter-1": "on", "reason": " "},
            {},
        ):
            answer = await client.post("/dead-letters", data={"form": form, **fields})
            assert answer.status_code == 422, fields
            assert trouble(answer)
    assert house.letters.asked == [([1], None), ([3], None), ([], Cause.ITEM_REFUSED)]
    assert house.letters.dropped == [([1, 3], "Anna Kay", "a gift")]


async def test_a_sheet_of_skus_is_looked_at_and_then_kept() -> None:
    """A bad row asks for a tick, and too many for their number; a mapping is removed by its button."""
    house = House()
    sheet = "old,new\r\nSAC,BAG-1\r\nX,BAG-9\r\n"
    async with house.client() as client:
        form = await log_in(client, OPERATIONS, "Anna Kay")
        looked = await client.post("/dead-letters", data={"form": form, "do": "look", "sheet": sheet})
        assert looked.status_code == 200
        for words in ("maps to BAG-9", 'name="partial"', "Keep these, and try again", "X,BAG-9"):
            assert words in looked.text
        sent = {"form": form, "do": "map", "sheet": sheet}
        assert "line 3" in trouble(await client.post("/dead-letters", data=sent))
        done = await client.post("/dead-letters", data={**sent, "partial": "on"})
        assert "1 mapped" in done.text
        wrong = await client.post("/dead-letters", data={**sent, "sheet": "old,nwe\n"})
        assert "did you mean new" in trouble(wrong)
        assert (
            "is mapped no longer"
            in (await client.post("/dead-letters", data={"form": form, "do": "unmap", "old": "OLD"})).text
        )
        gone = await client.post("/dead-letters", data={"form": form, "do": "unmap", "old": "X"})
        assert gone.status_code == 404
    rows = [SkuMapping("SAC", "BAG-1"), SkuMapping("X", "BAG-9")]
    assert [(given[0], given[1], given[3]) for given in house.mappings.given] == [
        (rows, "Anna Kay", True),
        (rows, "Anna Kay", False),
        (rows, "Anna Kay", False),
    ]


async def test_a_boutique_says_what_it_has_and_gives_back_what_nobody_fetches() -> None:
    """Each step under the name of who has logged in; the same again is fine."""
    house = House()
    house.desk.granted = waiting_pick_ups()
    async with house.client() as client:
        form = await log_in(client, SHOP, "Ms Kay")
        page = await client.get("/pick-ups?location=KNIGHTSBRIDGE")
        for words in ("Ms Laurent 1", "Handed over", "Give back", "order #1001 · found"):
            assert words in page.text
        # Of whatever it keeps a shop may say that it is not there; what it has found it need not say again.
        assert [page.text.count(f'value="{step}"') for step in ("not-found", "found")] == [4, 3]
        assert house.desk.asked[0]["location"] == "KNIGHTSBRIDGE"

        async def step(number: str, do: str, text: str = "") -> httpx.Response:
            fields = {"form": form, "reservation": number, "do": do, "text": text}
            return await client.post("/pick-ups?location=KNIGHTSBRIDGE", data=fields)

        assert "granted" in (await step("r1", "found")).text
        assert (await step("r1", "found")).status_code == 200
        assert "confirmed" in (await step("r2", "confirm", "#1001")).text
        assert "settled" in (await step("r3", "hand-over", "R-77")).text
        assert "released" in (await step("r2", "release", "never came")).text
        assert "released" in (await step("r4", "not-found")).text
        for answer, status in (
            (await step("r9", "release"), 404),
            (await step("r1", "confirm", " "), 422),
            (await step("r1", "dance"), 422),
            (await step("r1", "release", "x" * 201), 422),
        ):
            assert answer.status_code == status
            assert trouble(answer)
    assert house.desk.granted["r2"].reason == "never came (Ms Kay)"


async def test_a_boutique_sees_what_it_has_not_got_any_more_for_who_comes() -> None:
    """Sold over the counter: the page says what became of it, and what the boutique has to do."""
    house = House()
    gone = "1 of BAG-NOIR|KNIGHTSBRIDGE gave way to sale R-9; its order has 1 at ECOM"
    lost = replace(waiting_pick_ups()["r4"], state=ReservationState.PAID_UNAVAILABLE, reason=gone)
    house.desk.granted = {"r4": replace(lost, found_at=None)}
    async with house.client() as client:
        await log_in(client, SHOP, "Ms Kay")
        page = (await client.get("/pick-ups?location=KNIGHTSBRIDGE")).text
        assert "paid-unavailable" in house.desk.asked[0]["states"]
        assert f"{gone}. Tell the customer" in page
        steps = ("found", "not-found", "hand-over", "release")
        assert [page.count(f'value="{step}"') for step in steps] == [1, 0, 0, 0]


async def test_a_boutique_is_asked_for_what_a_cart_or_a_client_wants_of_its_last_pieces() -> None:
    """Nobody comes for it, and it has a button all the same; of two articles it says which is not there."""
    house = House()
    awaiting, scarf = waiting_pick_ups()["r1"], LevelKey("SCARF", "KNIGHTSBRIDGE")
    paid = replace(awaiting, id="r6", kind=ReservationKind.CART, owner="cart 6", order_reference="#1006")
    paid = replace(paid, expires_at=None, lines=(*awaiting.lines, ReservationLine(scarf, 1)))
    client_s = replace(awaiting, id="r7", kind=ReservationKind.CLIENT, owner="client 7")
    house.desk.granted = {"r6": paid, "r7": client_s}
    async with house.client() as client:
        form = await log_in(client, SHOP, "Ms Kay")
        page = (await client.get("/pick-ups?location=KNIGHTSBRIDGE")).text
        for words in (
            "Is it there?",
            "cart 6",
            "client 7",
            "paid, and waiting for your word",
            "Nobody is waited",
        ):
            assert words in page
        assert [page.count(f'value="{step}"') for step in ("not-found", "found")] == [2, 2]
        assert page.count("<option>SCARF</option>") == 2
        fields = {"form": form, "reservation": "r6", "do": "not-found", "sku": "SCARF"}
        assert (await client.post("/pick-ups?location=KNIGHTSBRIDGE", data=fields)).status_code == 200
    assert house.desk.words == [({"KNIGHTSBRIDGE"}, {"SCARF"})]


async def test_who_may_only_reserve_does_not_speak_for_a_shop() -> None:
    """A checkout's token releases; it has no piece in its hand."""
    house = House()
    house.desk.granted = waiting_pick_ups()
    async with house.client() as client:
        form = await log_in(client, CHECKOUT)
        assert "It is here" not in (await client.get("/pick-ups")).text
        fields = {"form": form, "reservation": "r1", "do": "found"}
        on_page(await client.post("/pick-ups", data=fields), 403, "needs the scope stores")
    assert house.desk.granted["r1"].state is ReservationState.AWAITING_STORE


async def test_nobody_acts_on_these_pages_without_the_right_or_from_another_site() -> None:
    """Not without a log-in, not as a viewer, not from another site's form; an auditor looks."""
    house = House(open_status=True)
    house.plans.told = compared()
    house.letters.listed = letters_told()
    house.desk.granted = waiting_pick_ups()
    for path, fields, act in (
        ("/resync", {"do": "compare"}, "Apply it"),
        ("/dead-letters", {"do": "retry", "letter-1": "on"}, "Try the chosen again"),
        ("/pick-ups", {"do": "release", "reservation": "r2"}, "Give it back"),
    ):
        async with house.client() as client:
            assert "Who is asking?" in (await client.get(path)).text
            on_page(await client.post(path, data=fields), 401, "Log in")
            await log_in(client, OPERATIONS)
            assert act in (await client.get(path)).text
            on_page(await client.post(path, data=fields), 403, "another log-in")
            on_page(await client.post(path, data={**fields, "form": "x"}), 403, "another log-in")
        async with house.client() as client:
            form = await log_in(client, VIEWER)
            on_page(await client.get(path), 403, "lacks the scope")
            on_page(await client.post(path, data={**fields, "form": form}), 403, "lacks the scope")
        async with house.client() as client:
            form = await log_in(client, AUDITOR)
            seen = await client.get(path)
            assert (seen.status_code, act in seen.text) == (200, False)
            on_page(await client.post(path, data={**fields, "form": form}), 403, "lacks the scope")
    assert (house.plans.asked, house.letters.asked) == ([], [])
    assert house.desk.granted["r2"].state is ReservationState.GRANTED
