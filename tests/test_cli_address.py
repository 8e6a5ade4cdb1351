"""Where the command line looks for the daemon, and how it tells what the daemon refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from sfsync.cli.common import DaemonClient
from sfsync.web.problems import ProblemError, bad_fields


@pytest.mark.parametrize(
    ("host", "left", "address"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8290"),
        ("0.0.0.0", None, "http://127.0.0.1:8290"),
        ("::", None, "http://[::1]:8290"),
        ("::1", None, "http://[::1]:8290"),
        ("127.0.0.1", "http://127.0.0.1:40123", "http://127.0.0.1:40123"),  # it was given any free port
        ("127.0.0.1", "http://[::]:8291", "http://[::1]:8291"),
        ("127.0.0.1", "", "http://127.0.0.1:8290"),
    ],
)
def test_the_command_line_asks_where_the_daemon_listens(
    tmp_path: Path, host: str, left: str | None, address: str
) -> None:
    """As the settings say, unless the daemon that runs has left word that it listens elsewhere."""
    path = tmp_path / "s.db.address"
    if left is not None:
        path.write_text(left)
    web = SimpleNamespace(host=host, port=8290, tokens=[])
    settings: Any = SimpleNamespace(web=web, local_token_path=lambda: None, local_address_path=lambda: path)
    assert DaemonClient(settings).address == address


@contextmanager
def answering(problem: ProblemError) -> Iterator[str]:
    """A daemon that answers everything with this problem; its address."""
    answer = problem.response()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sku": "is missing"}, ["what was asked for is wrong: sku is missing"]),
        (
            {"sku": "is missing", "at": "lies ahead"},
            ["what was asked for is wrong: 2 fields are wrong", "  sku is missing", "  at lies ahead"],
        ),
    ],
)
def test_each_thing_that_is_wrong_is_told_on_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, str], said: list[str]
) -> None:
    """Not all of them in one sentence."""
    path = tmp_path / "s.db.address"
    web = SimpleNamespace(host="127.0.0.1", port=8290, tokens=[])
    settings: Any = SimpleNamespace(web=web, local_token_path=lambda: None, local_address_path=lambda: path)
    with answering(bad_fields(wrong)) as address:
        path.write_text(address)
        with pytest.raises(typer.Exit) as left:
            DaemonClient(settings).get("/v1/why")
    assert left.value.exit_code == 2
    assert capsys.readouterr().err.splitlines() == said
