"""A running daemon's channel is given another location's id: as a process, against simulated shops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.test_daemon import Daemon, until, world

BAGS = [f"BAG-{number:02}" for number in range(1, 31)]


def shelf(daemon: Daemon, shop: str, location: str) -> dict[str, int]:
    """What a shop has at one of its locations, by SKU."""
    rows: Any = daemon.shops[shop].control("GET", "/levels")["levels"]
    return {row["sku"]: row["available"] for row in rows if row["location"] == location}


def test_a_changed_location_id_is_noticed_and_nothing_is_written_before_a_person_has_looked(
    tmp_path: Path,
) -> None:
    """The till sells all of a bag; the outlet still offers three, and status, check, why and log say why."""
    levels = [{"sku": sku, "location": "ECOM", "on_hand": 30} for sku in BAGS]
    variants = [
        {"sku": sku, "title": sku, "price": "9.00", "available": {"Online": 0, "Outlet": 3}} for sku in BAGS
    ]
    shop = {"locations": ["Online", "Outlet"], "variants": variants}
    with world(tmp_path, levels=levels, shop=shop) as (org, daemon):
        daemon.env["COLUMNS"] = "250"  # no sentence is cut into lines
        daemon.start()
        full, outlet = dict.fromkeys(BAGS, 30), dict.fromkeys(BAGS, 3)
        until(lambda: [c["levels"] for c in daemon.status()["channels"]] == [30, 30], "the comparison")
        assert "Applied" in daemon.cli("resync", "--yes").stdout
        until(lambda: shelf(daemon, "london", "Online") == full, "all to be shown")
        assert daemon.terminate() == 0

        ids = {each["name"]: each["id"] for each in daemon.shops["london"].ready["locations"]}
        daemon.env["SFSYNC_CHANNELS__LONDON__LOCATIONS__ONLINE__ID"] = ids["Outlet"]
        daemon.start()
        sentence = (
            "london stands at another location (or shop) than before, and 30 of 30 numbers there would "
            "change; nothing is written to it until `sfsync resync --channel london`."
        )
        until(lambda: sentence in daemon.log(), "the reading of the outlet")
        org.move("BAG-01|ECOM", on_hand=-30, kind="Sale")
        until(lambda: shelf(daemon, "dubai", "Online")["BAG-01"] == 0, "Dubai to hear of the sale")
        assert [shelf(daemon, "london", place) for place in ("Online", "Outlet")] == [full, outlet]

        status = daemon.status()
        (london,) = [each for each in status["channels"] if each["name"] == "london"]
        assert (london["state"], london["held"], london["approved"]) == ("bad", 30, False)
        assert status["health"]["state"] == "bad"
        assert sentence in london["sentence"]
        told = daemon.cli("check", "london", "--no-skus").stdout
        assert sentence in told
        assert "sold-out articles too" in told
        why = daemon.cli("why", "BAG-01", "--channel", "london")
        assert (why.returncode, sentence in why.stdout) == (1, True), why.stdout

        stopped = daemon.cli("resync", "--channel", "london", "--yes")
        assert (stopped.returncode, "give --yes-change 30" in stopped.stderr) == (4, True), stopped.stderr
        assert "Applied" in daemon.cli("resync", "--channel", "london", "--yes-change", "30").stdout
        sold_out = full | {"BAG-01": 0}
        until(lambda: shelf(daemon, "london", "Outlet") == sold_out, "the outlet to show what there is")
        assert shelf(daemon, "london", "Online") == full
        until(lambda: daemon.status()["channels"][0]["approved"], "London to be written to again")
        assert daemon.terminate() == 0
