"""Bugs on purpose: each breaks one promise, and the simulation must notice (`make planted`).

Each is put into a temporary copy of the sources; seeds run on that copy until one breaks. A bug whose place
is not found any more is an error: mend it, do not drop it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Bug:
    """A replacement in one file; `search` must stand there exactly once."""

    promise: int
    what: str
    file: str
    search: str
    replace: str


BUGS: tuple[Bug, ...] = (
    Bug(
        1,
        "a reservation counts as granted before the org was asked",
        "flow/desk.py",
        "ReservationState.REFUSED if refused else ReservationState.PENDING,",
        "ReservationState.REFUSED if refused else ReservationState.GRANTED,",
    ),
    Bug(
        2,
        "what may have been sent before a restart is sent again under a new key",
        "flow/writer.py",
        "self._waiting[bundle.id] = replace(bundle, maybe_sent=restart)",
        "self._waiting[bundle.id] = replace(bundle, movements=tuple("
        "replace(m, key=m.key + ':again' * restart) for m in bundle.movements))",
    ),
    Bug(
        4,
        "what was sold, or has left, counts no more once the org has refused its row",
        "domain/ledger.py",
        "Verdict.STANDS if bundle.stands else Verdict.WRONG",
        "Verdict.WRONG",
    ),
    Bug(
        3,
        "a reservation is sent in one request with a release of its level, whatever is available",
        "domain/ledger.py",
        "            if bundle.levels & posting:\n                continue\n"
        "            if not _fits(bundle, levels, asking) and not (bundle.maybe_sent or bundle.refusals):\n",
        "            if posting is None:\n",
    ),
    Bug(
        1,
        "a piece on a shop floor counts as granted before the shop has it in its hand",
        "domain/reservations.py",
        "    if reservation.needs_store:\n        return ReservationState.AWAITING_STORE\n",
        "",
    ),
    Bug(
        1,
        "a reservation that is moved to a shop floor counts before the shop has the piece in its hand",
        "flow/life.py",
        "replace(reservation, needs_store=asks_shop)",
        "replace(reservation, needs_store=False)",
    ),
    Bug(
        1,
        "who pays for a piece on a shop floor has it, before the shop has looked",
        "flow/life.py",
        "                case ReservationState.GRANTED:\n                    if not followed",
        "                case ReservationState.GRANTED | ReservationState.AWAITING_STORE:\n"
        "                    if not followed",
    ),
    Bug(
        1,
        "who pays for a cart has it, although its goods have left over a counter",
        "flow/life.py",
        "        short = {} if reservation.found_at is not None else lacking(tx, reservation)\n",
        "        short: dict[tuple[str, LevelKey], int] = {}\n",
    ),
    Bug(
        1,
        "the last pieces of a shop floor are granted out of the local block",
        "flow/block.py",
        "        last = max(level.keep, level.last)\n",
        "        last = level.keep\n",
    ),
    Bug(
        1,
        "what the local block adds to a basket is the next one's too, until the org has answered",
        "flow/reserving.py",
        "        row.subject: HOLDER for each in rows for row in each[1:]\n",
        "        row.subject: reservation.channel for each in rows for row in each[1:]\n",
    ),
    Bug(
        9,
        "what a shop never looks for is held for ever",
        "store/reservations.py",
        "        text(\"state IN ('granted', 'awaiting-store')\"),  # as the index over them has it\n",
        "        text(\"state IN ('granted', 'awaiting-store') AND state = 'granted'\"),\n",
    ),
    Bug(
        1,
        "an order draws on a shop floor first, where its channel has it first",
        "domain/orders.py",
        "    return _source(units, sources, sure) or _source(units, sources, sellable)\n",
        "    return _source(units, sources, sellable if sure else {})\n",
    ),
    Bug(
        4,
        "nobody is told that an order has a piece which may have been sold in its shop",
        "flow/sold_from_floor.py",
        "        if reservation or (beyond and not given) or not set(given).isdisjoint(gone):\n",
        "        if reservation or (beyond and given):\n",
    ),
    Bug(
        3,
        "a payment after the end counts without asking the org again",
        "flow/life.py",
        "                    return self._paid_after_its_end(tx, reservation, order_reference)\n",
        "                    return Outcome(self._confirmed(tx, reservation, order_reference))\n",
    ),
    Bug(
        3,
        "a piece that was promised is promised again where it was carried",
        "domain/debts.py",
        "        left[level.key] = max(0, min(left[level.key], free))\n",
        "        left[level.key] = max(0, min(left[level.key], there))\n",
    ),
    Bug(
        9,
        "what was promised is for sale again where it was carried",
        "domain/debts.py",
        "if _pay(key, debts[key], rank, left)}",
        "if _pay(key, 0, rank, left)}",
    ),
    Bug(
        1,
        "what a shop does not find is promised to the next who asks",
        "flow/picture.py",
        "                not_found=level.not_found,\n",
        "",
    ),
    Bug(
        3,
        "what was promised elsewhere is asked of the org all the same",
        "flow/picture.py",
        "if facts is None or units <= max(0, facts.sellable) or not (facts.elsewhere or level in awaited):",
        "if facts is None or facts.elsewhere >= 0 or awaited:",
    ),
    Bug(
        2,
        "a second daemon may work on the same store",
        "store/database.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
    ),
    Bug(
        2,
        "what is given back twice is released twice",
        "flow/life.py",
        "        if reservation.state not in OPEN:\n"
        "            return Outcome(reservation), set()\n"
        "        drawn = tx.draws(reservation.id) if reservation.state in HOLDING else ()\n"
        "        if drawn and all(bundle is None for _, bundle in drawn):\n"
        "            tx.drop_draws(reservation.id)  # the org has not heard of it, and need not\n"
        "        if reservation.state not in HOLDING or tx.busy(reservation.subjects()):\n",
        "        if reservation.state is ReservationState.PENDING:\n",
    ),
    Bug(
        4,
        "of several postings in one batch of events only the first is entered",
        "flow/intake.py",
        "for posting in batch.postings]",
        "for posting in batch.postings[:1]]",
    ),
    Bug(
        2,
        "a fold forgets how many steps its subjects have taken",
        "domain/fold.py",
        "            part = Folded(0 if step is None else step + 1, row.movement.on_hand_delta)\n",
        "            part = Folded(0, row.movement.on_hand_delta)\n",
    ),
    Bug(
        4,
        "a sale that is told after its level was counted is taken off twice",
        "domain/counts.py",
        "    return happened <= counted\n\n\ndef compensation",
        "    return False\n\n\ndef compensation",
    ),
    Bug(
        4,
        "what a till tells late is dated when it is heard of",
        "salesforce/codec.py",
        "    return (published, told) if told > published + CLOCK_SKEW else (told, None)\n",
        "    return (published, None)\n",
    ),
    Bug(
        4,
        "a parcel is dated by its order's last change",
        "domain/orders.py",
        "    at, units = next_moment(told, entered, units)\n",
        "    at = next_moment(told, entered, units)[0] and None\n",
    ),
    Bug(
        4,
        "goods that go from one location to another are entered where they arrive alone",
        "domain/transfers.py",
        "for step, (location, units) in enumerate(rows)\n",
        "for step, (location, units) in enumerate(rows[-1:])\n",
    ),
    Bug(
        5,
        "a shop's number is raised before the units were lowered elsewhere and moved",
        "domain/allocation.py",
        "    return max(min(0, shown), min(goal, shown + room))\n",
        "    return max(min(0, shown), goal - 0 * room)\n",
    ),
    Bug(
        5,
        "what is on its way to a shop does not count as shown there",
        "flow/allocations.py",
        "shown, spare = level.published + level.flying, level.spare - level.flying",
        "shown, spare = level.published, level.spare",
    ),
    Bug(
        5,
        "what a shop still shows of a shared number is covered up to its share alone",
        "domain/allocation.py",
        "    needs = [*_uncovered(books), *_too_few(books, goals)]\n",
        "    needs = [(who, min(units, goals.get(who, 0))) for who, units in _uncovered(books)]\n"
        "    needs += _too_few(books, goals)\n",
    ),
    Bug(
        5,
        "an article that turns scarce keeps its shared number, and is shown its own units on top of it",
        "domain/allocation.py",
        "        return max(0, self.has + self.sold - self.held)\n",
        "        return 0\n",
    ),
    Bug(
        5,
        "units that have left are released while their shop shows them still",
        "domain/allocation.py",
        "        return 0 if self.claimed else max(0, min(self.gone, self.spare - self.gap))\n",
        "        return self.gone\n",
    ),
    Bug(
        5,
        "units that are set aside and leave over a counter are shown on",
        "flow/allocations.py",
        "        return allocation.whose(short, holders)\n",
        "        return {}\n",
    ),
    Bug(
        6,
        "an older version of a level replaces a newer one",
        "domain/stock.py",
        "return Freshness.REWRITTEN if asked_after_held else Freshness.LATE",
        "return Freshness.REWRITTEN",
    ),
    Bug(
        6,
        "a lower version is taken over, and nobody is told",
        "flow/levels.py",
        "            _rewritten(tx, ctx, before, level, entered.get(level.key, 0), now)\n",
        "",
    ),
    Bug(
        6,
        "a lower version is old news for ever",
        "domain/stock.py",
        "    return Freshness.REWRITTEN if asked_after_held else Freshness.LATE\n",
        "    return Freshness.LATE\n",
    ),
    Bug(
        2,
        "what was deleted from the ledger is believed to stand there",
        "flow/rewrites.py",
        "            changed = take_over(tx, level, rows, now)\n",
        "            changed: list[str] = []\n",
    ),
    Bug(
        9,
        "what a shop has acknowledged is taken for applied",
        "flow/drift.py",
        "            if row is not None and shows != level.published and row.difference.cause in _TOLD:\n",
        "            if row is not None and shows != level.published and row.difference.cause in ():\n",
    ),
    Bug(
        7,
        "the bookmark moves before the effect",
        "flow/intake.py",
        "        asked_at, read = await self._read(levels, movements)\n",
        "        at, cursor = ctx.clock.now(), batches[-1].cursor\n"
        "        await ctx.store.write(lambda tx: tx.put_cursor(self._topic, cursor, at))\n"
        "        asked_at, read = await self._read(levels, movements)\n",
    ),
    Bug(
        8,
        "a hole is closed without taking over what was read again",
        "flow/intake.py",
        "bells, _ = await ctx.store.write(partial(_apply_moved, ctx=ctx, read=page, asked_at=at))\n",
        "bells: set[str] = set()\n",
    ),
    Bug(
        8,
        "that a stream is there counts as the end of its replay",
        "salesforce/pubsub.py",
        "joined=greets and not response.events",
        "joined=False",
    ),
    Bug(
        9,
        "a push whose outcome is unknown counts as applied",
        "flow/relay.py",
        "            except Unknown as error:\n                maybe_sent = True\n",
        "            except Unknown as error:\n"
        "                return await self._conclude(record, PushAnswer(applied=True))\n"
        "                maybe_sent = True\n",
    ),
    Bug(
        10,
        "an event that cannot be understood is dropped without a word",
        "flow/intake.py",
        "for poison in batch.poison:",
        "for poison in batch.poison[:0]:",
    ),
    Bug(
        11,
        "a number is pushed instead of a change",
        "flow/relay.py",
        "Write(*place, delta=row.delta, compare=level.published if held else None)",
        "Write(*place, quantity=max(0, level.target or 0))",
    ),
    Bug(
        11,
        "a lowering frees units whatever number it meets: over a sale that nobody told of",
        "flow/relay.py",
        "compare=level.published if held else None",
        "compare=None",
    ),
    Bug(
        5,
        "what is shared again is given back before its channel is lowered",
        "domain/allocation.py",
        "    found, left = [], _free(books)\n",
        "    found, left = [], books.held\n",
    ),
    Bug(
        2,
        "what another of a shop's locations is to send stays reserved where it was",
        "domain/orders.py",
        "    step = _put_in_place(facts, reserved)\n",
        "    step = NextStep()\n",
    ),
    Bug(
        5,
        "what a shop sold at its second location is looked for there alone",
        "flow/deciding.py",
        "    if wish.places and not wish.location:\n",
        "    if wish.places and not wish.places:\n",
    ),
    Bug(
        9,
        "once the org takes no more calls, sales wait as long as everything else",
        "domain/budget.py",
        "every = SALE_PROBE if work is Work.SALE else OTHER_PROBE",
        "every = OTHER_PROBE",
    ),
    Bug(
        9,
        "an org that takes no more calls is asked again and again",
        "domain/budget.py",
        "return at is None or now >= at",
        "return True",
    ),
    Bug(
        2,
        "what is fetched leaves from whichever place of its order comes first",
        "domain/reservations.py",
        "    for there in (True, False):\n        for at, (seller, line)",
        "    for there in (False,):\n        for at, (seller, line)",
    ),
    Bug(
        2,
        "what was fetched has left for each of the orders that share it",
        "flow/deciding.py",
        "    return sold | {line.subject: line.line}\n",
        "    return {line.subject: line.line} if len(sold) >= 0 else sold\n",
    ),
    Bug(
        2,
        "the order of what was fetched before it was named is forgotten",
        "flow/life.py",
        "                case ReservationState.SETTLED if not reservation.order_reference:\n",
        "                case ReservationState.SETTLED if reservation.order_reference == '?':\n",
    ),
    Bug(
        1,
        "what is kept for a customer is given back when its order was faster than the checkout",
        "flow/deciding.py",
        "    return {level: units for level, units in kept.items() if units > 0}\n",
        "    return {level: units for level, units in kept.items() if units < 0}\n",
    ),
    Bug(
        2,
        "what one order has taken over is confirmed for another",
        "flow/life.py",
        "            if other := self._other_order(tx, reservation, order_reference):\n",
        "            if other := '':\n",
    ),
    Bug(
        12,
        "what goes up is pushed before what goes down",
        "store/channels.py",
        "case((SHOWN.target > SHOWN.published, 1), else_=0),",
        "case((SHOWN.target > SHOWN.published, 0), else_=1),",
    ),
    Bug(
        2,
        "an older snapshot of an order is obeyed",
        "flow/orders.py",
        "        if before is not None and snapshot.version < before.version:\n            continue\n",
        "",
    ),
    Bug(
        2,
        "the newest word of an order is not kept when it changed nothing",
        "flow/orders.py",
        "            if snapshot.version > before.version or line.places:\n"
        "                tx.put_line(same)\n",
        "",
    ),
    Bug(
        2,
        "of two that tell of an order, the one that spoke last counts",
        "domain/sources.py",
        "    return words[authority] if authority in words else next(iter(words.values()))\n",
        "    return max(words.values(), key=lambda word: word.version)\n",
    ),
    Bug(
        2,
        "that a key is taken counts as a proof that the row is in",
        "domain/ledger.py",
        '        return Judgement(Verdict.LATER, "its key is being entered by another request")\n',
        "        return Judgement(Verdict.DONE)\n",
    ),
    Bug(
        2,
        "whatever stands under a key of ours counts as ours",
        "domain/ledger.py",
        "        return Judgement(Verdict.CONFLICT, "
        '"its idempotency key stands in the ledger with other content")\n    if all(found.values()):',
        "        return Judgement(Verdict.DONE)\n    if all(found.values()):",
    ),
    Bug(
        2,
        "refused is final while an attempt is under way",
        "domain/ledger.py",
        "    return Judgement(Verdict.VOID_FIRST if bundle.maybe_sent else Verdict.REFUSED, reason)\n",
        "    return Judgement(Verdict.REFUSED, reason)\n",
    ),
    Bug(
        2,
        "what may have been entered is planned as if nothing had been sent",
        "flow/writer.py",
        "            except Unknown as error:\n                self._maybe_sent(request)\n",
        "            except Unknown as error:\n                self._delay(request, 1.0)\n"
        "                return\n",
    ),
    Bug(
        8,
        "what the stream says that it cannot tell is no hole",
        "flow/intake.py",
        "                if batch.hole_since is not None:\n",
        "                if batch.hole_since is not None and not batch.cursor:\n",
    ),
    Bug(
        8,
        "a bookmark that is refused counts as replayed, and the stream goes on from now",
        "flow/watching.py",
        "        for hole in replays:\n            since = min(since, hole.since)\n",
        "        for hole in replays:\n"
        "            tx.close_hole(hole.id, now, '', How.REPLAYED)\n"
        "        for hole in replays[:0]:\n            since = min(since, hole.since)\n",
    ),
    Bug(
        4,
        "a count is held against all that was entered by now",
        "domain/counts.py",
        "return sum(row.movement.on_hand_delta for row in rows if second(row.happened_at) <= second(at))",
        "return sum(row.movement.on_hand_delta for row in rows)",
    ),
    Bug(
        6,
        "a fold of a fold takes its level back to an older version",
        "domain/fold.py",
        "    version = sum(row.version_delta for row in taken) + 1\n",
        "    version = sum(row.version_delta for row in taken if row.folded is None) + 1\n",
    ),
    Bug(
        3,
        "a fold enters what has left before it takes out what had come",
        "domain/fold.py",
        "        return self.opening.on_hand_delta >= 0\n",
        "        return True\n",
    ),
    Bug(
        6,
        "what an answer says of a ledger from before it was rewritten wins",
        "domain/stock.py",
        "    if before_epoch:\n        return Freshness.BEFORE_EPOCH\n",
        "",
    ),
    Bug(
        8,
        "the org's clock is taken for ours when a replay seems to be through",
        "flow/watching.py",
        "committed_at = org.earliest(committed_at) - CLOCK_SKEW",
        "committed_at -= CLOCK_SKEW * 0",
    ),
    Bug(
        2,
        "a shop's clock is taken for ours when an order seems to be from before our time",
        "flow/orders.py",
        "    known = told.latest if told is not None else UNKNOWN.earliest\n"
        "    if since is not None and known(snapshot.placed_at) >= since - CLOCK_GRAIN:\n",
        "    if since is not None and snapshot.placed_at >= since - CLOCK_GRAIN:\n",
    ),
    Bug(
        9,
        "a shop's clock is taken for ours when a number may have a sale in it",
        "flow/taken.py",
        "theirs = their_clocks.of(ctx.channels.get(state.channel))",
        "theirs = their_clocks.ALIKE",
    ),
)

RUN = """
import json, sys
from tests.simulation.seed import timed
for seed in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    verdict, _ = timed(seed, int(sys.argv[3]))
    if verdict.violations:
        print(json.dumps([seed, verdict.violations[0]]))
        break
