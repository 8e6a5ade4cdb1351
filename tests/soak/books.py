"""The books at the end of the soak: everything compared from outside, when nothing moves any more."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sfsync.cli.demo.catalogue import org_seed
from sfsync.cli.demo.sums import Row, covers, explained, repeated, wrong_on_hand
from sfsync.cli.demo.world import Picture, World

from .load import Checkout, Load
from .trouble import Trouble

REST_SECONDS = 180.0
NAMED = 3  # examples of what is wrong


async def close_the_books(world: World, load: Load, trouble: Trouble, *, kills: int) -> None:
    """Wait until nothing moves, then check every promise; the teller keeps the checks."""
    began = time.monotonic()
    picture, held = await _at_rest(world)
    took = time.monotonic() - began
    check = world.teller.check
    check(
        "Killed and cut off amid the traffic as often as was asked",
        trouble.kills >= kills and trouble.cuts > 0,
        f"{trouble.kills} kills, {trouble.cuts} cut streams, {trouble.done.total()} misfortunes in all",
    )
    check(
        "Every SKU in the org = London = Dubai",
        not picture.wrong,
        f"{len(picture.should)} numbers, at rest after {took:.0f} s" + _examples(picture.wrong),
    )
    _orders(world, picture)
    _tills(world, load, picture)
    _reservations(world, load, picture, held)
    keys = [row.key for row in picture.rows if row.key]
    again = repeated(keys)
    check("Every idempotency key is unique", not again, f"{len(keys)} keys" + _examples(again))
    gaps = _gaps(picture.rows)
    check("Every subject's steps are numbered without a gap", not gaps, "none missing" + _examples(gaps))
    status = await world.daemon.status()
    stream, letters = status["stream"], status["dead_letters"]
    check(
        "Coverage is closed, and there is no dead letter",
        stream["state"] == "good" and bool(stream["topics"]) and not stream["holes"] and not letters,
        f"stream {stream['state']}, {len(stream['holes'])} holes, {len(letters)} dead letters"
        + _examples([str(each) for each in (*stream["holes"], *letters)]),
    )
    _incidents(world, picture, status)


async def _at_rest(world: World) -> tuple[Picture, dict[str, int]]:
    """The last picture, the same twice in a row with every number right, or the best to be had in time."""
    deadline = time.monotonic() + REST_SECONDS
    before: Picture | None = None

    async def look() -> tuple[Picture, dict[str, int]] | None:
        nonlocal before
        pending = sum([await shop.webhooks_pending() for shop in world.shops.values()])
        picture = await world.picture()
        held = _held(picture.rows, "reservation:")
        status = await world.daemon.status()
        covered = not status["stream"]["holes"] and status["stream"]["state"] == "good"
        rest = not pending and not picture.wrong and not any(held.values()) and covered and before == picture
        before = picture
        return (picture, held) if rest or time.monotonic() > deadline else None

    return await world.stage.until("everything to come to rest", look, REST_SECONDS + 30, every=1.0)


def _incidents(world: World, picture: Picture, status: Any) -> None:
    """Tills hand over promised goods, sites sell one piece twice: each such lack is told, and no other."""
    told = Counter(i["sku"] for i in status["incidents"] if i["closed_at"] is None)
    beyond = [level for level in picture.levels if level.reserved > level.on_hand]
    short = [cover for cover in covers(picture.lines, picture.rows) if cover.oversold]
    lacking = Counter([level.sku for level in beyond] + [cover.line.sku for cover in short])
    odd = sorted((told - lacking) + (lacking - told))
    world.teller.check(
        "Every promise that stock does not cover is an open incident, and nothing else is",
        not odd,
        f"{len(beyond)} levels promised beyond stock, {len(short)} orders uncovered, {told.total()} incidents"
        + _examples(odd),
    )


def _held(rows: Sequence[Row], start: str) -> dict[str, int]:
    net: Counter[str] = Counter()
    for row in rows:
        if row.subject.startswith(start):
            net[row.subject] += row.reserved
    return dict(net)


def _orders(world: World, picture: Picture) -> None:
    lines = covers(picture.lines, picture.rows)
    groups = world.rules.groups
    wrong = [
        cover
        for cover in lines
        if not cover.exact and not explained(cover, picture.levels, groups[cover.line.channel])
    ]
    known = {line.subject for line in picture.lines}
    strangers = sorted({r.subject for r in picture.rows if r.subject.startswith("order:")} - known)
    short = sum(cover.oversold for cover in lines)
    world.teller.check(
        "Each accepted order line stands in the org exactly once",
        bool(lines) and not wrong and not strangers,
        f"{len(lines)} lines, {sum(c.line.sent > 0 for c in lines)} sent, "
        f"{sum(not c.line.units for c in lines)} called off, {short} uncovered on sold-out articles"
        + _examples([f"{c.line.subject} {c.held} for {c.line.units}" for c in wrong] + strangers),
    )


def _tills(world: World, load: Load, picture: Picture) -> None:
    opening = {(row["sku"], row["location"]): row["on_hand"] for row in org_seed(world.catalogue)["levels"]}
    wrong = wrong_on_hand(opening, picture.levels, picture.rows, load.tills)
    entered = Counter(row.reference for row in picture.rows if row.kind == "Sale")
    sales = [*load.receipts, *load.announced]
    odd = [f"{receipt} {entered[receipt]} times" for receipt in sales if entered[receipt] != 1]
    world.teller.check(
        "Each till sale is counted once; on hand is opening, less sales, less goods sent, plus receipts",
        bool(load.receipts) and bool(load.announced) and not wrong and not odd,
        f"{len(load.receipts)} entered by tills, {len(load.announced)} announced" + _examples(odd + wrong),
    )


def _reservations(world: World, load: Load, picture: Picture, held: dict[str, int]) -> None:
    """None lost: who paid was confirmed. None doubled: each was granted one unit, and holds none now."""
    given: Counter[str] = Counter()
    for row in picture.rows:
        if row.subject.startswith("reservation:") and row.kind == "Cart":
            given[row.subject] += row.reserved
    unlucky = [_told(c) for c in load.checkouts if c.order and c.confirmed != 200]
    doubled = [
        f"{c.id} was granted {given[f'reservation:{c.id}:0']}"
        for c in load.checkouts
        if given[f"reservation:{c.id}:0"] != 1
    ]
    known = {f"reservation:{c.id}:0" for c in load.checkouts}
    kept = [f"{subject} holds {units}" for subject, units in held.items() if units]
    nobody = sorted(subject for subject, units in given.items() if units and subject not in known)
    paid = sum(bool(c.order) for c in load.checkouts)
    world.teller.check(
        "No reservation is lost, doubled, or held for nobody",
        bool(load.checkouts) and not (unlucky or doubled or kept) and len(nobody) <= load.unanswered,
        f"{len(load.checkouts)} granted, {paid} paid for, {load.turned_away} turned away, "
        f"{load.unanswered} without an answer" + _examples(unlucky + doubled + kept + nobody),
    )


def _told(checkout: Checkout) -> str:
    return f"{checkout.id} of {checkout.sku}: its payment was answered {checkout.confirmed}"


def _gaps(rows: Sequence[Row]) -> list[str]:
    steps: dict[str, list[int]] = {}
    for row in rows:
        if row.subject and row.key.startswith(f"{row.subject}:"):
            steps.setdefault(row.subject, []).append(int(row.key.rpartition(":")[2]))
    return [f"{name} has {sorted(n)}" for name, n in steps.items() if sorted(n) != list(range(len(n)))]


def _examples(wrong: Sequence[str]) -> str:
    return f"; wrong: {'; '.join(wrong[:NAMED])}{' …' if len(wrong) > NAMED else ''}" if wrong else ""
