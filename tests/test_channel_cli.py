"""`sfsync channel`: the kinds there are, a check, and the webhooks of a simulated store set up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.sandbox import Sandbox, start_shop
from tests.test_daemon_markets import AMAZON, MIRAKL, started
from typer.testing import CliRunner, Result

from sfsync.cli import app

SEED = {
    "locations": ["London"],
    "variants": [{"sku": "BAG-1", "title": "a bag", "available": {"London": 3}}],
}
BASE = "http://127.0.0.1:9"
OURS = f"{BASE}/webhooks/london"
TOPICS = [
    "inventory_levels/update",
    "orders/cancelled",
    "orders/create",
    "orders/fulfilled",
    "orders/partially_fulfilled",
    "orders/updated",
]
CREATE = """mutation($topic: WebhookSubscriptionTopic!, $wanted: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $wanted) { userErrors { message } } }"""
LIST = "{ webhookSubscriptions(first: 50) { nodes { topic uri includeFields } } }"


@pytest.fixture(scope="module")
def shop() -> Iterator[Sandbox]:
    with start_shop(SEED) as sandbox:
        yield sandbox


def settings(folder: Path, shop: Sandbox, **changes: str) -> Path:
    """A settings file for the store."""
    channel = {
        "kind": "shopify",
        "url": shop.ready["url"],
        "shop_domain": shop.ready["shop_domain"],
        "access_token": shop.ready["access_token"],
        "webhook_secret": shop.ready["webhook_secret"],
        **changes,
    }
    rows = "\n".join(f'{key} = "{value}"' for key, value in channel.items())
    text = f"""
[salesforce]
login_url = "https://house.my.salesforce.com"
client_id = "sfsync"
client_secret = "hush hush hush hush"

[channels.london]
{rows}

[channels.london.locations.online]
id = "{shop.ready["locations"][0]["id"]}"
sells_from = ["ECOM"]
"""
    path = folder / "sfsync.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def sfsync(*words: object) -> Result:
    return CliRunner().invoke(app, ["channel", *map(str, words)])


def ask(shop: Sandbox, query: str, **variables: Any) -> Any:
    """Speak to the store as another program with the same app."""
    answer = httpx.post(
        f"{shop.ready['url']}/admin/api/2026-10/graphql.json",
        json={"query": query, "variables": variables},
        headers={"X-Shopify-Access-Token": shop.ready["access_token"]},
        trust_env=False,
        timeout=30,
    ).json()
    assert not answer.get("errors"), answer
    return answer["data"]


def sent(shop: Sandbox) -> list[tuple[str, str]]:
    """What the store says it sends, and where."""
    nodes = ask(shop, LIST)["webhookSubscriptions"]["nodes"]
    by_name = {topic.replace("/", "_").upper(): topic for topic in TOPICS}
    return sorted((by_name.get(node["topic"], node["topic"]), node["uri"]) for node in nodes)


def test_webhooks_are_set_up_once_mended_and_left_alone_when_they_are_right(
    tmp_path: Path, shop: Sandbox
) -> None:
    """A dry run changes nothing; what is stale of ours goes, what is another's stays; twice is once."""
    foreign, old = "http://127.0.0.1:9/crm", "http://127.0.0.1:8/webhooks/london"
    for topic, uri, fields in (
        ("ORDERS_CREATE", foreign, []),
        ("ORDERS_CREATE", old, []),
        ("ORDERS_UPDATED", OURS, ["id"]),
        ("PRODUCTS_UPDATE", OURS, []),
    ):
        ask(shop, CREATE, topic=topic, wanted={"uri": uri, "includeFields": fields})
    before = sent(shop)
    config = settings(tmp_path, shop)

    rehearsed = sfsync("setup", "london", "-c", config, "--address", BASE, "--dry-run", "--json")
    assert rehearsed.exit_code == 1
    told = json.loads(rehearsed.stdout)
    assert told["applied"] is False
    assert sorted((step["act"], step["topic"]) for step in told["steps"]) == sorted(
        [
            *(("create", topic) for topic in TOPICS),
            ("remove", "orders/create"),
            ("remove", "orders/updated"),
            ("remove", "PRODUCTS_UPDATE"),
            ("not ours", "orders/create"),
        ]
    )
    assert sent(shop) == before

    done = sfsync("setup", "london", "-c", config, "--address", f"{BASE}/")
    assert done.exit_code == 0, done.output
    wanted = sorted([*((topic, OURS) for topic in TOPICS), ("orders/create", foreign)])
    assert sent(shop) == wanted
    assert all(not node["includeFields"] for node in ask(shop, LIST)["webhookSubscriptions"]["nodes"])

    again = sfsync("setup", "london", "-c", config, "--address", BASE, "--json")
    assert again.exit_code == 0
    assert {step["act"] for step in json.loads(again.stdout)["steps"]} == {"there", "not ours"}
    assert sent(shop) == wanted
    assert sfsync("setup", "london", "-c", config, "--address", BASE, "--dry-run").exit_code == 0


