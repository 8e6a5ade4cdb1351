"""Bars on a terminal: how far, how fast, how long still, what is left to spend; elsewhere none."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from sfsync.cli.progress import pace

SCRIPT = """
from sfsync.cli.progress import bar
with bar("levels") as shown:
    shown.show("levels", 0, 400, "org 79,980 calls left")
    shown.show("levels", 100, 400)
"""


@pytest.mark.parametrize(
    ("done", "left", "seconds", "told"),
    [
        (0, 10, 5.0, ""),
        (100, 300, 10.0, "10/s, 30 seconds left"),
        (3, 1, 6.0, "0.5/s, 2 seconds left"),
        (1_000, 720_000, 1.0, "1,000/s, 12 minutes left"),
        (50, None, 10.0, "5.0/s"),
    ],
)
def test_the_pace_tells_the_rate_and_the_time_left(
    done: int, left: int | None, seconds: float, told: str
) -> None:
    """Before anything is done nobody knows."""
    assert pace(done, left, seconds) == told


def test_a_bar_stands_on_a_terminal_and_tells_what_is_left_to_spend() -> None:
    """On standard error, so that a document on standard output stays one."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=theirs, env=env
    ) as done:
        assert done.stdout is not None
        assert done.stdout.read() == b""
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 0)[0]:
        try:
            seen += os.read(ours, 65_536)
        except OSError:  # all of it was read
            break
    os.close(ours)
    text = seen.decode()
    assert "levels" in text
    assert "100 of 400" in text
    assert "org 79,980 calls left" in text


def test_a_pipe_sees_no_bar(tmp_path: Path) -> None:
    """Nor does a log."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    assert (done.stdout, done.stderr.strip()) == (b"", b"")
