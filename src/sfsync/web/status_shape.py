"""The shape of the status, as ``GET /v1/status`` gives it and the status page shows it.

Moments are texts like ``2026-11-23T08:15:00Z``; durations end in `_seconds` or `_ms`; `None` means not known
or not applicable. `state` is ``good``, ``warning`` (a person should look) or ``bad`` (promises are at risk).
"""

from __future__ import annotations

from typing import Literal, TypedDict

State = Literal["good", "warning", "bad"]


class Health(TypedDict):
    """One sentence for the person who opens the page."""

    state: State
    sentence: str  # "Every channel has been told what the org has."
    reasons: list[str]  # why it is not good; empty when it is
    org: str  # the org's id, or empty before it is known
    version: str  # of sfsync
    started_at: str
    now: str
    shadow_since: str | None  # nothing is written since then: sfsync runs beside another integration


class Topic(TypedDict):
    """One topic of the org's stream."""

    name: str
    connected: bool
    last_sign_of_life_at: str | None  # the last answer of any kind, empty ones too
    last_event_at: str | None
    lag_seconds: float | None  # from the newest event's commit in the org to its effect in our store
    events: int  # since the start
    coverage: str  # of the last 24 hours, in a sentence


class Outlook(TypedDict):
    """How something that is counted over 24 hours goes on at the pace of the last hours."""

    pace_an_hour: int  # everybody's
    most_used: int  # in any 24 hours that end within the next 24
    used_up_at: str | None  # None: not within 24 hours


class Deliveries(TypedDict):
    """The org's events of the last 24 hours, to every subscriber; looked at once an hour."""

    used: int
    allowed: int
    outlook: Outlook | None  # None: not told for two hours yet


class StreamHole(TypedDict):
    """An interval of a stream that nobody has observed yet."""

    source: str
    since: str
    age_seconds: float
    reason: str
    closes: str  # what will close it
    next_try_at: str | None  # when that is next tried; None while it is under way, or waits for the stream


class Stream(TypedDict):
    """The org's stream."""

    state: State
    topics: list[Topic]
    holes: list[StreamHole]
    deliveries: Deliveries | None  # None: not told


class WaitingCalls(TypedDict):
    """Work held back for want of API calls."""

    work: str  # "sales", "refresh", "bulk"
    until: str  # when it is expected to go on


class SpaceLeft(TypedDict):
    """How long the org's room for movements lasts at the pace of the last day; looked at once an hour."""

    allowed_mb: int | None  # data storage
    left_mb: int | None
    rows: int  # movements in the org
    rows_a_day: int
    full_in_days: int | None  # None: not at this pace
    fullest: str  # the level with the most movements
    fullest_rows: int
    crowded: str  # the level that is the first to reach 10,000 movements
    crowded_in_days: int | None


class BlockLevel(TypedDict):
    """Units that sfsync has set aside in the org to grant from within milliseconds."""

    sku: str
    location: str
    held: int
    ready: int  # of these, not granted yet


class Ledger(TypedDict):
    """What waits to be entered in the org, and what that costs."""

    state: State
    queue: int  # bundles not yet answered, in flight included
    in_flight: int  # bundles of them that have been sent
    oldest_seconds: float | None  # how long the oldest has waited
    inbox: int  # webhooks and orders not yet decided
    calls_used: int | None  # API requests of the org in the last 24 h, everybody's
    calls_allowed: int | None
    calls_by_us: int | None  # of those used
    calls_ours: int | None  # that sfsync may use besides its sales: allowed less what is set aside for others
    calls_reserved: int | None  # set aside for others
    calls_waiting: list[WaitingCalls]
    calls_outlook: Outlook | None
    rows_a_minute: int  # entered in the org in the last minute
    block: list[BlockLevel]
    space: SpaceLeft | None  # None: not looked at yet


class GuaranteeCounts(TypedDict):
    """How many channel levels stand under each guarantee."""

    gated: int
    allocated: int
    mirrored: int


class WorstSpell(TypedDict):
    """The worst stretch of time in which a channel showed too much of a SKU."""

    sku: str
    location: str
    began_at: str
    seconds: float
    units: int  # at most
    unit_seconds: float


class ExposureOfClass(TypedDict):
    """What a channel has shown beyond what it had to sell, of scarce or of deep SKUs."""

    channel: str
    skus: Literal["scarce", "deep"]
    units: int  # exposed now
    levels: int  # channel levels that are
    oldest_seconds: float  # how long the oldest of these has been
    spells: int  # stretches of time that have ended
    unit_seconds: float  # of all of them
    p99_seconds: float | None  # how long a spell lasted; None without one
    p99_unit_seconds: float | None
    longest: WorstSpell | None
    largest: WorstSpell | None  # by unit-seconds


