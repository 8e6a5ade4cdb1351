"""One seed from morning to evening: the day, its end, the calm after it, the verdict."""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path

import structlog

from .actors import Actor, Day
from .actors_desk import Auditor
from .cast import ACTORS
from .checks import Check, Watch, settled, told_wrong
from .checks_floor import FloorWatch, settled_floor
from .checks_folds import FoldWatch
from .checks_gate import GateWatch, settled_gate
from .checks_last_one import LastOne, settled_last_one
from .checks_pavilion import PavilionWatch
from .checks_pickup import settled_pick_ups
from .checks_pieces import PieceWatch
from .checks_places import settled_places
from .checks_rows import RowWatch
from .checks_short import ShortWatch
from .checks_words import WordWatch
from .life import note_task
from .loop import Stuck, VirtualLoop
from .plan import Plan, draw
from .story import Story
from .trouble import Outage, Reaper, ShortDay, Trouble
from .world import World

LONGEST_DAY_SECONDS = 1800.0
CALM_SECONDS = 3600.0  # within which everything must have come to rest
LOOK_SECONDS = 10.0


@dataclass(slots=True)
class Verdict:
    """What became of a seed."""

    seed: int
    orders: int
    lives: int
    virtual_seconds: float
    violations: list[str]
    story: list[str] = field(default_factory=list)


def run_seed(plan: Plan | int, *, told: bool = False, actors: Sequence[type[Actor]] = ACTORS) -> Verdict:
    """Run a seed to its verdict. The same plan gives the same verdict and the same story."""
    if isinstance(plan, int):
        plan = draw(plan)
    random.seed(f"{plan.seed} global")  # of libraries that have no other
    story = Story(told=told)
    home = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    home = home / "sfsync-simulation"
    home.mkdir(exist_ok=True)
    collecting = gc.isenabled()
    gc.disable()  # a world is one knot of references, and goes as a whole when it has ended
    loop = VirtualLoop(note_task)
    asyncio.set_event_loop(loop)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        try:
            return loop.run_until_complete(_run(plan, Path(folder), story, actors))
        except Stuck as error:
            return Verdict(plan.seed, 0, 0, loop.time(), [f"promise 9: {error}"], story.lines)
        finally:
            _end(loop)
            structlog.reset_defaults()  # the story took over every log of this process
            if collecting:
                gc.enable()


def timed(seed: int, orders: int, outage_seconds: float = 0.0) -> tuple[Verdict, float]:
    """A seed's verdict, and the CPU seconds it took.

    Nobody looks for rubbish before the world has ended; what is there even then is the libraries' own and
    stays, so nobody looks at it again.
    """
    if gc.isenabled():
        gc.disable()
        _tidy()
    began = time.process_time()
    verdict = run_seed(draw(seed, orders=orders, outage_seconds=outage_seconds))
    _tidy()
    return verdict, time.process_time() - began


def _tidy() -> None:
    gc.collect()
    gc.freeze()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    loop.close()


async def _run(plan: Plan, folder: Path, story: Story, actors: Sequence[type[Actor]]) -> Verdict:
    world = World(plan, folder, story)
    day = Day()
    watch = Watch(world, day)
    last, gate = LastOne(world, day, watch), GateWatch(world, day, watch)
    floor = FloorWatch(world, day, watch)
    ShortWatch(world, day, watch)
    RowWatch(world, day, watch)
    FoldWatch(world, day, watch)
    WordWatch(world, day, watch)
    PieceWatch(world, watch)
    PavilionWatch(world, day, watch)
    world.start()
    trouble = Trouble.several(world, day)
    reaper = asyncio.create_task(Reaper(world, day).run())
    outages = [asyncio.create_task(each(world, day).run()) for each in (Outage, ShortDay)]
    await watch.listening.wait()
    acting = [asyncio.create_task(actor(world, day).run()) for actor in (*actors,)]
    acting += [asyncio.create_task(each.run()) for each in trouble]
    begun = world.loop.time()
    while day.orders < plan.orders and world.loop.time() < begun + LONGEST_DAY_SECONDS:
        await asyncio.sleep(1.0)
        if world.violations or story.broken:
            break
    day.over.set()
    story.tell("world", f"the day is over: {day.orders} orders")
    await _gather(acting, world)
    await _gather([reaper], world)
    await _gather(outages, world)
    trouble[0].end()
    if not world.violations and not story.broken:
        await _calm(world, day, watch, last, gate, floor)
    for words in story.broken:
        world.violated("-", f"the daemon met what it did not foresee: {words}")
    lives = world.lives
    if world.life is not None and world.life.alive:
        await world.stop()
    watch.close()
    for shop in world.shops.values():
        await shop.close()
    return Verdict(plan.seed, day.orders, lives, world.loop.time(), world.violations, story.lines)


async def _gather(tasks: Sequence[asyncio.Task[None]], world: World) -> None:
    """Let actors finish what they are at; one that broke is the harness's own mistake."""
    away = max(world.plan.outage_seconds, (world.plan.habits.short or (0, 0))[1])
    done, late = await asyncio.wait(tasks, timeout=300.0 + away)
    for task in late:
        task.cancel()
    for task in done:
        task.result()
    if late:
        world.violated("-", f"somebody never got an answer: {[task.get_coro() for task in late]}")


async def _calm(
    world: World, day: Day, watch: Watch, last: LastOne, gate: GateWatch, floor: FloorWatch
) -> None:
    """Wait until all is well, and stays so for a while; say what is not when that takes too long."""

    checks: list[Check] = [
        *settled(watch, world, day),
        partial(settled_last_one, last),
        partial(settled_gate, gate, day),
        partial(settled_floor, floor, day),
        partial(settled_places, watch, world),
        partial(settled_pick_ups, watch, world, day),
    ]
    auditor = asyncio.create_task(Auditor(world, day).run())
    begun, looks = world.loop.time(), list(checks)
    reasons = ["never looked"]
    while world.loop.time() < begun + CALM_SECONDS and not world.violations:
        # What takes a quarter of an hour need not be looked at every few seconds.
        await asyncio.sleep(max(LOOK_SECONDS, (world.loop.time() - begun) / 10))
        waited_on = next((look for look in looks if next(look(), None) is not None), None)
        if waited_on is not None:  # one thing is enough to wait on, and it is looked at first the next time
            looks.remove(waited_on)
            looks.insert(0, waited_on)
            continue
        reasons = list(told_wrong(await world.web.get("/v1/status")))
        if not reasons:
            break
    auditor.cancel()
    if not reasons:
        return
    wrong = list(islice(chain.from_iterable(check() for check in checks), 8))  # no more are told
    for promise, what in wrong or [(8, f"the status page says: {reason}") for reason in reasons]:
        world.violated(promise, what)


def in_time(seed: int, until: float, orders: int, outage_seconds: float) -> tuple[Verdict, float] | None:
    """As `timed`, if it can begin before then (seconds since the epoch); None when it cannot."""
    return timed(seed, orders, outage_seconds) if time.time() < until else None
