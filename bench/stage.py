"""One org, some storefronts and a contestant; what happened is read off the simulators' own logs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import psutil
from tests.sandbox import OrgSandbox, Sandbox, start_org, start_shop

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
LOOK_SECONDS = 0.1  # between two looks at a contestant's memory


class Contestant(Protocol):
    """Something that keeps storefronts equal to the org."""

    name: str

    def start(self) -> None:
        """Run, and return once it follows the org."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def stop(self) -> None:
        """End it."""
        ...

    def memory_mb(self) -> float:
        """Resident memory now."""
        ...


@dataclass
class Stage:
    """An org with one level per SKU, storefronts that list them, and the logs of both."""

    org: OrgSandbox
    shops: list[Sandbox]
    skus: list[str]
    folder: Path
    _ids: dict[str, str] = field(default_factory=dict)

    def change(self, skus: Sequence[str]) -> None:
        """One receipt of one unit for each SKU, as one commit's worth of a till's records each."""
        if not self._ids:
            rows = self.org.query("SELECT Id, Sku__c FROM StockLevel__c")
            self._ids = {row["Sku__c"]: row["Id"] for row in rows}
        records = [
            {
                "attributes": {"type": "StockMovement__c"},
                "StockLevel__c": self._ids[sku],
                "Kind__c": "Receipt",
                "OnHandDelta__c": 1,
            }
            for sku in skus
        ]
        self.org.control("POST", "/records/create", {"records": records})

    def commits(self, since: int) -> list[tuple[str, int, float]]:
        """(SKU, units available afterwards, epoch ms) of each change in the org after commit `since`."""
        found: list[tuple[str, int, float]] = []
        while True:
            page = self.org.control("GET", f"/log?since={since}")["commits"]
            if not page:
                return found
            since = page[-1]["number"]
            for commit in page:
                for change in commit["changes"]:
                    if change["entity"] == "StockLevel__c" and change["after"]:
                        sku = change["after"]["LevelKey__c"].split("|")[0]
                        found.append((sku, int(change["after"]["Available__c"]), commit["at_ms"]))

    def last_commit(self) -> int:
        """The number of the newest commit."""
        return int(self.org.control("GET", "/log?since=0")["last"])

    def arrivals(self, shop: Sandbox) -> dict[str, list[tuple[float, int]]]:
        """SKU -> (epoch ms, number shown afterwards) of each change at a storefront."""
        shown: dict[str, list[tuple[float, int]]] = {}
        since = 0
        while True:
            page = shop.control("GET", f"/log?since={since}")
            if page["next"] == since:
                return shown
            since = page["next"]
            for row in page["changes"]:
                shown.setdefault(row["sku"], []).append((row["at_ms"], row["after"]))

    def shown(self, shop: Sandbox) -> dict[str, int]:
        """SKU -> number shown now, as far as it was ever written."""
        return {sku: changes[-1][1] for sku, changes in self.arrivals(shop).items()}

    def wrong(self) -> int:
        """How many numbers at storefronts are not the org's."""
        rows = self.org.query("SELECT Sku__c, OnHand__c, Reserved__c FROM StockLevel__c")
        listed = set(self.skus)  # not the level on which sfsync probes the org's rule
        truth = {r["Sku__c"]: int(r["OnHand__c"] - r["Reserved__c"]) for r in rows if r["Sku__c"] in listed}
        shown = [self.shown(shop) for shop in self.shops]
        return sum(numbers.get(sku, 1) != units for numbers in shown for sku, units in truth.items())

    def settled(self, limit_seconds: float) -> float | None:
        """Seconds until every number is right; None when it is not within the limit."""
        began = time.monotonic()
        while time.monotonic() - began < limit_seconds:
            if not self.wrong():
                return time.monotonic() - began
            time.sleep(0.25)
        return None


@contextmanager
def stage(skus: int, shops: int, plan: str, *, org: Sequence[str] = ()) -> Iterator[Stage]:
    """One unit of each SKU everywhere to begin with: nothing is to be done before the first change.

    `org` are further words of the simulated org's command line.
    """
    names = [f"SKU-{number:05d}" for number in range(skus)]
    levels = [{"sku": sku, "location": "ECOM", "on_hand": 1} for sku in names]
    variants = [{"sku": sku, "title": sku, "available": {"Online": 1}} for sku in names]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sfsync-bench-")))
        knobs = ["keepalive_seconds=1"]
        running = stack.enter_context(start_org({"levels": levels}, knobs=knobs, options=org))
        seed = {"locations": ["Online"], "variants": variants}
        made = [
            stack.enter_context(start_shop(seed, options=["--plan", plan, "--name", f"shop{number}"]))
            for number in range(shops)
        ]
        yield Stage(running, made, names, folder)


