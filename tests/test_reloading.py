"""Settings read again while the house is open: channels follow, and nothing of a wrong file holds."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.flow.kit import House, house

from sfsync.domain.why import Question
from sfsync.flow.policies import Policies
from sfsync.flow.why import HELD_BACK, Why
from sfsync.overview import ReloadService
from sfsync.settings import Problem, Settings, SettingsError

BAG = "BAG-1|ECOM"
SHOP = """
[channels.{name}]
kind = "shopify"
url = "https://{name}.example.com"
shop_domain = "{name}.myshopify.com"
access_token = "an-access-token"
webhook_secret = "a-webhook-secret"
[channels.{name}.locations.online]
id = "1"
sells_from = ["ECOM", "DUBAI"]
"""
BASE = """
[salesforce]
login_url = "https://house.my.salesforce.com"
client_id = "sfsync"
client_secret = "a-client-secret"
""" + "".join(SHOP.format(name=name) for name in ("london", "dubai"))
CAPPED = f"""{BASE}
[[policies]]
skus = ["BAG-*"]
cap = 2
"""


class Desk:
    """The file, as it is read, and what follows it."""

    def __init__(self, h: House) -> None:
        self.text: str | Problem = BASE
        self.held: list[Settings] = []
        self.service = ReloadService(h.ctx, self.read(), self.read, self.held.append)

    def read(self) -> Settings:
        if isinstance(self.text, Problem):
            raise SettingsError([self.text])
        return Settings(**tomllib.loads(self.text))

    async def reload(self, text: str | Problem, *, dry_run: bool = False) -> Any:
        self.text = text
        return await self.service.reload(dry_run=dry_run)


async def test_a_changed_cap_is_followed_by_the_channels_without_a_restart() -> None:
    """Nine bags, then two of them shown, then all again; a dry run changes nothing."""
    async with house({BAG: 9}) as h:
        await h.shows("BAG-1", 9, 9)
        desk = Desk(h)
        assert (await desk.reload(BASE))["changes"] == []
        tried = await desk.reload(CAPPED, dry_run=True)
        assert not tried["applied"]
        assert all(each["live"] for each in tried["changes"])
        assert (h.ctx.assortment.rules, desk.held) == ((), [])
        done = await desk.reload(CAPPED)
        assert done["changes"] == tried["changes"]
        assert done["applied"]
        await h.shows("BAG-1", 2, 2)
        await desk.reload(BASE)
        await h.shows("BAG-1", 9, 9)
        assert len(desk.held) == 2
        await h.until_kept(lambda tx: tx.policies() == h.ctx.assortment.fingerprint())
        await desk.service.stop()


async def test_wrong_settings_are_refused_whole() -> None:
    """Also their good parts; each problem is told with its place and remedy, and what holds stays."""
    async with house({BAG: 9}) as h:
        desk = Desk(h)
        wrong = Problem("sfsync.toml, line 9", "web.port", "is 'many', not a whole number")
        told = await desk.reload(wrong)
        assert told == {
            "dry_run": False,
            "applied": False,
            "changes": [],
            "held": [],
            "problems": [str(wrong)],
        }
        assert desk.held == []
        assert not (await desk.reload(BASE))["changes"]


async def test_what_waits_for_a_restart_is_told_again_until_then() -> None:
    """And is not taken over with what need not wait."""
    async with house({BAG: 9}) as h:
        desk = Desk(h)
        text = CAPPED.replace("https://house.my", "https://other.my") + "[web]\nopen_status = true\n"
        first = await desk.reload(text)
        assert [each["key"] for each in first["changes"] if not each["live"]] == ["salesforce.login_url"]
        assert desk.held[-1].web.open_status
        assert desk.held[-1].salesforce.login_url == "https://house.my.salesforce.com"
        (again,) = (await desk.reload(text))["changes"]
        assert again["key"] == "salesforce.login_url"
        assert len(desk.held) == 1
        await desk.service.stop()


async def test_a_change_of_most_numbers_is_told_and_held_and_the_way_out_is_said() -> None:
    """Thirty bags capped by mistake: the answer says so, before and after; put right, all is as it was."""
    many = {f"BAG-{number:02}|ECOM": 9 for number in range(30)}
    async with house(many) as h:
        await h.shows("BAG-00", 9, 9)
        desk = Desk(h)
        tried = await desk.reload(CAPPED, dry_run=True)
        sentences = [
            f"30 of 30 numbers of {name} would change; held until `sfsync resync --channel {name}`."
            for name in ("dubai", "london")
        ]
        assert [each["sentence"] for each in tried["held"]] == sentences
        assert await h.store.read(lambda tx: tx.holds()) == {}
        done = await desk.reload(CAPPED)
        assert done["held"] == tried["held"]
        assert [each["next"] for each in h.logged if each["event"] == "held back"] == sentences[::-1]
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.shows("BAG-00", 8, 8)
        await h.idle()
        assert h.shops["london"].shelf["BAG-01"] == 9
        await h.until_kept(lambda tx: {each.published for each in tx.channel_levels(["BAG-00"])} == {8})

        answer: Any = await Why(h.ctx).tell(Question("BAG-00", channel="london"))
        (shown,) = answer["channels"]
        assert (shown["shows"], shown["should_show"], shown["held"]) == (8, 8, True)
        leaf = shown["sum"][-1]
        assert (leaf["what"], leaf["units"]) == (HELD_BACK, 6)
        rule, hold = (each["what"] for each in leaf["because"])
        assert rule == "the settings say cap 2, before none"
        assert "30 of 30 numbers of london would change" in hold
        assert "`sfsync resync --channel london`" in hold
        assert hold.endswith("because its ask_above_percent is 20")

        assert (await desk.reload(CAPPED))["held"] == done["held"]
        assert (await desk.reload(BASE))["held"] == []
        h.org.move("BAG-02|ECOM", on_hand=-1)
        await h.shows("BAG-02", 8, 8)
        await desk.service.stop()


async def test_a_sale_between_the_reading_and_the_weighing_of_new_settings_changes_nothing_else() -> None:
    """The bag that was just sold shows one fewer, not the two that the mistaken cap would have it show."""
    many = {f"BAG-{number:02}|ECOM": 9 for number in range(30)}
    async with house(many) as h:
        await h.shows("BAG-00", 9, 9)
        desk = Desk(h)
        policies = Policies(h.ctx)
        desk.text = CAPPED
        await policies.adopt(desk.read().assortment())
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.shows("BAG-00", 8, 8)
        await policies.run()
        assert sorted(await h.store.read(lambda tx: tx.holds())) == ["dubai", "london"]
        assert h.shops["london"].shelf["BAG-00"] == 8