def test_a_setup_without_an_address_or_to_an_open_one_is_refused(tmp_path: Path, shop: Sandbox) -> None:
    """Nothing is asked of the store; the settings can name the address too."""
    config = settings(tmp_path, shop)
    before = sent(shop)
    for more, words in (([], "web.public_url"), (["--address", "http://stock.example.com"], "https://")):
        told = sfsync("setup", "london", "-c", config, *more)
        assert told.exit_code == 2
        assert words in told.output
    assert sent(shop) == before
    config.write_text(f'{config.read_text()}\n[web]\npublic_url = "{BASE}"\n')
    assert sfsync("setup", "london", "-c", config, "--dry-run", "--json").exit_code in (0, 1)


def test_a_setup_with_a_wrong_credential_says_what_to_look_at(tmp_path: Path, shop: Sandbox) -> None:
    """And tells no secret."""
    config = settings(tmp_path, shop, access_token="shpat_of_nobody")
    told = sfsync("setup", "london", "-c", config, "--address", BASE)
    assert told.exit_code == 3
    assert "access_token" in told.output
    assert "shpat_of_nobody" not in told.output


def test_a_check_tells_every_finding_and_whether_something_is_to_be_mended(
    tmp_path: Path, shop: Sandbox
) -> None:
    """0 all well, 1 to be mended, 2 no such channel."""
    good = sfsync("check", "london", "-c", settings(tmp_path, shop), "--json")
    assert good.exit_code == 0, good.output
    assert {finding["severity"] for finding in json.loads(good.stdout)} == {"good"}
    bad = sfsync("check", "london", "-c", settings(tmp_path, shop, shop_domain="paris.myshopify.com"))
    assert bad.exit_code == 1
    assert "paris.myshopify.com" in bad.output
    unknown = sfsync("check", "londn", "-c", settings(tmp_path, shop))
    assert (unknown.exit_code, "'londn' is none of london" in unknown.output) == (2, True)


def test_the_kinds_that_settings_can_name_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, and a package's with its name; one that cannot be loaded is told with the reason."""
    assert sfsync("kinds").exit_code == 0
    info = tmp_path / "sfsync_kiosk-1.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sfsync-kiosk\nVersion: 1.4\n")
    (info / "entry_points.txt").write_text("[sfsync.channels]\nkiosk = no_such_kiosk:KIOSK\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = sfsync("kinds", "--json")
    assert told.exit_code == 1
    rows = {row["kind"]: row for row in json.loads(told.stdout)}
    assert rows["shopify"] == {"kind": "shopify", "from": "sfsync", "place": "", "problem": ""}
    assert {"amazon", "callback", "mirakl", "shopify", "vendure", "kiosk"} == rows.keys()
    assert rows["kiosk"]["from"] == "sfsync-kiosk 1.4"
    assert "No module named 'no_such_kiosk'" in rows["kiosk"]["problem"]


@pytest.mark.parametrize("kind", ["mirakl", "amazon"])
def test_a_marketplace_has_nothing_to_set_up_and_is_checked_instead(tmp_path: Path, kind: str) -> None:
    """It says how its orders are heard of, needs no address of ours, and tells a wrong key for what it is."""
    with started(kind) as sandbox:
        market = (MIRAKL if kind == "mirakl" else AMAZON).format(**sandbox.ready)
        org = '[salesforce]\nlogin_url = "https://localhost:8443"\nclient_id = "x"\nclient_secret = "hush"\n'
        file = tmp_path / "sfsync.toml"
        file.write_text(org + market)
        file.chmod(0o600)
        told = sfsync("setup", "bazaar", "--config", str(file))
        assert told.exit_code == 0, told.output
        for words in ("Nothing is to be set up at bazaar", "it sends no webhooks", "good"):
            assert words in told.output
        secret = sandbox.ready["api_key" if kind == "mirakl" else "refresh_token"]
        file.write_text((org + market).replace(secret, "x" * 20))
        wrong = sfsync("setup", "bazaar", "--config", str(file), "--json")
        assert wrong.exit_code == 1, wrong.output
        found = json.loads(wrong.stdout)
        assert (found["steps"], found["findings"][0]["severity"]) == ([], "fatal")
