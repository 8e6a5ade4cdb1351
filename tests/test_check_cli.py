"""`sfsync check`: a house that is well, and what an org and a shop lack, each named with its remedy."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox import OrgSandbox, Sandbox, start_market, start_org, start_shop
from typer.testing import CliRunner, Result

from sfsync.app import SystemClock, open_one
from sfsync.cli import app
from sfsync.domain.budget import HourOfCalls
from sfsync.ports import ChannelItem
from sfsync.settings import Settings, load
from sfsync.store import open_store
from sfsync.store.tx import SqlTx

BASE = "https://stock.example.com"
LEVELS = [{"sku": sku, "location": "ECOM", "on_hand": 3} for sku in ("BAG-1", "HAT-1", "BELT-1")]
VARIANTS = [
    {"sku": "BAG-1", "title": "a bag", "available": {"London": 3}},
    {"sku": "HAT-1", "title": "a hat", "available": {"London": 3}},
    {"sku": "BELT-1", "title": "a belt", "available": {"London": 3}},
]


@pytest.fixture(scope="module")
def org() -> Iterator[OrgSandbox]:
    with start_org({"levels": LEVELS}, knobs=["channel_told_by=id"]) as sandbox:
        yield sandbox


@pytest.fixture
def shop() -> Iterator[Sandbox]:
    with start_shop({"locations": ["London"], "variants": VARIANTS}) as sandbox:
        yield sandbox


def settings(folder: Path, org: OrgSandbox, shop: Sandbox, **changes: str) -> Path:
    """A settings file for both, closed to others; `changes` are of the channel."""
    channel = {
        "kind": "shopify",
        "url": shop.ready["url"],
        "shop_domain": shop.ready["shop_domain"],
        "access_token": shop.ready["access_token"],
        "webhook_secret": shop.ready["webhook_secret"],
        **changes,
    }
    rows = "\n".join(f'{key} = "{value}"' for key, value in channel.items())
    path = folder / "sfsync.toml"
    path.write_text(
        f"""
[salesforce]
login_url = "{org.ready["rest_url"]}"
client_id = "{org.ready["client_id"]}"
client_secret = "{org.ready["client_secret"]}"
pubsub_endpoint = "{org.ready["grpc_tls"]}"
ca_file = "{org.ready["ca_file"]}"

[web]
public_url = "{BASE}"

[channels.london]
{rows}

[channels.london.locations.online]
id = "{shop.ready["locations"][0]["id"]}"
sells_from = ["ECOM"]
"""
    )
    path.chmod(0o600)
    return path


def sfsync(*words: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, words)])


def found(result: Result, *severities: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(part, finding) of those that are not good, or of these severities."""
    wanted = severities or ("warning", "fatal")
    return [
        (part["part"], each)
        for part in json.loads(result.stdout)["parts"]
        for each in part["findings"]
        if each["severity"] in wanted
    ]


def test_a_house_in_order_is_told_so_and_its_webhooks_are_mended_on_the_way(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox
) -> None:
    """One warning, which --fix takes away; then every part is looked at and nothing is wrong."""
    config = settings(tmp_path, org, shop)
    first = sfsync("-c", config, "--json")
    assert first.exit_code == 1, first.stdout
    ((part, webhooks),) = found(first)
    assert part == "london"
    assert "create orders/create" in webhooks["finding"]
    assert (webhooks["fixable"], webhooks["fix"]) == (True, "")
    assert "by asking" in webhooks["why"]
    assert webhooks["remedy"] == "sfsync channel setup london"

    mended = sfsync("-c", config, "--fix", "--json")
    assert mended.exit_code == 0
    ((_, finding),) = found(mended)
    assert finding["fix"] == "mended: its webhooks are set up"

    after = sfsync("-c", config, "--json")
    assert after.exit_code == 0
    told = json.loads(after.stdout)
    assert (told["worst"], found(after)) == ("good", [])
    assert [each["part"] for each in told["parts"]] == ["settings", "org", "london"]
    sentences = " ".join(each["finding"] for part in told["parts"] for each in part["findings"])
    for said in (
        "accepts the credentials",
        "clock agrees",
        "StockMovement__c: its 13 fields can be read, and 13 of them filled",
        "the rule refuses a reservation without stock",
        "carries StockMovement__ChangeEvent",
        "3 of 5 entities",
        "API calls:",
        "event deliveries: 0 of 50,000",
        "data storage: 1,024 of 1,024 MB left",
        "holds every access scope",
        "3 SKUs of london have a stock level in the org",
    ):
        assert said in sentences, (said, sentences)
    shown = sfsync("-c", config, "org")
    assert shown.exit_code == 0
    assert "All well." in shown.stdout
    assert "london" not in shown.stdout


