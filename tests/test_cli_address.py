"""Where the command line looks for the daemon."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sfsync.cli.common import DaemonClient


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