class SoonerAtChannel(TypedDict):
    """How much sooner a channel's numbers would have been zero with another guarantee."""

    channel: str
    numbers: int  # that came to zero
    late: int  # of these, shown as zero later than nothing was left
    gated_p99_seconds: float
    gated_worst_seconds: float
    sold_out_sooner: int  # of the numbers: its own units would have been sold
    allocated_p99_seconds: float | None
    allocated_worst_seconds: float | None
    still_selling: int  # of the numbers: it would have had own units left


class EmptiedNumber(TypedDict):
    """A channel's number that came to zero."""

    channel: str
    sku: str
    location: str
    offered: int  # the most it should have shown since it was last empty
    offered_at: str
    empty_at: str  # nothing was left to sell
    shown_at: str  # the channel showed it
    gated_sooner_seconds: float
    allocated_sooner_seconds: float | None  # None: it would not have come to zero
    allocated_left: int


class Exposure(TypedDict):
    """As ``GET /v1/exposure`` tells it."""

    since: str
    until: str
    classes: list[ExposureOfClass]
    sooner: list[SoonerAtChannel]
    emptied: list[EmptiedNumber]  # at most 20, those first that were shown longest after nothing was left


class ChannelBudget(TypedDict):
    """What a channel still lets us ask."""

    left: int
    most: int
    a_second: float  # that come back
    unit: str


class ChannelStatus(TypedDict):
    """One channel."""

    name: str
    kind: str
    state: State
    sentence: (
        str  # "Shows what it should.", "Waits for its first plan to be approved.", "Not reached since …"
    )
    approved: bool
    held: int  # numbers that changed settings would change, and that wait for a person
    levels: int  # channel levels
    guarantees: GuaranteeCounts
    due: int  # channel levels that do not yet show what they should
    in_flight: int  # of these, how many are being written
    problems: int  # channel levels that are never written, with a reason
    dead_letters: int
    lag_p50_ms: float | None  # from the org's commit to the channel's confirmation
    lag_p99_ms: float | None
    exposed_units: int  # units shown beyond what can be sold, now
    exposure_unit_seconds: float  # the same over time, since the start of the store
    exposure: list[ExposureOfClass]  # of the last 30 days; empty where nothing ever was
    last_push_at: str | None
    budget: ChannelBudget | None  # None: it counts nothing, or has not told yet


class Seller(TypedDict):
    """A channel's right to sell a scarce SKU."""

    channel: str
    shows: int  # units it shows
    may: Literal["sells", "asks first", "sells unasked", "closed"]  # unasked: another may sell the same unit
    why: str  # "its allocation", "gated", "allocated to london", "sold out"


class Scarce(TypedDict):
    """A SKU of which few are left."""

    sku: str
    available: int  # in all locations
    locations: dict[str, int]  # location -> available units
    sellers: list[Seller]


class ShareOfEdition(TypedDict):
    """What a channel may sell of a limited edition, in units."""

    channel: str | None  # None: everybody whom the split does not name
    limit: int
    taken: int  # sold or reserved
    left: int


class LevelRow(TypedDict):
    """What one channel should show of one SKU at one of its locations."""

    channel: str
    sku: str
    location: str  # the channel's
    quantity: int  # units; never below zero
    sequence: int  # a greater one is newer


class EditionRow(TypedDict):
    """A limited edition."""

    name: str
    state: Literal["open", "closed"]
    skus: list[str]
    size: int  # units
    taken: int
    left: int
    per_client: int | None
    opens_at: str | None  # None: no opening is planned any more
    changed_at: str | None
    changed_by: str
    shares: list[ShareOfEdition]
    shows: dict[str, int]  # channel -> units


class AllocationRow(TypedDict):
    """How the units of one channel stand, of one SKU. Quantities in units."""

    sku: str
    channel: str
    goal: int  # that it is to have
    by_hand: int | None  # that a person has said; None: the policy decides
    said_by: str
    said_at: str | None
    held: int  # set aside in the org
    coming: int  # being asked of the org
    shows: int  # confirmed or under way
    spare: int  # neither shown nor sold
    sold: int  # and not yet taken from what is held
    gone: bool  # the channel is not in the settings any more: held for nobody
    lacking: int  # of what is held, units that have left: stock does not cover them


class OrderOfIncident(TypedDict):
    """An order, or another promise, that an incident names; those that lose their cover first come first."""

    promise: str  # its subject in the ledger, by which a way out names it; empty: none can

    channel: str
    order: str  # as the channel calls it, "#1042"
    units: int
    placed_at: str | None
    covered: bool  # the org has stock for it


class ResolutionRow(TypedDict):
    """What a person has decided about an incident."""

    id: int
    way: str
    by: str
    reason: str
    what: str  # in words
    stage: Literal["asked", "done", "refused"]
    answer: str  # the org's or the channel's words
    at: str


