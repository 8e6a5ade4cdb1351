"""Parts of a status as JSON: no decision is made here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import quantiles

from sfsync.domain import budget
from sfsync.domain.forecast import Space
from sfsync.domain.left_channel import LeftChannel
from sfsync.domain.stock import LevelKey
from sfsync.domain.tills import TillExpected, TillHistory, overdue
from sfsync.flow.context import Pulse
from sfsync.ports import DeadLetter
from sfsync.store import views
from sfsync.store.pickups import PickUps
from sfsync.web.status_shape import (
    ChannelBudget,
    DeadLetterRow,
    Deliveries,
    LeftChannelRow,
    Movement,
    Outlook,
    PickUpsOfPlace,
    SpaceLeft,
    TillStatus,
)


def space_left(space: Space) -> SpaceLeft:
    """What room is left in the org."""
    return SpaceLeft(
        allowed_mb=space.allowed_mb,
        left_mb=space.left_mb,
        rows=space.rows,
        rows_a_day=space.rows_a_day,
        full_in_days=space.full_in_days,
        fullest=space.fullest,
        fullest_rows=space.fullest_rows,
        crowded=space.crowded,
        crowded_in_days=space.crowded_in_days,
    )


def left_row(left: LeftChannel) -> LeftChannelRow:
    """What is kept of a channel that is not in the settings any more, as the status has it."""
    return LeftChannelRow(
        name=left.name,
        numbers=left.numbers,
        dead_letters=left.dead_letters,
        drifts=left.drifts,
        set_aside=left.set_aside,
        open_lines=left.open_lines,
    )


def letter_row(letter: DeadLetter) -> DeadLetterRow:
    """A dead letter, without what it held."""
    return DeadLetterRow(
        id=letter.id,
        source=letter.source,
        key=letter.key,
        reason=letter.reason,
        advice=letter.advice,
        at=moment(letter.at),
    )


def movement_row(movement: views.RecentMovement) -> Movement:
    """A movement of the last moments."""
    key = LevelKey.parse(movement.level_key)
    return Movement(
        at=moment(movement.at),
        sku=key.sku,
        location=key.location,
        unit=key.unit,
        kind=movement.kind,
        on_hand_delta=movement.on_hand_delta,
        reserved_delta=movement.reserved_delta,
        reference=movement.reference,
        source=movement.channel or "org",
        available=movement.available,
    )


def pick_ups_row(told: PickUps) -> PickUpsOfPlace:
    """What customers will collect at one location."""
    return PickUpsOfPlace(
        location=told.location,
        waiting=told.reservations,
        units=told.units,
        to_confirm=told.to_confirm,
        paid=told.paid,
        next_at=moment_or_none(told.next_at),
        overdue=told.overdue,
    )


def percentile_ms(ordered_seconds: Sequence[float], percent: int) -> float | None:
    """A percentile of ordered seconds, in milliseconds; None of none."""
    if not ordered_seconds:
        return None
    if len(ordered_seconds) == 1:
        return round(ordered_seconds[0] * 1000, 1)
    return round(quantiles(ordered_seconds, n=100, method="inclusive")[percent - 1] * 1000, 1)


def tenths(seconds: float | None) -> float | None:
    """Seconds, to a tenth."""
    return None if seconds is None else round(seconds, 1)


def moment(at: datetime) -> str:
    """A time as JSON tells it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_or_none(at: datetime | None) -> str | None:
    """A time as JSON tells it, or null."""
    return None if at is None else moment(at)


def outlook_row(outlook: budget.Outlook) -> Outlook:
    """How the org's calls, or its events, go on."""
    return Outlook(
        pace_an_hour=outlook.pace_an_hour,
        most_used=outlook.most_used,
        used_up_at=moment_or_none(outlook.used_up_at),
    )


def deliveries_row(usage: budget.Usage | None, now: datetime) -> Deliveries | None:
    """The org's delivered events, as last told."""
    if usage is None or usage.allowed is None:
        return None
    outlook = budget.delivery_outlook(usage, now)
    return Deliveries(
        used=next((each.used for each in reversed(usage.hours) if each.used is not None), 0),
        allowed=usage.allowed,
        outlook=outlook_row(outlook) if outlook else None,
    )


def till_row(
    name: str,
    told: TillExpected,
    history: TillHistory | None,
    letters: int,
    began: datetime | None,
    now: datetime,
) -> TillStatus:
    """A till, and what it has told."""
    last = history.last if history else None
    return TillStatus(
        name=name,
        location=told.location,
        late=overdue(last.at if last else None, began, told.every, now),
        every_hours=told.every / timedelta(hours=1) if told.every else None,
        last_at=moment_or_none(last.at if last else None),
        last_way=last.way if last else "",
        lines=last.entered if last else 0,
        again=last.again if last else 0,
        counted_before=last.late if last else 0,
        refused=last.refused if last else 0,
        refused_files=letters,
        reports_in_all=history.reports if history else 0,
        lines_in_all=history.entered if history else 0,
        refused_in_all=history.refused if history else 0,
    )


def budget_row(pulse: Pulse | None, channel: str) -> ChannelBudget | None:
    """What a channel still lets us ask."""
    tell = pulse.budgets.get(channel) if pulse else None
    budget = tell() if tell else None
    if budget is None:
        return None
    return ChannelBudget(left=budget.left, most=budget.most, a_second=budget.a_second, unit=budget.unit)