def test_skus_that_do_not_fit_together_are_named_with_what_may_come_of_them(
    tmp_path: Path, org: OrgSandbox
) -> None:
    """One that the org does not have, one that two items carry, one sold beyond its stock, one untracked."""
    variants = [
        {"sku": "BAG-1", "title": "a bag", "available": {"London": 3}, "inventory_policy": "CONTINUE"},
        {"sku": "HAT-1", "title": "a hat", "available": {"London": 3}},
        {"sku": "HAT-1", "title": "another hat", "available": {"London": 3}},
        {"sku": "BELT-1", "title": "a belt", "available": {"London": 3}, "tracked": False},
        {"sku": "NEW-1", "title": "who knows", "available": {"London": 9}},
    ]
    with start_shop({"locations": ["London"], "variants": variants}) as shop:
        result = sfsync("-c", settings(tmp_path, org, shop), "london", "--json")
    assert result.exit_code == 4
    told = {each["finding"]: each["severity"] for _, each in found(result)}
    unknown = "one SKU of london is listed and has no stock level anywhere in the org: NEW-1"
    assert (
        told.items()
        >= {
            unknown: "warning",
            "one SKU of london is carried by several items: HAT-1": "fatal",
            "one SKU of london is not tracked by the channel: BELT-1": "fatal",
            "one SKU of london may be sold beyond its stock: BAG-1": "fatal",
        }.items()
    )
    assert all(each["why"] and each["remedy"] for _, each in found(result))


MARKET = """
[channels.bazaar]
kind = "mirakl"
url = "{url}"
api_key = "{api_key}"
{more}

[channels.bazaar.locations.warehouse]
sells_from = ["ECOM"]
"""


@pytest.mark.parametrize(
    ("more", "policy", "named"),
    [
        ("", "", "3 SKUs of bazaar are mirrored there without safety stock: BAG-1, BELT-1, HAT-1"),
        ("safety_stock = 1", "", ""),
        ("", 'skus = ["*"]\nguarantee = "allocated"', ""),
        (
            "safety_stock = 1",
            'skus = ["BAG-*"]\nsafety_stock = 0\nscarce_at = 2\nplentiful_at = 4',
            "one SKU of bazaar is mirrored there without safety stock: BAG-1",
        ),
    ],
    ids=["nothing kept back", "one kept back", "its own units", "nothing kept back of the last ones"],
)
def test_the_last_one_at_a_marketplace_that_takes_plain_numbers_is_a_warning(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox, more: str, policy: str, named: str
) -> None:
    """What is written there may go over a sale that nobody has told of: a unit kept back makes that good."""
    config = settings(tmp_path, org, shop)
    with start_market({"offers": {level["sku"]: 3 for level in LEVELS}}) as market:
        with config.open("a") as file:
            file.write(MARKET.format(**market.ready, more=more))
            file.write(f"[[policies]]\n{policy}\n" if policy else "")
        result = sfsync("-c", config, "bazaar", "--json")
    told = [each for _, each in found(result)]
    assert [each["finding"] for each in told] == ([named] if named else [])
    assert result.exit_code == (1 if named else 0)
    assert all("safety_stock" in each["remedy"] and "sold twice" in each["why"] for each in told)