class IncidentRow(TypedDict):
    """Something that went wrong in the shop, open or closed lately."""

    id: int
    kind: str  # "oversold", …
    title: str
    sku: str | None
    units: int | None
    orders: list[OrderOfIncident]
    exposure_unit_seconds: float | None
    detail: str  # what a person should know or do
    ways: list[str]  # out of it: "move", "wait", "cancel", "accept"; none when it is closed
    waits_until: str | None  # somebody has said that it may wait, and it has not become worse
    resolutions: list[ResolutionRow]  # oldest first
    opened_at: str
    closed_at: str | None


class OwedLineRow(TypedDict):
    """Units that were paid for and are not delivered."""

    sku: str
    units: int


class RefundRow(TypedDict):
    """Money that is owed to a customer whose goods are not to be had."""

    id: int
    state: Literal["open", "refunded", "withdrawn"]
    debtor: str  # who owes it: the channel that took the money, or "the house"
    creditor: str  # to whom: the client where one is known, and the owner of the reservation
    reservation: str
    channel: str | None
    order_reference: str
    owner: str
    client: str | None
    lines: list[OwedLineRow]
    reason: str
    opened_at: str
    opened_by: str
    closed_at: str | None
    closed_by: str | None
    said: str | None  # why it ended


class DeadLetterRow(TypedDict):
    """An item that a person must look at."""

    id: int
    source: str
    key: str
    reason: str
    advice: str
    at: str


class Movement(TypedDict):
    """A recent movement of the ledger."""

    at: str
    sku: str
    location: str
    unit: str | None  # the piece, where each is one of a kind
    kind: str  # the org's word: "Sale", "Order", …
    on_hand_delta: int
    reserved_delta: int
    reference: str
    source: str  # a channel's name, "org", "till"
    available: int | None  # of the level afterwards, where known


class AccuracyOfDays(TypedDict):
    """The accuracy of the books over the last so many days, exact; percentages are None of nothing."""

    days: int
    n: int  # counts, recounts left out
    accurate: int
    percent: float | None
    low: float  # the 95 % interval
    high: float
    complete: float | None  # had nothing been told late


class AccuracyOfPlace(TypedDict):
    """The accuracy of the books of one location that was counted."""

    location: str
    spans: list[AccuracyOfDays]


class PickUpsOfPlace(TypedDict):
    """What customers have reserved at one location, to collect it there."""

    location: str
    waiting: int  # reservations that hold units, and have not been collected
    units: int
    to_confirm: int  # of the reservations: the shop has not said yet that it has the piece
    paid: int
    next_at: str | None  # when the next customer is expected
    overdue: int  # their window is over


class TillStatus(TypedDict):
    """A concession's till: its last report, and what it has told since the store was made."""

    name: str
    location: str
    late: bool  # it should have reported by now, by its `reports_every_hours`
    every_hours: float | None
    last_at: str | None  # None: it has never reported
    last_way: str  # the name of its file, or "http"
    lines: int  # of the last report that are in, those told before among them
    again: int
    counted_before: int  # of these, seen by a stock count before they were told
    refused: int  # rows of the last report that were not entered
    refused_files: int  # that wait as dead letters
    reports_in_all: int
    lines_in_all: int
    refused_in_all: int


class LeftChannelRow(TypedDict):
    """What is kept of a channel that is not in the settings any more."""

    name: str
    numbers: int  # that it showed when it was last heard
    dead_letters: int
    drifts: int
    set_aside: int  # units of its allocations
    open_lines: int  # of its orders


class Status(TypedDict):
    """All of it."""

    health: Health
    stream: Stream
    ledger: Ledger
    channels: list[ChannelStatus]
    channels_left: list[LeftChannelRow]  # not in the settings any more, and something is kept of them
    scarce: list[Scarce]  # scarcest first
    pick_ups: list[PickUpsOfPlace]  # by location
    editions: list[EditionRow]  # in the order of the settings
    tills: list[TillStatus]  # in the order of the settings
    incidents: list[IncidentRow]  # newest first
    incidents_more: int  # beside those
    refunds: list[RefundRow]  # that are owed, oldest first
    refunds_more: int  # owed beside those
    dead_letters: list[DeadLetterRow]  # newest first, at most 100
    dead_letters_more: int  # beside those
    dead_letters_by_source: dict[str, int]  # all of them
    drifts: int  # numbers that differ although nothing is under way
    recent: list[Movement]  # newest first
    accuracy: list[AccuracyOfPlace]  # of what was counted in the last 90 days, by location


class LevelOfSku(TypedDict):
    """The stock of a SKU at a location of the org."""

    location: str
    unit: str | None
    on_hand: int
    reserved: int
    available: int
    version: int


class ShownOfSku(TypedDict):
    """What a channel shows of a SKU."""

    channel: str
    location: str
    guarantee: Literal["gated", "allocated", "mirrored", "unknown"]
    published: int
    target: int | None
    problem: str  # why it is never written, or empty


class StockOfSku(TypedDict):
    """Everything about one SKU."""

    sku: str
    levels: list[LevelOfSku]
    shown: list[ShownOfSku]
