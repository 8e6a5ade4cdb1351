"""The daemon as a process, over real sockets: what a shopkeeper relies on, and the bad input it may meet."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.collector import collecting
from tests.sandbox import SOURCES, OrgSandbox, Sandbox, start_org, start_shop
from typer.testing import CliRunner

from sfsync.cli import app
from sfsync.store import open_store

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY / "config" / "demo.toml"
PATIENCE_SECONDS = 40.0
HTTP = httpx.Client(trust_env=False, timeout=20.0)
SKUS = ("BAG-1", "BELT-1", "SCARF-1")
LEVELS = [{"sku": sku, "location": "ECOM", "on_hand": 30} for sku in SKUS]
VARIANTS = [
    {"sku": sku, "title": sku, "price": "9.00", "available": {"Online": 0}} for sku in (*SKUS, "MYSTERY-1")
]
CHANNEL_SECRETS = {
    f"SFSYNC_CHANNELS__{name}__{secret}": "x" * 20
    for name in ("LONDON", "DUBAI")
    for secret in ("ACCESS_TOKEN", "WEBHOOK_SECRET")
}
SEED_SHOP = {"locations": ["Online"], "variants": VARIANTS}


def until(done: Callable[[], Any], what: str = "") -> Any:
    """Wait for a condition of the outside; what it gave."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := done()):
        assert time.monotonic() < end, f"waited {PATIENCE_SECONDS:g} s in vain for {what or done}"
        time.sleep(0.05)
    return found


class Daemon:
    """`sfsync` on one store and one port, run as often as a test likes."""

    def __init__(
        self,
        folder: Path,
        org: OrgSandbox | None,
        shops: Mapping[str, Sandbox],
        port: int,
        config: Path = CONFIG,
    ) -> None:
        self.folder, self.port, self.shops, self.config = folder, port, shops, config
        self.url = f"http://127.0.0.1:{port}"
        self.env = {**os.environ, "PYTHONPATH": str(SOURCES), **_settings(folder, org, shops, port)}
        self.process: subprocess.Popen[bytes] | None = None

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command beside it, in the tests' own process: starting one takes longer than most commands."""
        if self.env.get("COLUMNS") != os.environ.get("COLUMNS"):
            return self.command(*words)  # how wide a terminal is, a program finds out once
        typed = [*words, "--config", str(self.config)]
        done = CliRunner().invoke(app, typed, env=self.env, catch_exceptions=False)
        return subprocess.CompletedProcess(typed, done.exit_code, done.stdout, done.stderr)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command beside it, as a process."""
        command = [sys.executable, "-m", "sfsync", *words, "--config", str(self.config)]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=90, check=False)

    def cli_without_settings(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that reads no settings."""
        command = [sys.executable, "-m", "sfsync", *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=90, check=False)

    def start(self, *words: str) -> None:
        """Run it; returns when it listens."""
        command = [sys.executable, "-m", "sfsync", "run", "--config", str(self.config), *words]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=self.env, stderr=log, stdout=log)
        until(self._listens, "the daemon to listen")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def log(self) -> str:
        """Everything it has said."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def status(self) -> Any:
        """As the status page gets it."""
        return self.asked("/v1/status")

    def asked(self, path: str) -> Any:
        """What it answers there, to the user who started it."""
        headers = {"authorization": f"Bearer {(self.folder / 's.db.token').read_text()}"}
        return HTTP.get(f"{self.url}{path}", headers=headers).json()

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters that the status page shows."""
        found: list[dict[str, Any]] = self.status()["dead_letters"]
        return found

    def shown(self, sku: str) -> list[int]:
        """What the storefronts' own pages say, in order."""
        return [_page(shop, sku) for shop in self.shops.values()]

    def shows(self, sku: str, units: int) -> None:
        """Wait until every storefront shows it."""
        until(lambda: set(self.shown(sku)) == {units}, f"{units} of {sku} at every shop")


def _page(shop: Sandbox, sku: str) -> int:
    answer = HTTP.get(f"{shop.ready['url']}/storefront/products/{sku}")
    return int(answer.json()["available"])


def buy(shop: Sandbox, sku: str, units: int = 1) -> httpx.Response:
    """A shopper pays."""
    body = {"sku": sku, "quantity": units}
    return HTTP.post(f"{shop.ready['url']}/storefront/buy", json=body)


