"""Ledger and order lines against a model of the org: in whatever order things happen, word and ledger agree.

Hypothesis plays the house: customers, staff, tills, a clumsy network and a daemon that is killed. What
decides is ours (`next_request`, `judge`, `next_step`); what surrounds it here is as little as can be: a
queue, a cache of the rows that were answered, and a mirror of the levels that may be behind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sfsync.domain.ledger import (
    Answer,
    Bundle,
    Judgement,
    Request,
    RowAnswer,
    RowResult,
    Verdict,
    judge,
    judge_checked,
    judge_void,
    next_request,
)
from sfsync.domain.orders import Holding, LineFacts, OrderLine, next_step, total
from sfsync.domain.stock import Freshness, LevelKey, Movement, MovementKind, StockLevel, compare, step_key

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
WEB, SHOP = LevelKey("BAG-1", "ECOM"), LevelKey("BAG-1", "KNIGHTSBRIDGE")
LEVELS = (WEB, SHOP)
POOL = "allocation:dubai:BAG-1|ECOM"
PLAIN, ALLOCATED = "order:london:1001:1", "order:dubai:2001:1"  # the second sells from the allocation
LINES = (PLAIN, ALLOCATED)
LIMIT = 4  # rows in one request: small, so that requests fill up
ROUNDS = 300
K, R = MovementKind, RowResult
Rows = list[tuple[Movement, ...]]  # one entry: rows that stand alone or happen together


def entry(
    subject: str, step: int, level: LevelKey, kind: MovementKind, on_hand: int, reserved: int
) -> Movement:
    return Movement(step_key(subject, step), subject, level, kind, on_hand, reserved, "", "", NOW)


@dataclass
class Org:
    """The model: rows by key, and the rule on what a transaction makes of each level."""

    rows: dict[str, Movement] = field(default_factory=dict)

    def of(self, subject: str) -> list[Movement]:
        return [row for row in self.rows.values() if row.subject == subject]

    def level(self, key: LevelKey) -> StockLevel:
        rows = [row for row in self.rows.values() if row.level == key]
        return StockLevel(key, *total(rows), len(rows), str(key))

    def refuses(self, rows: Iterable[Movement]) -> set[LevelKey]:
        """Levels whose rule says no: reserved would rise, and on hand would not cover it."""
        net: dict[LevelKey, list[Movement]] = defaultdict(list)
        for row in rows:
            net[row.level].append(row)
        found = set()
        for key, parts in net.items():
            on_hand, reserved = total(parts)
            now = self.level(key)
            if reserved > 0 and now.on_hand + on_hand < now.reserved + reserved:
                found.add(key)
        return found

    def enter(self, request: Rows, *, severe: bool) -> dict[str, RowResult]:
        """What the collections of one composite do. `severe`: a level's rows fail together."""
        said: dict[str, RowResult] = {}
        singles = [rows[0] for rows in request if len(rows) == 1]
        fresh = [row for row in singles if row.key not in self.rows]
        said |= {row.key: R.DUPLICATE for row in singles if row.key in self.rows}
        refused = self.refuses(fresh)
        at_once = [row for row in fresh if row.level not in refused]
        said |= self._all(at_once)
        for row in fresh:
            if row.level in refused:
                said |= {row.key: R.INSUFFICIENT} if severe or self.refuses([row]) else self._all([row])
        for rows in request:
            if len(rows) > 1:
                said |= self._group(rows)
        return said

    def _group(self, rows: Sequence[Movement]) -> dict[str, RowResult]:
        if any(row.key in self.rows for row in rows):
            return {row.key: R.DUPLICATE if row.key in self.rows else R.ROLLED_BACK for row in rows}
        if refused := self.refuses(rows):
            return {row.key: R.INSUFFICIENT if row.level in refused else R.ROLLED_BACK for row in rows}
        return self._all(rows)

    def _all(self, rows: Iterable[Movement]) -> dict[str, RowResult]:
        entered = {row.key: row for row in rows}
        self.rows |= entered
        return dict.fromkeys(entered, R.CREATED)


