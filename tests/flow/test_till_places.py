"""A concession's folder: files go in once, bad ones wait beside their reasons, and levels come out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.flow.kit import House, house

from sfsync.channels.till_folder import InboxFolder, LevelsFile
from sfsync.domain.tills import Till
from sfsync.flow.context import SNAPSHOT
from sfsync.flow.till_places import MOST_BYTES, TillWatch
from sfsync.ports import TillPlace

BAG, TIE = "BAG-1|ECOM", "TIE-1|ECOM"
TILL = Till("rinascente", "ECOM", ZoneInfo("Europe/Rome"))
HEAD = "receipt,line,sku,quantity,date\n"


async def look(h: House, folder: Path, till: Till = TILL) -> None:
    """Two looks: what is in the folder has rested, and is taken."""
    inbox = InboxFolder(folder)
    watch = TillWatch(h.ctx, h.supervisor.tills, TillPlace(till, inbox))
    await watch.look(inbox)
    await watch.look(inbox)


def row(h: House, receipt: int, sku: str = "BAG-1", units: int = 1) -> str:
    return f"{receipt},1,{sku},{units},{h.clock.now().astimezone(TILL.zone):%Y-%m-%d}\n"


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


async def letters(h: House) -> list[tuple[str, str, str]]:
    found = await h.store.read(lambda tx: tx.dead_letters())
    return [(each.source, each.key, each.reason) for each in found]


async def test_a_file_goes_in_once_whatever_it_is_called(tmp_path: Path) -> None:
    """Sent twice under two names, and once more after a kill: each line stands in the ledger once."""
    async with house({BAG: 5}) as h:
        text = HEAD + row(h, 77) + row(h, 78)
        (tmp_path / "monday.csv").write_text(text)
        await look(h, tmp_path)
        assert names(tmp_path) == ["done/monday.csv"]
        (tmp_path / "again.csv").write_text(text)
        await look(h, tmp_path)
        await h.kill()
        await h.start()
        # As if the daemon had died between the commit and the file's way out of the folder.
        (tmp_path / "monday.csv").write_text(text)
        await look(h, tmp_path)
        await h.idle()
        assert names(tmp_path) == ["done/again.csv", "done/monday.2.csv", "done/monday.csv"]
        told = (await h.store.read(lambda tx: tx.till_reports()))["rinascente"]
        assert (told.last.way, told.last.entered, told.last.again) == ("monday.csv", 2, 2)
        assert (told.reports, told.entered, told.refused) == (3, 2, 0)
        assert sorted(h.org.of("posting:")) == [
            ("posting:till:rinascente:77:1", -1, 0),
            ("posting:till:rinascente:78:1", -1, 0),
        ]
        assert await letters(h) == []


async def test_a_bad_file_waits_beside_its_reasons_until_a_good_one_of_its_name_comes(tmp_path: Path) -> None:
    """Nothing of it is in; a person is told once, and no longer when it is mended."""
    async with house({BAG: 5}) as h:
        (tmp_path / "monday.csv").write_text(HEAD + row(h, 77) + row(h, 78, "HAT-1") + row(h, 79, units=0))
        await look(h, tmp_path)
        assert names(tmp_path) == ["refused/monday.csv", "refused/monday.csv.txt"]
        assert h.org.of("posting:") == []
        told = (tmp_path / "refused" / "monday.csv.txt").read_text().splitlines()
        assert told == [
            "Nothing was entered.",
            "line 3 (HAT-1): the org has no stock level HAT-1|ECOM; create it first: "
            "correct the SKU, or create the stock level in the org",
            "line 4 (BAG-1): has the quantity 0: drop the row: nothing was sold and nothing came back",
        ]
        ((source, key, reason),) = await letters(h)
        assert (source, key) == ("till rinascente", "monday.csv")
        assert "rows are bad: line 3 (HAT-1)" in reason
        (tmp_path / "monday.csv").write_text(HEAD + row(h, 77))
        await look(h, tmp_path)
        assert (await letters(h), h.org.of("posting:")) == ([], [("posting:till:rinascente:77:1", -1, 0)])


async def test_a_partial_file_brings_its_good_rows_and_tells_the_others(tmp_path: Path) -> None:
    """It counts as read; what was not entered is beside it, and a person is told."""
    async with house({BAG: 5}) as h:
        (tmp_path / "monday.csv").write_text(HEAD + row(h, 77) + row(h, 78, "HAT-1"))
        await look(h, tmp_path, replace(TILL, partial=True))
        assert names(tmp_path) == ["done/monday.csv", "done/monday.csv.txt"]
        assert h.org.of("posting:") == [("posting:till:rinascente:77:1", -1, 0)]
        assert len(await letters(h)) == 1


async def test_what_is_no_report_is_refused_and_does_not_stop_the_next(tmp_path: Path) -> None:
    """A picture, a file of another encoding, one without end; the good one behind them goes in."""
    async with house({BAG: 5}) as h:
        (tmp_path / "a.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
        (tmp_path / "b.csv").write_bytes((HEAD + row(h, 76, "SAC-\xc9")).encode("latin-1"))
        (tmp_path / "c.csv").write_bytes(b"x" * (MOST_BYTES + 1))
        (tmp_path / "d.csv").write_text(HEAD + row(h, 77))
        await look(h, tmp_path)
        assert [name for name in names(tmp_path) if not name.endswith(".txt")] == [
            "done/d.csv",
            "refused/a.csv",
            "refused/b.csv",
            "refused/c.csv",
        ]
        assert "is not UTF-8" in (tmp_path / "refused" / "b.csv.txt").read_text()
        assert len(await letters(h)) == 3


async def test_while_the_org_is_unread_the_file_stays(tmp_path: Path) -> None:
    """No SKU is unknown before all are known."""
    async with house({BAG: 5}) as h:
        now = h.clock.now()
        await h.store.write(lambda tx: tx.open_hole(SNAPSHOT, now, "unread", now))
        (tmp_path / "monday.csv").write_text(HEAD + row(h, 77, "HAT-1"))
        await look(h, tmp_path)
        assert (names(tmp_path), await letters(h)) == (["monday.csv"], [])


async def test_the_daemon_follows_the_folder_and_keeps_the_levels(tmp_path: Path) -> None:
    """A report that is put in lowers the number that comes out."""
    inbox, out = tmp_path / "in", tmp_path / "levels.csv"
    inbox.mkdir()
    async with house({BAG: 5, TIE: 0}) as h:
        await h.stop()
        h.till_places = [TillPlace(TILL, InboxFolder(inbox), 1.0, LevelsFile(out))]
        await h.start()
        await h.until(lambda: out.exists() and out.read_text() == "sku,available\nTIE-1,0\nBAG-1,5\n")
        (inbox / "monday.csv").write_text(HEAD + row(h, 77, units=2))
        await h.until(lambda: names(inbox) == ["done/monday.csv"])
        await h.until(lambda: out.read_text() == "sku,available\nTIE-1,0\nBAG-1,3\n")