def test_an_org_that_is_short_of_everything_or_shows_nothing_is_told_apart(
    tmp_path: Path, shop: Sandbox
) -> None:
    """A clock an hour off and few calls; then a user who may not see the set-up; then a wrong secret."""
    with start_org({"levels": LEVELS}, knobs=["daily_api_requests=60"]) as org:
        config = settings(tmp_path, org, shop)
        org.control("POST", "/clock", {"seconds": 3600})
        short = sfsync("-c", config, "org", "--json")
        assert short.exit_code == 4
        told = [each["finding"] for _, each in found(short)]
        assert any("clock is 3" in each and "behind the org's" in each for each in told), told
        assert any(each.startswith("API calls:") and "of 60 used" in each for each in told), told

        org.control("POST", "/knobs", {"daily_api_requests": 100_000, "setup_visible": False})
        hidden = [each["finding"] for _, each in found(sfsync("-c", config, "org", "--json"), "warning")]
        assert "the org does not show which entities its channels of change events carry" in hidden
        assert "the org does not tell how many events it delivers" in hidden

        text = config.read_text().replace(org.ready["client_secret"], "not the secret at all")
        config.write_text(text)
        wrong = sfsync("-c", config, "org", "--json")
        assert wrong.exit_code == 4
        *_, (_, finding) = found(wrong)  # beside the clock, which is told without signing in
        assert "invalid_client" in finding["finding"]
        assert "client_secret" in finding["remedy"]
        assert "not the secret at all" not in wrong.stdout


