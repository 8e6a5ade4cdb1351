"""The status as Prometheus reads it: names and units by its conventions, in its text format 0.0.4.

Everything is worked out of the same status as the page, once for all who ask at the same time. Durations are
seconds, shares run from 0 to 1, and what only ever grows ends in `_total`. A number that is not known has no
sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .services import DriftTeller, ShadowTeller
from .status_shape import ChannelStatus, Ledger, Outlook, Status, Stream, TillStatus
from .telling import StatusTeller

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("good", "warning", "bad")
MEGABYTE = 1_000_000

Kind = Literal["gauge", "counter", "summary"]
Labels = Mapping[str, str]
Sample = tuple[Labels, float | None]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: what it tells, and a sample for each set of labels; None is not known, and left out."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]


class Metrics:
    """The handler of ``/metrics``."""

    def __init__(
        self, teller: StatusTeller, drift: DriftTeller | None = None, shadow: ShadowTeller | None = None
    ) -> None:
        self._teller, self._drift, self._shadow = teller, drift, shadow

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/metrics", self.metrics, methods=["GET"])]

    async def metrics(self, _: Request) -> Response:
        """What there is to scrape; open to whom the status page is."""
        status = await self._teller.status()
        told = families(status)
        if self._drift is not None:
            told += drifting(await self._drift.tell())
        if self._shadow is not None and status["health"]["shadow_since"] is not None:
            told += in_shadow(self._shadow.recent())
        text = exposition(told)
        return Response(text, headers={"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE})


def families(status: Status) -> list[Family]:
    """Everything that is measured."""
    health = status["health"]
    dead = status["dead_letters_by_source"]
    still = Counter(each["kind"] for each in status["incidents"] if each["closed_at"] is None)
    started = _seconds(health["started_at"]) if health["started_at"] else None
    return [
        _one("sfsync_build_info", "The version that runs.", 1, version=health["version"]),
        _of(
            "sfsync_state",
            "Whether all is well: 1 at the state that holds.",
            [({"state": each}, float(each == health["state"])) for each in STATES],
        ),
        _one("sfsync_start_time_seconds", "When the daemon started, in seconds since 1970.", started),
        *_stream(status["stream"]),
        *_ledger(status["ledger"]),
        *_channels(status["channels"]),
        *_tills(status["tills"]),
        _of(
            "sfsync_incidents_open",
            "Incidents that are open, of the hundred that the status tells first.",
            [({"kind": kind}, units) for kind, units in sorted(still.items())],
        ),
        _one(
            "sfsync_incidents_untold",
            "Incidents open, or closed within a day, beside those hundred.",
            status["incidents_more"],
        ),
        _one(
            "sfsync_refunds_owed",
            "Refunds that are owed to customers.",
            len(status["refunds"]) + status["refunds_more"],
        ),
        _of(
            "sfsync_dead_letters",
            "Items that wait for a person.",
            [({"source": source}, units) for source, units in sorted(dead.items())],
        ),
        _of(
            "sfsync_inventory_record_accuracy_ratio",
            "Exact counts of all counts, recounts left out.",
            [
                (
                    {"location": place["location"], "days": str(span["days"])},
                    None if span["percent"] is None else round(span["percent"] / 100, 6),
                )
                for place in status["accuracy"]
                for span in place["spans"]
            ],
        ),
        _of(
            "sfsync_stock_counts",
            "Stock counts of so many days, recounts left out.",
            [
                ({"location": place["location"], "days": str(span["days"])}, span["n"])
                for place in status["accuracy"]
                for span in place["spans"]
            ],
        ),
    ]


def drifting(told: Mapping[str, Any]) -> list[Family]:
    """What differs although nothing is under way."""
    found = Counter((each["channel"], each["code"]) for each in told["open"])
    return [
        _of(
            "sfsync_drifting_numbers",
            "Numbers that differ although nothing is under way, of those that are told one by one.",
            [({"where": where, "cause": cause}, units) for (where, cause), units in sorted(found.items())],
        ),
        _one("sfsync_drifting_numbers_untold", "And beside those.", told["open_more"]),
    ]


def in_shadow(told: Mapping[str, Any] | None) -> list[Family]:
    """What the shadow has seen, by a report of some minutes ago; nothing before the first."""
    if told is None:
        return []
    named = [({"channel": each["name"]}, each) for each in told["channels"]]
    beyond = told["oversells"]
    return [
        _one(
            "sfsync_shadow_watched_seconds", "For how long the shadow has watched.", told["watched_seconds"]
        ),
        _of(
            "sfsync_shadow_late_numbers",
            "Times for which a channel showed a wrong number for longer than the limit.",
            [(labels, each["late"]) for labels, each in named],
        ),
        _of(
            "sfsync_shadow_sales",
            "Order lines heard, and those that the other integration never entered or entered twice.",
            [
                ({**labels, "of": name}, each["sales"][key])
                for labels, each in named
                for name, key in (("heard", "lines"), ("missing", "missing"), ("doubled", "doubled"))
            ],
        ),
        _one("sfsync_shadow_oversold_units", "Units sold beyond stock.", beyond["units"]),
        _one(
            "sfsync_shadow_prevented_units",
            "Of these, units that would not have been on offer with sfsync.",
            beyond["would_not_have_happened"],
        ),
    ]


def _stream(stream: Stream) -> Iterable[Family]:
    topics = [({"topic": topic["name"]}, topic) for topic in stream["topics"]]
    yield _of(
        "sfsync_stream_connected",
        "1 while the topic of the org's stream is heard.",
        [(labels, float(topic["connected"])) for labels, topic in topics],
    )
    yield _of(
        "sfsync_stream_events_total",
        "Events since the start.",
        [(labels, topic["events"]) for labels, topic in topics],
        kind="counter",
    )
    yield _of(
        "sfsync_stream_lag_seconds",
        "From the newest event's commit in the org to its effect in our store.",
        [(labels, topic["lag_seconds"]) for labels, topic in topics],
    )
    yield _of(
        "sfsync_stream_last_sign_timestamp_seconds",
        "When the topic was last heard, in seconds since 1970.",
        [(labels, _seconds(topic["last_sign_of_life_at"])) for labels, topic in topics],
    )
    told = stream["deliveries"]
    day = "Events of the org delivered in 24 hours: "
    yield _one("sfsync_org_deliveries_used", day + "to everybody.", told["used"] if told else None)
    yield _one("sfsync_org_deliveries_allowed", day + "allowed.", told["allowed"] if told else None)
    yield from _outlook("sfsync_org_deliveries", "deliveries", told["outlook"] if told else None)
    yield _one("sfsync_stream_holes", "Intervals that nobody has observed yet.", len(stream["holes"]))
    oldest = max((hole["age_seconds"] for hole in stream["holes"]), default=0.0)
    yield _one("sfsync_stream_hole_oldest_seconds", "How old the oldest of them is.", oldest)


def _ledger(ledger: Ledger) -> Iterable[Family]:
    yield _one("sfsync_ledger_queue_bundles", "Bundles that the org has not answered.", ledger["queue"])
    yield _one("sfsync_ledger_in_flight_bundles", "Of these, sent.", ledger["in_flight"])
    yield _one(
        "sfsync_ledger_queue_oldest_seconds",
        "How long the oldest of them has waited.",
        ledger["oldest_seconds"] or 0.0,
    )
    yield _one("sfsync_inbox_items", "Webhooks and orders that are not decided yet.", ledger["inbox"])
    day = "API requests to the org in 24 hours: "
    for name, words, value in (
        ("used", "by everybody.", ledger["calls_used"]),
        ("own", "by sfsync.", ledger["calls_by_us"]),
        ("allowed", "allowed to everybody.", ledger["calls_allowed"]),
    ):
        yield _one(f"sfsync_org_api_requests_{name}", day + words, value)
    yield _of(
        "sfsync_org_api_requests_waiting",
        "1 for each kind of work that waits for want of API requests.",
        [({"work": each["work"]}, 1) for each in ledger["calls_waiting"]],
    )
    yield from _outlook("sfsync_org_api_requests", "API requests", ledger["calls_outlook"])
    yield _one(
        "sfsync_ledger_rows_a_minute", "Rows that the org took in the last minute.", ledger["rows_a_minute"]
    )
    yield _of(
        "sfsync_block_units",
        "Units of the local block, held in the org and ready to be granted.",
        [
            ({"sku": each["sku"], "location": each["location"], "units": name}, float(units))
            for each in ledger["block"]
            for name, units in (("held", each["held"]), ("ready", each["ready"]))
        ],
    )
    space = ledger["space"]
    yield _one("sfsync_org_movements", "Movements in the org.", space["rows"] if space else None)
    left = space["left_mb"] if space else None
    yield _one(
        "sfsync_org_storage_left_bytes",
        "Data storage of the org that is left.",
        None if left is None else left * MEGABYTE,
    )


def _channels(channels: Iterable[ChannelStatus]) -> Iterable[Family]:
    named = [({"channel": channel["name"]}, channel) for channel in channels]
    yield _of(
        "sfsync_channel_state",
        "Whether the channel is well: 1 at the state that holds.",
        [
            ({**labels, "state": each}, float(each == channel["state"]))
            for labels, channel in named
            for each in STATES
        ],
    )
    yield _of(
        "sfsync_channel_levels",
        "Channel levels by guarantee.",
        [
            ({**labels, "guarantee": name}, units)
            for labels, channel in named
            for name, units in (
                ("gated", channel["guarantees"]["gated"]),
                ("allocated", channel["guarantees"]["allocated"]),
                ("mirrored", channel["guarantees"]["mirrored"]),
            )
        ],
    )
    yield _of(
        "sfsync_channel_levels_due",
        "Channel levels that do not yet show what they should.",
        [(labels, channel["due"]) for labels, channel in named],
    )
    yield _of(
        "sfsync_channel_levels_in_flight",
        "Channel levels that are being written.",
        [(labels, channel["in_flight"]) for labels, channel in named],
    )
    yield _of(
        "sfsync_channel_levels_kept_back",
        "Channel levels that are never written, for a reason that `sfsync dead-letters` tells.",
        [(labels, channel["problems"]) for labels, channel in named],
    )
    yield _of(
        "sfsync_channel_levels_held",
        "Channel levels that changed settings would change, and that wait for a person.",
        [(labels, channel["held"]) for labels, channel in named],
    )
    yield _of(
        "sfsync_channel_exposed_units",
        "Units shown beyond what can be sold, now.",
        [(labels, channel["exposed_units"]) for labels, channel in named],
    )
    yield _of(
        "sfsync_channel_exposure_unit_seconds_total",
        "The same over time, since the store was made.",
        [(labels, channel["exposure_unit_seconds"]) for labels, channel in named],
        kind="counter",
    )
    yield _of(
        "sfsync_channel_last_push_timestamp_seconds",
        "When the channel last confirmed a push, in seconds since 1970.",
        [(labels, _seconds(channel["last_push_at"])) for labels, channel in named],
    )
    yield _of(
        "sfsync_channel_lag_seconds",
        "From the org's commit to the channel's confirmation, of the newest pushes.",
        [
            ({**labels, "quantile": quantile}, None if ms is None else ms / 1000)
            for labels, channel in named
            for quantile, ms in (("0.5", channel["lag_p50_ms"]), ("0.99", channel["lag_p99_ms"]))
        ],
        kind="summary",
    )
    budgets = [(labels, channel["budget"]) for labels, channel in named if channel["budget"] is not None]
    yield _of(
        "sfsync_channel_budget_left",
        "What a channel still lets us ask, in its own unit.",
        [({**labels, "unit": budget["unit"]}, budget["left"]) for labels, budget in budgets],
    )
    yield _of(
        "sfsync_channel_budget_most",
        "The most that it ever lets us ask at once.",
        [({**labels, "unit": budget["unit"]}, budget["most"]) for labels, budget in budgets],
    )


def _outlook(name: str, what: str, outlook: Outlook | None) -> Iterable[Family]:
    """How an allowance of 24 hours goes on at the pace of the last hours."""
    pace, most = (outlook["pace_an_hour"], outlook["most_used"]) if outlook else (None, None)
    up = _seconds(outlook["used_up_at"]) if outlook else None
    yield _one(f"{name}_pace_per_hour", f"{what[0].upper()}{what[1:]} an hour, lately.", pace)
    yield _one(
        f"{name}_expected_most", f"The most {what} in any 24 hours of the next day, at that pace.", most
    )
    yield _one(
        f"{name}_used_up_timestamp_seconds", f"When the {what} are used up; no sample: not in a day.", up
    )


def _tills(tills: Iterable[TillStatus]) -> Iterable[Family]:
    named = [({"till": till["name"]}, till) for till in tills]
    yield _of(
        "sfsync_till_late",
        "1 for a concession's till that should have reported by now.",
        [(labels, float(till["late"])) for labels, till in named],
    )
    yield _of(
        "sfsync_till_last_report_timestamp_seconds",
        "When a till last reported, in seconds since 1970.",
        [(labels, _seconds(till["last_at"])) for labels, till in named],
    )
    for name, words, key in (
        ("reports", "Reports of a till.", "reports_in_all"),
        ("lines", "Lines of receipts that a till told, each once.", "lines_in_all"),
        ("refused_rows", "Rows of a till's reports that were not entered.", "refused_in_all"),
    ):
        yield _of(
            f"sfsync_till_{name}_total",
            words,
            [(labels, int(till[key])) for labels, till in named],  # type: ignore[literal-required]  # reason: each key of the table above is one of them
            kind="counter",
        )


def exposition(told: Iterable[Family]) -> str:
    """Families in the text format. One without a sample still says what it is."""
    lines: list[str] = []
    for family in told:
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += [
            f"{family.name}{_labels(labels)} {_number(value)}"
            for labels, value in family.samples
            if value is not None
        ]
    return "\n".join(lines) + "\n"


def _one(name: str, words: str, value: float | None, **labels: str) -> Family:
    return Family(name, "gauge", words, ((labels, value),))


def _of(name: str, words: str, samples: Iterable[Sample], *, kind: Kind = "gauge") -> Family:
    return Family(name, kind, words, tuple(samples))


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    told = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return f"{{{told}}}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else repr(value)


def _seconds(at: str | None) -> float | None:
    return None if at is None else datetime.fromisoformat(at).timestamp()
