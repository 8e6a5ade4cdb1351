"""The whole demo as a person starts it: its story holds, and nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.sandbox import SOURCES

STORY_SECONDS = 240.0
WORD_SECONDS = 120.0
GONE_SECONDS = 40.0


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`sfsync demo` with its temporary files in `folder`; killed at the end if it still runs."""
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(SOURCES)}
    process = subprocess.Popen(
        [sys.executable, "-m", "sfsync", "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=env,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """What it prints up to the line with this word."""
    assert process.stdout is not None
    told = ""
    deadline = time.monotonic() + WORD_SECONDS
    for line in process.stdout:
        told += line
        if word in line:
            return told
        assert time.monotonic() < deadline, told
    raise AssertionError(f"ended without {word!r}:\n{told}")


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that it has started."""
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(children: list[psutil.Process]) -> None:
    """None of them is left; waited for, as a killed starter cannot wait itself."""
    _, alive = psutil.wait_procs(children, timeout=GONE_SECONDS)
    assert not alive, alive


def of_this_demo(folder: Path) -> list[psutil.Process]:
    """Every process of this machine that was started with the folder in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR", "").startswith(str(folder)):
                found.append(process)
        except psutil.Error:  # another user's, or gone meanwhile
            continue
    return found


@pytest.mark.slow
def test_every_claim_of_the_story_holds_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """`sfsync demo --exit` ends with 0, its folder and all of its processes gone."""
    with started(tmp_path, "--exit") as process:
        told, _ = process.communicate(timeout=STORY_SECONDS)
        assert process.returncode == 0, told
    assert "Every check held" in told
    assert "✗" not in told
    assert not list(tmp_path.iterdir())
    assert not of_this_demo(tmp_path)


@pytest.mark.slow
def test_ctrl_c_in_the_middle_ends_everything_in_order(tmp_path: Path) -> None:
    """Exit code 0, no process and no folder left, although the daemon had only just been started."""
    with started(tmp_path) as process:
        read_until(process, "starting sfsync")
        children = children_of(process)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=GONE_SECONDS)
        assert process.returncode == 0, told
    assert len(children) >= 3
    assert_gone(children)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_no_process_outlives_a_demo_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to end anything: each child notices by itself."""
    with started(tmp_path) as process:
        read_until(process, "(a)")
        children = children_of(process)
        process.kill()
        process.wait(GONE_SECONDS)
    assert len(children) == 4
    assert_gone(children)


def test_a_process_that_falls_ends_the_demo_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Exit code 1, and the words name what was waited for and who fell."""
    with started(tmp_path, "--exit") as process:
        read_until(process, "starting sfsync")
        org = next(child for child in children_of(process) if "sfsync.simulators.org" in child.cmdline())
        org.kill()
        told, _ = process.communicate(timeout=GONE_SECONDS)
        assert process.returncode == 1, told
    assert "org ended with -9" in told
    assert "org's log" in told
    assert not list(tmp_path.iterdir())
