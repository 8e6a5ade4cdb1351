"""The simulation draws every fault that a simulator can commit, or says why it does not."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.simulation.fault_classes import ABSENT, DRAWN, EXCUSED
from tests.simulation.habits import RARE, RARER, habits
from tests.simulation.plan import draw
from tests.simulation.rarer import RARER as ACTORS
from tests.simulation.seed import run_seed

import sfsync.simulators
from sfsync.simulators.org.control_bus import BusControl
from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.faults import KINDS
from sfsync.simulators.shopify.faults import ADMIN_KINDS, STOREFRONT_KINDS, WEBHOOK_KINDS

CLASSES = {
    "requests to the org": set(KINDS),
    "fates of events": {fate.value for fate in Fate},
    "actions on the bus": set(BusControl(cast(Any, None))._actions),
    "calls to a shop": set(ADMIN_KINDS),
    "webhooks of a shop": set(WEBHOOK_KINDS),
    "shoppers' calls to a shop": set(STOREFRONT_KINDS),
}


@pytest.mark.parametrize("party", CLASSES)
def test_each_fault_of_a_simulator_is_drawn_or_excused_with_a_reason(party: str) -> None:
    """A party that learns to misbehave in a new way does so in the simulated days, too."""
    drawn, excused = DRAWN.get(party, {}), EXCUSED.get(party, {})
    assert set(drawn) | set(excused) == CLASSES[party]
    assert not set(drawn) & set(excused)


def test_each_simulator_is_a_party_of_the_simulated_house_or_excused() -> None:
    """A further counterpart is joined, or it is said where its faults are met instead."""
    folder = Path(sfsync.simulators.__path__[0])
    assert {path.parent.name for path in folder.glob("*/__main__.py")} == {"org", "shopify", *ABSENT}


@pytest.mark.parametrize(("party", "fault"), [(party, fault) for party in DRAWN for fault in DRAWN[party]])
def test_each_fault_is_drawn_where_the_table_says(party: str, fault: str) -> None:
    """The table cannot go stale: the place is there, and a list of kinds has the kind."""
    module, name, *member = DRAWN[party][fault].split(".")
    if module == "rare":
        assert name in (*RARE, *RARER)
        return
    place = getattr(importlib.import_module(f"tests.simulation.{module}"), name)
    assert hasattr(place, member[0]) if member else fault in place


@pytest.mark.parametrize("kind", [*RARE, *RARER])
def test_rare_trouble_is_met_within_twenty_seeds_and_not_by_all(kind: str) -> None:
    """Seldom enough to keep a day cheap, often enough that no run of a hundred seeds goes without it."""
    assert 0 < sum(kind in habits(seed).rare for seed in range(1, 21)) < 20


def test_every_promise_is_kept_on_a_day_that_meets_all_that_is_rare() -> None:
    """Events that nobody can read, replay ids that count no more, tokens that end midway, a new field."""
    plan = draw(14, orders=40)
    verdict = run_seed(replace(plan, habits=replace(plan.habits, rare=(*RARE, *RARER))), told=True)
    assert verdict.violations == []
    acting = ["rare", *(actor.__name__.lower() for actor in ACTORS)]
    met = " ".join(line for line in verdict.story if any(f" {name} " in line for name in acting))
    assert not [kind for kind in (*RARE, *RARER) if f"{kind}:" not in met]
    struck = next(line for line in verdict.story if "struck so far" in line)
    assert not [word for word in ("torn", "schema", "late", "replay_refused") if f"'{word}'" not in struck]
