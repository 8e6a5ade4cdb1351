"""`python -m sfsync.simulators.org`: it starts, says where it is, and ends when told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.sandbox import SOURCES, start_org
from tests.simulators.org_kit import OrgClient

from sfsync.simulators.org.command import default_source, parse_latency
from sfsync.simulators.org.engine import Latency

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCES)}
COMMAND = [sys.executable, "-m", "sfsync.simulators.org"]


def test_the_ready_line_tells_where_everything_is() -> None:
    """Addresses, CA and credentials; the private keys are for the owner's eyes only."""
    with start_org() as org:
        wanted = {"ready", "rest_url", "http_url", "grpc", "grpc_tls", "control_url", "ca_file"}
        assert wanted | {"org_id", "client_id", "client_secret", "username"} <= set(org.ready)
        folder = Path(org.ready["ca_file"]).parent
        assert {path.stat().st_mode & 0o077 for path in folder.glob("*.key")} == {0}
        for url in ("http_url", "control_url"):
            assert httpx.get(org.ready[url] + "/", trust_env=False).status_code in (200, 404)
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    """Exit code 0, also with a client still connected."""
    with start_org() as org:
        client = OrgClient(org.ready)
        assert client.call("GET", "/limits").status_code == 200
        org.process.send_signal(number)
        assert org.process.wait(10.0) == 0
        client.http.close()


