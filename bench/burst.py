"""2,000 changes over 500 levels at once under Shopify's Standard points; then again with a kill amid it."""

from __future__ import annotations

import time

from bench.stage import CONTESTANTS, Stage, stage

CHANGES = 2_000
LEVELS = 500
ROWS = 200
KILL_AFTER_SECONDS = 1.0
DOWN_SECONDS = 1.0


def run(limit_seconds: float) -> dict[str, dict[str, float | None]]:
    """Seconds until every number is right, and what it cost; None when the limit was passed."""
    found: dict[str, dict[str, float | None]] = {}
    for kind in CONTESTANTS:
        with stage(LEVELS, 1, "standard") as on:
            contestant = kind(on)
            contestant.start()
            try:
                seconds = _burst(on, limit_seconds)
                calls = on.shops[0].control("GET", "/calls")["total"]
                found[kind.name] = {
                    "seconds": seconds,
                    "calls": calls["count"],
                    "points": calls["points"],
                    "memory_mb": contestant.memory_mb(),
                    "wrong": on.wrong(),
                }
            finally:
                contestant.stop()
    return found


def run_killed(limit_seconds: float) -> dict[str, dict[str, float | None]]:
    """SIGKILL in the burst's middle, a second of downtime, a new start: how many numbers stay wrong."""
    found: dict[str, dict[str, float | None]] = {}
    for kind in CONTESTANTS:
        with stage(LEVELS, 1, "standard") as on:
            contestant = kind(on)
            contestant.start()
            try:
                _change_all(on, 0, CHANGES // 2)
                time.sleep(KILL_AFTER_SECONDS)
                contestant.kill()
                _change_all(on, CHANGES // 2, CHANGES)
                time.sleep(DOWN_SECONDS)
                contestant.start()
                seconds = on.settled(limit_seconds)
                found[kind.name] = {"seconds": seconds, "wrong": on.wrong()}
            finally:
                contestant.stop()
    return found


def _burst(on: Stage, limit_seconds: float) -> float | None:
    began = time.monotonic()
    _change_all(on, 0, CHANGES)
    sent = time.monotonic() - began
    settled = on.settled(limit_seconds)
    return None if settled is None else sent + settled


def _change_all(on: Stage, first: int, last: int) -> None:
    for start in range(first, last, ROWS):
        on.change([on.skus[number % LEVELS] for number in range(start, min(last, start + ROWS))])
