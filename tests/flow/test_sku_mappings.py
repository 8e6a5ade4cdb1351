"""A SKU that the org does not have is entered as the one that it goes by there, once, from then on."""

from __future__ import annotations

from typing import Any

from tests.flow.kit import House, house, total

from sfsync.domain.sku_mapping import Sheet, SkuMapping
from sfsync.flow.letters import Letters
from sfsync.flow.sku_mappings import SkuMappings
from sfsync.ports import told_to

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"


def desk(h: House) -> SkuMappings:
    return SkuMappings(h.ctx, ["milan"], h.supervisor.writer.look_again)


def sheet(*rows: SkuMapping) -> Sheet:
    return Sheet(list(enumerate(rows, 2)), ())


async def give(h: House, *rows: SkuMapping, **how: Any) -> Any:
    how = {"partial": False, "dry_run": False, "yes_change": None, **how}
    return await desk(h).give(sheet(*rows), "Anna Kay", **how)


async def letters_of(h: House) -> list[Any]:
    told: Any = await Letters(h.ctx).told()
    return [item for group in told["causes"] for item in group["items"]]


async def test_a_sale_under_an_old_sku_is_entered_as_the_new_one_once_it_is_mapped() -> None:
    """What waited as a dead letter, and what comes later; given twice it is one sale."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        dubai.shelf["SAC"] = 3
        await h.deliver("dubai", first := dubai.buy("SAC", 2))
        await h.until_kept(lambda tx: tx.dead_letters())
        looked = await give(h, SkuMapping("SAC", "BAG-1"), dry_run=True)
        assert (looked["new"], looked["letters"], looked["applied"]) == (1, 1, False)
        assert await letters_of(h)
        seen: list[tuple[str, int, int | None]] = []
        with told_to(lambda *far: seen.append(far)):
            told = await give(h, SkuMapping("SAC", "BAG-1"))
        assert told["applied"]
        assert seen == [("rows checked", 0, 1), ("dead letters tried again", 0, 1)]
        await h.until(lambda: total(h.org.of("order:")) == (0, 2))
        again = await give(h, SkuMapping("SAC", "BAG-1"))
        assert (again["new"], again["kept"], again["letters"]) == (0, 1, 0)
        await h.deliver("dubai", dubai.buy("SAC"))
        await h.until(lambda: total(h.org.of("order:")) == (0, 3))
        dubai.change(first, open_quantity=0, fulfilled_quantity=2)
        await h.deliver("dubai", first)
        await h.until(lambda: h.org.numbers(BAG) == (3, 1))
        await h.idle()
        assert await letters_of(h) == []
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_the_other_item_of_the_shop_keeps_its_own_number() -> None:
    """The shop took the sale off the item under the old SKU: nothing is taken off the new one's twice."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        dubai.shelf["SAC"] = 3
        await give(h, SkuMapping("SAC", "BAG-1"))
        await h.deliver("dubai", dubai.buy("SAC", 2))
        await h.until(lambda: h.org.numbers(BAG) == (5, 2))
        await h.shows("BAG-1", 3, 3)


async def test_an_item_still_listed_under_the_old_sku_is_named_and_never_written() -> None:
    """Two listings would sell the same five bags twice: a person renames the old one, or takes it away."""
    async with house({BAG: 5}, shelf={"SAC": 3, "BAG-1": 5}) as h:
        await give(h, SkuMapping("SAC", "BAG-1"), SkuMapping("SAC", "BAG-1", "dubai"))
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        assert {shop.shelf["SAC"] for shop in h.shops.values()} == {3}
        listed: Any = {each["channel"]: each["still_listed"] for each in await desk(h).kept()}
        own = [{"channel": name, "location": "online", "shows": 3} for name in ("dubai", "london")]
        assert sorted(map(str, listed[None])) == sorted(map(str, own))
        assert listed["dubai"] == own[:1]


