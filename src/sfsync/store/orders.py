"""The statements of the inbox and of order lines; a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, false, func, or_, select, text, true, update
from sqlalchemy.dialects import postgresql, sqlite

from sfsync.domain.exposure import KEPT_EMPTIED, KEPT_SPELLS
from sfsync.domain.orders import OrderLine
from sfsync.domain.sources import Source, Word
from sfsync.domain.values import replace
from sfsync.ports.keeping import InboxItem, LineState, OrderCall

from . import tables as t
from .comparing import forget_drift
from .prepared import Prepared
from .rows import line_of
from .statements import Statements, among

LINES_BY_SUBJECT = Prepared(among(t.order_line.c.subject))
SOLD_ON = Prepared(
    select(t.order_line)
    .join(t.sold_on, t.sold_on.c.line == t.order_line.c.subject)
    .where(t.among(t.sold_on.c.reservation))
    .order_by(t.sold_on.c.id)
)
ERASED_RETURNS = Prepared(
    select(t.erased_return)
    .where(t.erased_return.c.org_order == bindparam("b_order"))
    .order_by(text("line_id"))
)
RETURN_LINES = Prepared(among(t.return_line.c.line_id))
LINES_OF_ORG_ORDER = Prepared(select(t.order_line).where(t.order_line.c.org_order == bindparam("b_order")))
_THESE_LINES = update(t.order_line).where(t.among(t.order_line.c.subject))
ANSWERED = Prepared(_THESE_LINES.values(due=bindparam("b_due"), settles=false()))
ASKED_IN_VAIN = Prepared(_THESE_LINES.values(due=bindparam("b_due"), settles=false(), asked_in_vain=true()))
ENTERED = Prepared(_THESE_LINES.values(due=~t.order_line.c.settles, settles=false()))
UNCOVERED_BY_SKU = Prepared(
    among(t.order_line.c.sku, (t.order_line.c.uncovered > 0) | (t.order_line.c.misplaced > 0))
)
INBOX = Prepared(
    select(t.inbox).where(t.inbox.c.done_at.is_(None)).order_by(t.inbox.c.id).limit(bindparam("b_limit"))
)
FINISH_INBOX = Prepared(
    update(t.inbox).where(t.inbox.c.id == bindparam("b_id")).values(done_at=bindparam("b_at"))
)
DUE_LINES = Prepared(
    select(t.order_line)
    .where(
        text("order_line.due"),  # as the index over them has it
        ~select(t.movement.c.id)
        .where(t.movement.c.subject == t.order_line.c.subject, t.movement.c.state == "waiting")
        .exists(),
    )
    .order_by(t.order_line.c.placed_at, t.order_line.c.subject)
    .limit(bindparam("b_limit"))
)
_CALL = t.order_call.c
_THIS_CALL = (
    _CALL.channel == bindparam("b_channel"),
    _CALL.reference == bindparam("b_reference"),
    _CALL.asked_at == bindparam("b_asked_at"),
)
CALLED_ORDERS = Prepared(
    select(_CALL.reference, _CALL.asked_at, _CALL.tries)
    .where(_CALL.channel == bindparam("b_channel"), _CALL.due_at <= bindparam("b_now"))
    .order_by(_CALL.due_at, _CALL.reference)
    .limit(bindparam("b_limit"))
)
NEXT_CALL = Prepared(
    select(_CALL.due_at).where(_CALL.channel == bindparam("b_channel")).order_by(_CALL.due_at).limit(1)
)
END_CALL = Prepared(t.order_call.delete().where(*_THIS_CALL))
CALL_AGAIN = Prepared(
    update(t.order_call).where(*_THIS_CALL).values(due_at=bindparam("b_due_at"), tries=bindparam("b_tries"))
)
OWES = Prepared(
    select(t.order_line.c.subject)
    .where(
        t.order_line.c.channel == bindparam("b_channel"),
        t.order_line.c.sku == bindparam("b_sku"),
        t.order_line.c.due | (t.order_line.c.uncovered > 0),
    )
    .limit(1)
)
POLL_MARK = Prepared(select(t.channel.c.poll_mark).where(t.channel.c.name == bindparam("b_channel")))


class OrderStatements(Statements):
    """What came in, and order lines with what is known of them."""

    def put_inbox(self, source: str, topic: str, key: str, body: bytes, at: datetime) -> bool:
        """Take something in; False when it was taken in before."""
        row = {"source": source, "topic": topic, "key": key, "body": body, "received_at": at}
        return bool(_inbox_statement(self._c.dialect.name, tuple(row)).run(self._c, row))

    def inbox(self, limit: int) -> list[InboxItem]:
        """What waits to be decided, oldest first."""
        rows = INBOX.run(self._c, {"b_limit": limit})
        return [InboxItem(r.id, r.source, r.topic, r.key, r.body, r.received_at) for r in rows]

    def forget(self, before: datetime) -> int:
        """Drop what was done with before a time, and history beyond its most; returns how many rows.

        Webhooks, pushes, coverage, exposure. The ledger stays whole.
        """
        gone = forget_drift(self._c, before)
        for table, done_at in (
            (t.inbox, t.inbox.c.done_at),
            (t.push, t.push.c.answered_at),
            (t.watch, t.watch.c.until),
            (t.hole, t.hole.c.closed_at),
            (t.alert, t.alert.c.resolved_at),
        ):
            gone += self._c.execute(table.delete().where(done_at < before)).rowcount
        for history, ended_at, most in (
            (t.spell, t.spell.c.ended, KEPT_SPELLS),
            (t.emptied, t.emptied.c.shown_at, KEPT_EMPTIED),
        ):
            newest = self._c.execute(select(func.max(history.c.id))).scalar() or 0
            old = or_(ended_at < before.timestamp(), history.c.id <= newest - most)
            gone += self._c.execute(history.delete().where(old)).rowcount
        return gone

    def finish_inbox(self, item_id: int, at: datetime) -> None:
        """Decided; the body is kept for `why`."""
        FINISH_INBOX.run(self._c, {"b_id": item_id, "b_at": at})

    def lines(self, subjects: Collection[str]) -> dict[str, LineState]:
        """Order lines by subject."""
        return {line.subject: line for line in self._values(LINES_BY_SUBJECT, subjects, line_of)}

    def put_line(self, line: LineState) -> None:
        """Store a line's newest wish and state."""
        wish = line.line
        self._upsert(
            t.order_line,
            [
                {
                    "subject": line.subject,
                    "channel": line.channel,
                    "order_id": line.order_id,
                    "order_name": line.order_name,
                    "line_id": wish.line_id,
                    "sku": wish.sku,
                    "unit": wish.unit,
                    "location": wish.location,
                    "open_quantity": wish.open_quantity,
                    "fulfilled_quantity": wish.fulfilled_quantity,
                    "returned_quantity": wish.returned_quantity,
                    "taken_quantity": wish.taken_quantity,
                    "version": line.version,
                    "placed_at": line.placed_at,
                    "channel_location": line.channel_location,
                    "reservations": list(line.reservations),
                    "uncovered": line.uncovered,
                    "asked_in_vain": line.asked_in_vain,
                    "due": line.due,
                    "settles": line.settles,
                    "told": _told(line.told),
                    "org_order": line.org_order,
                    "places": wish.places or None,
                    "routed": wish.routed,
                    "routed_at": line.routed_at,
                    "misplaced": line.misplaced,
                    "aside": line.aside,
                    "aside_at": line.aside_at,
                    "client": line.client,
                    "mapped_from": wish.mapped_from,
                    "moments": _moments_told(wish),
                }
            ],
        )
        for reservation in line.reservations:
            told = {"reservation": reservation, "line": line.subject}
            _sold_on_statement(self._c.dialect.name).run(self._c, told)

    def lines_sold_on(self, reservations: Collection[str]) -> list[LineState]:
        """The order lines that were sold on any of these reservations, first come first."""
        found = self._values(SOLD_ON, reservations, line_of)
        return list({line.subject: line for line in found}.values())

    def lines_of_org_order(self, org_order: str) -> list[LineState]:
        """The lines that the org has told of under its own id of an order."""
        return LINES_OF_ORG_ORDER.values(self._c, {"b_order": org_order}, line_of)

    def orders_of_returns(self, line_ids: Collection[str]) -> dict[str, str]:
        """By line of a return order: the org's id of the order that told of it last, or its own."""
        return {row.line_id: row.org_order for row in self._in(RETURN_LINES, line_ids)}

    def put_returns(self, orders: Mapping[str, str]) -> None:
        """These lines of return orders were told of by these orders, or by themselves."""
        rows = [{"line_id": line, "org_order": order} for line, order in orders.items()]
        self._upsert(t.return_line, rows)

    def remember_erased(self, org_order: str, return_line: str) -> None:
        """This line of a return order was of an order that was erased from the org, and stands alone now."""
        row = self._insert(t.erased_return).values(org_order=org_order, line_id=return_line)
        self._c.execute(row.on_conflict_do_nothing())

    def erased_returns(self, org_order: str) -> list[str]:
        """The lines of return orders that stand alone since this order was erased."""
        return [row.line_id for row in ERASED_RETURNS.run(self._c, {"b_order": org_order})]

    def forget_erased(self, org_order: str) -> None:
        """They stand alone no more."""
        self._c.execute(t.erased_return.delete().where(t.erased_return.c.org_order == org_order))

    def lines_answered(self, subjects: Collection[str], *, due: bool, in_vain: bool = False) -> bool:
        """The org has answered what these asked; `due`: they are decided again. True where some are lines.

        Asked for in vain once is in vain until more is wanted, whatever is answered meanwhile.
        """
        if not subjects:
            return False
        statement = ASKED_IN_VAIN if in_vain else ANSWERED
        return statement.run(self._c, {"among": sorted(subjects), "b_due": due}).changed > 0

    def lines_entered(self, subjects: Collection[str]) -> None:
        """What these asked is in, exactly as it was asked: those are decided again that have more to do."""
        self._in(ENTERED, sorted(subjects))

    def due_lines(self, limit: int) -> list[LineState]:
        """Lines to decide whose subject has nothing waiting for an answer, oldest order first."""
        return DUE_LINES.values(self._c, {"b_limit": limit}, line_of)

    def uncovered_lines(self, skus: Collection[str]) -> list[LineState]:
        """Lines that no stock covers, or none where they are sent from; oldest order first."""
        found = self._values(UNCOVERED_BY_SKU, skus, line_of)
        return sorted(found, key=lambda line: (line.placed_at, line.subject))

    def owes(self, channel: str, sku: str) -> bool:
        """True while a line of the channel is still to be decided, or no stock covers it."""
        return OWES.run(self._c, {"b_channel": channel, "b_sku": sku}).first() is not None

    def open_lines(self, channel: str) -> list[LineState]:
        """A channel's lines with units still to be delivered: read once, at a start."""
        c = t.order_line.c
        rows = self._c.execute(select(t.order_line).where(c.channel == channel, c.open_quantity > 0))
        return [line_of(row) for row in rows]

    def call_order(self, channel: str, reference: str, at: datetime) -> None:
        """The order is to be read, from now on; what was asked before is asked anew."""
        row = {"channel": channel, "reference": reference, "asked_at": at, "due_at": at, "tries": 0}
        self._upsert(t.order_call, [row])

    def called_orders(self, channel: str, now: datetime, limit: int) -> list[OrderCall]:
        """Orders of a channel that are to be read now, the longest due first."""
        rows = CALLED_ORDERS.run(self._c, {"b_channel": channel, "b_now": now, "b_limit": limit})
        return [OrderCall(row.reference, row.asked_at, row.tries) for row in rows]

    def next_call(self, channel: str) -> datetime | None:
        """When the next order of a channel is to be read; None where none is."""
        due_at: datetime | None = NEXT_CALL.run(self._c, {"b_channel": channel}).scalar()
        return due_at

    def order_answered(self, channel: str, call: OrderCall, again_at: datetime | None) -> None:
        """It was read: for good, or to be read again then. One that was asked anew meanwhile stays due."""
        same = {"b_channel": channel, "b_reference": call.reference, "b_asked_at": call.asked_at}
        if again_at is None:
            END_CALL.run(self._c, same)
        else:
            CALL_AGAIN.run(self._c, {**same, "b_due_at": again_at, "b_tries": call.tries + 1})

    def sold_between(self, channel: str, sku: str, since: datetime, until: datetime) -> int:
        """Units that a channel has taken off its numbers for orders placed in that time."""
        c = t.order_line.c
        found = self._c.execute(
            select(func.sum(c.taken_quantity)).where(
                c.channel == channel, c.sku == sku, c.placed_at >= since, c.placed_at <= until
            )
        )
        return int(found.scalar() or 0)

    def withheld(self, channel: str, sku: str, since: datetime) -> int:
        """Units that orders (changed since then) gave up without the channel putting them back on sale.

        Or gave back since then where the channel had not taken them off.
        """
        c = t.order_line.c
        units = c.taken_quantity - c.open_quantity - c.fulfilled_quantity + c.returned_quantity
        found = self._c.execute(
            select(func.sum(units)).where(
                c.channel == channel, c.sku == sku, c.mapped_from == "", c.version >= since, units > 0
            )
        )
        aside = self._c.execute(
            select(func.sum(c.aside)).where(c.channel == channel, c.sku == sku, c.aside_at >= since)
        )
        return int(found.scalar() or 0) + int(aside.scalar() or 0)

    def handed_over(self, channel: str, sku: str, since: datetime) -> int:
        """Units of the channel's reservations that left since then, as a customer has fetched them."""
        m = t.movement.c
        found = self._c.execute(
            select(func.sum(-m.on_hand_delta))
            .join(t.bundle, t.bundle.c.id == m.bundle)
            .where(
                m.level_key.in_(select(t.level.c.level_key).where(t.level.c.sku == sku)),
                m.channel == channel,
                m.state == "done",
                m.on_hand_delta < 0,
                m.subject.startswith("reservation:", autoescape=True),
                t.bundle.c.answered_at >= since,
            )
        )
        return int(found.scalar() or 0)

    def poll_mark(self, channel: str) -> datetime | None:
        """Up to when the channel's order list was read."""
        mark: datetime | None = POLL_MARK.run(self._c, {"b_channel": channel}).scalar()
        return mark

    def put_poll_mark(self, channel: str, at: datetime) -> None:
        """The order list was read up to here."""
        self._upsert(t.channel, [{"name": channel, "poll_mark": at}])


