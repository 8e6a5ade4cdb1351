"""Waiting movements go to the org in group commits; the answers settle what waited for them.

What is planned is in the store before it is sent, so every planned row counts as possibly sent after a
restart. An unknown outcome keeps its levels and is asked again with the same rows until it is known; other
levels go on meanwhile. What has happened or was sold, and the org refuses, stays written down: it counts as
asked for, so that nobody is sold it, and is sent again until the org takes it or somebody takes it back.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from time import perf_counter

from sfsync.domain import ledger
from sfsync.domain.ledger import Alike, Answer, Bundle, Judgement, Request, RowResult, Verdict, Wish
from sfsync.domain.letters import REUSED, REUSED_ADVICE, written
from sfsync.domain.retry import LONGEST_FOR_SALES_SECONDS, Silence, backoff_seconds
from sfsync.domain.stock import LevelKey, Movement, StockLevel
from sfsync.domain.values import replace
from sfsync.ports import CallsSpent, OutsideError, Refused, TryLater, Tx, Unknown

from . import allocations, block, giving, lateness, standing
from .context import Context
from .levels import apply_levels, made_by_itself
from .reserving import follow, settle
from .sku_mappings import mapped_levels

BROKEN_SECONDS = 5.0  # before something that broke for a reason nobody foresaw is tried again
NO_LEVEL_SECONDS = 900.0  # between looking for a stock level that the org does not have
STANDS_SECONDS = 900.0  # before what the org refused, and is so all the same, is tried again
ALLOCATION_PAUSE_SECONDS = 60.0
LOOK_SECONDS = 5.0  # between looks, where nobody rings
REQUESTS = 4  # in flight at once, on different levels
DONE, UNCOVERS = Verdict.DONE, Verdict.UNCOVERS
STAYS = (
    Verdict.LATER,
    Verdict.AGAIN,
    Verdict.VOID_FIRST,
    Verdict.UNCOVERS,
    Verdict.PLAN_ANEW,
    Verdict.STANDS,
)


class Writer:
    """The only one who enters movements."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._waiting: dict[int, Bundle] = {}
        self._voiding: dict[int, Bundle] = {}  # bundles whose void rows are to be sent instead
        self._standing: set[int] = set()  # refused, and waiting for the org all the same: see `standing`
        self._alike, self._closed = Alike(), ""
        self._flying: set[int] = set()
        self._busy: set[LevelKey] = set()
        self._claimed: set[LevelKey] = set()  # for something else than movements: see `alone`
        self._freed = asyncio.Event()
        # Counts that may pass the slot held for them, each with the version that the level is to have then.
        self._admitted: dict[int, int] = {}
        self._not_before: dict[int, float] = {}
        self._silence = Silence()
        self._most = REQUESTS
        self._short: set[int] = set()  # bundles that wait for API calls: until any request gets through
        self._spent_until = 0.0  # when all of them ask again
        self._looks_at = 0.0  # when it looks by itself, whoever rings; 0 while it does
        self._attempts: dict[int, int] = defaultdict(int)
        self._seen = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._outcomes: dict[int, list[asyncio.Future[None]]] = defaultdict(list)
        self._next_answer: asyncio.Future[None] | None = None

    @property
    def queued(self) -> int:
        """Bundles without an answer."""
        return len(self._waiting)

    async def run(self) -> None:
        """Until drained. Whatever was planned before a restart may have been sent: it is treated so."""
        restart = True
        while True:
            wait = await self._send_all(restart=restart)
            restart = False
            if self._draining:
                return
            await self._ctx.bell.wait("writer", wait)

    async def drain(self) -> None:
        """Send nothing new; return when what is in flight is answered."""
        self._draining = True
        self._ctx.bell.ring("writer")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def alone(self, level: LevelKey) -> AsyncIterator[None]:
        """The level's slot: while it is held, none of our movements is under way at the level."""
        while level in self._claimed:
            await self._slot_freed()
        self._claimed.add(level)
        try:
            while level in self._busy:
                await self._slot_freed()
            yield
        finally:
            self._free(frozenset({level}))

    def admit(self, bundle_id: int, version: int) -> None:
        """Let a count through although its level's slot is held.

        `version` is the level's when the count is in and nobody else entered anything meanwhile.
        """
        self._admitted[bundle_id] = version

    def dismiss(self, bundle_id: int) -> None:
        """The slot is held no longer: others may have come first."""
        self._admitted.pop(bundle_id, None)

    def claim(self, level: LevelKey) -> None:
        """Hold a level's slot from the start, for a fold that a former run left open."""
        self._claimed.add(level)

    def release(self, level: LevelKey) -> None:
        """Give back a slot that `claim` took."""
        self._free(frozenset({level}))

    async def _slot_freed(self) -> None:
        await self._freed.wait()

    def _free(self, claimed: frozenset[LevelKey] = frozenset()) -> None:
        """Wake whoever waits for a slot."""
        self._claimed -= claimed
        self._freed.set()
        self._freed = asyncio.Event()
        # What is written down from now on rings by itself, and what was put off is looked at in its time.
        soon = (self._not_before.get(number, 0.0) for number in self._waiting.keys() - self._flying)
        if any(not self._looks_at or at < self._looks_at for at in soon):
            self._ctx.bell.ring("writer")

    def answered(self, bundle_id: int) -> asyncio.Future[None]:
        """A future that is done when the bundle has its answer: at once where that came before.

        Whoever asks has just committed the bundle, and the writer may have been quicker: woken by somebody
        else, it finds the bundle as soon as it is on disk.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if bundle_id <= self._seen and (bundle_id not in self._waiting or bundle_id in self._standing):
            future.set_result(None)
        else:
            self._outcomes[bundle_id].append(future)
        return future

    def next_answer(self) -> asyncio.Future[None]:
        """A future that is done when the org has answered anything that now waits, or comes to wait."""
        if self._next_answer is None or self._next_answer.done():
            self._next_answer = asyncio.get_running_loop().create_future()
        return self._next_answer

    async def _take_in(self, bundles: Sequence[Bundle], *, restart: bool) -> list[Bundle]:
        """Bundles that were written down since the last look; returns those that can be sent."""
        fit: list[Bundle] = []
        for bundle in bundles:
            self._waiting[bundle.id] = replace(bundle, maybe_sent=restart)
            self._seen = max(self._seen, bundle.id)
            if (reason := ledger.unfit(bundle)) is None:
                fit.append(self._waiting[bundle.id])
                continue
            judgement = Judgement(Verdict.WRONG, reason)
            bells = await self._ctx.store.write(partial(self._settle_alone, bundle, judgement))
            self._after(bundle.id, judgement, sent=False)
            self._ctx.bell.ring(*bells)
        return fit

    def _settle_alone(self, bundle: Bundle, judgement: Judgement, tx: Tx) -> set[str]:
        skus: set[str] = set()
        bells = self._settle(tx, bundle, judgement, {}, skus)
        return bells | apply_levels(tx, self._ctx, (), self._ctx.clock.now(), skus)

    async def _send_all(self, *, restart: bool) -> float:
        """Start every request that can go now; returns the seconds until a delayed one may.

        What was written down since the last look and the levels of all that can go are read together.
        """
        await self._heed()
        now = asyncio.get_running_loop().time()
        self._looks_at = 0.0
        wait = await self._look(now, restart=restart)
        self._looks_at = now + wait
        return wait

    async def _look(self, now: float, *, restart: bool) -> float:
        silent = self._silence.wait_seconds(now)
        self._most = 1 if self._silence.lasts(now) else REQUESTS
        ready = [
            self._sendable(bundle)
            for bundle in self._waiting.values()
            if not silent and bundle.id not in self._flying and self._not_before.get(bundle.id, 0.0) <= now
        ]

        def read(tx: Tx) -> tuple[Sequence[Bundle], Mapping[LevelKey, tuple[StockLevel, datetime]]]:
            new = tx.waiting_bundles(self._seen)
            taken = self._busy | self._claimed  # what waits for a slot is looked at when it is free
            able = () if silent else (*ready, *new)
            free = (bundle.levels for bundle in able if bundle.counts or not bundle.levels & taken)
            return new, tx.levels(frozenset[LevelKey]().union(*free))

        new, held = await self._ctx.store.read(read)
        fit = await self._take_in(new, restart=restart)
        if silent or self._draining:
            return silent
        if ready := [*ready, *fit]:
            levels = {key: level for key, (level, _) in held.items()}
            self._send_counts([bundle for bundle in ready if bundle.counts], levels)
            ready = [bundle for bundle in ready if not bundle.counts]
            while ready and len(self._tasks) < self._most:
                request = ledger.next_request(ready, levels, self._busy | self._claimed)
                if request is None:
                    break
                self._start(request, levels)
                ready = [bundle for bundle in ready if bundle.id not in self._flying]
        delayed = [
            at - now for number, at in self._not_before.items() if number in self._waiting and at > now
        ]
        return min([LOOK_SECONDS, *delayed])

    def _send_counts(self, counts: Sequence[Bundle], levels: Mapping[LevelKey, StockLevel]) -> None:
        """Counts go among themselves, one of each level, when their levels are free or held for them."""
        able: list[Bundle] = []
        met: set[LevelKey] = set()
        for count in counts:
            taken = self._busy if count.id in self._admitted else self._busy | self._claimed
            if not count.levels & (taken | met):
                able.append(count)
                met |= count.levels
        while able and len(self._tasks) < self._most:
            request = ledger.next_request(able, levels, frozenset())
            if request is None:
                break
            self._start(request, levels)
            able = [count for count in able if count.id not in self._flying]

    async def _heed(self) -> None:
        """Do what is wanted of bundles that the org has refused, and that stand all the same."""
        ctx, idle = self._ctx, self._standing - self._flying
        if not idle:
            return
        wishes = await ctx.store.read(lambda tx: tx.wishes(idle))
        if not wishes:
            return
        back = [self._waiting[number] for number, wish in wishes.items() if wish is not Wish.RETRY]
        again = wishes.keys() - {bundle.id for bundle in back}

        def commit(tx: Tx) -> set[str]:
            now = ctx.clock.now()
            for number in again:
                tx.unmark(number)
            for bundle in back:
                standing.take_back(tx, bundle, now, decide=wishes[bundle.id] is Wish.DECIDE)
            skus = {movement.level.sku for bundle in back for movement in bundle.movements}
            return {"orders"} | apply_levels(tx, ctx, (), now, skus)

        ctx.bell.ring(*await ctx.store.write(commit))
        for number in again:
            self._not_before.pop(number, None)
        for bundle in back:
            self._forget(bundle.id)

    def _sendable(self, bundle: Bundle) -> Bundle:
        """The bundle, or its void rows when it is being voided."""
        if bundle.id not in self._voiding:
            return bundle
        return replace(bundle, movements=tuple(m.void() for m in bundle.movements))

    def _start(self, request: Request, levels: Mapping[LevelKey, StockLevel]) -> None:
        self._busy |= request.levels
        self._flying |= {bundle.id for bundle in (*request.sent, *request.checked)}
        self._ctx.pulse.flying = len(self._flying)
        task = asyncio.create_task(
            self._send(request, {key: level.record_id for key, level in levels.items() if level.record_id})
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, request: Request, record_ids: Mapping[LevelKey, str]) -> None:
        try:
            await self._until_known(request, record_ids)
        except Exception:
            self._maybe_sent(request)  # nobody knows how far it got
            self._delay(request, BROKEN_SECONDS)
            self._ctx.log.exception("ledger request broke", next=f"again in {BROKEN_SECONDS:.0f} s")
        finally:
            self._busy -= request.levels
            self._flying -= {bundle.id for bundle in (*request.sent, *request.checked)}
            self._ctx.pulse.flying = len(self._flying)
            if (task := asyncio.current_task()) is not None:
                self._tasks.discard(task)  # there is room for another before anybody looks
            self._free()

    async def _until_known(self, request: Request, record_ids: Mapping[LevelKey, str]) -> None:
        """One request, the same again after an unknown outcome, and its conclusion."""
        ctx, attempt = self._ctx, 0
        missing = [key for key in request.levels if key not in record_ids]
        if missing:
            await self._no_level(request, frozenset(missing))
            return
        while True:
            attempt += 1
            asked_at, began = ctx.clock.now(), perf_counter()
            try:
                answer = await ctx.org.enter(request, record_ids)
            except Unknown as error:
                self._maybe_sent(request)
                wait = backoff_seconds(attempt, ctx.luck(), longest_seconds=LONGEST_FOR_SALES_SECONDS)
                wait = max(wait, self._failed())
                self._log(request, attempt, began, f"unknown: {error}", f"the same again in {wait:.1f} s")
                await ctx.clock.sleep(wait)
            except OutsideError as error:
                asked = error.after_seconds if isinstance(error, TryLater) else None
                wait = backoff_seconds(
                    attempt,
                    ctx.luck(),
                    asked_seconds=asked or (30.0 if isinstance(error, Refused) else None),
                    longest_seconds=LONGEST_FOR_SALES_SECONDS,
                )
                if isinstance(error, CallsSpent):
                    self._short |= {bundle.id for bundle in (*request.sent, *request.checked)}
                    wait = self._spent(wait)
                else:
                    wait = max(wait, self._failed())
                    self._log(request, attempt, began, f"not now: {error}", f"again in {wait:.1f} s")
                if attempt == 1 and not any(bundle.maybe_sent for bundle in request.sent):
                    self._delay(
                        request, wait
                    )  # nothing changed: let it be planned anew, with what came meanwhile
                    return
                await ctx.clock.sleep(wait)
            else:
                self._silence.broken()
                for number in self._short:
                    self._not_before.pop(number, None)
                self._short.clear()
                self._spent_until = 0.0
                outcomes = await self._conclude(request, answer, asked_at, record_ids)
                self._log(request, attempt, began, outcomes, "")
                return

    def _spent(self, wait: float) -> float:
        """No call may be made for so long; returns how long it is until all that wait for that ask again."""
        now = asyncio.get_running_loop().time()
        if self._spent_until <= now:
            self._spent_until = now + wait
        return self._spent_until - now

    def _failed(self) -> float:
        """A request did not get through; returns how long nobody is to ask."""
        now = asyncio.get_running_loop().time()
        self._silence.failed(now)
        return self._silence.wait_seconds(now)

    def _maybe_sent(self, request: Request) -> None:
        for bundle in request.sent:
            if bundle.id in self._waiting:
                self._waiting[bundle.id] = replace(self._waiting[bundle.id], maybe_sent=True)

    def _delay(self, request: Request, seconds: float) -> None:
        at = asyncio.get_running_loop().time() + seconds
        for bundle in (*request.sent, *request.checked):
            self._not_before[bundle.id] = at

    async def _conclude(
        self, request: Request, answer: Answer, asked_at: datetime, record_ids: Mapping[LevelKey, str]
    ) -> str:
        """Judge every bundle and commit what the answer means."""
        ctx = self._ctx
        verdicts: dict[int, Judgement] = {}
        for bundle in request.sent:
            original = self._waiting[bundle.id]
            if bundle.id in self._voiding:
                verdicts[bundle.id] = ledger.judge_void(bundle.movements, original, answer)
            else:
                company = bundle.id in request.in_company
                verdicts[bundle.id] = ledger.judge(original, answer, in_company=company)
        for bundle in request.checked:
            verdicts[bundle.id] = ledger.judge_checked(self._waiting[bundle.id], answer.levels)
        self._hear(answer, verdicts)
        giving_way = await giving.plan(
            ctx, [self._waiting[n] for n in _of(verdicts, UNCOVERS)], answer.levels
        )
        truth = await self._truth(verdicts)
        done = [self._waiting[number] for number in _of(verdicts, DONE) if number not in self._voiding]
        if ctx.pulse.trail is not None:
            moved = {movement.level.sku for bundle in done for movement in bundle.movements}
            ctx.pulse.trail.entered(moved, asked_at, ctx.clock.now())
        seen = await lateness.look_back(ctx, done, answer, record_ids, self._admitted)

        there = {key for key, row in answer.rows.items() if row is not None}
        entered_at = Counter(
            movement.level
            for bundle in request.sent
            for movement in bundle.movements
            if ctx.org.keeps_rows
            and (row := answer.results.get(movement.key)) is not None
            and row.result is RowResult.CREATED
        )
        ended = [self._waiting[number] for number, each in verdicts.items() if each.verdict not in STAYS]

        def commit(tx: Tx) -> set[str]:
            bells: set[str] = set()
            skus: set[str] = set()
            for number in _of(verdicts, UNCOVERS):
                verdicts[number] = giving.put(tx, self._waiting[number], giving_way.get(number))
            for number in _of(verdicts, Verdict.PLAN_ANEW):
                tx.set_companions(number, giving.staying(self._waiting[number], there), {})
            for number in _of(verdicts, Verdict.STANDS):
                again = number in self._standing
                standing.tell(tx, ctx, self._waiting[number], verdicts[number].reason, again=again)
            plain = [number for number in _of(verdicts, DONE) if self._is_plain(self._waiting[number])]
            tx.finish_bundles(plain, "done", "", ctx.clock.now())
            letters = tx.with_dead_letter([self._waiting[number].movements[0].key for number in verdicts])
            for number, judgement in verdicts.items():
                bundle = self._waiting[number]
                keys = ledger.entered(bundle, answer) if judgement.verdict is DONE else None
                bells |= self._settle(
                    tx, bundle, judgement, truth, skus, keys, finished=number in plain, letters=letters
                )
            entered = {m.subject for number in plain for m in self._waiting[number].movements}
            tx.lines_entered(entered)
            bells |= lateness.add_further(tx, ctx, seen)
            return bells | apply_levels(
                tx, ctx, tuple(answer.levels.values()), asked_at, skus, entered=entered_at
            )

        rung = {"orders"} if any(_of_orders(bundle) for bundle in ended) else set[str]()
        ctx.bell.ring(*rung)  # heard once this is on its way: the lines' next steps go into the same commit
        ctx.bell.ring(*(await ctx.store.write(commit) - rung))
        for number in _of(verdicts, UNCOVERS):
            self._waiting[number] = giving.accompanied(self._waiting[number], giving_way[number])
        for number in _of(verdicts, Verdict.PLAN_ANEW):
            bundle = self._waiting[number]
            self._waiting[number] = giving.accompanied(bundle, giving.staying(bundle, there))
        for number, judgement in verdicts.items():
            self._after(number, judgement, sent=any(bundle.id == number for bundle in request.sent))
        return ", ".join(f"{verdict.value} {count}" for verdict, count in _count(verdicts).items())

    def _hear(self, answer: Answer, verdicts: dict[int, Judgement]) -> None:
        """Where the org takes nothing at all, that is told as its state, and not row by row."""
        closed = self._alike.heard(answer, verdicts)
        if closed:
            self._ctx.pulse.entering_error = closed
            for number in _of(verdicts, Verdict.STANDS):
                verdicts[number] = Judgement(Verdict.LATER, closed)
        elif self._closed and _of(verdicts, DONE):
            for number in self._standing:  # refused for what has been mended
                self._not_before.pop(number, None)
        self._closed = closed

    async def _truth(self, verdicts: Mapping[int, Judgement]) -> dict[str, list[Movement]]:
        """What the org holds for the subjects of bundles that met other content under their key.

        And for those that gave way to a posting: whatever was reserved for them, and by whomever.
        """
        subjects = {
            movement.subject
            for number in _of(verdicts, Verdict.CONFLICT)
            for movement in self._waiting[number].own
        }
        # One that the org never refused, and whose every answer came, went in without company.
        done = [
            number
            for number in _of(verdicts, DONE)
            if (bundle := self._waiting[number]).companions or bundle.maybe_sent or bundle.refusals
        ]
        gone = await self._ctx.store.read(lambda tx: tx.companion_subjects(done)) if done else frozenset()
        subjects |= {subject for subject in gone if not subject.startswith("late:")}  # one row: it is known
        rows: dict[str, list[Movement]] = {subject: [] for subject in subjects}
        attempt = 0
        while subjects:
            try:
                for row in await self._ctx.org.subject_rows(subjects):
                    rows[row.subject].append(row)
                break
            except OutsideError as error:
                attempt += 1
                self._ctx.warn("subject not read", error)
                wait = backoff_seconds(attempt, self._ctx.luck(), longest_seconds=LONGEST_FOR_SALES_SECONDS)
                await self._ctx.clock.sleep(wait)
        return rows

    def _is_plain(self, bundle: Bundle) -> bool:
        """True where being entered means the same as for any other: no part of it may have stayed out.

        And where nobody must know of its answer before it is taken over, as with units set aside.
        """
        return (
            bundle.id not in self._voiding
            and not (bundle.companions or bundle.maybe_sent or bundle.refusals)
            and not any(movement.subject.startswith(allocations.SUBJECT) for movement in bundle.movements)
        )

    def _settle(
        self,
        tx: Tx,
        bundle: Bundle,
        judgement: Judgement,
        truth: Mapping[str, list[Movement]],
        skus: set[str],
        entered: Collection[str] | None = None,
        *,
        finished: bool = False,
        letters: Collection[tuple[str, str]] = (),
    ) -> set[str]:
        """Store what a verdict means; returns the bells to ring. `finished`: that it is in is stored.

        `letters` are the dead letters, by source and key, among which is that of the bundle if it has one.
        """
        now = self._ctx.clock.now()
        verdict, reason = judgement.verdict, judgement.reason
        if verdict in STAYS:
            return set()
        skus |= {movement.level.sku for movement in bundle.movements}
        state = {Verdict.DONE: "done", Verdict.CONFLICT: "conflict", Verdict.WRONG: "wrong"}.get(verdict)
        if state is None:
            state = "voided" if bundle.id in self._voiding or bundle.maybe_sent else "refused"
        allocations.answered(tx, self._ctx, bundle, entered=verdict is DONE)
        along = bool(bundle.companions or bundle.maybe_sent or bundle.refusals)
        block.answered(tx, self._ctx, bundle, verdict)
        if not finished:
            tx.finish_bundle(bundle.id, state, reason, now, entered=entered if along else None)
        gone = tx.companion_subjects([bundle.id]) if along and verdict is DONE else frozenset()
        for subject, rows in truth.items():
            conflict = verdict is Verdict.CONFLICT and any(m.subject == subject for m in bundle.own)
            if conflict or subject in gone:
                tx.replace_rows(subject, rows, now)
        if verdict is Verdict.DONE and ("ledger", bundle.movements[0].key) in letters:
            tx.drop_dead_letter("ledger", bundle.movements[0].key)
        if along:  # only such a one may have been told of
            standing.over(tx, bundle, now)
        if verdict in (Verdict.WRONG, Verdict.REFUSED):
            self._pause_allocations(bundle, wrong=verdict is Verdict.WRONG)
        if verdict is Verdict.WRONG:
            tx.dead_letter(
                "ledger",
                bundle.movements[0].key,
                reason,
                REUSED_ADVICE if reason == REUSED else "mend it in the org, then retry",
                written(bundle.movements),
                now,
            )
        subjects = {movement.subject for movement in bundle.movements}
        if verdict is DONE and not along and bundle.id not in self._voiding:
            if not finished:
                tx.lines_entered(subjects)
        else:
            vain = verdict is Verdict.REFUSED and bundle.asks
            tx.lines_answered(subjects, due=verdict is not Verdict.WRONG, in_vain=vain)
        if verdict is DONE:
            follow(tx, self._ctx, bundle)
            self._ctx.pulse.entered.append((now, len(bundle.movements)))
        if verdict is DONE and bundle.companions:
            skus |= giving.tell(tx, self._ctx, bundle, entered or ())
        for subject in subjects:
            if subject.startswith("reservation:"):
                settle(tx, self._ctx, subject.split(":")[1], reason)
        return {"orders"} if _of_orders(bundle) else set()

    def _pause_allocations(self, bundle: Bundle, *, wrong: bool) -> None:
        """What the org would not set aside is not asked for again at once.

        Where it refused a cart of which the local block gave a part, it has nothing against the block.
        """
        until = self._ctx.clock.now().timestamp() + ALLOCATION_PAUSE_SECONDS
        for movement in bundle.movements:
            if movement.subject.startswith("allocation:") and (wrong or movement.reserved_delta > 0):
                self._ctx.pulse.paused[movement.subject] = until

    def _after(self, number: int, judgement: Judgement, *, sent: bool) -> None:
        """Keep in memory what the verdict means for a bundle that stays, and forget one that does not."""
        verdict = judgement.verdict
        if verdict is Verdict.LATER:
            self._attempts[number] += 1
            wait = backoff_seconds(
                self._attempts[number], self._ctx.luck(), longest_seconds=LONGEST_FOR_SALES_SECONDS
            )
            self._not_before[number] = asyncio.get_running_loop().time() + wait
            return
        if verdict in (Verdict.AGAIN, Verdict.UNCOVERS, Verdict.PLAN_ANEW):
            if sent:
                bundle = self._waiting[number]
                self._waiting[number] = replace(bundle, refusals=bundle.refusals + 1)
            return
        if verdict is Verdict.VOID_FIRST:
            self._voiding[number] = self._waiting[number]
            return
        if verdict is Verdict.STANDS:
            bundle = self._waiting[number]
            self._waiting[number] = replace(bundle, refusals=max(1, bundle.refusals))  # alone
            self._standing.add(number)
            self._not_before[number] = asyncio.get_running_loop().time() + STANDS_SECONDS
            self._tell_answered(number)
            return
        self._forget(number)

    def _forget(self, number: int) -> None:
        for store in (self._waiting, self._voiding, self._not_before, self._attempts, self._admitted):
            store.pop(number, None)
        self._standing.discard(number)
        if not self._waiting:
            self._ctx.pulse.entering_error = ""
        self._tell_answered(number)

    def _tell_answered(self, number: int) -> None:
        answered = self._outcomes.pop(number, [])
        if self._next_answer is not None:
            answered.append(self._next_answer)
        for future in answered:
            if not future.done():
                future.set_result(None)

    async def _no_level(self, request: Request, missing: frozenset[LevelKey]) -> None:
        """Levels we do not know: the org is asked for them by key. A posting waits for its level."""
        ctx, asked_at = self._ctx, self._ctx.clock.now()
        try:
            # What comes back or is on its way may have no level yet.
            if waiting := await ctx.store.read(lambda tx: made_by_itself(tx, ctx.assortment, missing)):
                await ctx.org.create_levels(waiting)
            read = await ctx.org.read_levels(keys=missing)
        except OutsideError:
            self._delay(request, backoff_seconds(3, ctx.luck()))
            return
        still = missing - {level.key for level in read}
        elsewhere = await self._mapped([*request.sent, *request.checked], still)
        wanting = [
            bundle
            for bundle in (*request.sent, *request.checked)
            if bundle.levels & still and bundle.id not in elsewhere
        ]
        refused = {
            bundle.id: Judgement(Verdict.WRONG, f"the org has no stock level {min(bundle.levels & still)}")
            for bundle in wanting
            if bundle.asks
        }

        def commit(tx: Tx) -> set[str]:
            bells: set[str] = set()
            skus: set[str] = set()
            for number, judgement in refused.items():
                bells |= self._settle(tx, self._waiting[number], judgement, {}, skus)
            for number, level in elsewhere.items():
                tx.put_at(number, level)
                tx.drop_dead_letter("ledger", self._waiting[number].movements[0].key)
                skus.add(level.sku)
            bells |= apply_levels(tx, ctx, read, asked_at, skus)
            for bundle in wanting:
                if bundle.id not in refused:
                    self._tell_waiting(tx, bundle, still)
            return bells

        ctx.bell.ring(*await ctx.store.write(commit))
        for number, level in elsewhere.items():
            bundle = self._waiting[number]
            own = tuple(replace(row, level=level) for row in bundle.own)
            self._waiting[number] = replace(bundle, movements=own, companions=0)
        at = asyncio.get_running_loop().time() + NO_LEVEL_SECONDS
        for bundle in wanting:
            if bundle.id in refused:
                self._after(bundle.id, refused[bundle.id], sent=False)
            else:
                self._not_before[bundle.id] = at

    async def _mapped(
        self, bundles: Sequence[Bundle], missing: Collection[LevelKey]
    ) -> Mapping[int, LevelKey]:
        """The level of each posting at one that the org does not have, under the SKU that it is mapped to.

        The org has just said that the level is not there, so nothing was ever entered at it. A count of the
        other level that has seen the posting is found when it is in (`lateness`).
        """
        alone = {
            bundle.id: bundle.own[0].level
            for bundle in bundles
            if not bundle.asks
            and len(bundle.own) == 1
            and bundle.own[0].level in missing
            and bundle.own[0].subject.startswith("posting:")
        }
        return await self._ctx.store.read(lambda tx: mapped_levels(tx, alone)) if alone else {}

    def look_again(self) -> None:
        """Ask for the levels anew that the org did not have: somebody has mended something."""
        for number, bundle in self._waiting.items():
            if not bundle.asks:
                self._not_before.pop(number, None)
        self._ctx.bell.ring("writer")

    def _tell_waiting(self, tx: Tx, bundle: Bundle, missing: frozenset[LevelKey]) -> None:
        first = bundle.movements[0]
        reason = f"the org has no stock level {min(bundle.levels & missing)}"
        advice = "create the stock level; it is then entered by itself"
        tx.dead_letter("ledger", first.key, reason, advice, written(bundle.movements), self._ctx.clock.now())
        self._ctx.log.warning("no stock level", key=first.key, reason=reason, next=advice)

    def _log(self, request: Request, attempt: int, began: float, outcome: str, then: str) -> None:
        self._ctx.log.info(
            "ledger request",
            rows=sum(len(bundle.movements) for bundle in request.sent),
            levels=len(request.levels),
            attempt=attempt,
            milliseconds=round((perf_counter() - began) * 1000, 1),
            outcome=outcome,
            **({"next": then} if then else {}),
        )


def _of_orders(bundle: Bundle) -> bool:
    """True when a line may take its next step after the answer: its own, or that of what it was sold on."""
    return any(movement.subject.startswith(("order:", "reservation:")) for movement in bundle.movements)


def _of(verdicts: Mapping[int, Judgement], verdict: Verdict) -> list[int]:
    return [number for number, judgement in verdicts.items() if judgement.verdict is verdict]


def _count(verdicts: Mapping[int, Judgement]) -> dict[Verdict, int]:
    counts: dict[Verdict, int] = defaultdict(int)
    for judgement in verdicts.values():
        counts[judgement.verdict] += 1
    return counts
