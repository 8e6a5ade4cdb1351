"""Dead letters, and what a person does about them: look at them, try them again, drop them for good.

A retry writes down what is to be done, in one commit, and wakes who does it; so it needs no daemon, and is as
safe as the part that does it. A letter leaves the list when its item has gone well, not when it is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from sfsync.domain.incidents import OVERSOLD
from sfsync.domain.ledger import Wish
from sfsync.domain.letters import (
    LEDGER,
    UNBELIEVED,
    VERDICTS,
    Cause,
    Retry,
    Tried,
    cause_of,
    held,
    is_channel,
    item_of,
)
from sfsync.domain.relay import IN_DOUBT
from sfsync.domain.sources import Source
from sfsync.domain.values import replace
from sfsync.ports import DeadLetter, DroppedLetter, Tx, telling

from .context import Context
from .lateness import add

CHANNEL_OFF = "its channel is off: it is kept, and tried when the channel is back and this is asked again"
LOOKED_BACK = timedelta(hours=1)  # before a letter was written its order had changed
PAGE = 200  # letters of a cause that are told, tried or dropped at once
LETTERS = "dead letters"
BELLS = ("orders", "writer", "learn")


class Letters:
    """What the web and the command line ask about dead letters."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def told(self, cause: Cause | None = None, after: int = 0) -> Mapping[str, object]:
        """The letters by cause, a page of each, or of one after an id; and what was dropped; JSON-ready."""
        return await self._ctx.store.read(lambda tx: tell(tx, cause, after))

    async def retry(self, numbers: Collection[int], cause: Cause | None) -> Sequence[Tried]:
        """Try these again, or all of a cause; one answer each, unknown ids too."""
        ctx = self._ctx
        on, tell = ctx.channels.keys(), telling()
        if cause is None:
            tried = await ctx.store.write(lambda tx: retry(tx, numbers, on, ctx.clock.now()))
            ctx.bell.ring(*BELLS)
            return tried
        tried, part = [], await ctx.store.read(lambda tx: first_part(tx, cause))
        while part.after < part.up_to:
            done, part = await ctx.store.write(partial(retry_part, part=part, on=on, now=ctx.clock.now()))
            ctx.bell.ring(*BELLS)
            tried += done
            tell(LETTERS, len(tried), part.of)
        return tried

    async def drop(self, numbers: Collection[int], by: str, reason: str) -> Sequence[int]:
        """Take these off the list for good, with a name and a reason; the ids that there were."""
        ctx = self._ctx
        dropped = await ctx.store.write(lambda tx: drop(tx, numbers, by, reason, ctx.clock.now()))
        ctx.bell.ring(*BELLS)
        for number in dropped:
            ctx.log.info("dead letter dropped", id=number, by=by, reason=reason)
        return dropped

    async def drop_cause(self, cause: Cause, up_to: int | None, by: str, reason: str) -> Sequence[int]:
        """Take all of a cause off the list for good, those that came after `up_to` not; their ids."""
        ctx, tell = self._ctx, telling()
        dropped: list[int] = []
        part = await ctx.store.read(lambda tx: first_part(tx, cause, up_to))
        while part.after < part.up_to:
            gone, part = await ctx.store.write(
                partial(drop_part, part=part, by=by, because=reason, now=ctx.clock.now())
            )
            ctx.bell.ring(*BELLS)
            dropped += gone
            tell(LETTERS, len(dropped), part.of)
        if dropped:
            ctx.log.info("dead letters dropped", cause=cause.value, count=len(dropped), by=by, reason=reason)
        return dropped


@dataclass(frozen=True, slots=True)
class Part:
    """What is still to be done of a cause: the letters after an id, up to the newest that there was."""

    cause: Cause
    after: int
    up_to: int
    of: int  # letters in all

    def letters(self, tx: Tx) -> tuple[Sequence[DeadLetter], Part]:
        """The next of them, and what is left then."""
        page = tx.dead_letters([self.cause], after=self.after, limit=PAGE)
        end = page[-1].id if len(page) == PAGE else self.up_to
        return [each for each in page if each.id <= self.up_to], replace(self, after=end)