def _settings(
    folder: Path, org: OrgSandbox | None, shops: Mapping[str, Sandbox], port: int
) -> dict[str, str]:
    env = {"STORE__URL": f"sqlite:///{folder / 's.db'}", "WEB__PORT": str(port), "LOG__FORMAT": "json"}
    if org is not None:
        env |= {
            "SALESFORCE__LOGIN_URL": org.ready["rest_url"],
            "SALESFORCE__CLIENT_ID": org.ready["client_id"],
            "SALESFORCE__CLIENT_SECRET": org.ready["client_secret"],
            "SALESFORCE__PUBSUB_ENDPOINT": org.ready["grpc_tls"],
            "SALESFORCE__CA_FILE": org.ready["ca_file"],
        }
    for name, shop in shops.items():
        channel = f"CHANNELS__{name.upper()}"
        env |= {
            f"{channel}__URL": shop.ready["url"],
            f"{channel}__SHOP_DOMAIN": shop.ready["shop_domain"],
            f"{channel}__ACCESS_TOKEN": shop.ready["access_token"],
            f"{channel}__WEBHOOK_SECRET": shop.ready["webhook_secret"],
            f"{channel}__LOCATIONS__ONLINE__ID": shop.ready["locations"][0]["id"],
        }
    return {f"SFSYNC_{name}": text for name, text in env.items()}


