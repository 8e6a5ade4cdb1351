"""The demo's processes: started with their logs in one folder, waited for with a limit, and ended for sure.

Each stands in a process group of its own, so that Ctrl-C reaches the demo alone, which then ends them in
order. Each also ends by itself when the demo is gone without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

LOOK_SECONDS = 0.05
END_SECONDS = 8.0
TAIL_LINES = 15
LINE_CHARACTERS = 300
MISSING_NAMED = 3
LOOPBACK = "localhost,127.0.0.1,::1"


class DemoError(Exception):
    """The story cannot go on; says what was waited for, and what the process concerned wrote last."""


class Child:
    """One process, its log, and the line of JSON by which it says that it is ready."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.wanted = True  # False once the demo has ended it
        self.log = folder / f"{name}.log"
        self._said = folder / f"{name}.ready"
        with self.log.open("ab") as log, self._said.open("wb") as said:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=said, stderr=log, env=env, process_group=0
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing when it has ended."""
        if self.ended is None:
            self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """True when it has ended within this time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self.let_go()
        return self.ended is not None

    def let_go(self) -> None:
        """Close our end of its standard input."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def tail(self) -> str:
        """The last lines of its log, with a heading."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        except OSError as error:
            return f"{self.name}'s log cannot be read: {error.strerror}"
        told = "\n".join(f"    {line[:LINE_CHARACTERS]}" for line in lines)
        return f"The end of {self.name}'s log:\n{told or '    (it wrote nothing)'}"

    async def ready(self) -> Any | None:
        """The JSON line it prints when it is ready; None before that."""
        text = self._said.read_text()
        return json.loads(text.partition("\n")[0]) if "\n" in text else None


class Stage:
    """All the processes of one demo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[Child] = []
        self._env = environment(os.environ) | {"TMPDIR": str(folder)}  # what they leave goes with it

    def start(self, name: str, argv: Sequence[str], **more: str) -> Child:
        """Start `python …`; `more` is added to its environment."""
        child = Child(name, [sys.executable, *argv], {**self._env, **more}, self.folder)
        self._children.append(child)
        return child

    async def until(
        self,
        what: str,
        look: Callable[[], Awaitable[T | None]],
        seconds: float,
        *,
        every: float = LOOK_SECONDS,
        concerned: Child | None = None,
        missing: Sequence[str] = (),
    ) -> T:
        """What `look` finds, as soon as it finds something.

        Raises `DemoError` as soon as a child that is wanted has ended, or when time is up: then with what
        `look` has noted as still `missing`, and the end of the log of the child `concerned` (the last one).
        """
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.TransportError):  # nobody answers: starting, or gone; seen below
                found = await look()
                if found is not None:
                    return found
            if fallen := self.fallen():
                raise DemoError(f"while we waited for {what}, {fallen}")
            if time.monotonic() > deadline:
                log = (concerned or self._last).tail()
                raise DemoError(f"waited {seconds:g} s in vain for {what}{_named(missing)}. {log}")
            await asyncio.sleep(every)

    def fallen(self) -> str:
        """Which child has ended without being told to, and the end of its log; empty when none has."""
        for child in self._children:
            if child.wanted and child.ended is not None:
                return f"{child.name} ended with {child.ended}. {child.tail()}"
        return ""

    @property
    def _last(self) -> Child:
        return self._children[-1]

    def end(self) -> None:
        """End every process, the last started first; what does not go is killed. Returns with none left."""
        for child in reversed(self._children):
            child.wanted = False
            child.signal(signal.SIGTERM)
            if child.name != "org":  # the others may still have a word to say to it
                self._gone(child)
        for child in self._children:
            self._gone(child)

    @staticmethod
    def _gone(child: Child) -> None:
        if not child.wait(END_SECONDS):
            child.signal(signal.SIGKILL)
            child.wait(END_SECONDS)


def _named(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    return f": {len(missing)} missing, such as {'; '.join(missing[:MISSING_NAMED])}"


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """What children inherit: nothing that would set sfsync's settings, and no proxy for this machine."""
    env = {name: text for name, text in ours.items() if not name.upper().startswith("SFSYNC_")}
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, (env.get(name), LOOPBACK)))
    return env


def port_to_use(wished: int) -> int:
    """This port of the loopback where it is free, else any free one."""
    for port in (wished, 0):
        if (found := _bound(port)) is not None:
            return found
    raise DemoError("no port of 127.0.0.1 is free")


def is_free(port: int) -> bool:
    """True when nobody listens at this port of the loopback."""
    return _bound(port) is not None


def _bound(port: int) -> int | None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(tried.getsockname()[1])