def first_part(tx: Tx, cause: Cause, up_to: int | None = None) -> Part:
    """All of a cause, as it is now: what comes while it is worked on is left alone."""
    newest, there = tx.newest_letter(cause), tx.letters_by_cause().get(cause, 0)
    return Part(cause, 0, newest if up_to is None else min(newest, up_to), there)


def drop(tx: Tx, numbers: Collection[int], by: str, because: str, now: datetime) -> Sequence[int]:
    """Take these off the list for good; the ids that there were.

    What was sold and is no stock of the org's (a gift card) needs no stock either: its incident is over. And
    what the org would not take is not asked of it any more.
    """
    for letter in tx.dead_letters(ids=numbers):
        if _cause(letter) is Cause.NO_LEVEL:
            tx.close_incident(OVERSOLD, letter.key, now)
        if _cause(letter) is Cause.MOVEMENT_REFUSED:
            tx.mark_waiting(letter.key, Wish.DROP)
    return tx.drop_letters(numbers, by, because, now)


def drop_part(tx: Tx, part: Part, by: str, because: str, now: datetime) -> tuple[Sequence[int], Part]:
    """Drop some, in a transaction that keeps no sale waiting."""
    letters, left = part.letters(tx)
    return drop(tx, [each.id for each in letters], by, because, now), left


def retry_part(tx: Tx, part: Part, on: Collection[str], now: datetime) -> tuple[list[Tried], Part]:
    """Retry some, as `drop_part` drops them."""
    letters, left = part.letters(tx)
    return [_try(tx, letter, on, now) for letter in letters], left


def tell(tx: Tx, cause: Cause | None = None, after: int = 0) -> Mapping[str, object]:
    """The letters by cause, the most frequent first, and the last that were dropped; JSON-ready.

    Of each cause its count and a page, the oldest first; or of one cause the page after an id.
    """
    order = list(Cause)
    counts = [each for each in tx.letters_by_cause().items() if cause in (None, each[0])]
    counts.sort(key=lambda each: (-each[1], order.index(each[0])))
    return {
        "causes": [
            _group(of, count, tx.newest_letter(of), tx.dead_letters([of], after=after, limit=PAGE))
            for of, count in counts
        ],
        "dropped": [_dropped(each) for each in tx.dropped_letters()],
    }


def tell_all(tx: Tx) -> Mapping[str, object]:
    """`tell`, with all letters of each cause, and what each held as its `payload`; JSON-ready."""
    told: Any = tell(tx)
    for group in told["causes"]:
        letters = tx.dead_letters([Cause(group["cause"])])
        group["items"] = [{**_item_told(each), "payload": held(each.payload)} for each in letters]
        group["next"] = None
    return cast("Mapping[str, object]", told)


def _group(cause: Cause, count: int, newest: int, letters: Sequence[DeadLetter]) -> dict[str, object]:
    verdict = VERDICTS[cause]
    return {
        "cause": cause.value,
        "count": count,
        "next": letters[-1].id if len(letters) == PAGE else None,
        "newest": newest,
        "means": verdict.means,
        "advice": verdict.advice,
        "retry": verdict.retry.value,
        "why": verdict.why,
        "items": [_item_told(each) for each in letters],
    }


def _item_told(each: DeadLetter) -> dict[str, object]:
    return {
        "id": each.id,
        "source": each.source,
        "key": each.key,
        "reason": each.reason,
        "advice": each.advice,
        "at": _moment(each.at),
    }


def _dropped(each: DroppedLetter) -> dict[str, object]:
    letter = each.letter
    return {
        "id": letter.id,
        "source": letter.source,
        "key": letter.key,
        "reason": letter.reason,
        "at": _moment(letter.at),
        "dropped_at": _moment(each.dropped_at),
        "by": each.by,
        "because": each.because,
    }


