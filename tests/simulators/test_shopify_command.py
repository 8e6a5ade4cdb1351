"""The simulated shop as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.sandbox import start_shop

SEED: dict[str, Any] = {
    "locations": ["Online", "Counter"],
    "offline_locations": ["Counter"],
    "variants": [
        {"sku": "BAG-1", "title": "Bag", "price": "1200.00", "available": {"Online": 3, "Counter": 1}},
        {"sku": "PRE-1", "title": "Pre-order", "price": 90, "inventory_policy": "CONTINUE", "tracked": True},
    ],
}
COMMAND = [sys.executable, "-m", "sfsync.simulators.shopify"]
SOURCES = Path(__file__).resolve().parents[2] / "src"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The command with words that it must refuse."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def test_the_ready_line_says_everything_a_client_needs() -> None:
    """Addresses, credentials and locations; and they work."""
    with start_shop(SEED, options=["--name", "dubai", "--plan", "plus"]) as shop:
        ready = shop.ready
        assert ready["ready"] is True
        assert ready["shop_domain"] == "dubai.myshopify.test"
        assert [each["name"] for each in ready["locations"]] == ["Online", "Counter"]
        assert ready["webhook_secret"] == ready["client_secret"]
        with httpx.Client(base_url=ready["url"], trust_env=False) as http:
            asked = {
                "grant_type": "client_credentials",
                "client_id": ready["client_id"],
                "client_secret": ready["client_secret"],
            }
            granted = http.post("/admin/oauth/access_token", json=asked).json()["access_token"]
            for token in (ready["access_token"], granted):
                query = {
                    "query": "{ shop { plan { publicDisplayName } } locations(first: 5) { nodes { id } } }"
                }
                answer = http.post(
                    "/admin/api/2026-10/graphql.json", json=query, headers={"X-Shopify-Access-Token": token}
                ).json()
                assert answer["data"]["shop"]["plan"]["publicDisplayName"] == "Plus"
                assert {each["id"] for each in answer["data"]["locations"]["nodes"]} == {
                    each["id"] for each in ready["locations"]
                }
            assert http.get("/storefront/products/BAG-1").json()["locations"] == {"Online": 3, "Counter": 1}
        assert shop.control("GET", "/log")["changes"] == []


def test_a_restarted_shop_can_keep_its_credentials_and_has_the_same_ids() -> None:
    """Given by option or environment; orders of the second life have ids of their own."""
    options = ["--access-token", "shpat_kept", "--client-id", "kept", "--client-secret", "shpss_kept"]
    lines, orders = [], []
    for _ in range(2):
        with start_shop(SEED, options=options) as shop:
            lines.append(
                {name: value for name, value in shop.ready.items() if name not in ("url", "control_url")}
            )
            answer = httpx.post(shop.ready["url"] + "/storefront/buy", json={"sku": "BAG-1"}, trust_env=False)
            orders.append(answer.json()["id"])
    assert lines[0] == lines[1]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(number: signal.Signals) -> None:
    """With status 0 and nothing on standard error, also with a connection open."""
    with start_shop(SEED) as shop, httpx.Client(base_url=shop.ready["url"], trust_env=False) as http:
        http.get("/storefront/products")
        shop.process.send_signal(number)
        assert shop.process.wait(20) == 0


def test_it_ends_when_its_starter_has_ended() -> None:
    """Nothing is left behind by a test that was killed."""
    starter = f"""
import subprocess, sys
child = subprocess.Popen({COMMAND!r} + ["--exit-with-parent"], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-c", starter],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=True,
    )
    url = json.loads(done.stdout.split(" ", 1)[1])["url"]
    with httpx.Client(trust_env=False) as http:
        for _ in range(200):
            try:
                http.get(url + "/storefront/products", timeout=0.5)
            except httpx.TransportError:
                return
    pytest.fail("the shop outlived its starter")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--knob", "colour=red"], "stale_rows"),
        (["--knob", "stale_rows=some"], "all, first"),
        (["--knob", "bulk_seconds=soon"], "a number"),
        (["--time-scale", "0"], "time scale"),
        (["--seed", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_words_are_refused_by_name(words: list[str], said: str) -> None:
    """Status 2, one line on standard error, nothing started."""
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_every_mistake_of_a_seed_is_told(tmp_path: Path) -> None:
    """With the row and what is wrong in it."""
    rows = [
        {"title": "no sku"},
        {"sku": "A", "available": {"Moon": 1}},
        {"sku": "B", "colour": "red"},
        {"sku": "C", "inventory_policy": "MAYBE"},
    ]
    path = tmp_path / "seed.json"
    path.write_text(json.dumps({"locations": ["Online"], "variants": rows}))
    done = run("--seed", str(path))
    assert done.returncode == 2
    for part in ("variants[0]", "Moon", "colour", "DENY or CONTINUE"):
        assert part in done.stderr


def test_a_taken_port_is_told() -> None:
    """Status 2."""
    with start_shop() as shop:
        done = run("--port", shop.ready["url"].rsplit(":", 1)[1])
        assert done.returncode == 2
        assert "cannot listen" in done.stderr