def test_an_org_without_calls_to_look_with_is_told_as_short_of_them(tmp_path: Path, shop: Sandbox) -> None:
    """By what was heard before they were spent; nothing but the document on standard output."""
    with start_org({"levels": LEVELS}, knobs=["daily_api_requests=12"]) as org:
        config = settings(tmp_path, org, shop)
        command = [sys.executable, "-m", "sfsync", "check", "-c", str(config), "--json", "org"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    (part,) = json.loads(done.stdout)["parts"]
    told = {each["finding"]: each["severity"] for each in part["findings"]}
    (calls,) = (each for each in told if each.startswith("API calls:"))
    assert "of 12 used" in calls
    assert told[calls] != "good"
    assert any(each.startswith("the rest of the org was not looked at") for each in told)
    assert (part["reached"], done.returncode in (1, 4)) == (True, True)
    assert "short of API calls" in done.stderr


def test_a_store_that_cannot_be_read_is_fatal_and_one_to_come_is_not(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox
) -> None:
    """Before the first start there is none; a file that is no database is told with what to do."""
    config = settings(tmp_path, org, shop)
    assert sfsync("-c", config, "settings", "--json").exit_code == 0
    (tmp_path / "var").mkdir()
    Path(load(config, env={}).store_url().removeprefix("sqlite:///")).write_bytes(b"no database" * 999)
    result = sfsync("-c", config, "settings", "--json")
    assert result.exit_code == 4
    ((part, finding),) = found(result)
    assert (part, finding["severity"]) == ("settings", "fatal")
    assert "file is not a database" in finding["finding"]
    assert finding["remedy"].startswith("Put back a backup")


def test_one_part_that_is_away_does_not_hide_the_others(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox
) -> None:
    """A shop that does not answer is exit code 3; the org is examined all the same."""
    config = settings(tmp_path, org, shop, url="http://127.0.0.1:9")
    result = sfsync("-c", config, "--json")
    assert result.exit_code == 3, result.stdout
    told = {part["part"]: part for part in json.loads(result.stdout)["parts"]}
    assert told["london"]["reached"] is False
    assert told["org"]["reached"] is True
    assert sfsync("-c", config, "paris").exit_code == 2


def test_a_secret_file_open_to_everybody_is_closed_when_asked(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox
) -> None:
    """It is told; --fix closes it; the next look has nothing to tell."""
    config = settings(tmp_path, org, shop)
    secret = tmp_path / "london token"
    secret.write_text(shop.ready["access_token"])
    secret.chmod(0o644)
    text = config.read_text()
    config.write_text(
        text.replace(f'access_token = "{shop.ready["access_token"]}"', f'access_token_file = "{secret.name}"')
    )
    ((_, finding),) = found(sfsync("-c", config, "settings", "--json"))
    assert finding["remedy"] == f"chmod 600 {secret}"
    assert sfsync("-c", config, "settings", "--fix").exit_code == 0
    assert secret.stat().st_mode & 0o777 == 0o600
    assert found(sfsync("-c", config, "settings", "--json")) == []


def test_a_receiver_of_alerts_that_may_not_be_called_is_found_before_the_night(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox
) -> None:
    """One in the house's own network, without leave, is fatal; the org need not be asked for that."""
    config = settings(tmp_path, org, shop)
    secret = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    with config.open("a") as file:
        for name, address in (("pager", "https://10.0.0.7/sfsync"), ("desk", "http://127.0.0.1:1/sfsync")):
            file.write(f'[alerts.receivers.{name}]\nurl = "{address}"\nsecret = "{secret}"\n')
        file.write("allow_private = true\n")
    told = sfsync("-c", config, "--json", "alerts")
    assert told.exit_code == 4
    (part,) = json.loads(told.stdout)["parts"]
    assert [(each["severity"], each["finding"].partition(": Cannot")[0]) for each in part["findings"]] == [
        ("fatal", "pager: not called: 10.0.0.7 is in a private network"),
        ("warning", "desk: not reached"),
    ]
    pager, desk = part["findings"]
    assert pager["why"] == desk["why"] == "whoever is to be woken by it hears of no trouble"
    assert "whether its url is right (127.0.0.1)" in desk["remedy"]


def test_settings_without_a_channel_are_not_told_to_be_well(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox
) -> None:
    """Somebody has forgotten the shops, or taken the last one out."""
    config = settings(tmp_path, org, shop)
    config.write_text(config.read_text().partition("[channels.")[0])
    told = sfsync("-c", config, "settings", "--json")
    ((_, finding),) = found(told)
    assert (told.exit_code, finding["finding"]) == (1, "the settings name no channel")
    assert finding["why"]


def test_what_the_store_remembers_is_held_against_what_is_there_now(
    tmp_path: Path, org: OrgSandbox, shop: Sandbox
) -> None:
    """An item that has another name now, an org that is another one, and what a day of calls has cost."""
    config = settings(tmp_path, org, shop)
    loaded = load(config, env={})
    items = asyncio.run(_items(loaded))
    now = datetime.now(UTC)
    hours = [HourOfCalls(now - timedelta(hours=30), 0, 0), HourOfCalls(now - timedelta(hours=1), 79_999, 0)]

    def remember(tx: SqlTx) -> None:
        old = [replace(each, sku="BAG-OLD") if each.sku == "BAG-1" else each for each in items]
        tx.put_items("london", old, {}, now, now, unsure=False)
        tx.bind_org("00D000000000009AAA", now)
        tx.put_calls(hours, 100_000, forget_before=now - timedelta(days=3))

    (tmp_path / "var").mkdir()
    store = open_store(loaded.store_url(), exclusive=True)
    store.write_now(remember)
    asyncio.run(store.close())
    result = sfsync("-c", config, "--json")
    assert result.exit_code == 4
    told = [each["finding"] for _, each in found(result)]
    assert "the store was made with another org, 00D000000000009AAA" in told
    assert "one SKU of london was renamed since sfsync last read them: BAG-OLD → BAG-1" in told
    assert any("79,999 by sfsync used in the last 24 h, of 80,000" in each for each in told), told


async def _items(loaded: Settings) -> list[ChannelItem]:
    channel = open_one("london", loaded.channels["london"], SystemClock())
    try:
        return [item async for page in channel.items() for item in page]
    finally:
        await channel.close()
