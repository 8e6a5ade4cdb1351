"""Bars on a terminal: how far, how fast, how long still, what is left to spend; elsewhere none."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Semaphore, Thread
from typing import ClassVar

import pytest

from sfsync.cli.progress import pace

SCRIPT = """
from sfsync.cli.progress import bar
with bar("levels") as shown:
    shown.show("levels", 0, 400, "org 79,980 calls left")
    shown.show("levels", 100, 400)
"""

WAITING = """
import sys, types
from sfsync.cli.common import DaemonClient
from sfsync.cli.progress import waiting
web = types.SimpleNamespace(host="127.0.0.1", port=int(sys.argv[1]), tokens=[])
beside = dict.fromkeys(("local_token_path", "local_address_path"), lambda: None)
client = DaemonClient(types.SimpleNamespace(web=web, **beside))
with waiting(client, "tills.csv: the daemon enters it"):
    told = client.post("/v1/tills/galleria/sales", {})
print(told["entered"])
"""


class Slow(BaseHTTPRequestHandler):
    """A daemon that answers when it was asked three times how far it is."""

    asked: ClassVar[Semaphore] = Semaphore(0)
    ids: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        self.ids.add(self.headers["x-progress-id"])
        for _ in range(3):
            assert self.asked.acquire(timeout=30)
        self._answer({"entered": 400})

    def do_GET(self) -> None:
        if not self.path.startswith("/v1/progress/"):
            self._answer({}, 404)
            return
        self.ids.add(self.path.removeprefix("/v1/progress/"))
        self._answer({"what": "lines checked", "done": 100, "total": 400})
        self.asked.release()

    def _answer(self, told: object, status: int = 200) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


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
    said, text = on_a_terminal(SCRIPT)
    assert said == b""
    assert "levels" in text
    assert "100 of 400" in text
    assert "org 79,980 calls left" in text


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_a_narrow_terminal_cuts_no_figure_off(columns: str) -> None:
    """They stand below the bar where there is no room beside it."""
    _, drawn = on_a_terminal(SCRIPT, columns=columns)
    text = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).split())
    assert "org 79,980 calls left" in text
    assert "levels" in text
    assert "\u2026" not in text


def test_a_bar_beside_the_daemons_work_tells_how_far_the_daemon_is() -> None:
    """It is asked meanwhile, under an id that came with the work; what the work says is not disturbed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        said, text = on_a_terminal(WAITING, str(server.server_address[1]))
        server.shutdown()
    assert said == b"400\n"
    assert "lines checked" in text
    assert "100 of 400" in text
    assert len(Slow.ids) == 1


def on_a_terminal(script: str, *args: str, columns: str = "120") -> tuple[bytes, str]:
    """Standard output, and what stood on the terminal meanwhile."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": columns}
    with subprocess.Popen(
        [sys.executable, "-c", script, *args], stdout=subprocess.PIPE, stderr=theirs, env=env
    ) as done:
        assert done.stdout is not None
        said = done.stdout.read()
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 0)[0]:
        try:
            seen += os.read(ours, 65_536)
        except OSError:  # all of it was read
            break
    os.close(ours)
    return said, seen.decode()


def test_a_pipe_sees_no_bar(tmp_path: Path) -> None:
    """Nor does a log."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    assert (done.stdout, done.stderr.strip()) == (b"", b"")
