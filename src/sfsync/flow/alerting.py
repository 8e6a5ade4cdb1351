"""Alerts go out to whoever is to be woken: each once when it begins, and once when it is over.

Every few seconds what holds is worked out from the store and from what the running parts say of themselves
(`domain.alerts`), and written down with who is still to be told. Each receiver is told one thing after
another, in order; a receiver that fails is tried by the schedule of callbacks, and set aside like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sfsync.domain.alerts import LASTING, SILENT_AFTER, Alert, AlertKind, Notice, Patient
from sfsync.domain.budget import delivery_outlook
from sfsync.domain.callbacks import failed
from sfsync.domain.coverage import lasting
from sfsync.domain.forecast import SOON_DAYS, within
from sfsync.domain.incidents import HOLE, SET_ASIDE
from sfsync.domain.words import counted
from sfsync.ports import AlertReceiver, Gone, OutsideError, TryLater, Tx, Unusable

from .context import Context
from .failing import set_aside, standing, took_again, try_again

LOOK_SECONDS = 5.0
SWEEP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on numbers are worth an alert."""

    exposed_units: int | None = None  # at one channel; None: never


class _Changes(NamedTuple):
    begun: Sequence[Alert]
    over: Sequence[str]  # keys
    further: Mapping[str, Sequence[str]]  # key -> receivers that came after it had begun


