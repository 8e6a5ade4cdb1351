"""Group commit: which waiting movements go into the next request, and what its answer means for each.

Movements wait in *bundles*: usually one movement, or several that must happen together (a reservation
becoming an order line; a reservation of several pieces). The rules (design section 4, correctness A to C):

- one request in flight per level; what arrives meanwhile goes into the next;
- a reservation never shares a request with a posting or release of its level: they would net out before
  the org's rule sees them. Postings and releases go first;
- units that only change hands (a reservation becoming an order line, an allocation sold from) need nothing of
  the level and ask nothing of its rule: many share one all-or-none collection. When one of them keeps the
  others out they are tried again without it, or each by itself;
- reservations fill only up to the available last read; one that does not fit is not sent: the level is
  read back, and the reservation refused only when that reading, taken after it was asked, cannot cover it;
- the org's refusal is final only when no earlier attempt of that row is unknown; else the row is voided
  first, and if the void turns out a duplicate, the row had been granted;
- a posting is never refused: what the fallback rule does not let in goes in again together with
  *companions*, the releases of promises that give way to it (`domain.promises`). Whether it is in is told by
  its own rows; companions are worth nothing without them;
- what has happened, or was sold, counts although the org will not take its row: goods are gone that the org
  still has in its books. It waits for a person, is tried again now and then, and nothing of it is for sale.
  Where the org refuses whatever it is sent, and with the same words, that is no fault of any row (`Alike`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from .letters import REUSED
from .stock import LevelKey, Movement, MovementKind, StockLevel
from .values import quick, replace

REQUEST_ROWS = 200  # records in one collections call
REQUEST_GROUPS = (
    2  # all-or-none collections beside the plain one: five sub-requests of this sort are the limit
)
KEY_CHARACTERS = 12_000  # of all keys, URL-encoded, in the read-back query; the URI's limit is 16,384
ENCODING_CHARACTERS = 12  # quotes, comma and escapes that one key adds
ALIKE_BUNDLES = 3  # refused with the same words, and none taken meanwhile: the org takes nothing at all
NOT_READ = "its level was not read back"


@quick
@dataclass(frozen=True, slots=True)
class Bundle:
    """Movements that happen together or not at all. `asked` orders bundles: first come, first served."""

    id: int
    movements: tuple[Movement, ...]
    asked: int
    maybe_sent: bool = False  # an earlier attempt's outcome is unknown (time-out, or a restart)
    refusals: int = 0  # times the org refused it although the level last read would have covered it
    companions: int = 0  # how many of its last movements only go along with the ones before them
    # What its movements come to, worked out once: each bundle is looked at anew at every request.
    levels: frozenset[LevelKey] = field(init=False, repr=False, compare=False)  # their slots: taken together
    asks: bool = field(init=False, repr=False, compare=False)  # raises reserved: the org may refuse it
    characters: int = field(init=False, repr=False, compare=False)  # that its keys take in a URL
    # It enters a count: nothing else of its level goes with it, so that its order is known.
    counts: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        levels = frozenset(movement.level for movement in self.movements)
        characters = sum(len(quote(m.key, errors="replace")) + ENCODING_CHARACTERS for m in self.movements)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "asks", any(self.net_reserved(level) > 0 for level in levels))
        object.__setattr__(self, "characters", characters)
        object.__setattr__(self, "counts", any(each.kind is MovementKind.COUNT for each in self.own))

    @property
    def own(self) -> tuple[Movement, ...]:
        """What it is about, without what goes along."""
        return self.movements[: len(self.movements) - self.companions]

    @property
    def along(self) -> tuple[Movement, ...]:
        """What goes along with it."""
        return self.movements[len(self.movements) - self.companions :]

    @property
    def stands(self) -> bool:
        """True for what is so, whether or not the org takes its rows: goods have moved, or were sold.

        A count is not: it has moved nothing, and is made again.
        """
        return not self.counts and any(m.on_hand_delta or m.subject.startswith("order:") for m in self.own)

    def net_reserved(self, level: LevelKey) -> int:
        """What it adds to the level's reserved, in all."""
        return sum(m.reserved_delta for m in self.movements if m.level == level)

    def brings(self, level: LevelKey) -> int:
        """What it adds to the level's on hand, in all: it covers what is reserved with it."""
        return sum(m.on_hand_delta for m in self.movements if m.level == level)

    @property
    def hands_over(self) -> bool:
        """True when units only change hands at each of its levels: no number of the level moves."""
        return (
            len(self.movements) > 1
            and not self.companions
            and not any(movement.on_hand_delta for movement in self.movements)
            and any(movement.reserved_delta for movement in self.movements)
            and all(self.net_reserved(level) == 0 for level in self.levels)
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One composite call: rows that stand alone, groups that are all or none, levels to read back.

    All that is `handed` over is in one all-or-none collection.
    """

    singles: tuple[Bundle, ...]
    groups: tuple[Bundle, ...]
    levels: frozenset[LevelKey]
    checked: tuple[Bundle, ...] = ()  # not sent: judged by the levels read back
    handed: tuple[Bundle, ...] = ()

    @property
    def sent(self) -> tuple[Bundle, ...]:
        """Every bundle whose movements are in the request."""
        return self.singles + self.groups + self.handed

    @property
    def in_company(self) -> frozenset[int]:
        """The bundles that another one in the same collection may have kept out."""
        return frozenset(bundle.id for bundle in self.handed) if len(self.handed) > 1 else frozenset()


def next_request(
    waiting: Iterable[Bundle],
    levels: Mapping[LevelKey, StockLevel],
    busy: Set[LevelKey],
    *,
    limit: int = REQUEST_ROWS,
) -> Request | None:
    """The next request, or None when everything waits for a level in flight.

    Bundles are taken in the order asked, postings before reservations. A subject's movements never overtake
    one another: a level that carries a waiting bundle which cannot go yet lets no later bundle of the same
    subject pass (the caller numbers steps only after the one before was answered, so this cannot happen).
    """
    ordered = sorted(waiting, key=lambda bundle: (bundle.asks, bundle.asked))
    posting: set[LevelKey] = set()
    asking: dict[LevelKey, int] = {}  # level -> units that this request reserves
    singles: list[Bundle] = []
    groups: list[Bundle] = []
    handed: list[Bundle] = []
    checked: list[Bundle] = []
    touched: set[LevelKey] = set()
    alone: set[LevelKey] = set()  # asked for by one that was refused in company: it must be heard by itself
    rows = characters = 0
    first_asked = min(
        (b.asked for b in ordered if b.asks and len(b.movements) > 1 and not b.levels & busy), default=None
    )
    for bundle in ordered:
        if bundle.levels & busy:
            continue
        size = len(bundle.movements)
        weight = bundle.characters
        if (
            rows + size > limit
            or (rows and characters + weight > KEY_CHARACTERS)
            or len(touched | bundle.levels) > limit
        ):
            continue
        if bundle.levels & alone or (bundle.refusals and bundle.levels & touched):
            continue
        if bundle.asks:
            if bundle.levels & posting:
                continue
            if not _fits(bundle, levels, asking) and not (bundle.maybe_sent or bundle.refusals):
                checked.append(bundle)
                touched |= bundle.levels
                continue
        shared = bundle.hands_over and not bundle.refusals
        if size > 1 and not (shared and handed):
            # Postings go first, but groups of them do not take every place from one that asked before.
            places = REQUEST_GROUPS - (
                not bundle.asks and first_asked is not None and first_asked < bundle.asked
            )
            if len(groups) + bool(handed) >= places:
                continue
        if shared:
            handed.append(bundle)
        elif size > 1:
            groups.append(bundle)
        else:
            singles.append(bundle)
        rows, characters = rows + size, characters + weight
        touched |= bundle.levels
        if bundle.refusals:
            alone |= bundle.levels
        for level in bundle.levels:
            if bundle.asks:
                needs = bundle.net_reserved(level) - bundle.brings(level)
                asking[level] = asking.get(level, 0) + max(0, needs)
            else:
                posting.add(level)
    if not touched:
        return None
    return Request(tuple(singles), tuple(groups), frozenset(touched), tuple(checked), tuple(handed))


def unfit(bundle: Bundle, *, limit: int = REQUEST_ROWS) -> str | None:
    """Why a bundle fits into no request at all, in words; None when it does."""
    if len(bundle.movements) <= limit:
        return None
    return f"{len(bundle.movements)} movements are to happen together; {limit} are the most"


def _fits(bundle: Bundle, levels: Mapping[LevelKey, StockLevel], asking: Mapping[LevelKey, int]) -> bool:
    return all(
        bundle.net_reserved(key) - bundle.brings(key)
        <= (levels[key].available if key in levels else 0) - asking.get(key, 0)
        for key in bundle.levels
        if bundle.net_reserved(key) > 0
    )


class RowResult(StrEnum):
    """What the org said of one record that was sent."""

    CREATED = "created"
    DUPLICATE = "duplicate"  # DUPLICATE_VALUE on the idempotency key
    INSUFFICIENT = "insufficient"  # our rule on the level refused
    ROLLED_BACK = "rolled back"  # all or none, and another row failed
    LATER = "later"  # lock, batch retries, throttle: nothing changed
    CLOSED = "closed"  # the org takes no row at all: storage, a lost permission. Nothing changed
    WRONG = "wrong"  # a person must look


_DECIDING = (  # of several rows, the first of these that one of them met
    RowResult.WRONG,
    RowResult.CLOSED,
    RowResult.LATER,
    RowResult.INSUFFICIENT,
    RowResult.DUPLICATE,
)


@dataclass(frozen=True, slots=True)
class RowAnswer:
    """One record's result with the org's words for it."""

    result: RowResult
    message: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request: results by idempotency key, and the levels and rows read after it."""

    results: Mapping[str, RowAnswer]
    levels: Mapping[LevelKey, StockLevel]
    rows: Mapping[str, Movement]


class Verdict(StrEnum):
    """What becomes of a bundle."""

    DONE = "done"  # its rows stand in the ledger
    REFUSED = "refused"  # the org cannot cover it, and no attempt can still land
    VOID_FIRST = "void first"  # refused, but an earlier attempt may still land: send void rows
    CONFLICT = "conflict"  # its key stands in the ledger with other content: read the subject, number anew
    LATER = "later"  # nothing changed: try again after a while
    AGAIN = "again"  # nothing changed: plan it again at once, against the levels just read
    UNCOVERS = "uncovers"  # a posting that the fallback rule refuses: promises must give way to it
    PLAN_ANEW = "plan anew"  # nothing changed, and its companions are stale: send it without, or with others
    STANDS = "stands"  # the org will not take it, and it is so: it counts, and waits for a person
    WRONG = "wrong"  # the org will never take it: a person must look


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the reason a person would be told."""

    verdict: Verdict
    reason: str = ""


def judge(bundle: Bundle, answer: Answer, *, in_company: bool = False) -> Judgement:
    """What a sent bundle's answer means; `in_company` when others shared its all-or-none collection."""
    if bundle.companions:
        return _judge_accompanied(bundle, answer)
    found = {m.key: answer.rows.get(m.key) for m in bundle.movements}
    if any(row is not None and row.same_content(m.void()) for m in bundle.movements if (row := found[m.key])):
        return Judgement(Verdict.REFUSED, "not available")  # we voided it before a restart
    if any(row is not None and not row.same_content(m) for m in bundle.movements if (row := found[m.key])):
        if bundle.own[0].subject.startswith("posting:"):
            # Such a subject has one row: its source has said two things under one identity.
            return Judgement(Verdict.WRONG, REUSED)
        return Judgement(Verdict.CONFLICT, "its idempotency key stands in the ledger with other content")
    if all(found.values()):
        return Judgement(Verdict.DONE)
    answers = [answer.results[m.key] for m in bundle.movements]
    results = {a.result for a in answers}
    if results == {RowResult.CREATED}:
        return Judgement(Verdict.DONE)  # the read-back was cut short or runs behind: the result says it is in
    for result in _DECIDING:
        if result in results:
            reason = next(a.message for a in answers if a.result is result)
            if in_company and result is RowResult.INSUFFICIENT:
                return Judgement(Verdict.AGAIN, reason)  # by itself: nobody knows whose units are missing
            return _failed(bundle, answer.levels, result, reason)
    return Judgement(Verdict.LATER, "another row of its collection kept it out")


def _judge_accompanied(bundle: Bundle, answer: Answer) -> Judgement:
    """A bundle with companions is in when its own rows are: an earlier attempt may have gone without them."""
    plain = judge(replace(bundle, movements=bundle.own, companions=0), answer)
    if plain.verdict in (Verdict.DONE, Verdict.CONFLICT):
        return plain
    for movement in bundle.along:
        if answer.rows.get(movement.key) is not None:
            # Its step is taken by other news of that subject: this group can never come in any more.
            return Judgement(Verdict.PLAN_ANEW, f"{movement.subject} has changed meanwhile")
    words = {answer.results[m.key].result: answer.results[m.key].message for m in bundle.movements}
    for result in _DECIDING:
        if result in words and result is not RowResult.DUPLICATE:
            return _failed(bundle, answer.levels, result, words[result])
    return plain


def entered(bundle: Bundle, answer: Answer) -> frozenset[str]:
    """The keys of a done bundle's movements that are in: its own ones, and the companions that went along."""
    along = {
        movement.key
        for movement in bundle.along
        if ((row := answer.rows.get(movement.key)) is not None and row.same_content(movement))
        or answer.results[movement.key].result is RowResult.CREATED
    }
    return frozenset({movement.key for movement in bundle.own} | along)


def _failed(
    bundle: Bundle, levels: Mapping[LevelKey, StockLevel], result: RowResult, reason: str
) -> Judgement:
    if result is RowResult.WRONG:
        return Judgement(Verdict.STANDS if bundle.stands else Verdict.WRONG, reason)
    if result in (RowResult.LATER, RowResult.CLOSED):
        return Judgement(Verdict.LATER, reason)
    if result is RowResult.DUPLICATE:
        # The twin is not to be seen: it may be uncommitted, or roll back (correctness B). Not a proof.
        return Judgement(Verdict.LATER, "its key is being entered by another request")
    if not bundle.asks:
        # Only the fallback rule refuses a posting: it would leave promises uncovered.
        return Judgement(Verdict.UNCOVERS, reason)
    if not _read(bundle, levels):
        return Judgement(Verdict.LATER, NOT_READ)
    short = shortage(bundle, levels)
    if short is None and bundle.refusals < 2:
        return Judgement(Verdict.AGAIN, reason)
    return refusal(bundle, short or reason)


def refusal(bundle: Bundle, reason: str) -> Judgement:
    """Refused, or first to be voided when an earlier attempt may still land."""
    return Judgement(Verdict.VOID_FIRST if bundle.maybe_sent else Verdict.REFUSED, reason)


def judge_checked(bundle: Bundle, levels: Mapping[LevelKey, StockLevel]) -> Judgement:
    """What the levels read back mean for a bundle that was not sent because it did not fit."""
    if not _read(bundle, levels):
        return Judgement(Verdict.LATER, NOT_READ)
    short = shortage(bundle, levels)
    return Judgement(Verdict.AGAIN) if short is None else refusal(bundle, short)


def judge_void(voids: Sequence[Movement], bundle: Bundle, answer: Answer) -> Judgement:
    """What the answer to a bundle's void rows means: refused for good, or it had been granted after all."""
    found = [answer.rows.get(m.key) for m in bundle.movements]
    if all(row is not None and row.same_content(m) for row, m in zip(found, bundle.movements, strict=True)):
        return Judgement(Verdict.DONE)
    if all(row is not None and row.same_content(v) for row, v in zip(found, voids, strict=True)):
        return Judgement(Verdict.REFUSED, "not available")
    if all(answer.results[v.key].result is RowResult.CREATED for v in voids):
        return Judgement(Verdict.REFUSED, "not available")
    if any(row is not None for row in found):
        return Judgement(Verdict.CONFLICT, "its idempotency key stands in the ledger with other content")
    return Judgement(Verdict.LATER, "the void row is not to be seen yet")


def _read(bundle: Bundle, levels: Mapping[LevelKey, StockLevel]) -> bool:
    """False when the read-back failed: then nobody may be refused by what it does not say."""
    return all(key in levels for key in bundle.levels if bundle.net_reserved(key) > 0)


def shortage(bundle: Bundle, levels: Mapping[LevelKey, StockLevel]) -> str | None:
    """Which of the levels, all read, cannot cover the bundle, in words; None when all can."""
    for key in sorted(bundle.levels):
        wanted = bundle.net_reserved(key)
        if wanted <= 0:
            continue
        there = levels[key].available + bundle.brings(key)
        if there < wanted:
            return f"{wanted} wanted of {key}, {max(0, there)} available"
    return None


class Wish(StrEnum):
    """What is to become of a bundle that stands although the org refuses it."""

    RETRY = "retry"  # a person has mended something: send it now
    DROP = "drop"  # a person has dealt with it: it counts no more
    DECIDE = "decide"  # its order has changed: what it wants now is worked out anew


class Alike:
    """Whether the org refuses rows, or everything: by what it has said since it last took any."""

    def __init__(self) -> None:
        self._words, self._refused = "", set[int]()

    def heard(self, answer: Answer, verdicts: Mapping[int, Judgement]) -> str:
        """Why the org takes nothing at all, in its own words; "" while that may be the rows' own fault."""
        if any(each.verdict is Verdict.DONE for each in verdicts.values()):
            self._words, self._refused = "", set()
            return ""
        for number, each in verdicts.items():
            if each.verdict is not Verdict.STANDS:
                continue
            if each.reason != self._words:
                self._words, self._refused = each.reason, set()
            self._refused.add(number)
        closed = (each.message for each in answer.results.values() if each.result is RowResult.CLOSED)
        return next(closed, self._words if len(self._refused) >= ALIKE_BUNDLES else "")
