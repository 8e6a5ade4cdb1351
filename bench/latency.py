"""50 changes a second to two storefronts: from the commit in the org to the storefront's own change."""

from __future__ import annotations

import time
from statistics import median, quantiles

from bench.stage import CONTESTANTS, Stage, stage

PER_SECOND = 50
SKUS = 400


def run(rounds: int, seconds: int) -> dict[str, list[dict[str, float]]]:
    """Each contestant in turn, `rounds` times, each time on a fresh stage."""
    found: dict[str, list[dict[str, float]]] = {kind.name: [] for kind in CONTESTANTS}
    for number in range(rounds):
        for kind in CONTESTANTS if number % 2 == 0 else reversed(CONTESTANTS):
            with stage(SKUS, 2, "enterprise") as on:
                contestant = kind(on)
                contestant.start()
                try:
                    found[kind.name].append(_measure(on, seconds) | {"memory_mb": contestant.memory_mb()})
                finally:
                    contestant.stop()
    return found


def _measure(on: Stage, seconds: int) -> dict[str, float]:
    since = on.last_commit()
    began = time.monotonic()
    for number in range(PER_SECOND * seconds):
        on.change([on.skus[number % SKUS]])
        time.sleep(max(0.0, began + (number + 1) / PER_SECOND - time.monotonic()))
    on.settled(30.0)
    return _lags(on, since)


def _lags(on: Stage, since: int) -> dict[str, float]:
    lags: list[float] = []
    missed = 0
    shown = [on.arrivals(shop) for shop in on.shops]
    for sku, units, at_ms in on.commits(since):
        for arrivals in shown:
            # Numbers only grow here, so the first one as high as the org's has this change in it.
            seen = next((at for at, after in arrivals.get(sku, ()) if after >= units and at >= at_ms), None)
            if seen is None:
                missed += 1
            else:
                lags.append(seen - at_ms)
    cut = quantiles(lags, n=100, method="inclusive")
    return {"p50_ms": median(lags), "p99_ms": cut[98], "missed": float(missed), "changes": float(len(lags))}