def free_port() -> int:
    """A port for later: below those that the system gives to whoever asks for any before it is taken."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def world(
    folder: Path,
    *,
    levels: Sequence[Mapping[str, object]] = LEVELS,
    shop: Mapping[str, object] = SEED_SHOP,
    **org: Any,
) -> Iterator[tuple[OrgSandbox, Daemon]]:
    """An org, two storefronts, and a daemon that is not yet running."""
    port = free_port()
    with ExitStack() as stack:
        running = stack.enter_context(start_org({"levels": levels}, **org))
        shops = {
            name: stack.enter_context(
                start_shop(
                    shop,
                    options=["--name", name, "--webhook-url", f"http://127.0.0.1:{port}/webhooks/{name}"],
                )
            )
            for name in ("london", "dubai")
        }
        daemon = Daemon(folder, running, shops, port)
        try:
            yield running, daemon
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def test_a_first_start_waits_for_a_person_and_then_carries_every_sale_everywhere(tmp_path: Path) -> None:
    """Plan, approval, a till sale, a web sale, bad webhooks, an unknown SKU, and an orderly end."""
    with world(tmp_path) as (org, daemon), collecting() as collector:
        daemon.env["SFSYNC_TELEMETRY__OTLP_ENDPOINT"] = collector.url
        daemon.start()
        until(lambda: [c["levels"] for c in daemon.status()["channels"]] == [4, 4], "the first comparison")
        assert [channel["approved"] for channel in daemon.status()["channels"]] == [False, False]
        plan = daemon.command("resync", "--dry-run")
        assert (plan.returncode, "first start" in plan.stdout) == (1, True)
        assert daemon.shown("BAG-1") == [0, 0]
        _first_plan(daemon, tmp_path / "first.json")
        for sku in SKUS:
            daemon.shows(sku, 30)

        org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
        daemon.shows("BAG-1", 29)
        port, daemon.env["SFSYNC_WEB__PORT"] = daemon.env["SFSYNC_WEB__PORT"], "1"  # changed since the start
        daemon.cli("resync", "--dry-run", "--sku", "BAG-1")
        assert "is not running" not in daemon.cli("status").stdout
        daemon.env["SFSYNC_WEB__PORT"] = port
        names = ["push", "push", "read back", "read back", "read levels", "stock change"]
        until(lambda: names in collector.traces().values(), "one trace from the org to what the shops show")
        for option, typed in (
            ("--sku", "NOPE"),
            ("--location", "NOWHERE"),
            ("--changed-since", "2100-01-01"),
        ):
            wrong = daemon.cli("resync", "--dry-run", option, typed)
            assert (wrong.returncode, typed in wrong.stderr) == (2, True), wrong.stderr
        lately = daemon.cli("resync", "--dry-run", "--changed-since", "5m")
        assert "channel level" in lately.stdout, lately.stderr
        london, dubai = daemon.shops.values()
        assert buy(dubai, "BAG-1", 2).status_code == 201
        daemon.shows("BAG-1", 27)
        level = org.level("BAG-1|ECOM")
        assert (level["OnHand__c"], level["Reserved__c"]) == (29, 2)

        _why(daemon)
        _plan_file(daemon, london, tmp_path / "plan.json")
        _sold_meanwhile(org, daemon, london, tmp_path / "plan.json")
        _killed_amid(daemon, london)
        _watched(daemon)
        _bad_webhooks(daemon, london)
        _unknown_sku(org, daemon, dubai)
        sheet = tmp_path / "renamed.csv"
        _mapping(daemon, sheet)
        assert daemon.terminate() == 0
        assert "stopped" in daemon.log()
        _dead_letters(daemon)
        _mapping_without_a_daemon(daemon, sheet)


def _dead_letters(daemon: Daemon) -> None:
    """By cause, with a verdict; tried again and dropped with a reason, here without a running daemon."""
    listed = daemon.command("dead-letters")
    assert listed.returncode == 1
    for words in ("no stock level: 1 item", "retry  by itself", "delivery not understood: 1 item"):
        assert words in listed.stdout
    causes = json.loads(daemon.cli("dead-letters", "--json").stdout)["causes"]
    groups = sorted(causes, key=lambda group: group["items"][0]["id"])
    letters = [letter for group in groups for letter in group["items"]]
    assert [(group["retry"], letter["source"]) for group, letter in zip(groups, letters, strict=True)] == [
        ("safe", "london"),
        ("by itself", "dubai"),
    ]
    unread, unknown = (str(letter["id"]) for letter in letters)
    assert all(group["means"] and group["why"] for group in groups)
    line = letters[1]["payload"]  # what it holds is a document, not our own program's notation
    assert (line["sku"], line["open_quantity"]) == ("MYSTERY-1", 1)
    assert daemon.cli("dead-letters", "retry", unknown, unread).returncode == 0
    (group,) = json.loads(daemon.cli("dead-letters", "--json").stdout)["causes"]
    (left,) = group["items"]
    assert str(left["id"]) == unknown  # the other waits in the inbox, for the next start
    assert daemon.cli("dead-letters", "retry", "--cause", "bad luck").returncode == 2
    missing = daemon.cli("dead-letters", "drop", "999", "--reason", "a gift")
    assert (missing.returncode, "there is no dead letter 999" in missing.stdout) == (1, True)
    of_cause = "dead-letters", "drop", "--cause", "no stock level", "--reason", "a gift", "--by", "Anna Kay"
    declined = daemon.cli(*of_cause)
    assert (declined.returncode, "1 item of the cause 'no stock level'" in declined.stderr) == (1, True)
    unasked = daemon.cli(*of_cause, "--json")
    assert (unasked.returncode, json.loads(unasked.stdout)) == (1, {"dropped": [], "missing": [], "count": 1})
    dropped = daemon.cli(*of_cause, "--yes")
    assert (dropped.returncode, dropped.stdout) == (0, "1 dropped, and kept in the record.\n")
    again = daemon.cli(*of_cause, "--yes")
    assert (again.returncode, again.stdout) == (0, "There is none of that cause.\n")
    assert daemon.cli("dead-letters", "drop", unknown, *of_cause[2:]).returncode == 2
    assert daemon.cli("dead-letters").stdout == "No dead letters.\n"
    (kept,) = json.loads(daemon.cli("dead-letters", "dropped", "--json").stdout)
    assert (kept["by"], kept["because"], kept["key"]) == ("Anna Kay", "a gift", left["key"])


def _mapping(daemon: Daemon, sheet: Path) -> None:
    """What a sheet would mend is told first; a bad row is told with its line, and keeps all of it out."""
    sheet.write_text("old,new,channel\nMYSTERY-1,BAG-1,\nMYSTERY-2,BAG-7,dubai\n")
    told = daemon.cli("dead-letters", "map", str(sheet), "--apply")
    assert told.returncode == 1
    for words in ("1 of 2 rows is bad", "maps to BAG-7", "--partial"):
        assert words in told.stdout
    looked = daemon.cli("dead-letters", "map", str(sheet), "--partial")
    assert "--apply would map 1 and try 1 dead letter again" in looked.stdout
    assert json.loads(daemon.cli("mapping", "list", "--json").stdout) == []


def _mapping_without_a_daemon(daemon: Daemon, sheet: Path) -> None:
    """Kept in the store, once; listed with who gave it, and removed."""
    assert daemon.cli("dead-letters", "map", str(sheet), "--apply", "--partial").returncode == 1
    sheet.write_text("old,new\nMYSTERY-1,BAG-1\n")
    again = daemon.cli("dead-letters", "map", str(sheet), "--apply")
    assert (again.returncode, "0 mapped, 1 kept before; 0 dead letters" in again.stdout) == (0, True)
    (kept,) = json.loads(daemon.cli("mapping", "list", "--json").stdout)
    assert (kept["old"], kept["new"], kept["channel"], kept["rests"]) == ("MYSTERY-1", "BAG-1", None, False)
    assert {each["channel"] for each in kept["still_listed"]} == {"london", "dubai"}
    listed = daemon.cli("mapping", "list").stdout
    assert "MYSTERY-1" in listed
    assert "still lists it" in " ".join(listed.split())
    assert daemon.cli("mapping", "remove", "MYSTERY-1").returncode == 0
    assert daemon.cli("mapping", "remove", "MYSTERY-1").returncode == 1
    sheet.write_text("old;nwe\n")
    assert "did you mean new?" in daemon.cli("dead-letters", "map", str(sheet)).stderr


def _plan_file(daemon: Daemon, shop: Sandbox, path: Path) -> None:
    """Somebody edits a number at a shop; the plan is looked at in a file, and applied from there."""
    shop.control("POST", "/stock", {"sku": "SCARF-1", "location": "Online", "set": 35})
    planned = daemon.cli("resync", "--dry-run", "--sku", "SCARF-1", "--write", str(path))
    assert (planned.returncode, "changed at the channel" in planned.stdout) == (1, True), planned.stderr
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["channel"], row["shows"], row["target"]) == ("london", 35, 30)
    applied = daemon.cli("resync", "--plan", str(path), "--yes", "--json")
    assert (applied.returncode, json.loads(applied.stdout)["rows_done"]["applied"]) == (0, 1), applied.stderr
    daemon.shows("SCARF-1", 30)
    again = daemon.cli("resync", "--plan", str(path), "--yes")
    assert (again.returncode, "1 row shows what it should already." in again.stdout) == (0, True)
    assert "Refused" not in again.stdout
    assert "on the way" not in again.stdout
    told = daemon.cli("drift", "--json")
    assert json.loads(told.stdout)["checked"]["channels"].keys() == {"london", "dubai"}
    _large_plan(daemon, path)
    path.write_text("{")
    assert daemon.cli("resync", "--plan", str(path)).returncode == 2


def _first_plan(daemon: Daemon, path: Path) -> None:
    """Cut down to one SKU the file opens no shop; whole, it does."""
    daemon.cli("resync", "--dry-run", "--write", str(path))
    whole = json.loads(path.read_text())
    cut = path.with_name("cut.json")
    cut.write_text(json.dumps(whole | {"rows": [row for row in whole["rows"] if row["sku"] == "BELT-1"]}))
    refused = daemon.cli("resync", "--plan", str(cut), "--yes")
    assert (refused.returncode, "the file lacks rows of it" in refused.stdout) == (1, True), refused.stderr
    assert [channel["approved"] for channel in daemon.status()["channels"]] == [False, False]
    assert daemon.shown("BELT-1") == [0, 0]
    applied = daemon.cli("resync", "--plan", str(path), "--yes")
    assert "Applied: 6 rows" in applied.stdout, applied.stderr


def _sold_meanwhile(org: OrgSandbox, daemon: Daemon, shop: Sandbox, path: Path) -> None:
    """What a customer bought between a plan and its applying stays sold."""
    for sku in ("BAG-1", "BELT-1"):
        shop.control("POST", "/stock", {"sku": sku, "location": "Online", "set": 35})
    planned = daemon.cli("resync", "--dry-run", "--write", str(path))
    assert planned.returncode == 1, planned.stderr
    assert buy(shop, "BELT-1", 2).status_code == 201
    until(lambda: org.level("BELT-1|ECOM")["Reserved__c"] == 2, "the sale in the org")
    applied = daemon.cli("resync", "--plan", str(path), "--yes")
    assert "the channel shows 33 by now, not 35" in applied.stdout, applied.stderr
    until(lambda: daemon.shown("BAG-1") == [27, 27])
    until(lambda: daemon.shown("BELT-1") == [33, 28])


def _killed_amid(daemon: Daemon, shop: Sandbox) -> None:
    """The daemon dies while the shop is read; whoever asked waits, and the next start goes on to the end."""
    shop.control("POST", "/faults", {"kind": "delay_before", "seconds": 8, "times": 1_000})
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(daemon.command, "resync", "--cause", "manual-edit", "--yes", "--json")
        until(lambda: daemon.asked("/v1/resync").get("state") == "reading", "the comparison to be under way")
        daemon.kill()
        shop.control("DELETE", "/faults")
        daemon.start()
        ended = waiting.result()
    assert (ended.returncode, json.loads(ended.stdout)["rows_done"]["applied"]) == (0, 1), ended.stderr
    daemon.shows("BELT-1", 28)


def _large_plan(daemon: Daemon, path: Path) -> None:
    """More rows than one request may have: they go in parts, and a wrong one is told by its place."""
    written = json.loads(path.read_text())
    row = written["rows"][0]
    written["rows"] = [{**row, "sku": f"SCARF-{number:04}"} for number in range(3_000)]
    path.write_text(json.dumps(written))
    looked = daemon.cli("resync", "--plan", str(path), "--dry-run")
    assert (looked.returncode, "3,000 channel levels compared" in looked.stdout) == (1, True), looked.stderr
    written["rows"][2_500]["shows"] = "35"
    path.write_text(json.dumps(written))
    wrong = daemon.cli("resync", "--plan", str(path), "--yes")
    assert wrong.returncode == 2
    assert "rows[2500].shows is not a whole number" in " ".join(wrong.stderr.split())


def _watched(daemon: Daemon) -> None:
    """A line a look, a document a look; and on a terminal the whole picture."""
    lines = daemon.cli("status", "--watch", "--looks", "3", "--every", "0.1").stdout.splitlines()
    assert len(lines) == 3
    assert all(re.search(r"rows? a minute; london: due", line) for line in lines), lines
    documents = daemon.cli(
        "status", "--watch", "--looks", "2", "--every", "0.1", "--json"
    ).stdout.splitlines()
    told = [json.loads(each) for each in documents]
    assert [each["channels"][0]["budget"]["unit"] for each in told] == ["points", "points"]
    assert told[0]["ledger"]["calls_outlook"]["most_used"] > 0
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sfsync", "status", "--watch", "--looks", "1", "-c", str(daemon.config)]
    env = {**daemon.env, "TERM": "xterm", "COLUMNS": "160", "LINES": "60"}
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        screen = b""
        with suppress(OSError):  # nobody holds its other end any more
            while chunk := os.read(ours, 65_536):
                screen += chunk
    os.close(ours)
    said = screen.decode(errors="replace")
    assert "API calls in 24 h" in said
    assert "budget left" in said


def _why(daemon: Daemon) -> None:
    """The number of the bag, told from the org's own ledger: as a tree, as JSON, and before any sale."""
    asked = ("why", "BAG-1", "--channel", "dubai")
    until(lambda: "-2  reserved at ECOM" in daemon.cli(*asked).stdout, "the org's answer to be read back")
    people = daemon.cli(*asked)
    assert people.returncode == 0, people.stderr
    for words in ("+29  on hand at ECOM", "-1  sale, by somebody in the org", "-2  reserved at ECOM"):
        assert words in people.stdout
    assert "2  order #1001 of dubai" in people.stdout
    assert "ECOM: 29 on hand, 2 reserved, by 3 movements" in people.stdout
    told = json.loads(daemon.cli("why", "BAG-1", "--json").stdout)
    assert [each["should_show"] for each in told["channels"]] == [27, 27]
    opened = min(cause["at"] for cause in told["channels"][0]["sum"][0]["because"])
    then = json.loads(daemon.cli("why", "BAG-1", "--at", opened, "--json").stdout)
    assert [each["should_show"] for each in then["channels"]] == [30, 30]
    assert daemon.cli("why", "HAT-1").returncode == 3
    assert daemon.cli("why", "BAG-1", "--channel", "paris").returncode == 2


