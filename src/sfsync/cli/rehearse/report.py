"""What a rehearsal showed: sums, waiting times, what was used of each limit, and which would break first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .crowd import Visit
from .plan import Plan

DAY_SECONDS = 86_400.0
BUSY_SECONDS = 5.0  # a rush is over before a mean of the whole drop shows it


@dataclass(frozen=True, slots=True)
class Seen:
    """What was counted outside while the drop went on."""

    on_hand: int  # in the org, at the end
    reserved: int  # in the org, for customers, at the end
    left_in_block: int  # reserved in the org for the block or for a channel, and not sold
    orders: int  # pieces in orders that storefronts accepted
    calls: int  # to the org's API, from the opening until everything was settled
    calls_by_kind: Mapping[str, int]
    points: Mapping[str, float]  # of each storefront
    points_per_second: Mapping[str, float]  # that its plan gives
    throttled: Mapping[str, int]  # calls that each storefront refused since the opening
    cpu_seconds: float  # of sfsync
    busiest_percent: float  # of one core that sfsync took in the `BUSY_SECONDS` when it took most
    drop_seconds: float  # from the opening to the last buyer's leaving
    settled_seconds: float  # from the opening until org, sfsync and storefronts agreed
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Used:
    """How much of a limit was used, at its busiest or in all, in percent."""

    limit: str
    percent: float
    how: str


@dataclass(frozen=True, slots=True)
class Report:
    """A rehearsal in numbers. Times in seconds or milliseconds, as named."""

    pieces: int
    buyers: int
    guarantee: str
    block: int
    granted: int
    ordered: int
    sold_out: int
    no_answer: int
    turned_away: int  # times that a buyer was told to come again
    oversold: int
    sold_out_after_s: float | None
    granted_p50_ms: float | None
    granted_p99_ms: float | None
    refused_p50_ms: float | None
    refused_p99_ms: float | None
    org_calls: int
    org_calls_by_kind: Mapping[str, int]
    shopify_points: Mapping[str, float]
    settled_after_s: float
    memory_mb: float
    breaks_first: Sequence[Used] = field(default=())
    no_answer_because: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def report(plan: Plan, visits: Sequence[Visit], seen: Seen) -> Report:
    """Work out the report. Oversold is what was promised beyond the pieces, whoever promised it."""
    got = sorted((v for v in visits if v.outcome == "got one"), key=lambda v: v.answered)
    refused = [v for v in visits if v.outcome == "sold out"]
    silent = [v for v in visits if v.outcome == "no answer"]
    promised = max(len(got), seen.orders)
    oversold = max(0, promised - plan.drop.pieces, seen.reserved + seen.left_in_block - seen.on_hand)
    granted_ms, refused_ms = ([v.waited * 1000 for v in each] for each in (got, refused))
    return Report(
        pieces=plan.drop.pieces,
        buyers=len(visits),
        guarantee=plan.drop.guarantee,
        block=plan.drop.block,
        granted=len(got),
        ordered=seen.orders,
        sold_out=len(refused),
        no_answer=len(silent),
        turned_away=sum(visit.turned_away for visit in visits),
        oversold=oversold,
        sold_out_after_s=round(got[-1].answered, 1) if len(got) >= plan.drop.pieces else None,
        granted_p50_ms=percentile(granted_ms, 50),
        granted_p99_ms=percentile(granted_ms, 99),
        refused_p50_ms=percentile(refused_ms, 50),
        refused_p99_ms=percentile(refused_ms, 99),
        org_calls=seen.calls,
        org_calls_by_kind=dict(sorted(seen.calls_by_kind.items(), key=lambda kind: -kind[1])),
        shopify_points={name: round(points) for name, points in seen.points.items()},
        settled_after_s=round(seen.settled_seconds, 1),
        memory_mb=round(seen.memory_mb, 1),
        breaks_first=limits(plan, visits, seen),
        no_answer_because=dict(Counter(v.detail for v in silent).most_common()),
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The value that so many percent of all do not exceed; None when there is none."""
    if not values:
        return None
    return round(sorted(values)[min(len(values) - 1, len(values) * percent // 100)], 1)


def limits(plan: Plan, visits: Sequence[Visit], seen: Seen) -> list[Used]:
    """The limits that a larger drop would meet, the nearest first."""
    found = [
        Used(
            "sfsync's processor",
            seen.busiest_percent,
            f"of one core in its busiest {BUSY_SECONDS:g} s; "
            f"{100 * seen.cpu_seconds / max(1e-9, seen.drop_seconds):,.1f} % while buyers came",
        ),
        Used(
            "the org's API calls of a day",
            100 * seen.calls / plan.org.calls_per_day,
            f"{seen.calls:,} of {plan.org.calls_per_day:,}",
        ),
        Used(
            "the buyers' patience",
            100 * (percentile([v.waited for v in visits], 99) or 0.0) / plan.buyers.patience_seconds,
            f"the slowest of a hundred waited, of {plan.buyers.patience_seconds:g} s",
        ),
    ]
    for name, points in seen.points.items():
        given = seen.points_per_second[name] * max(seen.settled_seconds, 1e-9)
        refused = seen.throttled.get(name, 0)
        throttled = f", {refused:,} calls throttled" if refused else ""
        found.append(Used(f"Shopify's points at {name}", 100 * points / given, f"of its plan's{throttled}"))
    return sorted(
        (Used(each.limit, round(each.percent, 1), each.how) for each in found), key=lambda each: -each.percent
    )