@dataclass
class Wish:
    """What was told of one order line, and the newest of it that was handled."""

    story: list[OrderLine] = field(default_factory=list)
    handled: int = -1
    vain: bool = False
    sold_on: list[str] = field(default_factory=list)
    uncovered: int = 0

    @property
    def line(self) -> OrderLine:
        return self.story[self.handled]


quantities = st.integers(0, 3)
fates = st.sampled_from(
    ["answered", "answered", "lost", "reply lost", "late", "busy", "partly", "blind", "twin"]
)


class House(RuleBasedStateMachine):
    """A busy house; `teardown` lets it come to rest and reads the books."""

    def __init__(self) -> None:
        super().__init__()
        self.org = Org()
        self.mirror: dict[LevelKey, StockLevel] = {}
        self.readings: list[StockLevel] = []  # under way to the mirror
        self.cache: dict[str, list[Movement]] = defaultdict(list)
        self.waiting: dict[int, Bundle] = {}
        self.voiding: set[int] = set()
        self.flights: list[Request] = []
        self.under_way: list[Rows] = []
        self.wishes = {subject: Wish() for subject in LINES}
        self.said: dict[int, tuple[Verdict, tuple[Movement, ...]]] = {}
        self.reservations: list[tuple[str, ...]] = []
        self.sold = dict.fromkeys(LEVELS, 0)  # on hand, as opening, people and tills made it
        self.numbers = 0

    # -- what happens in the house

    @initialize(web=st.integers(0, 4), shop=st.integers(0, 3))
    def opens(self, web: int, shop: int) -> None:
        for key, units in ((WEB, web), (SHOP, shop)):
            self.person(key, units)
            self.mirror[key] = self.org.level(key)

    @rule(level=st.sampled_from(LEVELS), units=st.integers(-2, 3))
    def person(self, level: LevelKey, units: int) -> None:
        """Somebody enters a movement in the org; nobody tells us."""
        subject = f"person:{self._number()}"
        self.org.enter([(entry(subject, 0, level, K.ADJUSTMENT, units, 0),)], severe=False)
        self.sold[level] += units

    @rule(level=st.sampled_from(LEVELS), units=st.sampled_from([-2, -1, 1]))
    def till(self, level: LevelKey, units: int) -> None:
        """A till tells us what it sold or took back: we enter it."""
        self._plan(entry(f"posting:{self._number()}", 0, level, K.SALE, units, 0))
        self.sold[level] += units

    @rule(
        subject=st.sampled_from(LINES),
        open_=quantities,
        fulfilled=quantities,
        returned=quantities,
        told=st.booleans(),
    )
    def changed(self, subject: str, open_: int, fulfilled: int, returned: int, *, told: bool) -> None:
        """An order is placed, edited, sent, returned or cancelled; its news may be late."""
        wish = self.wishes[subject]
        wish.story.append(OrderLine("1", "BAG-1", open_, fulfilled, min(returned, fulfilled)))
        if told:
            self._hear(wish, len(wish.story) - 1)

    @precondition(lambda self: any(wish.story for wish in self.wishes.values()))
    @rule(data=st.data())
    def heard(self, data: st.DataObject) -> None:
        """Some news of an order arrives: the newest, an old one, or one that was here before."""
        wish = data.draw(st.sampled_from([wish for wish in self.wishes.values() if wish.story]))
        self._hear(wish, data.draw(st.integers(0, len(wish.story) - 1)))

    def _hear(self, wish: Wish, index: int) -> None:
        if index < wish.handled:
            return
        more = wish.handled < 0 or wish.story[index].open_quantity > wish.line.open_quantity
        wish.handled, wish.vain = index, wish.vain and not more

    @rule(web=quantities, shop=st.integers(0, 2), claimed_by=st.sampled_from([PLAIN, ALLOCATED, None]))
    def reserve(self, web: int, shop: int, claimed_by: str | None) -> None:
        """A cart asks for pieces, at one place or at both together; an order may come of it."""
        if len(self.reservations) == 4 or not web + shop:
            return
        name = f"reservation:{self._number()}"
        lines = [(f"{name}:{n}", key, units) for n, (key, units) in enumerate(((WEB, web), (SHOP, shop)))]
        asked = [entry(subject, 0, key, K.CART, 0, units) for subject, key, units in lines if units]
        self._plan(*asked)
        subjects = tuple(row.subject for row in asked)
        self.reservations.append(subjects)
        if claimed_by is not None:
            self.wishes[claimed_by].sold_on += subjects

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A customer walks away: what the cart holds is given back, once the answer to it is known."""
        for subject in data.draw(st.sampled_from(self.reservations)):
            if not self._busy(subject):
                for level, units in self._held(subject).items():
                    self._plan(entry(subject, self._step(subject), level, K.RELEASE, 0, -units))

    @rule(units=st.sampled_from([-2, -1, 1, 2]))
    def allocate(self, units: int) -> None:
        """Units are set aside for a channel, or given back."""
        held = self._held(POOL).get(WEB, 0)
        if not self._busy(POOL) and held + units >= 0:
            kind = K.ALLOCATION if units > 0 else K.RELEASE
            self._plan(entry(POOL, self._step(POOL), WEB, kind, 0, units))

    @precondition(lambda self: self._sure_to_be_sent())
    @rule()
    def key_taken(self) -> None:
        """Somebody enters a row of his own under the key that we are about to use."""
        ours = self._sure_to_be_sent()[0]
        theirs = replace(ours, kind=K.CLIENT, on_hand_delta=0, reserved_delta=1)
        self.org.enter([(theirs,)], severe=False)

    def _sure_to_be_sent(self) -> list[Movement]:
        """Rows of order lines that may not be refused unsent: their answer shows who took the key."""
        sure = [b for b in self.waiting.values() if not b.asks or b.maybe_sent or b.refusals]
        return [m for b in sure for m in b.movements if m.subject in LINES]

    # -- what the daemon does

    @rule(subject=st.sampled_from(LINES))
    def decide(self, subject: str) -> None:
        """An order line's next step is planned."""
        self._decide(subject)

    def _decide(self, subject: str) -> bool:
        wish = self.wishes[subject]
        if wish.handled < 0 or self._busy(subject):
            return False
        holdings = self._holdings(subject, wish)
        if holdings is None:
            return False
        facts = LineFacts(
            subject,
            wish.line,
            self.cache[subject],
            self._step(subject),
            LEVELS,
            self._sellable(),
            holdings,
            wish.vain,
            "#1001",
            str(wish.handled),
            NOW,
        )
        found = next_step(facts)
        wish.uncovered = found.uncovered
        if found.bundle:
            self._plan(*found.bundle)
        return bool(found.bundle)

    def _holdings(self, subject: str, wish: Wish) -> list[Holding] | None:
        """What it may claim; None while somebody else's claim has no answer yet."""
        names = [*wish.sold_on, *([POOL] if subject == ALLOCATED else [])]
        if any(self._busy(name) for name in names):
            return None
        found = [
            Holding(name, level, units, self._step(name))
            for name in wish.sold_on
            for level, units in self._held(name).items()
        ]
        if subject == ALLOCATED:
            units = self._held(POOL).get(WEB, 0)
            found.append(Holding(POOL, WEB, units, self._step(POOL), takes_back=True))
        return found

    @rule(fate=fates, severe=st.booleans(), data=st.data())
    def send(self, fate: str, severe: bool, data: st.DataObject | None) -> None:
        """The next request leaves."""
        request = self._next()
        if request is not None:
            self.flights.append(request)
            self._fly(request, fate, severe=severe, data=data)

    @precondition(lambda self: self.flights)
    @rule(fate=fates, severe=st.booleans(), data=st.data())
    def send_again(self, fate: str, severe: bool, data: st.DataObject) -> None:
        """A request whose outcome is unknown is sent again, the same bytes."""
        self._fly(data.draw(st.sampled_from(self.flights)), fate, severe=severe, data=data)

    @precondition(lambda self: self.under_way)
    @rule(lands=st.booleans(), data=st.data())
    def arrives_late(self, data: st.DataObject, *, lands: bool) -> None:
        """What was given up for lost arrives at last; or its transaction is rolled back."""
        copy = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        if lands:
            self.org.enter(copy, severe=False)

    @precondition(lambda self: any(self._twin_under_way(flight) for flight in self.flights))
    @rule()
    def meets_its_twin(self) -> None:
        """A request sent again comes upon its first copy, which is being entered at this moment."""
        flight = next(flight for flight in self.flights if self._twin_under_way(flight))
        self._fly(flight, "twin", severe=False, data=None)

    def _twin_under_way(self, request: Request) -> set[str]:
        """Keys of a request that an earlier copy carries, which has not arrived."""
        copies = {m.key for copy in self.under_way for rows in copy for m in rows} - self.org.rows.keys()
        return copies & {m.key for bundle in request.sent for m in bundle.movements}

    @precondition(lambda self: not self.flights and self._sellable()[WEB] > 0 and len(self.reservations) < 4)
    @rule(lands=st.booleans())
    def sold_while_a_question_is_under_way(self, *, lands: bool) -> None:
        """A cart's question is held up, the piece is sold, and asked again it is refused: so it is voided.

        The void comes upon the question: still being entered, or granted because the piece came back.
        """
        self.reserve(1, 0, None)
        self.send("late", False, None)
        left = self.org.level(WEB).available
        if left <= 0 or not self.flights:
            return
        self.person(WEB, -left)
        self._fly(self.flights[0], "answered", severe=False, data=None)
        if not self.voiding:
            return
        if lands:
            self.person(WEB, left)
            self.org.enter(self.under_way.pop(), severe=False)
        request = self._next()
        if request is not None:
            self.flights.append(request)
            self._fly(request, "answered" if lands else "twin", severe=False, data=None)

    @rule(level=st.sampled_from(LEVELS))
    def read(self, level: LevelKey) -> None:
        """A level is read; the answer takes its time."""
        self.readings.append(self.org.level(level))

    @precondition(lambda self: self.readings)
    @rule(data=st.data())
    def read_arrives(self, data: st.DataObject) -> None:
        """A reading arrives, perhaps after a newer one."""
        self._mirror([self.readings.pop(data.draw(st.integers(0, len(self.readings) - 1)))])

    @rule()
    def killed(self) -> None:
        """The daemon begins again: what was planned is known, what became of it is not."""
        self.waiting = {number: replace(b, maybe_sent=True, refusals=0) for number, b in self.waiting.items()}
        self.voiding.clear()
        self.flights.clear()

    def _next(self) -> Request | None:
        in_flight = {b.id for flight in self.flights for b in (*flight.sent, *flight.checked)}
        ready = [
            replace(b, movements=tuple(m.void() for m in b.movements)) if number in self.voiding else b
            for number, b in self.waiting.items()
            if number not in in_flight
        ]
        busy = frozenset[LevelKey]().union(*(flight.levels for flight in self.flights))
        request = next_request(ready, self.mirror, busy, limit=LIMIT)
        if request is not None:
            self._follows_the_rules(request, busy)
        return request

    def _follows_the_rules(self, request: Request, busy: frozenset[LevelKey]) -> None:
        assert not request.levels & busy, "two requests on one level"
        assert sum(len(bundle.movements) for bundle in request.sent) <= LIMIT
        asked = {level for b in request.sent if b.asks for level in b.levels}
        posted = {level for b in request.sent if not b.asks for level in b.levels}
        assert not asked & posted, "a reservation beside a posting or release of its level"

    def _fly(self, request: Request, fate: str, *, severe: bool, data: st.DataObject | None) -> None:
        body: Rows = [b.movements for b in request.sent]
        if fate == "busy":
            if not any(self.waiting[b.id].maybe_sent for b in request.sent):
                self.flights.remove(request)
            return
        if fate in ("lost", "reply lost", "late"):
            if fate == "late":
                self.under_way.append(body)
            if fate == "reply lost":
                self._enter(request, severe=severe)
            for b in request.sent:
                self.waiting[b.id] = replace(self.waiting[b.id], maybe_sent=True)
            return
        # A twin: the copy under way holds its keys, uncommitted.
        hidden = self._twin_under_way(request) if fate == "twin" else set[str]()
        held_up = {b.id for b in request.sent if any(m.key in hidden for m in b.movements)}
        if fate == "partly" and data is not None and request.sent:
            held_up = {data.draw(st.sampled_from(request.sent)).id}
        said = self._enter(request, severe=severe, without=held_up)
        for b in request.sent:
            if b.id in held_up:
                result = R.DUPLICATE if fate == "twin" else R.LATER
                said |= {
                    m.key: result if m.key in hidden or fate == "partly" else R.ROLLED_BACK
                    for m in b.movements
                }
        blind = fate == "blind"
        rows = {} if blind else {key: self.org.rows[key] for key in said if key in self.org.rows}
        levels = {} if blind else {key: self.org.level(key) for key in request.levels}
        results = {key: RowAnswer(result, result.value) for key, result in said.items()}
        self.flights.remove(request)
        self._conclude(request, Answer(results, levels, rows))

    def _enter(self, request: Request, *, severe: bool, without: Iterable[int] = ()) -> dict[str, RowResult]:
        sent = [b for b in request.sent if b.id not in set(without)]
        said = self.org.enter([b.movements for b in sent], severe=severe)
        for b in sent:
            if all(said[m.key] is R.CREATED for m in b.movements):
                for key in b.levels:
                    if b.net_reserved(key) > 0:
                        assert not self.org.level(key).oversold, f"{b} was accepted beyond the stock of {key}"
        return said

    def _conclude(self, request: Request, answer: Answer) -> None:
        for sent in request.sent:
            original = self.waiting[sent.id]
            if sent.id in self.voiding:
                self._settle(original, judge_void(sent.movements, original, answer))
            else:
                self._settle(original, judge(original, answer), sent=True)
        for bundle in request.checked:
            original = self.waiting[bundle.id]
            self._settle(original, judge_checked(original, answer.levels))
        self._mirror(answer.levels.values())

    def _settle(self, bundle: Bundle, judgement: Judgement, *, sent: bool = False) -> None:
        verdict = judgement.verdict
        if verdict is Verdict.LATER:
            return
        if verdict is Verdict.AGAIN:
            if sent:
                self.waiting[bundle.id] = replace(bundle, refusals=bundle.refusals + 1)
            return
        if verdict is Verdict.VOID_FIRST:
            self.voiding.add(bundle.id)
            return
        assert verdict is not Verdict.WRONG, judgement.reason
        if verdict is Verdict.REFUSED and (bundle.id in self.voiding or bundle.maybe_sent):
            keys = {row.key for row in bundle.movements}
            assert keys <= self.org.rows.keys(), "told refused while an earlier attempt may still land"
        if verdict is Verdict.DONE:
            for row in bundle.movements:
                self.cache[row.subject].append(row)
        elif verdict is Verdict.CONFLICT:
            for row in bundle.movements:
                self.cache[row.subject] = self.org.of(row.subject)
        elif bundle.id in self.voiding or bundle.maybe_sent:
            for row in bundle.movements:
                self.cache[row.subject].append(row.void())
        if verdict is Verdict.REFUSED and bundle.asks:
            for row in bundle.movements:
                if row.subject in LINES:
                    self.wishes[row.subject].vain = True
        self.said[bundle.id] = verdict, bundle.movements
        self.voiding.discard(bundle.id)
        del self.waiting[bundle.id]

    def _mirror(self, levels: Iterable[StockLevel]) -> None:
        for read in levels:
            if compare(self.mirror.get(read.key), read, asked_after_held=False) is Freshness.NEWER:
                assert self.mirror[read.key].version < read.version, "an old number came back"
                self.mirror[read.key] = read

    # -- small things

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _plan(self, *movements: Movement) -> None:
        number = self._number()
        self.waiting[number] = Bundle(number, movements, number)

    def _busy(self, subject: str) -> bool:
        return any(m.subject == subject for b in self.waiting.values() for m in b.movements)

    def _step(self, subject: str) -> int:
        return len(self.cache[subject])

    def _held(self, subject: str) -> dict[LevelKey, int]:
        net: dict[LevelKey, int] = defaultdict(int)
        for row in self.cache[subject]:
            net[row.level] += row.reserved_delta
        return {level: units for level, units in net.items() if units > 0}

    def _sellable(self) -> Mapping[LevelKey, int]:
        asked = dict.fromkeys(LEVELS, 0)
        for bundle in self.waiting.values():
            for key in bundle.levels:
                asked[key] += max(0, bundle.net_reserved(key))
        return {key: self.mirror[key].available - asked[key] for key in LEVELS}

    # -- what must hold

    @invariant()
    def word_and_ledger_agree(self) -> None:
        """Told granted: it stands there. Told refused: it does not, and never will."""
        for verdict, movements in self.said.values():
            for asked in movements:
                row = self.org.rows.get(asked.key)
                if verdict is Verdict.DONE:
                    assert row is not None
                    assert row.same_content(asked), f"told granted, but the org holds {row}"
                elif verdict is Verdict.REFUSED and row is not None and row.same_content(asked):
                    later = [m for v, ms in self.said.values() if v is Verdict.DONE for m in ms]
                    waits = [m for b in self.waiting.values() for m in b.movements]
                    assert any(m.key == asked.key for m in (*later, *waits)), f"reserved for nobody: {asked}"

    @invariant()
    def nobody_holds_what_we_do_not_know_of(self) -> None:
        """What no question is open about stands in our books as in the org's, row by row."""
        for subject in {row.subject for row in self.org.rows.values()} | self.cache.keys():
            if not subject.startswith("person:") and not self._busy(subject):
                ours = {row.key: (row.on_hand_delta, row.reserved_delta) for row in self.cache[subject]}
                theirs = {r.key: (r.on_hand_delta, r.reserved_delta) for r in self.org.of(subject)}
                assert ours == theirs, f"{subject}: we have {ours}, the org {theirs}"

    @invariant()
    def keys_are_numbered_without_a_gap(self) -> None:
        """0, 1, 2, … for every subject, and no subject holds less than nothing."""
        found: dict[str, list[Movement]] = defaultdict(list)
        for row in self.org.rows.values():
            found[row.subject].append(row)
        for subject, rows in found.items():
            steps = sorted(int(row.key.rpartition(":")[2]) for row in rows)
            assert steps == list(range(len(rows))), f"{subject} has {steps}"
            for level in LEVELS:
                assert total(row for row in rows if row.level == level)[1] >= 0, f"{subject} owes {level}"

    def teardown(self) -> None:
        """Faults and input end; all news arrives; the books must balance."""
        if not self.mirror:
            return
        for wish in self.wishes.values():
            if wish.story:
                self._hear(wish, len(wish.story) - 1)
        for _ in range(ROUNDS):
            self._mirror([*self.readings, *(self.org.level(key) for key in LEVELS)])
            self.readings.clear()
            under_way = bool(self.waiting)  # a line waits while a reservation that it may claim has no answer
            planned = [self._decide(subject) for subject in LINES]
            request = self._next()
            if request is not None:
                self.flights.append(request)
            for flight in list(self.flights):
                self._fly(flight, "answered", severe=False, data=None)
            if not (under_way or any(planned) or self.waiting):
                break
        else:
            raise AssertionError(f"it never comes to rest: {list(self.waiting.values())}")
        for copy in self.under_way:
            self.org.enter(copy, severe=False)
        self.word_and_ledger_agree()
        self.nobody_holds_what_we_do_not_know_of()
        self.keys_are_numbered_without_a_gap()
        self._each_line_is_as_its_newest_snapshot()
        shipped = {
            key: total(r for s in LINES for r in self.org.of(s) if r.level == key)[0] for key in LEVELS
        }
        for key in LEVELS:
            assert self.org.level(key).on_hand == self.sold[key] + shipped[key], (
                "a posting was lost or doubled"
            )

    def _each_line_is_as_its_newest_snapshot(self) -> None:
        for subject, wish in self.wishes.items():
            if not wish.story:
                continue
            on_hand, reserved = total(self.org.of(subject))
            line = wish.story[-1]
            assert on_hand == line.returned_quantity - line.fulfilled_quantity, f"{subject}: goods"
            assert reserved + wish.uncovered == line.open_quantity, f"{subject}: {reserved} of {line}"
            if wish.uncovered:
                left = {str(key): self.org.level(key).available for key in LEVELS}
                assert max(left.values()) <= 0, f"{subject} lacks units that are there: {left}"


def test_word_and_ledger_agree_whatever_happens_in_whatever_order() -> None:
    """Orders up and down, late news, carts, tills, lost and late requests, kills: the books balance."""
    effort = settings(max_examples=500, stateful_step_count=50, deadline=None)
    run_state_machine_as_test(House, settings=effort)