class _Process:
    """A contestant that is one process."""

    name = ""

    def __init__(self, on: Stage) -> None:
        self._stage = on
        self._process: subprocess.Popen[str] | None = None
        self.peak_before_kill = 0.0
        self._most_together_mb = 0.0

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self.peak_before_kill = self.peak_mb()
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def memory_mb(self) -> float:
        """Resident memory now."""
        if self._process is None:
            return 0.0
        words = ["ps", "-o", "rss=", "-p", str(self._process.pid)]
        return int(subprocess.check_output(words, text=True)) * 1024 / 1e6

    def peak_mb(self) -> float:
        """The most resident memory that it has had, or it and its children together at any moment."""
        if self._process is None or self._process.poll() is not None:
            return 0.0
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return max(self._most_together_mb, int(line.split()[1]) * 1024 / 1e6)
        return 0.0

    def _look_at_family(self, process: subprocess.Popen[str]) -> None:
        """Add up what it and its children hold, again and again while it lives."""
        self._most_together_mb = 0.0
        while process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                held = sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True)))
                self._most_together_mb = max(self._most_together_mb, held / 1e6)
            time.sleep(LOOK_SECONDS)

    def _spawn(self, words: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        log = (self._stage.folder / f"{self.name}.log").open("a")
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env={**os.environ, **env},
        )
        threading.Thread(target=self._look_at_family, args=(process,), daemon=True).start()
        return process


class Glue(_Process):
    """The short script."""

    name = "glue script"

    def start(self) -> None:
        """Ready once it has subscribed."""
        parties = json.dumps([dict(self._stage.org.ready), [dict(shop.ready) for shop in self._stage.shops]])
        self._process = self._spawn(["bench/glue.py", parties], {})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the glue script did not start; see {self._stage.folder}")
        threading.Thread(target=self._process.stdout.read, daemon=True).start()


class Sfsync(_Process):
    """The daemon, with its store and all its promises."""

    name = "sfsync"

    address = ""
    more = ""  # further settings

    def token(self) -> str:
        """The one that the daemon leaves for its own user."""
        return (self._stage.folder / "store.db.token").read_text().strip()

    def start(self, patience_seconds: float = START_SECONDS) -> None:
        """Ready once every channel was compared, approved, and the stream has shown a sign of life."""
        port = _free_port()
        self.address = f"http://127.0.0.1:{port}"
        config = self._stage.folder / "sfsync.toml"
        config.write_text(_config(self._stage, port) + self.more)
        config.chmod(0o600)
        words = ["-m", "sfsync", "run", "--config", str(config), "--approve"]
        self._process = self._spawn(words, {"PYTHONPATH": str(ROOT / "src")})
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            try:
                status = httpx.get(f"http://127.0.0.1:{port}/status.json", trust_env=False).json()
            except (httpx.HTTPError, ValueError):
                status = None
            if (
                status
                and status["stream"]["state"] == "good"
                and all(c["approved"] and c["state"] == "good" for c in status["channels"])
            ):
                return
            time.sleep(0.1)
        raise RuntimeError(f"sfsync did not become green; see {self._stage.folder}")


def _config(on: Stage, port: int) -> str:
    org = on.org.ready
    text = f"""
[salesforce]
login_url = "{org["rest_url"]}"
client_id = "{org["client_id"]}"
client_secret = "{org["client_secret"]}"
pubsub_endpoint = "{org["grpc_tls"]}"
ca_file = "{org["ca_file"]}"
pos_topic = ""
[store]
url = "sqlite:///{on.folder}/store.db"
[web]
port = {port}
open_status = true
[log]
format = "json"
"""
    for number, shop in enumerate(on.shops):
        text += f"""
[channels.shop{number}]
kind = "shopify"
url = "{shop.ready["url"]}"
shop_domain = "{shop.ready["shop_domain"]}"
access_token = "{shop.ready["access_token"]}"
webhook_secret = "{shop.ready["webhook_secret"]}"
[channels.shop{number}.locations.online]
id = "{shop.ready["locations"][0]["id"]}"
sells_from = ["ECOM"]
"""
    return text


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


CONTESTANTS: tuple[type[Sfsync] | type[Glue], ...] = (Sfsync, Glue)
