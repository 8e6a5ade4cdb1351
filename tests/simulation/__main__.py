"""`make simulate`: many seeds over all cores, or one seed with its story in plain lines.

Exit codes: 0 all promises kept, 1 one was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from multiprocessing import get_context

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .plan import draw
from .seed import Verdict, in_time, run_seed


def many(seeds: range, orders: int, jobs: int, minutes: float, outage_seconds: float) -> int:
    """Run them all, or as many as begin within the minutes; print what broke, and the sum."""
    console, began = Console(), time.monotonic()
    bad: list[Verdict] = []
    done = 0
    sold = lives = 0
    cpu = virtual = 0.0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # A worker lives to the end: to begin takes it as long as a seed, and a seed leaves nothing behind.
    with (
        get_context("spawn").Pool(jobs) as pool,
        Progress(*columns, console=console) as bar,
    ):
        task = bar.add_task("seeds", total=len(seeds))
        live = partial(
            in_time, until=time.time() + minutes * 60, orders=orders, outage_seconds=outage_seconds
        )
        for found in pool.imap_unordered(live, seeds):
            if found is None:
                continue
            verdict, seconds = found
            done += 1
            sold, lives, cpu = sold + verdict.orders, lives + verdict.lives, cpu + seconds
            virtual += verdict.virtual_seconds
            bar.advance(task)
            if verdict.violations:
                bad.append(verdict)
                bar.console.print(
                    f"seed {verdict.seed}: {verdict.violations[0]}", highlight=False, markup=False
                )
    took = time.monotonic() - began
    console.print(
        f"{done} of {len(seeds)} seeds, {sold:,} orders, {lives - done} crashes and restarts, "
        f"{virtual / 3600:.1f} hours of virtual time: "
        f"{len(bad)} broke a promise. {took:.0f} s, {cpu / max(1, done):.1f} CPU seconds a seed.",
        highlight=False,
    )
    if done < len(seeds):
        console.print(
            f"The other {len(seeds) - done} did not begin: {minutes:g} minutes were over.", highlight=False
        )
    if bad:
        console.print(f"Replay one: make simulate SEED={min(each.seed for each in bad)}", highlight=False)
    return 1 if bad else 0


def one(seed: int, orders: int, outage_seconds: float) -> int:
    """Run one and print its story."""
    verdict = run_seed(draw(seed, orders=orders, outage_seconds=outage_seconds), told=True)
    for line in verdict.story:
        print(line)
    print(f"\nseed {seed}: {verdict.orders} orders, {verdict.lives} lives, {verdict.virtual_seconds:.0f} s")
    for words in verdict.violations:
        print(f"BROKEN {words}")
    return 1 if verdict.violations else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its story")
    parser.add_argument("--seeds", type=int, default=500, help="how many (500)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (1)")
    parser.add_argument("--orders", type=int, default=200, help="orders a seed (200)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one a core)")
    parser.add_argument("--minutes", type=float, default=1440, help="no seed begins later than this (1440)")
    parser.add_argument("--outage", type=float, default=0, help="for so many seconds the org is away (0)")
    given = parser.parse_args()
    if given.seed is not None:
        return one(given.seed, given.orders, given.outage)
    seeds = range(given.first, given.first + given.seeds)
    return many(seeds, given.orders, given.jobs, given.minutes, given.outage)


if __name__ == "__main__":
    sys.exit(main())
