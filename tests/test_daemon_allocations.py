"""`sfsync allocation` beside a running daemon, over real sockets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.test_daemon import CONFIG, Daemon, until, world

POLICY = """
[[policies]]
skus = ["BAG-1"]
guarantee = "allocated"
"""


def told(daemon: Daemon, *words: str) -> tuple[int, Any]:
    """The exit code of a command, and what it says as JSON."""
    done = daemon.cli("allocation", *words, "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


def test_units_move_by_hand_and_every_command_says_how_it_went(tmp_path: Path) -> None:
    """Ten of London's bags are to be Dubai's; then London is to have none; then the policy decides again."""
    config = tmp_path / "divided.toml"
    config.write_text(CONFIG.read_text() + POLICY)
    config.chmod(0o600)
    with world(tmp_path) as (org, daemon):
        daemon.config = config
        daemon.start("--approve")
        half = 15
        daemon_shows(daemon, half, half)

        code, moved = told(daemon, "move", "london", "BAG-1", "10", "--to", "dubai")
        assert (code in (0, 1), moved["done"]) == (True, code == 0)
        daemon_shows(daemon, half - 10, half + 10)
        until(lambda: told(daemon, "list", "BAG-1")[0] == 0, "the end of the move")
        code, gone = told(daemon, "withdraw", "london", "BAG-1")
        assert (code in (0, 1), [row["goal"] for row in gone["allocations"]]) == (True, [0, half + 10])
        daemon_shows(daemon, 0, half + 10)  # what was moved to Dubai stands; the others are everybody's
        done = daemon.cli("allocation", "list")
        assert "london" in done.stdout
        assert "set aside" in done.stdout
        until(lambda: int(org.level("BAG-1|ECOM")["Reserved__c"]) == half + 10, "what goes back")

        few = daemon.cli("allocation", "withdraw", "london", "BAG-1", "1")
        assert (few.returncode, "London is to have 0 of BAG-1" in few.stderr) == (3, True)
        none = daemon.cli("allocation", "set", "dubai", "SCARF-1", "1")
        assert (none.returncode, "not divided among channels" in none.stderr) == (3, True)
        for channel in ("london", "dubai"):
            assert told(daemon, "release", channel, "BAG-1")[0] in (0, 1)
        daemon_shows(daemon, half, half)
        assert daemon.terminate() == 0
        assert daemon.cli("allocation", "list").returncode == 3


def daemon_shows(daemon: Daemon, *units: int) -> None:
    """Wait until the shops show these numbers of the bag."""
    until(lambda: daemon.shown("BAG-1") == list(units), f"{units} of the bag")
