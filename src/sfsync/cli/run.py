"""`sfsync run`: the daemon."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Annotated

import typer

from sfsync import logs
from sfsync.app import Daemon, StartError
from sfsync.cli.common import DEFAULT_CONFIG, ConfigOption, fail, settings_or_exit
from sfsync.settings import load


def run(
    config: ConfigOption = DEFAULT_CONFIG,
    approve: Annotated[
        bool,
        typer.Option(
            "--approve",
            help="Push each channel's first differences without asking (else: look at `sfsync resync`).",
        ),
    ] = False,
    shadow: Annotated[
        bool,
        typer.Option(
            "--shadow",
            help="Beside another integration: hear everything, write nothing (see `sfsync shadow report`).",
        ),
    ] = False,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; work in hand is then finished or left for the next start.

    On SIGHUP it reads its settings again, as by `sfsync reload`.

    Exit codes: 0 stopped in order; 2 wrong settings; 3 could not start.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own lines say nothing that ours do not
    settings = settings_or_exit(config, "nothing was started")
    logs.configure(settings.log.format, settings.log.level)
    try:
        asyncio.run(_run(Daemon(settings, approve=approve, shadow=shadow, read_again=lambda: load(config))))
    except StartError as error:
        fail(str(error))


async def _run(daemon: Daemon) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(daemon.reload())
        reloads.add(task)  # the loop itself keeps no hold of it
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    await daemon.run(stop)