def _bad_webhooks(daemon: Daemon, shop: Sandbox) -> None:
    """Forged: refused. Truncated and signed: taken in, set aside with its reason. The rest goes on."""
    body = json.dumps({"id": 1, "line_items": []}).encode()
    secret = str(shop.ready["webhook_secret"])
    forged = _post(daemon, shop, body, "not the secret", "forged")
    assert forged.status_code == 401
    tampered = _post(daemon, shop, body, secret, "tampered", sent=body + b" ")
    assert tampered.status_code == 401
    assert _post(daemon, shop, body[:20], secret, "cut").status_code == 200
    letter = until(
        lambda: next((one for one in daemon.letters() if one["source"] == "london"), None), "a dead letter"
    )
    assert "cannot be read" in letter["reason"]
    assert letter["advice"]


def _post(
    daemon: Daemon, shop: Sandbox, body: bytes, secret: str, event: str, *, sent: bytes | None = None
) -> httpx.Response:
    signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    headers = {
        "content-type": "application/json",
        "x-shopify-hmac-sha256": signature,
        "x-shopify-topic": "orders/create",
        "x-shopify-shop-domain": str(shop.ready["shop_domain"]),
        "x-shopify-event-id": event,
        "x-shopify-webhook-id": event,
        "x-shopify-api-version": "2026-10",
    }
    return HTTP.post(f"{daemon.url}/webhooks/london", content=sent or body, headers=headers)


