"""The command: tells the story once, then stays up for looking around, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from sfsync.cli.common import fail, print_json

from .closing import close_the_books
from .handbag import last_handbag
from .kills import busy_day
from .processes import DemoError, Stage
from .story import online_sale, till_sale
from .telling import Teller, ms
from .world import World, open_world

INTERRUPTED = 128  # plus the signal's number: what a shell expects of a program that a signal has ended
SANDBOX_PARTS = ("graphql", "lark")  # what only the simulators need
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(
    exit_after: Annotated[
        bool, typer.Option("--exit", help="End after the story; exit code 0 only if every check held.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Decides catalogue, shoppers and the moments of the kills.")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep logs, store and all that was seen; say where.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the checks as JSON at the end; implies --exit.")
    ] = False,
) -> None:
    """Tell the whole story: a simulated org, two simulated storefronts, sfsync between them.

    Without --exit it ends on its dashboard, and stays up until Ctrl-C.

    Exit codes: 0 ended by Ctrl-C, or every check held; 1 a check or the story failed; 3 a package is missing;
    with --exit, 128 + the signal's number when interrupted.
    """
    missing = [part for part in SANDBOX_PARTS if find_spec(part) is None]
    if missing:
        fail("the simulated parties need more packages: pip install 'sfsync[sandbox]'")
    folder = Path(tempfile.mkdtemp(prefix="sfsync-demo-"))
    teller, began = Teller(aside=as_json), time.monotonic()
    try:
        code = asyncio.run(_Show(teller, Stage(folder), seed).run(exit_after=exit_after or as_json))
    finally:
        if keep:
            teller.say(f"Logs, the store and all that was seen are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        checks = [{"claim": each.claim, "held": each.held, "seen": each.seen} for each in teller.checks]
        took = round(time.monotonic() - began, 1)
        print_json({"all_held": code == 0 and teller.all_held, "seconds": took, "checks": checks})
    raise typer.Exit(code)


class _Show:
    """One demo from its first process to its last."""

    def __init__(self, teller: Teller, stage: Stage, seed: int) -> None:
        self._teller, self._stage, self._seed = teller, stage, seed
        self._world: World | None = None
        self._signal: asyncio.Future[signal.Signals]

    async def run(self, *, exit_after: bool) -> int:
        """Tell, stay up unless told otherwise, end everything; the exit code."""
        loop = asyncio.get_running_loop()
        self._signal = loop.create_future()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop, number)
        telling = asyncio.create_task(self._tell())
        try:
            told: set[asyncio.Future[Any]] = {telling, self._signal}
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                if self._failed(telling):
                    return 1
                if not exit_after:
                    await self._stay()
            if self._signal.done():
                return INTERRUPTED + self._signal.result() if exit_after else 0
            return 0 if self._teller.all_held else 1
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await self._end()

    def _stop(self, number: signal.Signals) -> None:
        if not self._signal.done():
            self._signal.set_result(number)

    def _failed(self, telling: asyncio.Task[None]) -> bool:
        """Say why the story could not be told to its end, if so."""
        error = telling.exception()
        if isinstance(error, BaseExceptionGroup):
            error = next((each for each in error.exceptions), error)
        if isinstance(error, DemoError | httpx.HTTPError | OSError):
            told = str(error) or type(error).__name__
            fallen = "" if isinstance(error, DemoError) else self._stage.fallen()
            self._teller.error(f"The demo failed: {told}{fallen and f'; {fallen}'}")
            return True
        if error is not None:
            raise error
        return False

    async def _tell(self) -> None:
        began = time.monotonic()
        teller = self._teller
        teller.say(
            "[bold]sfsync: the last one is sold once.[/] Simulated on this machine, each a process of its "
            "own over its real wire: a Salesforce org (REST and Pub/Sub API with TLS) and two Shopify "
            "storefronts (Admin GraphQL, signed webhooks). Real: sfsync itself, started as `sfsync run`."
        )
        world = self._world = await open_world(teller, self._stage, self._seed)
        sold = await till_sale(world)
        ordered = await online_sale(world)
        await last_handbag(world)
        day = await busy_day(world, {sold, ordered})
        await close_the_books(world, day, [sold])
        teller.chapter("What was claimed, and what was seen from outside")
        teller.show_checks()
        held = sum(check.held for check in teller.checks)
        took = ms((time.monotonic() - began) * 1000)
        verdict = (
            "[bold green]Every check held[/]" if teller.all_held else "[bold red]Not every check held[/]"
        )
        teller.say(f"\n{verdict} ({held} of {len(teller.checks)}); the story took {took}.")

    async def _stay(self) -> None:
        """Until a signal; says so when a process ends by itself."""
        world, teller = self._world, self._teller
        if world is None:
            return
        body = f'{{"sku": "{world.catalogue.family("silk")[0].sku}"}}'
        url = f"{world.shops['dubai'].ready['url']}/storefront/buy"
        handbag = world.catalogue.last["mirrored"]
        teller.say(f"\nThe dashboard: [bold]{world.daemon.address}[/]")
        teller.say(f"The handbag that was sold twice: {world.daemon.address}/sku?sku={handbag}")
        teller.say(f"Log in there as its operator with the token {world.daemon.operators_token}")
        teller.say("Buy something in Dubai and watch it there:")
        teller.console.print(f"  curl -d '{body}' {url}", markup=False, highlight=False, soft_wrap=True)
        teller.say("It all stays up until Ctrl-C.")
        while not self._signal.done() and not (fallen := self._stage.fallen()):
            await asyncio.wait({self._signal}, timeout=1.0)
        if not self._signal.done():
            teller.error(fallen)
            await self._signal

    async def _end(self) -> None:
        if self._world is not None:
            with suppress(httpx.HTTPError, OSError):
                await self._world.close()
        self._stage.end()