class Alerts:
    """Watches, and tells."""

    def __init__(self, ctx: Context, receivers: Sequence[AlertReceiver], limits: Limits) -> None:
        self._ctx, self._receivers, self._limits = ctx, tuple(receivers), limits
        self._patient = Patient()
        self._adopted = 0  # how often other receivers were taken on
        self._caught_up: int | None = None  # up to which of these all know what is open
        self._changed = asyncio.Event()
        self._serving: dict[str, tuple[AlertReceiver, asyncio.Task[None]]] = {}
        self._retired: list[AlertReceiver] = []

    def receiver(self, name: str) -> AlertReceiver | None:
        """One of those who are told."""
        return next((each for each in self._receivers if each.name == name), None)

    async def adopt(self, receivers: Sequence[AlertReceiver], limits: Limits) -> None:
        """Tell these from now on, and no others. Who is new, or was changed, is tried at once."""
        others = [each for each in receivers if each not in self._receivers]
        self._retired += [each for each in self._receivers if each not in receivers]
        self._receivers, self._limits = tuple(receivers), limits
        self._adopted += 1
        await self._ctx.store.write(partial(self._try_again, others=others))
        self._changed.set()
        self._changed = asyncio.Event()

    def _try_again(self, tx: Tx, *, others: Sequence[AlertReceiver]) -> None:
        for each in others:
            try_again(tx, self._ctx, _failing(each))

    async def close(self) -> None:
        """Give back the connections of all who were ever told."""
        for receiver in (*self._retired, *self._receivers):
            await receiver.close()
        self._retired = []

    async def run(self) -> None:
        """Until cancelled; nothing is looked at while nobody is to be told."""
        self._serving.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            while True:
                changed = self._changed
                await self._let_go()
                for each in self._receivers:
                    if each.name not in self._serving:
                        self._serving[each.name] = each, group.create_task(self._serve(each))
                await changed.wait()

    async def _let_go(self) -> None:
        """Serve those no longer who are told no more. What was on its way is told again under its own id."""
        for name, (receiver, task) in list(self._serving.items()):
            if receiver not in self._receivers:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del self._serving[name]
        retired, self._retired = self._retired, []
        for each in retired:
            await each.close()

    async def _watch(self) -> None:
        while True:
            changed = self._changed
            if self._receivers:
                await self.look()
                await self._ctx.clock.sleep(LOOK_SECONDS)
            else:
                await changed.wait()

    async def look(self) -> None:
        """Write down what has begun and what is over, and wake those who tell it."""
        adopted = self._adopted
        changes = await self._ctx.store.read(self._changes)
        if any(changes):
            await self._ctx.store.write(partial(self._note, changes=changes))
            self._ctx.bell.ring(*(_bell(each.name) for each in self._receivers))
        self._caught_up = adopted

    def _changes(self, tx: Tx) -> _Changes:
        """What has begun, what is over, and who has not heard of what goes on."""
        now, known = self._ctx.clock.now(), tx.open_alerts()
        holds = {each.key: each for each in self._patient.lasting(self._holding(tx, now), known, now)}
        further: dict[str, Sequence[str]] = {}
        if self._caught_up != self._adopted:
            told = tx.alert_receivers()
            for key in sorted(known & holds.keys()):
                new = [each for each in self._hearing(holds[key]) if each not in told[key]]
                further |= {key: new} if new else {}
        begun = [holds[key] for key in sorted(holds.keys() - known)]
        return _Changes(begun, sorted(known - holds.keys()), further)

    def _note(self, tx: Tx, *, changes: _Changes) -> None:
        now = self._ctx.clock.now()
        for key in changes.over:
            tx.resolve_alert(key, {each.name for each in self._receivers}, now)
        for alert in changes.begun:
            tx.add_alert(alert, self._hearing(alert), now)
        for key, names in changes.further.items():
            tx.tell_further(key, names)

    def _hearing(self, alert: Alert) -> list[str]:
        return [each.name for each in self._receivers if _hears(each, alert)]

    def _holding(self, tx: Tx, now: datetime) -> list[Alert]:
        """Everything that is worth an alert at this moment."""
        found = [
            Alert(
                AlertKind.INCIDENT,
                f"incident:{each.id}",
                each.title,
                {"incident": each.id, "kind": each.kind, "units": each.units},
                about=each.key if each.kind == SET_ASIDE else "",
            )
            for each in tx.incidents()
            if each.kind != HOLE  # the hole itself is told
        ]
        for hole in tx.open_holes():
            age = (now - hole.since).total_seconds()
            title = f"what {hole.source} has told since {hole.since:%H:%M:%S} UTC is not known: {hole.reason}"
            detail = {"source": hole.source, "since": hole.since.isoformat(), "age_seconds": round(age)}
            lasts = now - hole.opened_at >= LASTING
            found.append(Alert(AlertKind.HOLE, f"hole:{hole.id}", title, detail, lasts))
        for source, count in sorted(tx.count_dead_letters().items()):
            title = f"{count} of {source} cannot be handled without a person: sfsync dead-letters"
            detail = {"source": source, "count": count}
            found.append(Alert(AlertKind.DEAD_LETTERS, f"dead-letters:{source}", title, detail))
        found += [
            Alert(
                AlertKind.HELD,
                f"held:{name}",
                f"the settings have changed: {each.sentence}",
                {"channel": name, "changed": each.changed, "of": each.known},
            )
            for name, each in sorted(tx.holds().items())
        ]
        return found + self._silences(now) + self._shortages() + self._exposures(tx)

    def _silences(self, now: datetime) -> list[Alert]:
        pulse = self._ctx.pulse
        found = []
        if pulse.org_error:
            title = f"the org does not answer: {pulse.org_error}"
            found.append(Alert(AlertKind.SILENCE, "silence:org", title, {"of": "org"}, lasts=False))
        for topic in pulse.topics:
            quiet = now - pulse.last_sign.get(topic, pulse.started_at)
            if quiet > SILENT_AFTER:
                title = f"the stream {topic} has said nothing for {lasting(quiet.total_seconds())}"
                found.append(Alert(AlertKind.SILENCE, f"silence:{topic}", title, {"of": topic}))
        for name in self._ctx.channels:
            lag = self._ctx.assortment.orders_lag(name)
            for each in pulse.unheard_of(name):
                if each.lasts(lag):
                    title = f"{name}: {each.sentence.rstrip('.')}"
                    detail = {"of": name, "since": each.since.isoformat()}
                    key = f"silence:{name}:{each.what.name.lower()}"
                    found.append(Alert(AlertKind.SILENCE, key, title, detail))
        return found

    def _shortages(self) -> list[Alert]:
        found = []
        calls, space = self._ctx.pulse.calls(), self._ctx.pulse.space
        if calls is not None and calls.paused:
            waits = ", ".join(sorted(work.value for work in calls.paused))
            until = max(calls.paused.values())
            title = (
                f"{calls.ours_used:,} of the {calls.ours:,} API calls that are ours in 24 hours are used: "
                f"{waits} wait, until about {until:%Y-%m-%d %H:%M} UTC"
            )
            detail = {"used": calls.ours_used, "ours": calls.ours, "until": until.isoformat()}
            found.append(Alert(AlertKind.ALLOWANCE, "allowance:calls", title, detail, lasts=False))
        elif calls is not None and (ahead := calls.outlook) is not None and ahead.used_up_at is not None:
            title = (
                f"the org's API calls of 24 hours are used up about {ahead.used_up_at:%Y-%m-%d %H:%M} UTC "
                "at everybody's pace: bulk work will wait, then sales"
            )
            detail = {"used_up_at": ahead.used_up_at.isoformat(), "pace_an_hour": ahead.pace_an_hour}
            found.append(Alert(AlertKind.ALLOWANCE, "allowance:calls", title, detail, lasts=False))
        events = delivery_outlook(self._ctx.pulse.delivered, self._ctx.clock.now())
        if events is not None and events.used_up_at is not None:
            title = (
                f"the org's event deliveries are used up about {events.used_up_at:%Y-%m-%d %H:%M} UTC "
                "at this pace: what moves is then found by polling"
            )
            detail = {"used_up_at": events.used_up_at.isoformat(), "pace_an_hour": events.pace_an_hour}
            found.append(Alert(AlertKind.ALLOWANCE, "allowance:deliveries", title, detail, lasts=False))
        if space is not None:
            for name, days in (("storage", space.full_in_days), ("rows", space.crowded_in_days)):
                if days is not None and days <= SOON_DAYS:
                    what = (
                        "the org's data storage is full"
                        if name == "storage"
                        else f"{space.crowded or 'a stock level'} is full"
                    )
                    title = f"{what} {within(days)} at the last day's pace: sfsync ledger fold"
                    if name == "storage" and space.full:
                        title = f"{what}: it takes no movement"
                    found.append(
                        Alert(AlertKind.ALLOWANCE, f"allowance:{name}", title, {"days": days}, lasts=False)
                    )
        return found

    def _exposures(self, tx: Tx) -> list[Alert]:
        limit = self._limits.exposed_units
        if limit is None:
            return []
        return [
            Alert(
                AlertKind.EXPOSURE,
                f"exposure:{channel}",
                f"{channel} shows {counted(units, 'unit')} more than there are to sell, beyond the limit of "
                f"{limit}",
                {"channel": channel, "units": units, "limit": limit},
                lasts=False,
            )
            for channel, units in sorted(tx.exposed_units().items())
            if units > limit
        ]

    # -- telling

    async def _serve(self, receiver: AlertReceiver) -> None:
        """One receiver: one thing after another."""
        ctx, mine = self._ctx, _failing(receiver)
        while True:
            notice, failing = await ctx.store.read(
                lambda tx: (tx.next_notice(receiver.name), tx.failing(mine))
            )
            wait = SWEEP_SECONDS
            if notice is not None:
                due = failing.next_at(notice.message_id) if failing else ctx.clock.now()
                wait = min(wait, (due - ctx.clock.now()).total_seconds())
                if wait <= 0:
                    await self._tell(receiver, mine, notice)
                    continue
            await ctx.bell.wait(_bell(receiver.name), max(0.01, wait))

    async def _tell(self, receiver: AlertReceiver, mine: str, notice: Notice) -> None:
        ctx = self._ctx
        said = {"receiver": receiver.name, "alert": notice.title, "resolved": notice.resolved_at is not None}
        try:
            await receiver.tell(notice)
        except Unusable as error:
            ctx.log.error("alert refused", **said, reason=str(error), next="it is not told again")
        except OutsideError as error:
            await self._not_told(receiver, mine, notice, error)
            return
        else:
            ctx.log.info("alert told", **said)

        def commit(tx: Tx) -> None:
            tx.drop_notice(notice.id)
            took_again(tx, ctx, mine)

        await ctx.store.write(commit)

    async def _not_told(
        self, receiver: AlertReceiver, mine: str, notice: Notice, error: OutsideError
    ) -> None:
        ctx = self._ctx

        def commit(tx: Tx) -> str:
            failing = failed(
                tx.failing(mine),
                notice.message_id,
                str(error),
                ctx.clock.now(),
                ctx.luck(),
                receiver.patience,
                asked_seconds=error.after_seconds if isinstance(error, TryLater) else None,
                gone=isinstance(error, Gone),
            )
            set_aside(tx, ctx, mine, failing)
            return standing(failing)

        told = await ctx.store.write(commit)
        ctx.log.warning("alert not told", receiver=receiver.name, alert=notice.title, reason=told)


def _hears(receiver: AlertReceiver, alert: Alert) -> bool:
    """Nobody is told that he himself cannot be told anything."""
    return (not receiver.kinds or alert.kind in receiver.kinds) and alert.about != _failing(receiver)


def _failing(receiver: AlertReceiver) -> str:
    """The name under which it is kept how a receiver fails; no channel has such a one."""
    return f"alerts:{receiver.name}"


def _bell(receiver: str) -> str:
    return f"alerts {receiver}"