def _unknown_sku(org: OrgSandbox, daemon: Daemon, shop: Sandbox) -> None:
    """Sold where the org has no level: set aside by name; the next order goes on."""
    shop.control("POST", "/stock", {"sku": "MYSTERY-1", "location": "Online", "set": 3})
    assert buy(shop, "MYSTERY-1").status_code == 201
    letter = until(
        lambda: next((one for one in daemon.letters() if "MYSTERY-1" in one["reason"]), None), "a dead letter"
    )
    assert letter["source"] == "dubai"
    assert "no stock level" in letter["reason"]
    assert buy(shop, "SCARF-1").status_code == 201
    daemon.shows("SCARF-1", 29)


@pytest.mark.parametrize(("seed", "transport"), [(1, "pubsub"), (2, "cometd")])
def test_killed_at_any_moment_amid_sales_nothing_is_lost_or_doubled(
    tmp_path: Path, seed: int, transport: str
) -> None:
    """SIGKILL and restart while both shops and the till sell; then org = shops, each order line once."""
    chance = random.Random(seed)
    with world(tmp_path) as (org, daemon):
        daemon.env["SFSYNC_SALESFORCE__TRANSPORT"] = transport
        daemon.start("--approve")
        for sku in SKUS:
            daemon.shows(sku, 30)
        sold: list[dict[str, Any]] = []
        till = dict.fromkeys(SKUS, 0)
        for _ in range(3):
            for _ in range(chance.randrange(4, 8)):
                sku = chance.choice(SKUS)
                if chance.random() < 0.3:
                    org.move(f"{sku}|ECOM", on_hand=-1, kind="Sale")
                    till[sku] += 1
                elif (answer := buy(chance.choice(list(daemon.shops.values())), sku)).status_code == 201:
                    sold.append(answer.json())
            # The moment is drawn, not waited for: anywhere between the sale and its arrival at the shops.
            time.sleep(chance.random() * 0.4)
            daemon.kill()
            if chance.random() < 0.7:
                sold.append(buy(daemon.shops["dubai"], "BAG-1").json())
            daemon.start("--approve")
        soql = (
            "SELECT SubjectKey__c, ReservedDelta__c FROM StockMovement__c WHERE SubjectKey__c LIKE 'order:%'"
        )
        until(lambda: len(org.query(soql)) >= len(sold), "every order line in the org")
        until(lambda: all(_agree(org, daemon, sku) for sku in SKUS), "org = shops")
        rows = org.query(soql)
        assert len({row["SubjectKey__c"] for row in rows}) == len(rows) == len(sold)
        for sku in SKUS:
            level = org.level(f"{sku}|ECOM")
            assert level["OnHand__c"] == 30 - till[sku]
        assert sum(org.level(f"{sku}|ECOM")["Reserved__c"] for sku in SKUS) == len(sold)
        assert daemon.terminate() == 0


