"""Whether all is well, in one sentence, and every reason why not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from time import perf_counter, thread_time

from sfsync import __version__
from sfsync.domain.alerts import SILENT_AFTER
from sfsync.domain.assortment import PLENTY, Assortment, InForce
from sfsync.domain.ats import Guarantee
from sfsync.domain.block import HOLDER
from sfsync.domain.budget import Standing, Work
from sfsync.domain.coverage import lasting
from sfsync.domain.exposure import SCARCE_UNITS
from sfsync.domain.left_channel import LeftChannel, sentences
from sfsync.domain.unheard import Unheard
from sfsync.domain.words import agree, counted
from sfsync.flow.context import Pulse
from sfsync.store import shadow, views
from sfsync.store.tx import SqlTx
from sfsync.web.status_shape import ChannelStatus, Health, Ledger, State, Stream, TillStatus

from .rows import moment

BEHIND_AGAIN = timedelta(seconds=10)  # what is left of channels that are no more
QUICK_SECONDS = 0.05
SHARE = 20  # what takes longer than that is done again only after so many times as long
NAMED = 3  # SKUs in one sentence
GOOD = "Every channel has been told what the org has."
GOOD_IN_SHADOW = "Every channel would have been told what the org would have."


class HealthTeller:
    """Judges what a status tells."""

    def __init__(self, assortment: Assortment, pulse: Pulse | None) -> None:
        self._assortment, self._pulse = assortment, pulse
        self._behind: tuple[datetime | None, list[str]] = (None, [])
        self._told_unasked: list[str] = []
        self._not_unasked_before = 0.0

    def tell(
        self,
        tx: SqlTx,
        now: datetime,
        stream: Stream,
        ledger: Ledger,
        channels: Sequence[ChannelStatus],
        incidents: views.ToldIncidents,
        letters: int,
        refunds: int,
        drifts: int,
        tills: Sequence[TillStatus],
        left: Sequence[LeftChannel],
    ) -> Health:
        """The verdict on everything else that the status says."""
        pulse = self._pulse
        bad: list[str] = []
        doubtful: list[str] = []
        if pulse is None:
            bad.append("The daemon is not running.")
        else:
            if pulse.org_error:
                bad.append(f"The org does not answer: {pulse.org_error}")
            if pulse.rule_error:
                bad.append(pulse.rule_error)
            if pulse.stale:
                bad.append(
                    f"The org was not heard for more than {lasting(max(pulse.stale))}: "
                    "what is scarce by policy is closed until it is heard again."
                )
            bad += [f"The stream {topic} is down: {error}" for topic, error in pulse.stream_error.items()]
            bad += [
                f"The stream {topic} is silent."
                for topic in pulse.topics
                if now - pulse.last_sign.get(topic, pulse.started_at) > SILENT_AFTER
            ]
            calls_bad, calls_doubtful = short_of_calls(pulse.calls(), now)
            bad += calls_bad
            doubtful += calls_doubtful
            if pulse.space:
                bad += [pulse.space.full] if pulse.space.full else []
                doubtful += pulse.space.findings()
        still = [each for each in incidents.told if each.closed_at is None]
        bad += [f"{each.title}." for each in still if not each.waits(now)]
        soon = [each for each in still if each.waiting is None or each.waiting.until <= now]
        if more := incidents.urgent - len(soon):
            are = agree(more, "incident is", "incidents are")
            bad.append(f"{more} more {are} open: `sfsync incidents`.")
        doubtful += [
            f"The stream {hole['source']} has a hole of {lasting(hole['age_seconds'])}: {hole['reason']}. "
            f"What closes it: {hole['closes']}."
            for hole in stream["holes"]
        ]
        bad += _of_channels(channels, "bad")
        bad += self._unasked(tx)  # after what goes wrong now: nothing may ever come of it
        doubtful += _of_channels(channels, "warning")
        doubtful += self._left_behind(tx, now)
        doubtful += sentences([each for each in left if not each.set_aside])  # else that comes first
        doubtful += [
            f"The till {each['name']} has not reported since {each['last_at'] or 'the first start'}, "
            f"and should every {each['every_hours']:g} hours."
            for each in tills
            if each["late"]
        ]
        outlook = stream["deliveries"]["outlook"] if stream["deliveries"] else None
        if outlook and outlook["used_up_at"]:
            doubtful.append(
                f"The org's event deliveries are used up about {outlook['used_up_at'][:16]}Z at this pace: "
                "what moves is then found by polling."
            )
        if letters:
            waits = counted(letters, "dead letter waits", "dead letters wait")
            doubtful.append(f"{waits} for a person: `sfsync dead-letters`.")
        if refunds:
            are = counted(refunds, "refund is", "refunds are")
            doubtful.append(f"{are} owed to customers: `sfsync refunds`.")
        if drifts:
            numbers = counted(drifts, "number differs", "numbers differ")
            doubtful.append(f"{numbers} although nothing is under way: `sfsync drift`.")
        state: State = "bad" if bad else "warning" if doubtful else "good"
        in_shadow = shadow.since(tx)
        good = GOOD if in_shadow is None else GOOD_IN_SHADOW
        sentence = good if state == "good" else (bad + doubtful)[0]
        return Health(
            state=state,
            sentence=sentence,
            reasons=bad + doubtful,
            org=tx.bound_org() or "",
            version=__version__,
            started_at=moment(pulse.started_at) if pulse else "",
            now=moment(now),
            shadow_since=None if in_shadow is None else moment(in_shadow),
        )

    def _left_behind(self, tx: SqlTx, now: datetime) -> list[str]:
        """What is set aside for channels that are not in the settings any more. Looked for now and then."""
        at, told = self._behind
        if at is None or now - at >= BEHIND_AGAIN:
            units, skus = Counter[str](), defaultdict[str, set[str]](set)
            for holding in tx.allocated_beside({*self._assortment.channels, HOLDER}):
                channel = holding.channel or ""
                units[channel] += holding.reserved
                skus[channel].add(holding.level.sku)
            told = [
                f"{channel} is not in the settings any more, and {counted(units[channel], 'unit')} of "
                f"{_named(sorted(skus[channel]))} {agree(units[channel], 'is', 'are')} still set aside "
                "for it: `sfsync reservations --orphans`."
                for channel in sorted(units)
            ]
            self._behind = now, told
        return told

    def _unasked(self, tx: SqlTx) -> list[str]:
        """Channels that show the last units of a SKU although others may sell them too, by no one's decision.

        Every SKU that a channel shows is looked at for it: of a large house less often than it is asked for.
        """
        if perf_counter() >= self._not_unasked_before:
            begun = thread_time()
            self._told_unasked = self._look_for_unasked(tx)
            took = thread_time() - begun
            self._not_unasked_before = perf_counter() + (SHARE * took if took > QUICK_SECONDS else 0.0)
        return self._told_unasked

    def _look_for_unasked(self, tx: SqlTx) -> list[str]:
        """One sentence for each way in which a unit may be sold twice: many channels of one kind share it."""
        scarce, most = tx.scarce_skus(), self._assortment.scarce_at_most(SCARCE_UNITS)
        weak = self._pulse.weak_channels if self._pulse else ()
        found: dict[bool, dict[str, list[str]]] = {False: {}, True: {}}
        for channel in sorted(self._assortment.channels):
            skus = [
                sku
                for sku, units in views.few_shown(tx, channel, most)
                if self._sells_unasked(channel, sku, units, scarce.get(sku, PLENTY))
            ]
            if skus:
                found[channel in weak][channel] = skus
        return [_unasked(shown, plain=plain) for plain, shown in found.items() if shown]

    def _sells_unasked(self, channel: str, sku: str, units: int, scarce: InForce) -> bool:
        """True when so few units are shown as a shared number, and nobody has accepted that."""
        policy = self._assortment.policy(channel, sku, scarce)
        if policy.guarantee is not Guarantee.MIRRORED or policy.allocated_elsewhere:
            return False
        limit = SCARCE_UNITS if policy.scarce_at is None else policy.scarce_at
        return units <= limit and not policy.exposure_accepted


def _unasked(shown: Mapping[str, Sequence[str]], *, plain: bool) -> str:
    """Which channels show the last of which SKUs, what may come of it, and what is safe instead.

    `plain`: those channels take plain numbers only. The SKUs that most of them show are named first.
    """
    spread = Counter(sku for skus in shown.values() for sku in skus)
    skus = sorted(spread, key=lambda sku: (-spread[sku], sku))
    it = agree(len(skus), "it", "them")
    if plain:
        take = agree(len(shown), "takes", "take")
        then = f"and {take} plain numbers only: a sale may be overwritten, and a unit sold twice"
    else:
        then = f"and others sell {it} too: a unit may be sold twice before it hears of the first sale"
    return (
        f"{_named_channels(list(shown))} {agree(len(shown), 'shows', 'show')} the last of {_named(skus)} "
        f"without asking first, {then}. Gate {it}, or allocate {it}, by a policy with scarce_at; or accept "
        "it by one with exposure_accepted."
    )


def _of_channels(channels: Sequence[ChannelStatus], state: State) -> list[str]:
    """What is said of the channels that stand so: what is said of several, once."""
    said: dict[str, list[str]] = {}
    for channel in channels:
        if channel["state"] == state:
            sentence = channel["sentence"].removeprefix(f"{channel['name']}: ")
            said.setdefault(sentence, []).append(channel["name"])
    return [f"{_named_channels(names)}: {sentence}" for sentence, names in said.items()]


def _named(skus: Sequence[str]) -> str:
    """The first few of some SKUs, and how many more there are."""
    more = f" and {len(skus) - NAMED} more" if len(skus) > NAMED else ""
    return f"{', '.join(skus[:NAMED])}{more}"


def _named_channels(names: Sequence[str]) -> str:
    """All of a few channels; of many their number, and the first few."""
    if len(names) > NAMED:
        return f"{len(names)} channels ({_named(names)})"
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def short_of_calls(calls: Standing | None, now: datetime) -> tuple[list[str], list[str]]:
    """What is bad and what is doubtful about the org's API calls, today and by their forecast."""
    if calls is None:
        return [], []
    if not calls.paused:
        ahead = calls.outlook
        if ahead is None or ahead.used_up_at is None:
            return [], []
        at = ahead.used_up_at
        when = f"{at:%H:%M}" if at.date() == now.date() else f"{at:%H:%M} on {at:%Y-%m-%d}"
        ours = f"of the last 24 hours' {calls.used:,} we made {calls.ours_used:,}"
        return [], [
            f"The org's API calls will be used up at {when} UTC at this pace "
            f"({ahead.pace_an_hour:,} an hour; {ours}): then bulk work waits, and sales after it."
        ]
    if Work.SALE in calls.paused:
        then = f"they are tried every minute, and expected to go on about {_minute(calls.paused[Work.SALE])}"
        return [f"The org's API calls of the last 24 hours are used up, so sales wait: {then}."], []
    named = {Work.REFRESH: "looking again waits", Work.BULK: "bulk work waits"}
    waits = [f"{named[work]}, expected to go on about {_minute(at)}" for work, at in calls.paused.items()]
    used = f"{calls.ours_used:,} of the {calls.ours:,} API calls that are ours are used"
    return [], [f"{used}, so {'; '.join(waits)}."]


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def unheard_state(unheard: Sequence[Unheard], lag: timedelta) -> tuple[State, str] | None:
    """How a channel stands that does not tell what it is asked for; None where it tells all.

    `lag`: for so long an order may be missing from its list.
    """
    bad = [each for each in unheard if each.lasts(lag)]
    if bad:
        return "bad", bad[0].sentence
    return ("warning", unheard[0].sentence) if unheard else None


def channel_state(
    count: views.ChannelCount | None, error: str, unheard: tuple[State, str] | None = None
) -> tuple[State, str]:
    """How a channel stands, and the sentence that says so. `unheard`: what `unheard_state` says of it."""
    if error:
        return "bad", error
    if count is None:
        return "warning", "Not compared yet."
    if count.held is not None:
        return "bad", f"The settings have changed: {count.held.sentence}"
    if unheard is not None and (unheard[0] == "bad" or count.approved):
        return unheard
    if not count.approved:
        return "warning", "Waits for its first plan to be approved: `sfsync resync`."
    if count.problems:
        listed = "`sfsync dead-letters`" if count.dead_letters else "`sfsync dead-letters dropped`"
        return "warning", f"{counted(count.problems, 'item')} cannot be written: {listed}."
    if count.due:
        return "good", f"{counted(count.due, 'change is on its', 'changes are on their')} way."
    return "good", "Shows what it should."
