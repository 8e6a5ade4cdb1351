"""Settings read again while the house is open: channels follow, and nothing of a wrong file holds."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.flow.kit import House, house

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
        assert told == {"dry_run": False, "applied": False, "changes": [], "problems": [str(wrong)]}
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
