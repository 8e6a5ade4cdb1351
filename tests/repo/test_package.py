"""What is built out of the checkout finds its own files, with no checkout around."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without asking any registry, and unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=TOP,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def ask(installed: Path, code: str) -> str:
    """Return what this Python prints when sfsync comes from the unpacked wheel."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_the_package_carries_the_metadata_and_the_example_settings(installed: Path) -> None:
    """`sfsync demo` and `sfsync sandbox` work after `pip install`, far from any checkout."""
    asked = ask(installed, "from sfsync import resources as r; print(r.metadata_folder(), r.config_folder())")
    assert asked == f"{installed}/sfsync/_data/salesforce {installed}/sfsync/_data/config"
    for kind in ("salesforce", "config"):
        shipped = {
            path.relative_to(TOP / kind): path.read_bytes()
            for path in (TOP / kind).rglob("*")
            if path.is_file()
        }
        carried = installed / "sfsync/_data" / kind
        assert {
            path.relative_to(carried): path.read_bytes() for path in carried.rglob("*") if path.is_file()
        } == shipped


def test_the_package_carries_every_file_that_the_code_reads(installed: Path) -> None:
    """Templates, migrations, contracts and the mark of typing travel with the modules."""
    ours = {
        path.relative_to(TOP / "src")
        for path in (TOP / "src/sfsync").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    carried = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert ours <= carried
    assert Path("sfsync/py.typed") in carried


def test_the_package_can_be_looked_at_by_an_installer(installed: Path) -> None:
    """Name, licence and the program's entry stand where tools look for them."""
    (info,) = installed.glob("sfsync-*.dist-info")
    metadata = (info / "METADATA").read_text()
    assert "\nName: sfsync\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "sfsync = sfsync.cli:main" in (info / "entry_points.txt").read_text()