async def test_a_line_stays_what_it_was_found_to_be_when_the_mapping_is_taken_away() -> None:
    """What was entered stays, and goes on; a new sale under the old SKU is a dead letter again."""
    async with house({BAG: 5}) as h:
        dubai = h.shops["dubai"]
        dubai.shelf["SAC"] = 3
        await give(h, SkuMapping("SAC", "BAG-1", "dubai"))
        await h.deliver("dubai", first := dubai.buy("SAC", 2))
        await h.until(lambda: total(h.org.of("order:")) == (0, 2))
        assert await desk(h).remove("SAC", "dubai", "Anna Kay")
        assert not await desk(h).remove("SAC", "dubai", "Anna Kay")
        dubai.change(first, open_quantity=1, taken_quantity=1)
        await h.deliver("dubai", first)
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        await h.deliver("dubai", dubai.buy("SAC"))
        await h.until_kept(lambda tx: tx.dead_letters())
        assert total(h.org.of("order:")) == (0, 1)


async def test_a_tills_sale_under_an_old_sku_waits_and_is_then_entered_as_the_new_one() -> None:
    """Under its own key; also when it comes later, and without a second letter."""
    async with house({BAG: 5}) as h:
        h.org.till("SAC|ECOM", -1, "receipt-1")
        await h.until_kept(lambda tx: tx.dead_letters())
        told = await give(h, SkuMapping("SAC", "BAG-1"))
        assert told["letters"] == 1
        await h.until(lambda: h.org.numbers(BAG) == (4, 0))
        h.org.till("SAC|ECOM", -2, "receipt-2")
        await h.until(lambda: h.org.numbers(BAG) == (2, 0))
        await h.idle()
        assert await letters_of(h) == []


async def test_bad_rows_keep_the_others_out_unless_a_person_says_so() -> None:
    """Told with their lines; of a sheet with a wrong row nothing is kept, or the good rows."""
    async with house({BAG: 5, SCARF: 5}) as h:
        rows = SkuMapping("SAC", "BAG-1"), SkuMapping("FOULARD", "SCARFF"), SkuMapping("SCARF", "BAG-1")
        told = await give(h, *rows)
        assert [each["line"] for each in told["errors"]] == [3, 4]
        assert (told["applied"], await desk(h).kept()) == (False, [])
        assert (await give(h, *rows, partial=True))["applied"]
        (kept,) = await desk(h).kept()
        assert (kept["old"], kept["new"], kept["by"]) == ("SAC", "BAG-1", "Anna Kay")


async def test_a_sheet_of_most_skus_waits_for_the_number_to_be_named() -> None:
    """A column filled down, or the wrong file, looks like any other sheet."""
    stock = {f"SKU-{number}|ECOM": 1 for number in range(30)}
    async with house(stock) as h:
        rows = [SkuMapping(f"OLD-{number}", "SKU-1", "milan") for number in range(25)]
        told = await give(h, *rows)
        assert (told["asks"], told["applied"]) == (True, False)
        assert await desk(h).kept() == []
        assert not (await give(h, *rows, yes_change=24))["applied"]
        assert (await give(h, *rows, yes_change=25))["applied"]


async def test_a_sku_that_the_org_comes_to_have_goes_by_its_own_name() -> None:
    """The mapping rests then, and the list says so."""
    async with house({BAG: 5}) as h:
        await give(h, SkuMapping("SAC", "BAG-1"))
        h.org.add("SAC|ECOM", 4)
        h.org.move("SAC|ECOM", on_hand=0)
        await h.until_kept(lambda tx: tx.levels_of(["SAC"]))
        (kept,) = await desk(h).kept()
        assert kept["rests"]
        dubai = h.shops["dubai"]
        dubai.shelf["SAC"] = 3
        await h.deliver("dubai", dubai.buy("SAC"))
        await h.until(lambda: h.org.numbers("SAC|ECOM") == (4, 1))
        assert h.org.numbers(BAG) == (5, 0)
