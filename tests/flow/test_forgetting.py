"""A channel that was taken out of the settings: told by its name, and ended by a person's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.flow.kit import House, house
from typer.testing import CliRunner

from sfsync.cli import app
from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.left_channel import LeftChannel
from sfsync.flow.forgetting import Forgetting, look
from sfsync.overview import Overview

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"
ACCEPTED = PolicyRule(("*",), exposure_accepted=True)
WHO = "Anna Kay", "the site is closed"


async def without_dubai(h: House) -> None:
    """Dubai has sold a scarf and something that nobody knows; then it leaves the settings."""
    dubai = h.shops["dubai"]
    dubai.shelf["MYSTERY"] = 1
    await h.deliver("dubai", dubai.buy("SCARF"))
    await h.deliver("dubai", dubai.buy("MYSTERY"))
    await h.until_kept(lambda tx: tx.dead_letters())
    await h.idle()
    await h.stop()
    h.taken_out = h.shops.pop("dubai")  # type: ignore[attr-defined]  # only these tests bring it back
    await h.start()
    await h.idle()


async def told(h: House) -> Any:
    kinds = dict.fromkeys(h.shops, "shopify")
    return await Overview(h.store, h.ctx.assortment, h.clock, kinds, h.pulse).status()


async def test_a_channel_that_was_taken_out_is_named_with_what_is_kept_of_it() -> None:
    """Its numbers, its letter, its open orders; nothing mends itself there, so a person is told."""
    async with house({BAG: 6, SCARF: 6}, rules=(ACCEPTED,)) as h:
        assert (await told(h))["channels_left"] == []
        await without_dubai(h)
        status = await told(h)
        (left,) = status["channels_left"]
        assert (left["name"], left["dead_letters"], left["set_aside"]) == ("dubai", 1, 0)
        assert left["numbers"] >= 2
        assert left["open_lines"] == 2
        assert LeftChannel(**left).sentence in status["health"]["reasons"]


async def test_a_forgotten_channel_leaves_its_orders_and_comes_back_as_a_new_one() -> None:
    """Its letter is in the record with a name and a reason; its customer's scarf stays reserved."""
    async with house({BAG: 6, SCARF: 6}, rules=(ACCEPTED,)) as h:
        assert (await Forgetting(h.ctx).forget("dubai", *WHO)).problem == "in-settings"
        await without_dubai(h)
        assert (await Forgetting(h.ctx).forget("paris", *WHO)).problem == "unknown-channel"
        gone = await Forgetting(h.ctx).forget("dubai", *WHO)
        assert (gone.problem, gone.left and gone.left.dead_letters) == ("", 1)
        status = await told(h)
        assert [each for each in status["health"]["reasons"] if "dubai" in each] == []
        assert h.org.numbers(SCARF) == (6, 1)
        (dropped,) = await h.store.read(lambda tx: tx.dropped_letters())
        assert (dropped.letter.source, dropped.by, dropped.because) == ("dubai", *WHO)
        assert (await Forgetting(h.ctx).forget("dubai", *WHO)).problem == "unknown-channel"
        await h.stop()
        h.shops["dubai"] = h.taken_out  # type: ignore[attr-defined]  # as above
        h.approve = False
        await h.start()
        assert not await h.store.read(lambda tx: tx.approved("dubai"))


async def test_units_that_are_set_aside_for_it_are_withdrawn_before_it_is_forgotten() -> None:
    """Its site may still show them: forgotten, nobody would know any more how many."""
    divided = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
    async with house({BAG: 6, SCARF: 6}, rules=(divided, ACCEPTED)) as h:
        await h.shows("BAG-1", 3, 3)
        await without_dubai(h)
        refused = await Forgetting(h.ctx).forget("dubai", *WHO)
        assert (refused.problem, "3 units are still set aside" in refused.detail) == ("still-set-aside", True)
        assert (
            refused.left == (await h.store.read(lambda tx: look(tx, "dubai", h.ctx.assortment.channels))).left
        )


async def test_it_is_forgotten_without_a_daemon_too_and_only_when_somebody_says_yes() -> None:
    """By the command line, on the store alone."""
    async with house({BAG: 6, SCARF: 6}, rules=(ACCEPTED,)) as h:
        await without_dubai(h)
        await h.stop()
        config = settings(h.folder)

        def forget(name: str, *words: str) -> tuple[int, str]:
            asked = [
                "channel",
                "forget",
                name,
                "--reason",
                WHO[1],
                "--by",
                WHO[0],
                "--config",
                str(config),
                *words,
            ]
            found = CliRunner().invoke(app, asked)
            return found.exit_code, found.output

        code, said = forget("dubai")
        assert (code, "give --yes" in said) == (1, True)
        assert forget("london", "--yes")[0] == 2
        assert forget("paris", "--yes")[0] == 1
        code, said = forget("dubai", "--yes")
        assert (code, said.splitlines()[0].startswith("dubai is forgotten: ")) == (0, True)
        assert "2 lines of its orders hold units on" in said
        assert forget("dubai", "--yes")[0] == 1
        await h.start()


def settings(folder: Path) -> Path:
    """Settings with London alone, on the house's store; nobody listens at the port."""
    file = folder / "sfsync.toml"
    file.write_text(
        f"""
[salesforce]
login_url = "http://127.0.0.1:9"
client_id = "key"
client_secret = "secret"
pubsub_endpoint = "127.0.0.1:9"

[store]
url = "sqlite:///{folder / "s.db"}"

[web]
port = 9

[channels.london]
kind = "shopify"
url = "http://127.0.0.1:9"
shop_domain = "london.myshopify.com"
access_token = "token"
webhook_secret = "secret"

[channels.london.locations.online]
id = "gid://shopify/Location/1"
sells_from = ["ECOM"]
"""
    )
    file.chmod(0o600)
    return file