def retry(tx: Tx, numbers: Collection[int], on: Collection[str], now: datetime) -> list[Tried]:
    """Write down that these letters are to be tried again. `on`: the channels."""
    wanted = list(dict.fromkeys(numbers))
    known = {letter.id: letter for letter in tx.dead_letters(ids=wanted)}
    return [
        _try(tx, known[number], on, now)
        if number in known
        else Tried(number, False, "there is no dead letter of this id")
        for number in wanted
    ]


def _try(tx: Tx, letter: DeadLetter, on: Collection[str], now: datetime) -> Tried:
    if is_channel(letter.source) and letter.source not in on:
        return Tried(letter.id, False, CHANNEL_OFF)
    done, said = _RETRIES.get(_cause(letter), _useless)(tx, letter, now)
    return Tried(letter.id, done, said)


def _useless(tx: Tx, letter: DeadLetter, now: datetime) -> tuple[bool, str]:
    verdict = VERDICTS[_cause(letter)]
    return verdict.retry is Retry.ITSELF, f"{verdict.why}: {verdict.advice}"


def _item(tx: Tx, letter: DeadLetter, now: datetime) -> tuple[bool, str]:
    """Its number is in doubt: read again, and then what it should show is written."""
    sku, location = item_of(letter.key)
    levels = [each for each in tx.channel_levels([sku], letter.source) if each.location == location]
    if not levels:
        return False, f"{letter.source} does not list {sku} any more: drop it"
    tx.set_problem(letter.source, sku, location, IN_DOUBT, now)
    return True, "its number is read again, and the present one written"


def _line(tx: Tx, letter: DeadLetter, now: datetime) -> tuple[bool, str]:
    line = tx.lines([letter.key]).get(letter.key)
    if line is None:
        return False, "its order is not known any more: drop it"
    tx.put_line(replace(line, due=True))
    return True, "it is decided again"


def _delivery(tx: Tx, letter: DeadLetter, now: datetime) -> tuple[bool, str]:
    if not tx.reopen_inbox(letter.source, letter.key):
        return False, "what was sent is kept for 30 days, and gone: the order list tells of its order"
    tx.drop_dead_letter(letter.source, letter.key)  # it is in the inbox again, and set aside again if need be
    return True, "it is taken up again as it came"


def _order(tx: Tx, letter: DeadLetter, now: datetime) -> tuple[bool, str]:
    """The channel's order list is read again from before the order; what is known of it is entered once."""
    if f"{UNBELIEVED}{Source.ORG.value}:" in letter.key:
        return False, "the org's orders are read when they change: save it there again, then it is read"
    since = tx.channel_since(letter.source)
    mark = tx.poll_mark(letter.source)
    if mark is None or since is None:
        return True, "its channel's orders are read anyway"
    tx.put_poll_mark(letter.source, max(since, min(mark, letter.at - LOOKED_BACK)))
    return True, "its channel's orders are read again, and this one with them"


def _movement(tx: Tx, letter: DeadLetter, now: datetime) -> tuple[bool, str]:
    """Its order's line is decided again; what happened elsewhere goes again as it is, under its own keys."""
    if tx.mark_waiting(letter.key, Wish.RETRY):
        return True, "it is asked of the org again"
    rows = tx.wrong_rows(letter.key)
    lines = tx.lines({row.subject for row in rows})
    if not rows:
        return False, "it is under way already, or not known any more"
    for line in lines.values():
        tx.put_line(replace(line, due=True))
    if not lines:
        if not all(row.on_hand_delta for row in rows):
            return False, "who wanted it has been told, and asks again by itself: drop it"
        add(tx, rows, {}, now)
    tx.drop_dead_letter(LEDGER, letter.key)  # it waits for the org again, and is set aside again if need be
    return True, "it is asked of the org again"


_RETRIES: Mapping[Cause, Callable[[Tx, DeadLetter, datetime], tuple[bool, str]]] = {
    Cause.ITEM_REFUSED: _item,
    Cause.NO_LEVEL: _line,
    Cause.DELIVERY: _delivery,
    Cause.UNBELIEVED: _order,
    Cause.MOVEMENT_REFUSED: _movement,
}


def _cause(letter: DeadLetter) -> Cause:
    return cause_of(letter.source, letter.key, letter.reason)


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
