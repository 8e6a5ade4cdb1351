"""`sfsync rehearse`: a small drop played through for real, and how its report is worked out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from sfsync.cli.rehearse.crowd import Visit, arrivals
from sfsync.cli.rehearse.plan import Plan, PlanError, read
from sfsync.cli.rehearse.report import Seen, percentile, report
from sfsync.resources import config_folder

SMALL = """
[drop]
pieces = 20
block = 20
[buyers]
count = 150
seconds = 3
rush_seconds = 1
patience_seconds = 90
[org]
latency = "office"
[shops.london]
"""
SEEN = Seen(
    on_hand=2,
    reserved=2,
    left_in_block=0,
    orders=2,
    calls=7,
    calls_by_kind={"POST composite": 7},
    points={"london": 50.0},
    points_per_second={"london": 100.0},
    throttled={"london": 3, "dubai": 9},
    cpu_seconds=1.0,
    busiest_percent=60.0,
    drop_seconds=4.0,
    settled_seconds=5.0,
    memory_mb=100.0,
)


def plan(**changes: object) -> Plan:
    tree = {
        "drop": {"pieces": 2, **changes},
        "buyers": {"count": 4, "seconds": 4, "rush_seconds": 1},
        "shops": {"london": {}},
    }
    return Plan.model_validate(tree)


def visit(outcome: str, waited: float) -> Visit:
    return Visit("london", 1.0, outcome, 1.0 + waited)


VISITS = [visit("got one", 0.1), visit("got one", 0.3), visit("sold out", 1.0), visit("no answer", 30.0)]


def test_a_small_drop_sells_every_piece_once_and_says_what_it_took(tmp_path: Path) -> None:
    """A hundred and fifty buyers, twenty pieces, the real daemon: twenty are sold, and nobody is put off."""
    path = tmp_path / "drop.toml"
    path.write_text(SMALL)
    command = [sys.executable, "-m", "sfsync", "rehearse", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["granted"], told["ordered"], told["oversold"]) == (20, 20, 0)
    assert (told["sold_out"], told["no_answer"]) == (130, 0)
    assert told["org_calls"] > 0  # how few: a matter of speed, measured by the bench
    assert told["breaks_first"][0]["percent"] > 0


@pytest.mark.parametrize(
    ("seen", "oversold"),
    [
        (SEEN, 0),
        (replace(SEEN, orders=3), 1),  # a storefront took an order for a third piece
        (replace(SEEN, reserved=3), 1),  # the org promised a third one
        (replace(SEEN, reserved=2, left_in_block=1), 1),
        (replace(SEEN, on_hand=1), 1),
    ],
)
def test_oversold_is_whatever_was_promised_beyond_the_pieces(seen: Seen, oversold: int) -> None:
    """By a storefront, by sfsync or in the org: it counts whoever promised it."""
    assert report(plan(), VISITS, seen).oversold == oversold


def test_a_third_grant_of_two_pieces_is_oversold_whatever_the_books_say() -> None:
    """A buyer was told yes."""
    assert report(plan(), [*VISITS, visit("got one", 0.2)], SEEN).oversold == 1


def test_the_report_tells_moments_waiting_times_and_the_nearest_limit() -> None:
    """Sold out when the last piece was granted; the patience of one in a hundred was the nearest limit."""
    found = report(plan(), VISITS, SEEN)
    assert (found.granted, found.sold_out, found.no_answer) == (2, 1, 1)
    assert found.sold_out_after_s == 1.3
    assert (found.granted_p50_ms, found.refused_p99_ms) == (300.0, 1000.0)
    assert [(each.limit, each.percent) for each in found.breaks_first] == [
        ("the buyers' patience", 100.0),
        ("sfsync's processor", 60.0),
        ("Shopify's points at london", 10.0),
        ("the org's API calls of a day", 0.0),
    ]
    told = {each.limit: each.how for each in found.breaks_first}
    assert told["sfsync's processor"] == "of one core in its busiest 5 s; 25.0 % while buyers came"
    assert told["Shopify's points at london"] == "of its plan's, 3 calls throttled"
    assert report(plan(pieces=5), VISITS, SEEN).sold_out_after_s is None
    assert percentile([], 99) is None


def test_buyers_come_in_a_rush_first_and_the_same_for_the_same_seed() -> None:
    """Half of them in the first second of four; the storefronts by their weights."""
    came = arrivals(plan(), Random(3))
    assert [each.came for each in came] == sorted(each.came for each in came)
    assert sum(each.came <= 1 for each in came) == 2
    assert came == arrivals(plan(), Random(3))


def test_the_example_is_a_good_plan() -> None:
    """Ten thousand buyers for five hundred pieces."""
    found = read(config_folder() / "drop.toml")
    assert (found.buyers.count, found.drop.pieces) == (10_000, 500)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[drop", "is not TOML"),
        ("[drop]\n[buyers]\ncount = 1\n[shops.a]\n", "drop.pieces: Field required"),
        (SMALL + "[extra]\n", "extra: is not a known key"),
        (SMALL.replace("20\n[buyers", '20\nguarantee = "mirrored"\n[buyers'), "block is for the guarantee"),
        (SMALL.replace("rush_seconds = 1", "rush_seconds = 5"), "rush_seconds is longer than seconds"),
        (SMALL + "weight = 0\n", "nobody would come"),
        (SMALL.replace("[shops.london]", "[shops.London]"), "shops.London"),
    ],
)
def test_a_wrong_plan_is_told_with_its_key(tmp_path: Path, text: str, told: str) -> None:
    """Before anything is started."""
    path = tmp_path / "drop.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=r"drop\.toml") as caught:
        read(path)
    assert told in str(caught.value)


def test_a_plan_that_is_not_there_is_told_with_the_example(tmp_path: Path) -> None:
    """A wrong path is the commonest mistake."""
    with pytest.raises(PlanError, match=r"Copy config/drop\.toml"):
        read(tmp_path / "nowhere.toml")