def test_it_ends_with_its_parent_when_asked_to() -> None:
    """Standard input closed is the sign."""
    with start_org() as org:
        assert org.process.stdin is not None
        org.process.stdin.close()
        assert org.process.wait(10.0) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--source", "/nowhere"], "sfdx-project.json"),
        (["--knob", "nothing=1"], "no knob 'nothing'"),
        (["--knob", "lonely"], "name=value"),
        (["--latency", "dance=1"], "latency is none, office, live, or has read, write and commit"),
        (["--seed", "/nowhere.json"], "/nowhere.json"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_started(words: list[str], told: str) -> None:
    """Exit code 2 with the reason, no ready line."""
    done = subprocess.run(
        [*COMMAND, *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


@pytest.mark.parametrize(
    ("seed", "told"),
    [
        ({"stock": []}, "levels and records"),
        ({"levels": [{"sku": "A"}]}, "a level has sku, location"),
        ({"levels": [{"sku": "A", "location": "L"}] * 2}, "duplicate value"),
        ({"records": {"Nothing__c": []}}, "no object Nothing__c"),
        ({"records": {"Product2": [{"Colour": "red"}]}}, "No such column 'Colour'"),
        ({"levels": [{"sku": "A", "location": "L", "on_hand": 1, "reserved": 2}]}, "SFSYNC_INSUFFICIENT"),
    ],
)
def test_a_seed_that_does_not_fit_is_refused(tmp_path: Path, seed: dict[str, object], told: str) -> None:
    """By the same rules as any record, naming the one that failed."""
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(seed), encoding="utf-8")
    done = subprocess.run(
        [*COMMAND, "--seed", str(path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr


def test_a_seed_is_history_and_fills_the_org() -> None:
    """Levels with stock and reservations, other records, and no event for any of it."""
    levels = [{"sku": f"S{number}", "location": "L", "on_hand": number} for number in range(3_000)]
    levels.append({"sku": "BAG", "location": "L", "unit": "7", "on_hand": 2, "reserved": 1})
    with start_org({"levels": levels, "records": {"Product2": [{"Name": "Bag"}]}}) as org:
        assert org.level("S2999|L")["OnHand__c"] == 2999.0
        bag = org.level("BAG|L|7")
        assert (bag["OnHand__c"], bag["Reserved__c"], bag["Version__c"]) == (2.0, 1.0, 2.0)
        assert org.query("SELECT Name FROM Product2")[0]["Name"] == "Bag"
        assert org.control("GET", "/log")["commits"] == []
        assert org.control("GET", "/bus")["topics"] == {}


def test_the_same_seed_gives_the_same_ids_and_credentials() -> None:
    """A failure seen once can be seen again."""
    seen = []
    for _ in range(2):
        with start_org({"levels": [{"sku": "A", "location": "L"}]}, options=["--random-seed", "5"]) as org:
            seen.append((org.ready["client_secret"], org.level("A|L")["Id"]))
    assert seen[0] == seen[1]


def test_latency_is_read_in_milliseconds() -> None:
    """One number for all three, or each by its name."""
    assert parse_latency("") == Latency()
    assert parse_latency("5") == Latency(0.005, 0.005, 0.005)
    assert parse_latency("read=1,write=20.5") == Latency(0.001, 0.0205, 0.0)
    for wrong in ("read=fast", "read=-1", "write=nan"):
        with pytest.raises(ValueError, match="takes milliseconds"):
            parse_latency(wrong)


def test_a_latency_profile_is_chosen_by_name() -> None:
    """From an org that answers at once to one that is far away; each slower than the one before."""
    none, office, live = (parse_latency(name) for name in ("none", "office", "live"))
    assert none == Latency()
    assert none.write < office.write < live.write
    with start_org(options=["--latency", "office"]) as org:
        assert org.control("GET", "/")["commits"] == 0


def test_our_own_source_is_found_without_being_named() -> None:
    """In a checkout it stands beside the code."""
    assert (default_source() / "sfdx-project.json").is_file()


def test_an_org_with_a_state_file_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The same records, bin, rules, sessions and stream; new ids, keys and commit numbers."""
    options = ["--state", str(tmp_path / "org.json")]
    seed = {"levels": [{"sku": "A", "location": "L", "on_hand": 3}]}
    with start_org(seed, options=options) as first:
        client = OrgClient(first.ready)
        moved = client.move("A|L", on_hand=2).json()["id"]
        deleted = client.move("A|L", on_hand=9).json()["id"]
        assert client.call("DELETE", f"/sobjects/StockMovement__c/{deleted}").status_code == 204
        first.control("POST", "/rules", {"name": "Reservation_needs_stock", "active": False})
        first.control("POST", "/clock", {"seconds": 500})
        authorization = client.http.headers["Authorization"]
        before, stream = first.control("GET", "/"), first.control("GET", "/bus")
        client.http.close()
    assert (tmp_path / "org.json").stat().st_mode & 0o077 == 0
    with start_org(seed, options=options) as second:
        assert second.level("A|L")["OnHand__c"] == 5.0
        after = second.control("GET", "/")
        assert (after["org_id"], after["commits"]) == (before["org_id"], before["commits"])
        assert after["now_ms"] >= before["now_ms"]
        assert second.control("GET", "/bus")["last_replay_id"] == stream["last_replay_id"]
        assert second.control("GET", "/bus")["topics"] == stream["topics"]
        client = OrgClient(second.ready)
        client.http.headers["Authorization"] = authorization
        assert client.move("A|L", reserved=50, kind="Cart").status_code == 201
        assert second.records("undelete", deleted)[0]["success"]
        assert second.level("A|L")["OnHand__c"] == 14.0
        assert client.move("A|L", on_hand=1).json()["id"] not in (moved, deleted)
        last = second.control("GET", "/log")["commits"]
        assert [each["number"] for each in last] == [before["commits"] + 1 + each for each in range(3)]
        client.http.close()


def test_a_state_of_another_org_is_refused(tmp_path: Path) -> None:
    """Or a file that is no state at all: exit code 2, and the file is left alone."""
    path = tmp_path / "org.json"
    for content in ("{}", '{"version": 1, "org_id": "00D000000000000AAA"}', "nonsense"):
        path.write_text(content, encoding="utf-8")
        words = [*COMMAND, "--state", str(path)]
        done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert str(path) in done.stderr
        assert path.read_text(encoding="utf-8") == content
