"""The statements of channels, their numbers and pushes; a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, bindparam, case, func, select, text, update

from sfsync.domain.assortment import Assortment
from sfsync.domain.mapping import Hold, Identity, Move
from sfsync.domain.relay import IN_DOUBT
from sfsync.ports.keeping import ChannelLevel, PushRecord, PushRow
from sfsync.ports.outside import ChannelItem

from . import identities, rulebooks
from . import tables as t
from .callbacks import CallbackStatements
from .prepared import Prepared
from .rows import channel_level_of
from .statements import Statements, among

CHANNEL_LEVELS_BY_SKU = Prepared(among(t.channel_level.c.sku))
CHANNEL_LEVELS_OF = Prepared(
    among(t.channel_level.c.sku, t.channel_level.c.channel == bindparam("b_channel"))
)
CHANNEL_LEVELS_OF_ITEMS = Prepared(
    among(t.channel_level.c.item_id, t.channel_level.c.channel == bindparam("b_channel"))
)
OPEN_PUSHES = Prepared(
    select(t.push)
    .where(t.push.c.channel == bindparam("b_channel"), t.push.c.state == "open")
    .order_by(t.push.c.id)
)
LAST_PUSH = Prepared(select(func.max(t.push.c.id)).where(t.push.c.channel == bindparam("b_channel")))
PUSHES_AFTER = Prepared(
    select(t.push)
    .where(t.push.c.id > bindparam("b_after"), t.push.c.channel == bindparam("b_channel"))
    .order_by(t.push.c.id)
)
CHANNEL_SINCE = Prepared(select(t.channel.c.since).where(t.channel.c.name == bindparam("b_channel")))
APPROVED = Prepared(select(t.channel.c.approved_at).where(t.channel.c.name == bindparam("b_channel")))
ADD_PUSH = Prepared(
    t.push.insert().returning(t.push.c.id), ["channel", "key", "body", "rows", "state", "planned_at"]
)
FINISH_PUSH = Prepared(
    update(t.push)
    .where(t.push.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), answered_at=bindparam("b_at"))
)
SHOWN = t.channel_level.c
_THIS_LEVEL = (
    SHOWN.channel == bindparam("b_channel"),
    SHOWN.sku == bindparam("b_sku"),
    SHOWN.location == bindparam("b_location"),
)
FLY = Prepared(
    update(t.channel_level)
    .where(*_THIS_LEVEL)
    .values(push=bindparam("b_push"), changed_at=bindparam("b_at"), flying=bindparam("b_flying"))
)
PUT_SPARE = Prepared(update(t.channel_level).where(*_THIS_LEVEL).values(spare=bindparam("b_spare")))
ADD_SPELLS = Prepared(t.spell.insert(), [column.name for column in t.spell.columns if column.name != "id"])
ADD_EMPTIED = Prepared(
    t.emptied.insert(), [column.name for column in t.emptied.columns if column.name != "id"]
)
PUT_NUMBERS = Prepared(
    update(t.channel_level)
    .where(*_THIS_LEVEL)
    .values(
        sequence=case(
            (SHOWN.target.is_distinct_from(bindparam("b_target", type_=Integer)), bindparam("b_sequence")),
            else_=SHOWN.sequence,
        ),
        target=bindparam("b_target"),
        unsure=bindparam("b_unsure"),
        published=bindparam("b_published"),
        changed_at=bindparam("b_changed_at"),
        baseline_from=bindparam("b_baseline_from"),
        baseline_at=bindparam("b_baseline_at"),
        raised_at=bindparam("b_raised_at"),
        exposure_unit_seconds=bindparam("b_unit_seconds"),
        exposure_units=bindparam("b_units"),
        exposure_since=bindparam("b_since"),
        exposure_began=bindparam("b_began"),
        exposure_before=bindparam("b_before"),
        exposure_most=bindparam("b_most"),
        exposure_scarce=bindparam("b_scarce"),
        offered=bindparam("b_offered"),
        offered_at=bindparam("b_offered_at"),
        empty_at=bindparam("b_empty_at"),
    )
)
SET_PROBLEM = Prepared(
    update(t.channel_level)
    .where(*_THIS_LEVEL)
    .values(problem=bindparam("b_problem"), changed_at=bindparam("b_at"))
)
IN_DOUBT_AT = Prepared(
    select(SHOWN.sku).where(
        SHOWN.channel == bindparam("b_channel"), SHOWN.problem != "", SHOWN.problem == IN_DOUBT
    )
)
DUE = Prepared(
    select(t.channel_level)
    .where(
        SHOWN.channel == bindparam("b_channel"),
        SHOWN.push.is_(None),
        SHOWN.problem == "",
        text("(target <> published OR unsure)"),  # as the index over them has it
        SHOWN.target.is_not(None),
    )
    .order_by(
        case((SHOWN.target > SHOWN.published, 1), else_=0),
        case((SHOWN.target > 0, 1), else_=0),
        SHOWN.target,
        SHOWN.sku,
        SHOWN.location,
    )
    .limit(bindparam("b_limit"))
)


class ChannelStatements(CallbackStatements, Statements):
    """What channels show, what they should show, and what is on its way to them."""

    def channel_since(self, channel: str) -> datetime | None:
        """When we first knew of a channel."""
        since: datetime | None = CHANNEL_SINCE.run(self._c, {"b_channel": channel}).scalar()
        return since

    def note_channel(self, channel: str, at: datetime) -> None:
        """Know a channel from now on; nothing changes when it is known."""
        self._c.execute(self._insert(t.channel).values(name=channel, since=at).on_conflict_do_nothing())

    def know_channel_since(self, channel: str, since: datetime) -> None:
        """We knew a channel before this store was made; nothing changes when it is known for longer."""
        self._c.execute(
            update(t.channel)
            .where(t.channel.c.name == channel, t.channel.c.since > since)
            .values(since=since)
        )

    def approved(self, channel: str) -> bool:
        """True once a person has approved the channel's first plan."""
        at = APPROVED.run(self._c, {"b_channel": channel}).scalar()
        return at is not None

    def approve(self, channel: str, at: datetime) -> None:
        """The channel may be written to."""
        self._upsert(t.channel, [{"name": channel, "approved_at": at, **identities.FREE}])

    def identity(self, channel: str) -> Identity | None:
        """Which shop and places the channel's levels are of; None before that was ever noted."""
        return identities.known(self._c, channel)

    def put_identity(self, channel: str, identity: Identity) -> None:
        """Note which shop and places the channel's levels are of."""
        identities.put(self._c, channel, identity)

    def move(self, channel: str, move: Move, at: datetime) -> None:
        """The channel means other places: what is known of those it left is forgotten.

        Then it is to be read whole, and waits unapproved until that was weighed. Renamed ones keep all.
        """
        identities.rename(self._c, channel, move.renamed)
        if move.left:
            identities.leave(self._c, channel, move, at)

    def weigh_move(self, channel: str, changed: int, known: int) -> None:
        """So many of the numbers that it shows where it is now would change."""
        identities.weigh(self._c, channel, changed, known)

    def hold(self, hold: Hold) -> None:
        """Changed settings wait for a person at a channel. Where they do already, since when stays."""
        rulebooks.hold(self._c, hold)

    def held(self, channel: str) -> Hold | None:
        """What waits for a person at a channel; None when nothing does."""
        return self.holds().get(channel)

    def holds(self) -> dict[str, Hold]:
        """The channels at which changed settings wait for a person."""
        return rulebooks.holds(self._c) | identities.waiting(self._c)

    def goes_by(self, channel: str) -> str | None:
        """The fingerprint of the settings that a channel goes by; None before its first."""
        return self._c.execute(select(t.channel.c.policies).where(t.channel.c.name == channel)).scalar()

    def go_by(self, channel: str, fingerprint: str, at: datetime) -> None:
        """A channel goes by these settings from now on, and nothing waits there; "": all of them do."""
        rulebooks.go_by(self._c, channel, fingerprint, at)

    def put_rulebook(self, fingerprint: str, rules: Assortment) -> None:
        """Keep what the settings say of quantities; nothing changes when it is kept."""
        rulebooks.put(self._c, self._insert(t.rulebook), fingerprint, rules)

    def rulebook(self, fingerprint: str) -> Assortment | None:
        """What settings said of quantities, without products; None when it is not kept."""
        return rulebooks.read(self._c, fingerprint)

    def went_by(self, channel: str, at: datetime) -> str | None:
        """The fingerprint of the settings that a channel went by at a time, as far as that is kept."""
        return rulebooks.went_by(self._c, channel, at)

    def put_items(
        self,
        channel: str,
        items: Collection[ChannelItem],
        problems: Mapping[tuple[str, str], str],
        asked_at: datetime,
        at: datetime,
        *,
        unsure: bool = False,
    ) -> None:
        """Take over what a channel lists and shows: a new baseline for these items.

        `unsure`: it could not be asked, and is to be told its numbers whatever they are.
        """
        self._upsert(
            t.channel_level,
            [
                {
                    "channel": channel,
                    "sku": item.sku,
                    "location": item.location,
                    "item_id": item.item_id,
                    "location_id": item.location_id,
                    "published": item.shows,
                    "baseline_from": asked_at,
                    "baseline_at": at,
                    "changed_at": at,
                    "problem": problems.get((item.sku, item.location), ""),
                    "unsure": unsure,
                }
                for item in items
            ],
        )

    def channel_levels(
        self, skus: Collection[str] | None = None, channel: str | None = None
    ) -> list[ChannelLevel]:
        """Channel levels, of these SKUs and this channel when given."""
        if skus is None:
            wanted = select(t.channel_level)
            rows = self._c.execute(wanted if channel is None else wanted.where(SHOWN.channel == channel))
            return [channel_level_of(row) for row in rows]
        if channel is None:
            return self._values(CHANNEL_LEVELS_BY_SKU, skus, channel_level_of)
        return self._values(CHANNEL_LEVELS_OF, skus, channel_level_of, b_channel=channel)

    def levels_of_items(self, channel: str, item_ids: Collection[str]) -> list[ChannelLevel]:
        """Channel levels by the channel's own item ids."""
        return self._values(CHANNEL_LEVELS_OF_ITEMS, item_ids, channel_level_of, b_channel=channel)

    def put_numbers(self, levels: Collection[ChannelLevel], now: datetime | None = None) -> None:
        """Store the numbers of channel levels that exist, and since when; what ended, as history.

        `now`, where targets may have changed: each that has gets the next sequence number.
        """
        if not levels:
            return
        sequence = 0 if now is None else self.next_sequence(now)
        PUT_NUMBERS.run(
            self._c,
            [
                {
                    "b_channel": level.channel,
                    "b_sku": level.sku,
                    "b_location": level.location,
                    "b_target": level.target,
                    "b_sequence": sequence,
                    "b_unsure": level.unsure,
                    "b_published": level.published,
                    "b_changed_at": level.changed_at,
                    "b_baseline_from": level.baseline_from,
                    "b_baseline_at": level.baseline_at,
                    "b_raised_at": level.raised_at,
                    "b_unit_seconds": level.exposure.unit_seconds,
                    "b_units": level.exposure.units,
                    "b_since": level.exposure.since,
                    "b_began": level.exposure.began,
                    "b_before": level.exposure.before,
                    "b_most": level.exposure.most,
                    "b_scarce": level.exposure.scarce,
                    "b_offered": level.exposure.offered,
                    "b_offered_at": level.exposure.offered_at,
                    "b_empty_at": level.exposure.empty_at,
                }
                for level in levels
            ],
        )
        self._keep_history(levels)

    def _keep_history(self, levels: Collection[ChannelLevel]) -> None:
        """Add the spells that have ended, and the numbers that have come to zero."""
        spells, emptied = [], []
        for level in levels:
            where = {"channel": level.channel, "sku": level.sku, "location": level.location}
            if (spell := level.exposure.ended) is not None:
                spells.append(where | asdict(spell) | {"seconds": spell.seconds})
            if (gone := level.exposure.emptied) is not None:
                emptied.append(where | asdict(gone))
        if spells:
            ADD_SPELLS.run(self._c, spells)
        if emptied:
            ADD_EMPTIED.run(self._c, emptied)

    def put_spare(self, channel: str, sku: str, location: str, spare: int) -> None:
        """Store how many of an allocation's units are neither shown nor sold."""
        where = {"b_channel": channel, "b_sku": sku, "b_location": location}
        PUT_SPARE.run(self._c, {**where, "b_spare": spare})

    def in_doubt(self, channel: str) -> list[str]:
        """SKUs whose number at a channel must be read again."""
        return sorted(set(IN_DOUBT_AT.run(self._c, {"b_channel": channel}).scalars()))

    def due(self, channel: str, limit: int) -> list[ChannelLevel]:
        """Channel levels whose target is not what the channel shows, and that nothing holds back.

        Bad news first (promise 12): sold out, then lower, then higher; scarce before deep.
        """
        return DUE.values(self._c, {"b_channel": channel, "b_limit": limit}, channel_level_of)

    def add_push(self, channel: str, key: str, body: bytes, rows: Sequence[PushRow], at: datetime) -> int:
        """Write down a push before its first byte leaves, and mark its channel levels as in flight."""
        told = {
            "channel": channel,
            "key": key,
            "body": body,
            "rows": [[row.sku, row.location, row.delta, row.allocated, row.quantity] for row in rows],
            "state": "open",
            "planned_at": at,
        }
        push_id = int(ADD_PUSH.run(self._c, told).scalar())
        self._fly(channel, rows, push_id, at)
        return push_id

    def open_pushes(self, channel: str) -> list[PushRecord]:
        """Pushes whose outcome is open, oldest first."""
        return [_push(row) for row in OPEN_PUSHES.run(self._c, {"b_channel": channel})]

    def accept_push(self, record: PushRecord, ticket: str) -> None:
        """The channel has taken it and does it later; it stays open, its channel levels in flight."""
        self._c.execute(update(t.push).where(t.push.c.id == record.id).values(ticket=ticket))

    def finish_push(self, record: PushRecord, state: str, reason: str, at: datetime) -> None:
        """Its outcome is known: applied, dropped or lost. Its channel levels are free again."""
        FINISH_PUSH.run(self._c, {"b_id": record.id, "b_state": state, "b_reason": reason, "b_at": at})
        self._fly(record.channel, record.rows, None, at)

    def last_push(self, channel: str) -> int:
        """The id of a channel's newest push; 0 when there is none."""
        return int(LAST_PUSH.run(self._c, {"b_channel": channel}).scalar() or 0)

    def applied_pushes(
        self, channel: str, after: int, until: datetime
    ) -> list[tuple[int, tuple[PushRow, ...]]]:
        """A channel's confirmed pushes after one, up to the first that is open or was confirmed later."""
        found: list[tuple[int, tuple[PushRow, ...]]] = []
        for row in PUSHES_AFTER.run(self._c, {"b_channel": channel, "b_after": after}):
            if row.state == "open" or row.answered_at > until:
                break
            applied = tuple(PushRow(*part) for part in row.rows) if row.state == "applied" else ()
            found.append((row.id, applied))
        return found

    def _fly(self, channel: str, rows: Sequence[PushRow], push_id: int | None, at: datetime) -> None:
        FLY.run(
            self._c,
            [
                {
                    "b_channel": channel,
                    "b_sku": row.sku,
                    "b_location": row.location,
                    "b_push": push_id,
                    "b_at": at,
                    "b_flying": max(0, row.delta) if push_id is not None and row.allocated else 0,
                }
                for row in rows
            ],
        )

    def set_problem(self, channel: str, sku: str, location: str, problem: str, at: datetime) -> None:
        """Hold a channel level back with a reason, or let it go with an empty one."""
        named = {"b_channel": channel, "b_sku": sku, "b_location": location}
        SET_PROBLEM.run(self._c, {**named, "b_problem": problem, "b_at": at})


def _push(row: Row[Any]) -> PushRecord:
    rows = tuple(PushRow(*part) for part in row.rows)
    return PushRecord(row.id, row.channel, row.key, row.body, rows, row.planned_at, row.ticket)
