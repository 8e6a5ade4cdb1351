"""The simulated org and shop as processes of their own, for tests over the real wire.

::

    with start_org({"levels": [{"sku": "BAG-1", "location": "DUBAI", "on_hand": 1}]}) as org:
        org.ready["rest_url"], org.control("POST", "/faults", {"kind": "lock"})

A process ends with its `with` block, stopped by its own id; if the tests themselves are killed, it ends too.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SOURCES = Path(__file__).resolve().parents[1] / "src"
START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running simulator. `ready` is the JSON line it printed: addresses and credentials."""

    process: subprocess.Popen[str]
    ready: Mapping[str, Any]

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Ask the simulator's control port; `AssertionError` with its words when it says no."""
        url = self.ready["control_url"] + path
        answer = httpx.request(method, url, json=body, trust_env=False, timeout=30.0)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


class OrgSandbox(Sandbox):
    """The simulated org, with what people and tills do in it."""

    def arm(self, kind: str, **how: Any) -> None:
        """Arm a fault of the HTTP side for its next requests."""
        self.control("POST", "/faults", {"kind": kind, **how})

    def bus(self, action: str, **how: Any) -> Any:
        """Make something go wrong between commit and subscriber."""
        return self.control("POST", "/bus", {"do": action, **how})["result"]

    def query(self, soql: str, *, deleted: bool = False) -> list[dict[str, Any]]:
        """Records as the org has them, uncounted and without a session."""
        records: list[dict[str, Any]] = self.control("POST", "/query", {"q": soql, "deleted": deleted})[
            "records"
        ]
        return records

    def level(self, key: str) -> dict[str, Any]:
        """The level record with this key."""
        fields = "Id, LevelKey__c, OnHand__c, Reserved__c, Version__c"
        soql = f"SELECT {fields} FROM StockLevel__c WHERE LevelKey__c = '{key}'"  # noqa: S608 — a test's own key
        return self.query(soql)[0]

    def create(self, entity: str, **fields: Any) -> str:
        """Somebody in the org creates a record; its id."""
        record = {"attributes": {"type": entity}, **fields}
        result = self.control("POST", "/records/create", {"records": [record]})[0]
        assert result["success"], result
        return str(result["id"])

    def move(self, key: str, *, on_hand: int = 0, reserved: int = 0, kind: str = "Adjustment") -> str:
        """Somebody in the org enters a movement by hand; its id."""
        return self.create(
            "StockMovement__c",
            StockLevel__c=self.level(key)["Id"],
            Kind__c=kind,
            OnHandDelta__c=on_hand,
            ReservedDelta__c=reserved,
            VersionDelta__c=1,
        )

    def records(self, verb: str, *ids: str) -> Any:
        """Delete, undelete or erase records."""
        return self.control("POST", f"/records/{verb}", {"ids": list(ids)})


@contextmanager
def start_org(
    seed: Mapping[str, Any] | None = None,
    *,
    knobs: Sequence[str] = (),
    options: Sequence[str] = (),
    patience_seconds: float = START_SECONDS,
) -> Iterator[OrgSandbox]:
    """A simulated org; `knobs` are ``name=value``, `options` further words of its command line."""
    words = ["--exit-with-parent", *(word for knob in knobs for word in ("--knob", knob)), *options]
    with _started("sfsync.simulators.org", seed, words, patience_seconds) as (process, ready):
        yield OrgSandbox(process, ready)


@contextmanager
def start_shop(
    seed: Mapping[str, Any] | None = None,
    *,
    knobs: Sequence[str] = (),
    options: Sequence[str] = (),
    patience_seconds: float = START_SECONDS,
) -> Iterator[Sandbox]:
    """A simulated Shopify shop; `options` such as ``--name``, ``--webhook-url``."""
    words = ["--exit-with-parent", *(word for knob in knobs for word in ("--knob", knob)), *options]
    with _started("sfsync.simulators.shopify", seed, words, patience_seconds) as (process, ready):
        yield Sandbox(process, ready)


@contextmanager
def start_receiver(*, options: Sequence[str] = ()) -> Iterator[Sandbox]:
    """A simulated storefront that is told by callbacks."""
    with _started("sfsync.simulators.receiver", None, ["--exit-with-parent", *options]) as (process, ready):
        yield Sandbox(process, ready)


@contextmanager
def start_market(seed: Mapping[str, Any] | None = None, *, knobs: Sequence[str] = ()) -> Iterator[Sandbox]:
    """A simulated Mirakl marketplace."""
    words = ["--exit-with-parent", *(word for knob in knobs for word in ("--knob", knob))]
    with _started("sfsync.simulators.mirakl", seed, words) as (process, ready):
        yield Sandbox(process, ready)


@contextmanager
def start_amazon(seed: Mapping[str, Any] | None = None, *, knobs: Sequence[str] = ()) -> Iterator[Sandbox]:
    """A simulated Amazon store."""
    words = ["--exit-with-parent", *(word for knob in knobs for word in ("--knob", knob))]
    with _started("sfsync.simulators.amazon", seed, words) as (process, ready):
        yield Sandbox(process, ready)


@contextmanager
def start_vendure(
    seed: Mapping[str, Any] | None = None, *, knobs: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[Sandbox]:
    """A simulated Vendure shop with our plugin; `options` such as ``--webhook-url``."""
    words = ["--exit-with-parent", *(word for knob in knobs for word in ("--knob", knob)), *options]
    with _started("sfsync.simulators.vendure", seed, words) as (process, ready):
        yield Sandbox(process, ready)


@contextmanager
def _started(
    module: str,
    seed: Mapping[str, Any] | None,
    words: Sequence[str],
    patience_seconds: float = START_SECONDS,
) -> Iterator[tuple[subprocess.Popen[str], Mapping[str, Any]]]:
    with tempfile.TemporaryDirectory(prefix="sfsync-sandbox-") as folder:
        command = [sys.executable, "-m", module, *words]
        if seed is not None:
            path = Path(folder) / "seed.json"
            path.write_text(json.dumps(seed), encoding="utf-8")
            command += ["--seed", str(path)]
        complaints = Path(folder) / "stderr"
        with complaints.open("w") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=_environment(),
            )
        try:
            yield process, _ready_line(process, complaints, patience_seconds)
        finally:
            _stop(process)


def _environment() -> dict[str, str]:
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": str(SOURCES) if not path else f"{SOURCES}{os.pathsep}{path}"}


def _ready_line(
    process: subprocess.Popen[str], complaints: Path, patience_seconds: float
) -> Mapping[str, Any]:
    assert process.stdout is not None
    deadline = time.monotonic() + patience_seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not selector.select(0.5):
            assert process.poll() is None, f"ended with {process.returncode}: {complaints.read_text()}"
            assert time.monotonic() < deadline, (
                f"not ready in {patience_seconds:g} s: {complaints.read_text()}"
            )
    line = process.stdout.readline()
    assert line, f"ended with {process.wait(STOP_SECONDS)}: {complaints.read_text()}"
    ready: Mapping[str, Any] = json.loads(line)
    return ready


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
