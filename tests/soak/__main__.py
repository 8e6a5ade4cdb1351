"""The soak: `sfsync run` is killed over and over in a busy house, over real sockets; then the books are read.

::

    make soak MINUTES=10            # at least 50 kills; exit code 0 only if every promise held
    python -m tests.soak --minutes 0.5 --kills 4 --seed 7 --keep

Processes of their own: a simulated org (REST and Pub/Sub with TLS), two simulated storefronts, and sfsync.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import httpx
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sfsync.cli.demo.processes import DemoError, Stage
from sfsync.cli.demo.telling import Teller
from sfsync.cli.demo.world import World, open_world

from .books import close_the_books
from .load import Load
from .trouble import Trouble

KILLS_A_MINUTE = 5.5
STRIKES_PER_KILL = 2
LINE_SECONDS = 30.0  # between two lines of progress where there is no terminal


async def soak(stage: Stage, teller: Teller, *, minutes: float, kills: int, seed: int) -> bool:
    """True when every promise held."""
    world = await open_world(teller, stage, seed)
    try:
        load, trouble = Load(world, seed), Trouble(world, seed)
        teller.chapter(f"The soak: {minutes:g} minutes, at least {kills} kills, seed {seed}")
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            try:
                await _disturb(teller, load, trouble, minutes=minutes, kills=kills, seed=seed)
            finally:
                load.stop()
        await trouble.end()
        # A webhook that was lost for good is found by the order poll, which the start does first.
        await trouble.kill()
        with teller.busy("waiting until nothing moves any more"):
            await close_the_books(world, load, trouble, kills=kills)
        _tell(teller, world, load, trouble)
    finally:
        await world.close()
    return teller.all_held


async def _disturb(
    teller: Teller, load: Load, trouble: Trouble, *, minutes: float, kills: int, seed: int
) -> None:
    """Kills, evenly by chance, and misfortunes between them, until time is up and there were enough."""
    luck, began, told = Random(f"moments {seed}"), time.monotonic(), 0.0
    seconds = minutes * 60
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=teller.console, disable=not teller.console.is_terminal) as bar:
        task = bar.add_task("soaking", total=seconds)
        while (passed := time.monotonic() - began) < seconds or trouble.kills < kills:
            doing = (
                f"{trouble.kills} kills, {trouble.done.total() - trouble.kills} other misfortunes, "
                f"{load.orders} orders, {sum(map(len, (load.receipts, load.announced)))} till sales, "
                f"{len(load.checkouts)} reservations"
            )
            bar.update(task, completed=min(passed, seconds), description=doing)
            if not teller.console.is_terminal and passed - told >= LINE_SECONDS:
                told = passed
                teller.say(f"  {passed:4.0f} s of {seconds:.0f}: {doing}")
            left = max(kills - trouble.kills, 1)
            pause = max(0.5, min(12.0, (seconds - passed) / left * 0.6)) / (STRIKES_PER_KILL + 1)
            for _ in range(STRIKES_PER_KILL):
                await asyncio.sleep(luck.uniform(0.3, 1.7) * pause)
                await trouble.strike()
            await asyncio.sleep(luck.uniform(0.3, 1.7) * pause)
            await trouble.kill()


def _tell(teller: Teller, world: World, load: Load, trouble: Trouble) -> None:
    table = teller.table("what happened", ("times", "right"))
    rows = {
        f"orders at {' and '.join(world.shops)}": load.orders,
        "edits, refunds, cancellations and dispatches": load.touched,
        "shoppers too late": load.sold_out,
        "till sales": len(load.receipts) + len(load.announced),
        "reservations granted": len(load.checkouts),
    }
    for name, times in (rows | dict(sorted(trouble.done.items()))).items():
        table.add_row(name, f"{times:,}")
    teller.show(table)
    teller.chapter("What was promised, and what was seen from outside")
    teller.show_checks()


def main() -> int:
    """0 when every promise held, 1 when one did not."""
    asked = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    asked.add_argument("--minutes", type=float, default=10.0)
    asked.add_argument("--kills", type=int, help="at least so many; 5.5 a minute when not given")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--keep", action="store_true", help="keep the store and the logs; say where")
    given = asked.parse_args()
    kills = given.kills if given.kills is not None else round(given.minutes * KILLS_A_MINUTE)
    folder, teller = Path(tempfile.mkdtemp(prefix="sfsync-soak-")), Teller()
    stage = Stage(folder)
    try:
        held = asyncio.run(soak(stage, teller, minutes=given.minutes, kills=kills, seed=given.seed))
    except* (DemoError, httpx.HTTPError, OSError) as group:
        teller.error(f"The soak failed: {'; '.join(_told(error) for error in group.exceptions)}")
        held = False
    finally:
        stage.end()
        if given.keep:
            teller.say(f"The store and the logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if held else 1


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(each) for each in error.exceptions)
    if isinstance(error, httpx.RequestError):
        return f"{error!r} at {error.request.method} {error.request.url}"
    return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
