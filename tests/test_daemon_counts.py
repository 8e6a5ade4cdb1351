"""Stock counts beside a running daemon, over real sockets: a sheet goes in once, and its accuracy is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.test_daemon import Daemon, until, world

HEAD = "sku,location,quantity,counted_at,counted_by\n"


def imported(daemon: Daemon, file: Path, code: int, *options: str) -> Any:
    """What the import says of a file."""
    done = daemon.cli("count", "import", str(file), "--reason", "stock take", "--json", *options)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_sheet_is_counted_once_and_its_bad_rows_are_told(tmp_path: Path) -> None:
    """A row of an unknown SKU and one below nought keep it out; without them it goes in, and only once."""
    with world(tmp_path) as (org, daemon):
        file = tmp_path / "sheet.csv"
        file.write_text("sku,quantity\n")
        done = daemon.cli("count", "import", str(file))
        assert (done.returncode, "the column location is missing" in done.stderr) == (3, True)
        done = daemon.cli("count", "import", str(_sheet(file, ["BAG-1,ECOM,28"])))
        assert (done.returncode, "no daemon answers" in done.stderr) == (3, True)

        daemon.start("--approve")
        daemon.shows("BAG-1", 30)
        rows = ["BAG-1,ECOM,28", "BELT-1,ECOM,30", "SCARF-1,ECOM,31", "GLOVE-1,ECOM,3", "BAG-1,SOHO,-1"]
        _sheet(file, rows)
        told = imported(daemon, file, 1)
        assert [(bad["line"], bad["sku"]) for bad in told["bad"]] == [(5, "GLOVE-1"), (6, "BAG-1")]
        assert "create the stock level" in told["bad"][0]["remedy"]
        assert (told["entered"], org.level("BAG-1|ECOM")["OnHand__c"]) == (0, 30)

        told = imported(daemon, file, 1, "--partial")
        assert (told["entered"], told["again"], told["off"], len(told["bad"])) == (3, 0, 2, 2)
        _sheet(file, rows[:3], told["counts"][0]["counted_at"])
        told = imported(daemon, file, 0)
        assert (told["entered"], told["again"], told["off"]) == (3, 3, 2)
        levels = [org.level(f"{sku}|ECOM")["OnHand__c"] for sku in ("BAG-1", "BELT-1", "SCARF-1")]
        assert levels == [28, 30, 31]
        daemon.shows("BAG-1", 28)
        report = json.loads(daemon.cli("report", "ira", "--json").stdout)
        (line,) = report["rows"]
        assert (line["location"], line["n"], line["missing"], line["found"]) == ("ECOM", 3, 2, 1)
        assert [each["percent"] for each in line["accuracy"]] == [33.3, 66.7, 33.3]
        table = daemon.cli("report", "ira", "--by", "sku", "--csv").stdout.splitlines()
        assert (len(table), table[0].split(",")[:2]) == (4, ["sku", "n"])
        org.move("BELT-1|ECOM", on_hand=-6, kind="Sale")
        sold = json.loads(daemon.cli("report", "sell-through", "--json", "--limit", "1").stdout)["rows"]
        assert [(row["sku"], row["sold"]) for row in sold] == [("BELT-1", 6)]
        assert "BELT-1" in daemon.cli("report", "replenish", "--cover", "200", "--over", "300").stdout
        (first,) = daemon.cli("report", "count-next", "--limit", "1", "--csv").stdout.splitlines()[1:]
        assert first.startswith("SCARF-1,ECOM,")
        assert "off by +1 at the last count" in first
        for name in ("ira", "sell-through", "replenish", "count-next"):
            for option, wrong in (("--location", "NOWHERE"), ("--sku", "NOPE")):
                typed = daemon.cli("report", name, option, wrong)
                assert (typed.returncode, wrong in typed.stderr) == (2, True), typed.stderr
        (row,) = org.query(
            "SELECT Reference__c FROM StockMovement__c WHERE Kind__c = 'Count' AND OnHandDelta__c = 1"
        )
        assert row["Reference__c"] == "stock take; counted by Amina"


def test_counts_in_the_org_are_answered_there_and_a_sheets_counts_join_them(tmp_path: Path) -> None:
    """A clerk's count, a mistyped SKU, a kill, and a sheet: the org has each once, and what was off."""
    with world(tmp_path) as (org, daemon):
        daemon.env["SFSYNC_ORG_COUNTS__EVERY_SECONDS"] = "5"

        def record(number: str) -> Any:
            fields = "Status__c, Expected__c, Variance__c, Message__c"
            return org.query(f"SELECT {fields} FROM StockCount__c WHERE Id = '{number}'")[0]  # noqa: S608 — an id

        bag = org.create("StockCount__c", Sku__c="BAG-1", LocationCode__c="ECOM", Counted__c=28)
        wrong = org.create("StockCount__c", Sku__c="BAG-ONE", LocationCode__c="ECOM", Counted__c=3)
        daemon.start("--approve")
        until(lambda: record(bag)["Status__c"] == "Entered", "the count to be entered")
        until(lambda: record(wrong)["Status__c"] == "Mistake", "the mistake to be told")
        assert (record(bag)["Expected__c"], record(bag)["Variance__c"]) == (30, -2)
        assert "no stock level BAG-ONE|ECOM" in record(wrong)["Message__c"]
        daemon.shows("BAG-1", 28)

        daemon.kill()
        change = {"attributes": {"type": "StockCount__c"}, "Id": wrong, "Sku__c": "SCARF-1", "Counted__c": 31}
        org.control("POST", "/records/update", {"records": [change]})
        daemon.start()
        until(lambda: record(wrong)["Status__c"] == "Entered", "the corrected count to be entered")
        assert record(wrong)["Message__c"] is None
        assert imported(daemon, _sheet(tmp_path / "sheet.csv", ["BELT-1,ECOM,30"]), 0)["entered"] == 1
        fields = "Sku__c, Counted__c, Variance__c, AccurateExact__c, CountedBy__c"
        copies = f"SELECT {fields} FROM StockCount__c WHERE CountKey__c != null"  # noqa: S608 — constants
        until(lambda: len(org.query(copies)) == 1, "the sheet's count to be written to the org")
        (copy,) = org.query(copies)
        assert (copy["Sku__c"], copy["Counted__c"], copy["Variance__c"]) == ("BELT-1", 30, 0)
        assert (copy["AccurateExact__c"], copy["CountedBy__c"]) == (1, "Amina")
        assert [org.level(f"{sku}|ECOM")["OnHand__c"] for sku in ("BAG-1", "SCARF-1")] == [28, 31]
        (line,) = json.loads(daemon.cli("report", "ira", "--json").stdout)["rows"]
        assert (line["n"], line["missing"], line["found"]) == (3, 2, 1)
        parts = json.loads(daemon.cli("check", "--json").stdout)["parts"]
        said = [each["finding"] for part in parts for each in part["findings"]]
        assert "stock counts in the org can be read and answered" in said


def _sheet(file: Path, rows: Any, at: str | None = None) -> Path:
    moment = at or datetime.now(UTC).isoformat(timespec="seconds")
    file.write_text(HEAD + "".join(f"{row},{moment},Amina\n" for row in rows))
    return file
