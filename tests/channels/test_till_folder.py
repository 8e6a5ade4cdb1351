"""A till's folders on a real disk: never half a file, nothing overwritten, nothing deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sfsync.channels.till_folder import InboxFolder, LevelsFile
from sfsync.ports import TryLater


async def rested(inbox: InboxFolder) -> list[str]:
    return list(await inbox.rested())


async def test_a_file_is_taken_when_two_looks_found_it_the_same(tmp_path: Path) -> None:
    """One that grows is not; neither is one that changes after the look, or while it is read."""
    inbox, file = InboxFolder(tmp_path), tmp_path / "sales.csv"
    assert await rested(inbox) == []
    file.write_text("receipt")
    assert await rested(inbox) == []
    with file.open("a") as growing:
        growing.write(",sku")
    assert await rested(inbox) == []
    assert await rested(inbox) == ["sales.csv"]
    assert await inbox.read("sales.csv", 100) == b"receipt,sku"
    assert await inbox.read("sales.csv", 4) == b"recei"
    with file.open("a") as growing:
        growing.write(",quantity")
    assert await inbox.read("sales.csv", 100) is None
    file.unlink()
    assert await inbox.read("sales.csv", 100) is None


async def test_what_is_still_on_its_way_is_left_alone(tmp_path: Path) -> None:
    """Hidden names and those of half a copy, empty files, folders, and links to elsewhere."""
    for name in (".sales.csv", "sales.csv.part", "sales.TMP", "sales.csv~", "sales.filepart"):
        (tmp_path / name).write_text("receipt")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "done").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / ".sales.csv")
    inbox = InboxFolder(tmp_path)
    assert await rested(inbox) == []
    assert await rested(inbox) == []
    (tmp_path / "sales.csv.part").rename(tmp_path / "sales.csv")
    assert await rested(inbox) == []
    assert await rested(inbox) == ["sales.csv"]


async def test_a_file_that_is_moved_replaces_no_other(tmp_path: Path) -> None:
    """Every day's file has the same name: each is kept, and a refused one has its reasons beside it."""
    inbox, file = InboxFolder(tmp_path), tmp_path / "sales.csv"
    for day in ("monday", "tuesday"):
        file.write_text(day)
        await inbox.rested()
        await inbox.done("sales.csv", "")
    assert sorted(each.name for each in (tmp_path / "done").iterdir()) == ["sales.2.csv", "sales.csv"]
    assert (tmp_path / "done" / "sales.2.csv").read_text() == "tuesday"
    file.write_text("wednesday")
    where = await inbox.refused("sales.csv", "line 2: has no sku\n")
    assert where == str(tmp_path / "refused" / "sales.csv")
    assert (tmp_path / "refused" / "sales.csv.txt").read_text() == "line 2: has no sku\n"
    assert not file.exists()


async def test_a_folder_that_is_away_is_tried_again(tmp_path: Path) -> None:
    """A share that is not mounted, or whose file cannot be moved, is named."""
    away = tmp_path / "away"
    inbox = InboxFolder(away)
    with pytest.raises(TryLater, match="away: No such file"):
        await inbox.rested()
    away.mkdir()
    (away / "sales.csv").write_text("receipt")
    (away / "done").write_text("no folder")
    with pytest.raises(TryLater, match=r"sales\.csv: File exists"):
        await inbox.done("sales.csv", "")
    assert (away / "sales.csv").exists()


async def test_the_levels_are_replaced_whole_and_only_when_they_are_others(tmp_path: Path) -> None:
    """Whoever reads it meanwhile has the old one; nothing else is left in the folder."""
    path = tmp_path / "levels.csv"
    out = LevelsFile(path)
    assert await out.write("sku,available\r\nBAG,3\r\n") is True
    with path.open() as reader:
        assert await out.write("sku,available\r\nBAG,3\r\n") is False
        assert await out.write("sku,available\r\nBAG,2\r\n") is True
        assert "BAG,3" in reader.read()
    assert path.read_bytes() == b"sku,available\r\nBAG,2\r\n"
    assert os.listdir(tmp_path) == ["levels.csv"]
    with pytest.raises(TryLater, match="No such file"):
        await LevelsFile(tmp_path / "away" / "levels.csv").write("")