"""


def with_bug(bug: Bug) -> str:
    """The text of the bug's file with the bug in it. Raises `LookupError` when its place is not found."""
    text = (REPOSITORY / "src" / "sfsync" / bug.file).read_text(encoding="utf-8")
    found = text.count(bug.search)
    if found != 1:
        raise LookupError(f"{bug.what}: its place in {bug.file} is found {found} times; mend the planted bug")
    return text.replace(bug.search, bug.replace)


def plant(bug: Bug, folder: Path) -> None:
    """A copy of the sources with the bug in it."""
    shutil.copytree(REPOSITORY / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("salesforce", "config"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "src" / "sfsync" / bug.file).write_text(with_bug(bug), encoding="utf-8")


def hunt(bug: Bug, most: int, orders: int) -> tuple[int, str] | None:
    """(seeds until caught, what the checker said), or None when no seed caught it.

    A seed that breaks without the bug, too, proves nothing of it.
    """
    with tempfile.TemporaryDirectory(prefix="sfsync-planted-") as folder:
        plant(bug, Path(folder))
        found = broken(Path(folder) / "src", 1, most, orders)
        while found is not None and breaks_anyway(found[0], orders):
            found = broken(Path(folder) / "src", found[0] + 1, most, orders)
        return found


def broken(sources: Path, first: int, last: int, orders: int) -> tuple[int, str] | None:
    """The first of these seeds that breaks with these sources, and what the checker said."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(first), str(last), str(orders)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{sources}{os.pathsep}{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return tuple(json.loads(done.stdout.splitlines()[-1])) if done.stdout.strip() else None


@cache
def breaks_anyway(seed: int, orders: int) -> bool:
    """True for a seed that breaks with the sources as they are."""
    return broken(REPOSITORY / "src", seed, seed, orders) is not None


def main() -> int:
    """Plant every bug and print the table. Exit code 1 when one was not caught."""
    parser = argparse.ArgumentParser(prog="make planted", description=__doc__)
    parser.add_argument("--promise", type=int, help="only the bugs of this promise")
    parser.add_argument("--seeds", type=int, default=500, help="at most (500)")
    parser.add_argument("--orders", type=int, default=60, help="orders a seed (60)")
    given = parser.parse_args()
    console = Console()
    table = Table("promise", "planted bug", "caught by seed", "what the checker said")
    missed = 0
    for bug in BUGS:
        if given.promise in (None, bug.promise):
            with console.status(bug.what):
                caught = hunt(bug, given.seeds, given.orders)
            missed += caught is None
            seed, said = (str(caught[0]), caught[1]) if caught else ("not caught", "")
            table.add_row(str(bug.promise), bug.what, seed, said[:160])
            console.print(f"promise {bug.promise}: {bug.what}: {seed}", highlight=False, markup=False)
    console.print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