@lru_cache
def _inbox_statement(dialect: str, columns: tuple[str, ...]) -> Prepared:
    insert: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(t.inbox)
    # The id tells: PostgreSQL's driver does not count the rows of such a statement.
    return Prepared(insert.on_conflict_do_nothing().returning(t.inbox.c.id), columns)


@lru_cache
def _sold_on_statement(dialect: str) -> Prepared:
    insert: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(t.sold_on)
    return Prepared(insert.on_conflict_do_nothing(), ("reservation", "line"))


def _moments_told(line: OrderLine) -> dict[str, Any] | None:
    """When units left and came back, as JSON; None where nothing is told of it."""
    if not line.left and not line.came_back:
        return None
    parts = {"left": line.left, "came_back": line.came_back}
    return {
        name: [(each.at.isoformat(), each.units, each.place) for each in told] for name, told in parts.items()
    }


def _bare(line: OrderLine) -> OrderLine:
    """The line without its moments, which JSON has in a form of their own."""
    return replace(line, left=(), came_back=()) if line.left or line.came_back else line


def _told(words: Mapping[Source, Word]) -> dict[str, Any] | None:
    """What the sources have said, for JSON; None where only the channel ever spoke."""
    return {
        source.value: {
            "version": word.version.isoformat(),
            "line": _bare(word.line),
            "moments": _moments_told(word.line),
        }
        for source, word in words.items()
    } or None
