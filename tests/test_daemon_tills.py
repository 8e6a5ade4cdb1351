"""A concession beside a running daemon: its report by the command line and by a folder, its levels out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.test_daemon import until, world

HEAD = "Scontrino;Riga;Articolo;Pezzi;Data;Ora;Importo\n"
ROME = ZoneInfo("Europe/Rome")


def test_a_concessions_report_goes_in_once_by_every_way_and_its_levels_come_out(tmp_path: Path) -> None:
    """Bad rows by their line, then the good ones only, then all of it and more by the folder."""
    inbox, out = tmp_path / "in", tmp_path / "out.csv"
    inbox.mkdir()
    with world(tmp_path) as (org, daemon):
        columns = {"receipt": "Scontrino", "line": "Riga", "sku": "Articolo", "quantity": "Pezzi"}
        daemon.env |= {
            "SFSYNC_TILLS__RINASCENTE__LOCATION": "ECOM",
            "SFSYNC_TILLS__RINASCENTE__TIMEZONE": "Europe/Rome",
            "SFSYNC_TILLS__RINASCENTE__COLUMNS": json.dumps({**columns, "date": "Data", "time": "Ora"}),
            "SFSYNC_TILLS__RINASCENTE__DATE_FORMAT": "DD.MM.YYYY",
            "SFSYNC_TILLS__RINASCENTE__SAFETY_STOCK": "1",
            "SFSYNC_TILLS__RINASCENTE__INBOX": str(inbox),
            "SFSYNC_TILLS__RINASCENTE__REST_SECONDS": "1",
            "SFSYNC_TILLS__RINASCENTE__LEVELS_OUT": str(out),
        }
        file = tmp_path / "monday.csv"
        at = (datetime.now(UTC) - timedelta(hours=1)).astimezone(ROME)
        rows = [
            f"{sku};1;{what};{units};{at:%d.%m.%Y;%H:%M:%S};9,00"
            for sku, what, units in (
                ("000815", "BAG-1", 2),
                ("816", "BELT-1", -1),
                ("817", "BGA-1", 1),
                ("818", "BAG-1", "x"),
            )
        ]
        file.write_text(HEAD + "\n".join(rows) + "\n")
        done = daemon.cli("till", "import", "rinascente", str(file))
        assert (done.returncode, "no daemon answers" in done.stderr) == (3, True)

        daemon.start("--approve")
        daemon.shows("BAG-1", 28)  # not the last two of the 30: its till tells afterwards
        done = daemon.cli("till", "import", "rinascente", str(file))
        assert (done.returncode, "2 of 4 rows are bad" in done.stdout) == (1, True), done.stdout + done.stderr
        assert "Nothing was entered. Mend the rows" in done.stdout
        done = daemon.cli("till", "import", "rinascente", str(file), "--partial", "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["entered"], told["again"]) == (1, 2, 0)
        assert [(error["line"], error["kind"]) for error in told["errors"]] == [
            (4, "unknown-level"),
            (5, "wrong"),
        ]
        daemon.shows("BAG-1", 26)
        daemon.shows("BELT-1", 29)

        day = f"{at:%d.%m.%Y}"
        until(lambda: out.exists() and "BAG-1,27" in out.read_text(), "the levels")
        (inbox / "monday.csv").write_text(HEAD + "\n".join(rows[:2]) + f"\n819;1;SCARF-1;3;{day};;27,00\n")
        until((inbox / "done" / "monday.csv").exists, "the file to be read")
        daemon.shows("SCARF-1", 25)
        (inbox / "tuesday.csv").write_text("Scontrino;Articolo\n")
        reasons = inbox / "refused" / "tuesday.csv.txt"
        until(reasons.exists, "the file to be refused")
        assert "the column Pezzi (quantity) is missing" in reasons.read_text()
        until(lambda: [letter["source"] for letter in daemon.letters()] == ["till rinascente"])
        assert [org.level(f"{sku}|ECOM")["OnHand__c"] for sku in ("BAG-1", "BELT-1", "SCARF-1")] == [
            28,
            31,
            27,
        ]
        levels = daemon.cli("till", "levels", "rinascente")
        assert levels.stdout == "sku,available\nSCARF-1,26\nBAG-1,27\nBELT-1,30\n"
        nobody = daemon.cli("till", "import", "printemps", str(file))
        assert (nobody.returncode, "no till of this name" in nobody.stderr) == (3, True)
        (row,) = org.query("SELECT Kind__c, Reference__c FROM StockMovement__c WHERE Kind__c = 'Return'")
        assert row["Reference__c"] == "receipt 816, line 1"
