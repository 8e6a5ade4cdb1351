"""The demo's processes and ports."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from sfsync.cli.demo.processes import DemoError, Stage, environment, is_free, port_to_use


def test_a_free_port_is_used_and_a_taken_one_is_not() -> None:
    """The wished port where nobody listens, else another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert port_to_use(port) != port
    assert is_free(port)
    assert port_to_use(port) == port


def test_children_inherit_no_settings_and_no_proxy_for_this_machine() -> None:
    """What a person has set for another daemon must not set the demo's."""
    env = environment(
        {"PATH": "/bin", "SFSYNC_WEB__PORT": "1", "sfsync_config": "x", "no_proxy": "example.com"}
    )
    assert env == {
        "PATH": "/bin",
        "no_proxy": "example.com,localhost,127.0.0.1,::1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
    }


async def test_a_wait_ends_in_time_and_says_what_for(tmp_path: Path) -> None:
    """With the end of the log of the process concerned."""
    stage = Stage(tmp_path)
    stage.start("talker", ["-c", "import sys; sys.stderr.write('hello\\n'); sys.stderr.flush(); input()"])

    async def heard() -> bool | None:
        return True if "hello" in (tmp_path / "talker.log").read_text() else None

    async def never() -> bool | None:
        return None

    try:
        assert await stage.until("a word", heard, 30.0)
        with pytest.raises(DemoError, match=r"waited 0\.1 s in vain for a miracle") as caught:
            await stage.until("a miracle", never, 0.1)
        assert "hello" in str(caught.value)
    finally:
        stage.end()


async def test_a_wait_ends_as_soon_as_a_wanted_process_has_ended(tmp_path: Path) -> None:
    """Nobody waits a minute for the dead."""
    stage = Stage(tmp_path)
    stage.start("faller", ["-c", "import sys; sys.exit('no luck')"])

    async def never() -> bool | None:
        return None

    with pytest.raises(DemoError, match=r"faller ended with 1.*\n.*no luck"):
        await stage.until("a miracle", never, 60.0)
    stage.end()


async def test_ending_leaves_no_process_even_if_one_does_not_listen(tmp_path: Path) -> None:
    """What ignores SIGTERM is killed."""
    stage = Stage(tmp_path)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('1', flush=True); time.sleep(600)"
    )
    children = [
        stage.start("meek", ["-c", "import time; time.sleep(600)"]),
        stage.start("deaf", ["-c", deaf]),
    ]
    await stage.until("the deaf one", children[1].ready, 30.0)
    stage.end()
    assert [child.ended for child in children] == [-15, -9]
    assert stage.fallen() == ""


def test_the_program_on_the_leash_is_sfsync_with_the_words_given(tmp_path: Path) -> None:
    """Started by the path of a file, it is the command that a person types."""
    stage = Stage(tmp_path)
    leash = Path(sys.modules["sfsync.cli.demo.processes"].__file__ or "").with_name("leash.py")
    child = stage.start("sfsync", ["-P", str(leash), "--version"])
    assert child.wait(60.0)
    assert child.ended == 0
    assert (tmp_path / "sfsync.ready").read_text().startswith("sfsync ")