def test_a_transport_whose_part_is_not_installed_is_told_with_the_remedy(tmp_path: Path) -> None:
    """Exit code 3, and what to install; nothing of the store is held afterwards."""
    hidden = tmp_path / "hidden" / "aiosfstream_ng"
    hidden.mkdir(parents=True)
    name = "aiosfstream_ng"
    (hidden / "__init__.py").write_text(f"raise ModuleNotFoundError('no {name}', name='{name}')\n")
    daemon = Daemon(tmp_path, None, {}, free_port())
    daemon.env |= {"SFSYNC_SALESFORCE__CLIENT_SECRET": "x", "SFSYNC_SALESFORCE__TRANSPORT": "cometd"}
    daemon.env |= CHANNEL_SECRETS
    daemon.env["PYTHONPATH"] = f"{hidden.parent}{os.pathsep}{daemon.env['PYTHONPATH']}"
    done = daemon.command("run")
    assert done.returncode == 3, done.stderr
    assert "sfsync[cometd]" in done.stderr


def _agree(org: OrgSandbox, daemon: Daemon, sku: str) -> bool:
    level = org.level(f"{sku}|ECOM")
    return set(daemon.shown(sku)) == {level["OnHand__c"] - level["Reserved__c"]}


def test_a_configuration_with_three_mistakes_names_all_three_and_starts_nothing(tmp_path: Path) -> None:
    """File, key, remedy; exit code 2."""
    daemon = Daemon(tmp_path, None, {}, free_port())
    text = CONFIG.read_text()
    text = text.replace("port = 8181", "port = 'eighty'").replace(
        'id = "gid://shopify/Location/1"', 'id = "one"', 1
    )
    text = text.replace('guarantee = "gated"', 'guarantee = "golden"')
    config = tmp_path / "bad.toml"
    config.write_text(text)
    secrets = {"SFSYNC_SALESFORCE__CLIENT_SECRET": "x", **CHANNEL_SECRETS}
    env = {name: value for name, value in daemon.env.items() if name != "SFSYNC_WEB__PORT"} | secrets
    command = [sys.executable, "-m", "sfsync", "run", "--config", str(config)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "3 mistakes; nothing was started" in done.stderr
    for key in ("web.port", "locations.online.id", "guarantee"):
        assert key in done.stderr
    assert done.stderr.count("bad.toml") >= 4
    assert not (tmp_path / "s.db").exists()


def test_what_is_wrong_with_the_org_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Unreachable, then a wrong secret, then an inactive rule: each told with a remedy; webhooks are kept."""
    with world(tmp_path) as (org, daemon):
        right = dict(daemon.env)
        daemon.env["SFSYNC_SALESFORCE__LOGIN_URL"] = f"https://localhost:{free_port()}"
        daemon.start("--approve")
        sentence = until(lambda: _sentence(daemon, "does not answer"), "the unreachable org to be told")
        assert "org" in sentence
        shop = daemon.shops["london"]
        secret = str(shop.ready["webhook_secret"])
        assert _post(daemon, shop, b"{}", secret, "kept").status_code == 200  # also while the org is away
        assert daemon.terminate() == 0

        daemon.env |= right | {"SFSYNC_SALESFORCE__CLIENT_SECRET": "wrong"}
        daemon.start("--approve")
        until(
            lambda: _sentence(daemon, "invalid_client|client secret|credential"),
            "the wrong secret to be told",
        )
        assert daemon.terminate() == 0

        _rule_off(org)
        daemon.env |= right
        daemon.start("--approve")
        until(lambda: _sentence(daemon, "is not active"), "the inactive rule to be told")
        daemon.shows("BAG-1", 30)  # numbers are told to the shops all the same
        org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
        daemon.shows("BAG-1", 29)
        assert daemon.terminate() == 0


def _rule_off(org: OrgSandbox) -> None:
    for rule in org.control("GET", "/rules"):
        if rule["active"]:
            org.control("POST", "/rules", {"name": rule["name"], "active": False, "object": rule["object"]})


def _sentence(daemon: Daemon, words: str) -> str:
    health = daemon.status()["health"]
    text = " ".join([health["sentence"], *health["reasons"]])
    return text if health["state"] == "bad" and re.search(words, text, re.IGNORECASE) else ""


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    """The org's metadata is older than we are."""
    source = tmp_path / "salesforce"
    shutil.copytree(REPOSITORY / "salesforce", source)
    (gone,) = source.rglob("SourceVersion__c.field-meta.xml")
    gone.unlink()
    for permissions in source.rglob("*.permissionset-meta.xml"):
        text = permissions.read_text()
        pattern = r"\s*<fieldPermissions>(?:(?!</fieldPermissions>).)*SourceVersion__c.*?</fieldPermissions>"
        permissions.write_text(re.sub(pattern, "", text, flags=re.DOTALL))
    with world(tmp_path, options=["--source", str(source)]) as (_, daemon):
        daemon.start()
        until(lambda: _sentence(daemon, "SourceVersion__c is missing"), "the missing field to be told")
        assert daemon.terminate() == 0


async def test_another_org_than_the_stores_is_refused(tmp_path: Path) -> None:
    """A refreshed sandbox with production's store: nothing is started, and both are named."""
    store = open_store(f"sqlite:///{tmp_path / 's.db'}", exclusive=True)
    await store.write(lambda tx: tx.bind_org("00D000000000099AAA", datetime.now(UTC)))
    await store.close()
    with start_org({"levels": LEVELS}) as org:
        daemon = Daemon(tmp_path, org, {}, free_port())
        daemon.env |= CHANNEL_SECRETS
        done = daemon.command("run")
    assert done.returncode == 3, done.stderr
    assert "00D000000000099AAA" in done.stderr
    assert "store of its own" in done.stderr


def test_orders_in_the_org_count_like_the_storefronts_own_and_with_them_as_one(tmp_path: Path) -> None:
    """A telephone order in the org; a copy of London's order there; its end; and a bag that comes back."""
    with world(tmp_path) as (org, daemon):
        daemon.env |= {
            "SFSYNC_ORG_ORDERS__SELLS_FROM": "ECOM",
            "SFSYNC_ORG_ORDERS__CHANNEL_FIELD": "Type",
            "SFSYNC_ORG_ORDERS__RETURNS_TO": "RETURNS",
        }
        daemon.start("--approve")
        daemon.shows("BAG-1", 30)
        bag = org.create("Product2", Name="Bag", StockKeepingUnit="BAG-1")

        def place(units: int, **fields: Any) -> str:
            number = org.create("Order", EffectiveDate="2026-11-23", **fields)
            org.create("OrderItem", OrderId=number, Product2Id=bag, Quantity=units)
            change(number, Status="Activated")
            return number

        def change(record: str, **fields: Any) -> None:
            body = {"records": [{"Id": record, **fields}]}
            assert org.control("POST", "/records/update", body)[0]["success"]

        telephone = place(2)
        daemon.shows("BAG-1", 28)
        london = daemon.shops["london"]
        order = buy(london, "BAG-1").json()
        daemon.shows("BAG-1", 27)
        copy = place(1, Type="london", OrderReferenceNumber=order["name"])
        change(telephone, Status="Cancelled")
        daemon.shows("BAG-1", 29)
        held = org.query(
            "SELECT SubjectKey__c, ReservedDelta__c FROM StockMovement__c WHERE Kind__c = 'Order'"
        )
        assert sorted(row["ReservedDelta__c"] for row in held) == [1, 2]

        back = org.create("ReturnOrder", Status="Closed", OrderId=copy)
        org.create("ReturnOrderLineItem", ReturnOrderId=back, Product2Id=bag, QuantityReturned=1)
        assert daemon.terminate() == 0
        daemon.start()  # the poll at its start finds the return, which no event tells of
        until(lambda: _on_hand(org, "BAG-1|RETURNS") == 1, "the returned bag")
        daemon.shows("BAG-1", 29)

        release = ("transfer", "move", "RO-1", "BAG-1", "1", "--from", "RETURNS", "--to", "ECOM")
        for _ in range(2):  # told twice, moved once
            told = daemon.cli(*release)
            assert (told.returncode, told.stdout) == (0, "1 of BAG-1 moved: entered in the org.\n"), (
                told.stderr
            )
        daemon.shows("BAG-1", 30)
        sent = daemon.cli("transfer", "send", "T-1", "BAG-1", "2", "--from", "ECOM", "--json")
        assert json.loads(sent.stdout)["state"] == "entered"
        daemon.shows("BAG-1", 28)
        listed = daemon.cli("transfer", "list")
        assert (listed.returncode, "T-1" in listed.stdout) == (1, True)
        assert daemon.cli("transfer", "send", "T-1", "BAG-1", "3", "--from", "ECOM").returncode == 3
        assert daemon.cli("transfer", "lost", "T-1", "BAG-1", "2").returncode == 0
        assert daemon.cli("transfer", "list").stdout == "Nothing is on its way.\n"


def _on_hand(org: OrgSandbox, key: str) -> int | None:
    found = org.query(f"SELECT OnHand__c FROM StockLevel__c WHERE LevelKey__c = '{key}'")  # noqa: S608 — a test's own key
    return int(found[0]["OnHand__c"]) if found else None


def test_a_policy_holds_for_the_products_that_the_org_says_it_holds_for(tmp_path: Path) -> None:
    """Of handbags three are kept back, by the family that the org gives them; a misspelt field is told."""
    with world(tmp_path) as (org, daemon):
        for sku, family in (("BAG-1", "Handbags"), ("BELT-1", "Belts")):
            org.create("Product2", Name=sku, StockKeepingUnit=sku, Family=family)
        daemon.env |= {
            "SFSYNC_PRODUCTS__FIELDS": "Family",
            "SFSYNC_POLICIES": json.dumps(
                [{"skus": ["*"], "fields": {"Family": "Handbags"}, "safety_stock": 3}]
            ),
        }
        daemon.start("--approve")
        daemon.shows("BAG-1", 27)
        daemon.shows("BELT-1", 30)
        daemon.shows("SCARF-1", 30)
        assert daemon.terminate() == 0
        daemon.env["SFSYNC_PRODUCTS__FIELDS"] = "Family,Lin__c"
        daemon.start("--approve")
        until(lambda: "Lin__c" in str(daemon.status()["health"]["reasons"]), "the misspelt field")
        assert "mend [products] in the settings" in daemon.log()
        org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
        daemon.shows("BAG-1", 26)  # by what was read before
        assert daemon.terminate() == 0
