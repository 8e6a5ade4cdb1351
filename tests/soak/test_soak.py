"""The short soak: half a minute of a busy house with a few kills, over real sockets, and its books."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sandbox import SOURCES

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 420


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_SECONDS + 60)
def test_a_daemon_that_is_killed_over_and_over_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    """SIGKILL, cut streams and lost answers amid sales and reservations: the books are right at the end."""
    path = os.pathsep.join([str(SOURCES), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--minutes", "0.5", "--kills", "4"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "SIGKILL" in ended.stdout
