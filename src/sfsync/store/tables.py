"""The schema. Times are UTC; on disk they are epoch seconds, the same in every database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    bindparam,
    cast,
    false,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as epoch seconds."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> float | None:
        """To epoch seconds."""
        return _seconds(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], float | None]:
        """The same without the library's steps in between: each row has several."""
        return _seconds

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        """To an aware datetime."""
        return _moment(value)

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[float | None], datetime | None]:
        """The same without the library's steps in between: each row has several."""
        return _moment


class Json(TypeDecorator[Any]):
    """JSON as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To JSON text."""
        return _to_json(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:
        """The same without the library's steps in between."""
        return _to_json

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From JSON text."""
        return _from_json(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Any]:
        """The same without the library's steps in between."""
        return _from_json


def _seconds(value: datetime | None) -> float | None:
    return None if value is None else value.timestamp()


@lru_cache(4_096)
def _moment(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _to_json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _from_json(value: str | None) -> Any:
    return None if value is None else orjson.loads(value)


class each_of(FunctionElement[str]):
    """The texts of a JSON array, as rows with the column `value`."""

    inherit_cache = True


@compiles(each_of)
def _each_in_sqlite(element: each_of, compiler: SQLCompiler, **how: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **how)})"


@compiles(each_of, "postgresql")
def _each_in_postgresql(element: each_of, compiler: SQLCompiler, **how: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **how)} AS json))"


def among(column: Column[str], name: str = "among") -> ColumnElement[bool]:
    """True where the column is one of the texts given as parameter `name`: one statement, however many."""
    return column.in_(select(each_of(bindparam(name, type_=Json)).table_valued("value").c.value))


def among_numbers(column: Column[int], name: str = "among") -> ColumnElement[bool]:
    """`among`, of whole numbers."""
    values = select(cast(each_of(bindparam(name, type_=Json)).table_valued("value").c.value, Integer))
    return column.in_(values)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _partial(name: str, condition: str, *columns: Column[Any]) -> Index:
    """An index over the few rows that are still to be worked on."""
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


binding = Table(
    "binding",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("first_start", Instant, nullable=False),
    Column("policies", Text),  # by which all that is stored was decided
    Column(
        "shadow_since", Instant
    ),  # what is stored was only thought, beside another integration, since then
)

cursor = Table(
    "cursor",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("cursor", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

hole = Table(
    "hole",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("closes", Text, nullable=False, server_default="reading"),  # what will close it: reading or replay
    Column("replayed_to", Instant),  # how far a replay has come that is not through
    Column("how", Text, nullable=False, server_default=""),  # it was closed
    Column("found", Text, nullable=False, server_default=""),  # by what closed it
)

watch = Table(
    "watch",  # intervals of a source that were observed, replayed or polled
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("how", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),
    Column("found", Text, nullable=False, server_default=""),
)
Index("ix_watch_source", watch.c.source, watch.c.until)

level = Table(
    "level",
    metadata,
    Column("level_key", Text, primary_key=True),
    Column("sku", Text, nullable=False, index=True),
    Column("location", Text, nullable=False),
    Column("unit", Text),
    Column("record_id", Text, nullable=False, index=True),  # "": its record has another key now
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("counted_at", Instant),
    Column("stored_at", Instant, nullable=False),
    # How often its ledger was found rewritten, and when we knew of it: no reading asked for before counts.
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("epoch_at", Instant),
    Column("read_again", Boolean, nullable=False, server_default=false()),
    # Units that its shop does not find: what the open incident of that adds up to.
    Column("not_found", Integer, nullable=False, server_default="0"),
)
_partial("ix_level_epoch", "epoch_at IS NOT NULL", level.c.epoch_at)
_partial("ix_level_read_again", "read_again", level.c.level_key)

product = Table(
    "product",
    metadata,
    Column("record_id", Text, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("fields", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("price", Double),
)

sku = Table(
    "sku",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # in the order in which we came to know of them
)

bundle = Table(
    "bundle",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),  # waiting, done, refused, wrong, conflict
    Column("asked_at", Instant, nullable=False),
    Column(
        "reason", Text, nullable=False, server_default=""
    ),  # of its answer; while it waits, see ledger.Wish
    Column("answered_at", Instant),
)
_partial("ix_bundle_waiting", "state = 'waiting'", bundle.c.id)

movement = Table(
    "movement",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("bundle", Integer, nullable=False, index=True),
    Column("state", Text, nullable=False),  # waiting, done, refused, wrong, conflict, dropped, folded
    Column("key", Text, nullable=False, index=True),
    Column("subject", Text, nullable=False, index=True),
    Column("step", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text),  # whose customer the subject is, if anybody's
    Column("level_key", Text, nullable=False, index=True),
    Column("sku", Text, nullable=False),
    Column("on_hand_delta", Integer, nullable=False),
    Column("reserved_delta", Integer, nullable=False),
    Column("reference", Text, nullable=False),
    Column("source_version", Text, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("companion", Boolean, nullable=False),  # only goes along with its bundle
)
_partial("ix_movement_waiting", "state = 'waiting'", movement.c.sku)
_partial("ix_movement_asked", "state = 'waiting'", movement.c.subject)

holding = Table(
    "holding",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("level_key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("channel", Text),
    Column("sku", Text, nullable=False, index=True),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("next_step", Integer, nullable=False),
    Column("since", Instant, nullable=False),
)
_partial(
    "ix_holding_held",
    "reserved <> 0",
    holding.c.sku,
    holding.c.kind,
    holding.c.channel,
    holding.c.level_key,
    holding.c.reserved,
)
_partial("ix_holding_reserved", "reserved <> 0", holding.c.level_key)

# What was counted; its variance is what its subject holds.
stock_count = Table(
    "stock_count",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("count_id", Text, nullable=False),
    Column("level_key", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("counted_at", Instant, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Column("counted_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("price", Double),  # of one unit, when it was counted
    Column("record_id", Text, nullable=False, server_default=""),  # of the org's record that it was made as
    Column("told", Integer),  # the variance that its record in the org has; None: not told yet
)
Index("ix_stock_count_counted_at", stock_count.c.counted_at)
Index("ix_stock_count_level", stock_count.c.level_key)
_partial("ix_stock_count_record", "record_id <> ''", stock_count.c.record_id)
_partial("ix_stock_count_untold", "told IS NULL", stock_count.c.subject)

# A fold that is, or was, sent to the org: written down before its first byte leaves.
fold = Table(
    "fold",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("level_key", Text, nullable=False),
    Column("record_id", Text, nullable=False),
    Column("state", Text, nullable=False),  # open, done, dropped
    Column("request", Json, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("planned_at", Instant, nullable=False),
    Column("answered_at", Instant),
)
_partial("ix_fold_open", "state = 'open'", fold.c.id)

# What the opening rows of folds say of a subject: its rows are gone, its steps and totals are not.
folded = Table(
    "folded",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("level_key", Text, primary_key=True, index=True),
    Column("on_hand", Integer, nullable=False),
    Column("next_step", Integer, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("done_at", Instant),
    UniqueConstraint("source", "key"),
)
_partial("ix_inbox_waiting", "done_at IS NULL", inbox.c.id)

order_line = Table(
    "order_line",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("order_name", Text, nullable=False),
    Column("line_id", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("unit", Text),
    Column("location", Text),
    Column("open_quantity", Integer, nullable=False),
    Column("fulfilled_quantity", Integer, nullable=False),
    Column("returned_quantity", Integer, nullable=False),
    Column("taken_quantity", Integer, nullable=False),
    Column("version", Instant, nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("channel_location", Text, nullable=False),
    Column("reservations", Json, nullable=False),
    Column("uncovered", Integer, nullable=False),
    Column("asked_in_vain", Boolean, nullable=False),
    Column("due", Boolean, nullable=False),
    Column("settles", Boolean, nullable=False),  # it is no more, once what it asks is entered as asked
    Column("told", Json),  # each source's newest word, where two may speak of the order
    Column("org_order", Text),
    Column("places", Json),  # where its units stand at the channel
    Column("routed", Boolean, nullable=False),
    Column("routed_at", Instant),
    Column("misplaced", Integer, nullable=False),
    # Units it gave back where its channel's number had not fallen by it, and when that last happened.
    Column("aside", Integer, nullable=False, server_default="0"),
    Column("aside_at", Instant),
    Column("client", Text, nullable=False, server_default=""),
    Column(
        "mapped_from", Text, nullable=False, server_default=""
    ),  # the source's own SKU, where it is mapped
    Column("moments", Json),  # when its units left and came back, where its source tells
)
Index("ix_order_line_sku", order_line.c.sku, order_line.c.placed_at)
Index("ix_order_line_order", order_line.c.channel, order_line.c.order_id)
Index("ix_order_line_name", order_line.c.channel, order_line.c.order_name)
_partial("ix_order_line_due", "due", order_line.c.placed_at, order_line.c.subject)
_partial("ix_order_line_org_order", "org_order IS NOT NULL", order_line.c.org_order)
_partial("ix_order_line_client", "client <> ''", order_line.c.client)
_partial("ix_order_line_uncovered", "uncovered > 0 OR misplaced > 0", order_line.c.sku)

sold_on = Table(  # which reservations order lines were sold on, in the order in which they came
    "sold_on",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("reservation", Text, nullable=False),
    Column("line", Text, nullable=False),
    UniqueConstraint("reservation", "line"),
)

return_line = Table(  # of the org's return orders, and of storefronts' orders from before
    "return_line",
    metadata,
    Column("line_id", Text, primary_key=True),
    Column("org_order", Text, nullable=False),  # the order that told of it last; its own id where none did
)

erased_return = Table(  # lines of return orders that stand alone since their order was erased from the org
    "erased_return",
    metadata,
    Column("org_order", Text, primary_key=True),
    Column("line_id", Text, primary_key=True),
)

order_call = Table(  # orders to be read at their channel
    "order_call",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("reference", Text, primary_key=True),
    Column("asked_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False),
)

channel = Table(
    "channel",
    metadata,
    Column("name", Text, primary_key=True),
    Column("since", Instant),  # when we first knew of it: older orders are not ours
    Column("approved_at", Instant),
    Column("policies", Text),  # the fingerprint of the settings that it goes by
    Column("held_since", Instant),  # changed settings wait for a person
    Column("held_changed", Integer, nullable=False, server_default="0"),  # of its numbers, by these
    Column("held_known", Integer, nullable=False, server_default="0"),
    Column("identity", Json),  # the shop and the places that its levels are of
    Column("moved_since", Instant),  # it means others since then, and waits until they are weighed
    Column("moved_changed", Integer),  # of its numbers there, by what it should show; null: not read yet
    Column("moved_known", Integer),
    Column("poll_mark", Instant),
    Column(
        "asked_to", Integer
    ),  # it was asked for every SKU up to this number; null: it was never read whole
)

# What the settings say of quantities, as often as it was other, and from when who went by which.
rulebook = Table(
    "rulebook",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("rules", Text, nullable=False),
)
rules_since = Table(
    "rules_since",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),  # empty: the settings as they stand in the file
    Column("since", Instant, nullable=False),
    Column("fingerprint", Text, nullable=False),
)
Index("ix_rules_since_channel", rules_since.c.channel, rules_since.c.since)

channel_level = Table(
    "channel_level",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("sku", Text, primary_key=True, index=True),
    Column("location", Text, primary_key=True),
    Column("item_id", Text, nullable=False),
    Column("location_id", Text, nullable=False),
    Column("published", Integer, nullable=False),
    Column("target", Integer),
    Column("baseline_from", Instant, nullable=False),
    Column("baseline_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("problem", Text, nullable=False, server_default=""),
    Column("push", Integer),
    Column("spare", Integer, nullable=False, server_default="0"),
    Column("flying", Integer, nullable=False, server_default="0"),
    Column("sequence", BigInteger, nullable=False, server_default="0"),  # raised with each new target
    Column("unsure", Boolean, nullable=False, server_default=false()),  # it may show another number: send it
    Column("raised_at", Instant),
    Column("exposure_unit_seconds", Double, nullable=False, server_default="0"),
    Column("exposure_units", Integer, nullable=False, server_default="0"),
    Column("exposure_since", Double, nullable=False, server_default="0"),
    Column("exposure_began", Double, nullable=False, server_default="0"),
    Column("exposure_before", Double, nullable=False, server_default="0"),
    Column("exposure_most", Integer, nullable=False, server_default="0"),
    Column("exposure_scarce", Boolean, nullable=False, server_default=false()),
    Column("offered", Integer, nullable=False, server_default="0"),
    Column("offered_at", Double, nullable=False, server_default="0"),
    Column("empty_at", Double, nullable=False, server_default="0"),
)
_partial("ix_channel_level_exposed", "exposure_units > 0", channel_level.c.channel)
_partial("ix_channel_level_problem", "problem <> ''", channel_level.c.channel)
_partial("ix_channel_level_flying", "push IS NOT NULL", channel_level.c.channel)
_partial(
    "ix_channel_level_was_exposed",
    "exposure_unit_seconds > 0",
    channel_level.c.channel,
    channel_level.c.exposure_unit_seconds,
)
_partial(
    "ix_channel_level_due",
    "push IS NULL AND problem = '' AND (target <> published OR unsure)",
    channel_level.c.channel,
)
Index("ix_channel_level_sequence", channel_level.c.sequence)
Index("ix_channel_level_item", channel_level.c.channel, channel_level.c.item_id)

# What people should know (`domain.alerts`), and who is still to be told that it began, or that it is over.
alert = Table(
    "alert",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("detail", Json, nullable=False),
    Column("receivers", Json, nullable=False),  # that were to be told of it
    Column("opened_at", Instant, nullable=False),
    Column("resolved_at", Instant),
)
Index(
    "uq_alert_open",
    alert.c.key,
    unique=True,
    sqlite_where=text("resolved_at IS NULL"),
    postgresql_where=text("resolved_at IS NULL"),
)

notice = Table(
    "notice",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("receiver", Text, nullable=False, index=True),
    Column("alert", Integer, nullable=False, index=True),
    sqlite_autoincrement=True,  # an id is never given again: what drops a notice late drops no other
)

# Receivers of callbacks that did not take the last message (`domain.callbacks`).
failing = Table(
    "failing",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("since", Instant, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("again_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("tried_at", Instant, nullable=False),
    Column("set_aside_at", Instant),
)

# What mirrored channels have shown beyond what there was to sell, spell by spell, and the numbers that came
# to zero (`domain.exposure`). The newest are kept.
spell = Table(
    "spell",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("scarce", Boolean, nullable=False),
    Column("began", Double, nullable=False),
    Column("ended", Double, nullable=False),
    Column("units", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("unit_seconds", Double, nullable=False),
)
Index("ix_spell_seconds", spell.c.channel, spell.c.scarce, spell.c.seconds)
Index("ix_spell_unit_seconds", spell.c.channel, spell.c.scarce, spell.c.unit_seconds)

emptied = Table(
    "emptied",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("offered", Integer, nullable=False),
    Column("offered_at", Double, nullable=False),
    Column("empty_at", Double, nullable=False),
    Column("shown_at", Double, nullable=False),
)

by_hand = Table(  # units that a channel is to have, by a person's word
    "by_hand",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("units", Integer, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

turn = Table(  # of what one channel sells at a time: whose turn it is
    "turn",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("since", Instant, nullable=False),
)

scarce = Table(
    "scarce",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("scarcity", Text, primary_key=True),  # the name of what holds of it now
    Column("since", Instant, nullable=False),
)

push = Table(
    "push",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("rows", Json, nullable=False),
    Column("state", Text, nullable=False),  # open, applied, dropped, lost, unsure
    Column("ticket", Text, nullable=False, server_default=""),  # by which the channel tells its outcome
    Column("reason", Text, nullable=False, server_default=""),
    Column("planned_at", Instant, nullable=False),
    Column("answered_at", Instant),
)
_partial("ix_push_open", "state = 'open'", push.c.channel)

reservation = Table(
    "reservation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text),
    Column("owner", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("reason", Text, nullable=False, server_default=""),
    Column("order_reference", Text, nullable=False, server_default=""),
    Column("partial", Boolean, nullable=False),
    Column("window_begins", Instant),
    Column("window_ends", Instant),
    Column("paid_at", Instant),
    Column("needs_store", Boolean, nullable=False),
    Column("found_at", Instant),
    Column("client", Text, nullable=False, server_default=""),
    Column("instead_of", Text, nullable=False, server_default=""),
)
Index("ix_reservation_state", reservation.c.state, reservation.c.created_at)
_partial("ix_reservation_order", "order_reference <> ''", reservation.c.order_reference)
_partial("ix_reservation_client", "client <> ''", reservation.c.client)
_partial("ix_reservation_instead_of", "instead_of <> ''", reservation.c.instead_of)
reservation_line = Table(
    "reservation_line",
    metadata,
    Column("reservation", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("level_key", Text, nullable=False),
    Column("location", Text, nullable=False, index=True),
    Column("quantity", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("named", Boolean, nullable=False, server_default=false()),
    Column("found", Boolean, nullable=False, server_default=false()),
)

# Units granted out of the local block that the org's ledger does not name yet. `bundle` is entering them.
draw = Table(
    "draw",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("reservation", Text, nullable=False, index=True),
    Column("channel", Text),
    Column("sku", Text, nullable=False),
    Column("level_key", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("bundle", Integer),
    Column("not_before", Instant, nullable=False),
)
# They have all that is added up at each look.
_partial("ix_draw_open", "bundle IS NULL", draw.c.sku, draw.c.level_key, draw.c.channel, draw.c.units)
_partial("ix_draw_bundle", "bundle IS NOT NULL", draw.c.bundle)

_partial("ix_reservation_expiring", "state IN ('granted', 'awaiting-store')", reservation.c.expires_at)

# How limited editions were last switched.
edition = Table(
    "edition",
    metadata,
    Column("name", Text, primary_key=True),
    Column("open", Boolean, nullable=False),
    Column("at", Instant, nullable=False),
    Column("who", Text, nullable=False),
    Column("planned", Instant),  # the opening time that this has settled
)

# What others than sfsync have sold of a limited edition, as the org's ledger has it.
edition_elsewhere = Table(
    "edition_elsewhere",
    metadata,
    Column("name", Text, primary_key=True),
    Column("units", Integer, nullable=False),
    Column("on_hand", Integer),  # of all its levels when that was read; NULL: to be read again
)

# The org's API calls in each hour: ours, everybody's of the 24 hours before its end, and how many it allows.
calls = Table(
    "calls",
    metadata,
    Column("hour", Instant, primary_key=True),
    Column("ours", Integer, nullable=False),
    Column("used", Integer),
    Column("allowed", Integer),
)

remembered = Table(
    "remembered",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("reservation_id", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("advice", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("at", Instant, nullable=False),
    UniqueConstraint("source", "key"),
)
Index("ix_dead_letter_cause", dead_letter.c.cause, dead_letter.c.id)

# Each till's last report, and sums of all.
till_report = Table(
    "till_report",
    metadata,
    Column("till", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("way", Text, nullable=False),
    Column("entered", Integer, nullable=False),
    Column("again", Integer, nullable=False),
    Column("late", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("reports_in_all", Integer, nullable=False),
    Column("entered_in_all", Integer, nullable=False),
    Column("refused_in_all", Integer, nullable=False),
)

# Events that the org has delivered in the 24 hours before, as last told in each hour.
deliveries = Table(
    "deliveries",
    metadata,
    Column("hour", Instant, primary_key=True),
    Column("used", Integer, nullable=False),
    Column("allowed", Integer, nullable=False),
)

# What a SKU that the org does not have goes by there, in what comes from a source ("": from anybody).
sku_mapping = Table(
    "sku_mapping",
    metadata,
    Column("old", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("new", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
)

dropped_letter = Table(
    "dropped_letter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("letter", Integer, nullable=False),  # the dead letter's id; one may be given again
    Column("source", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("advice", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("dropped_at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("because", Text, nullable=False),
)

incident = Table(
    "incident",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("detail", Json, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("waits_until", Instant),  # a person has said that it may wait until then,
    Column("waits_units", Integer, nullable=False, server_default="0"),  # when it was about so many units
)
Index(
    "uq_incident_open",
    incident.c.kind,
    incident.c.key,
    unique=True,
    sqlite_where=text("closed_at IS NULL"),
    postgresql_where=text("closed_at IS NULL"),
)

# Money that is owed to a customer whose goods are not to be had. Open until `closed_at`.
refund = Table(
    "refund",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("reservation", Text, nullable=False, unique=True),
    Column("channel", Text),
    Column("order_reference", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("lines", Json, nullable=False),  # [SKU, units]
    Column("opened_at", Instant, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("closed_at", Instant),
    Column("closed_by", Text, nullable=False, server_default=""),
    Column("ending", Text),
    Column("said", Text, nullable=False, server_default=""),
)
Index("ix_refund_order", refund.c.channel, refund.c.order_reference)
_partial("ix_refund_open", "closed_at IS NULL", refund.c.channel)

# What a person has decided about an incident. With a bundle, its answer is the bundle's.
resolution = Table(
    "resolution",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("incident", Integer, nullable=False, index=True),
    Column("way", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Json, nullable=False),
    Column("stage", Text, nullable=False),  # asked, done, refused
    Column("answer", Text, nullable=False, server_default=""),
    Column("bundle", Integer),
    Column("at", Instant, nullable=False),
    Column("answered_at", Instant),
)
_partial("ix_resolution_asked", "stage = 'asked'", resolution.c.way)

# The newest comparison of org and channels: what was read, page by page, and its plan.
resync = Table(
    "resync",
    metadata,
    Column("id", Text, primary_key=True),
    Column("made_at", Instant, nullable=False),
    Column("state", Text, nullable=False),  # reading, ready, applying, done
    Column("scope", Json, nullable=False),
    Column("about", Json, nullable=False),
)
resync_page = Table(
    "resync_page",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("place", Text, nullable=False),  # where the channel's listing stood after it
    Column("skus", Json, nullable=False),
)
Index("ix_resync_page_channel", resync_page.c.run, resync_page.c.channel)
resync_row = Table(
    "resync_row",
    metadata,
    Column("run", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("location", Text, primary_key=True),
    Column("shows", Integer),
    Column("target", Integer),
    Column("cause", Text, nullable=False),
    Column("published", Integer),
    Column("item_id", Text),
    Column("location_id", Text),
    Column("tracked", Boolean, nullable=False),
    Column("oversell", Boolean, nullable=False),
    Column("duplicate", Boolean, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("read_at", Instant, nullable=False),
    Column("state", Text, nullable=False),  # planned, applied, changed
    Column("note", Text, nullable=False, server_default=""),
)
_partial("ix_resync_row_planned", "state = 'planned'", resync_row.c.channel, resync_row.c.sku)

# Levels that the org has newer than we held them when it was read.
resync_level = Table(
    "resync_level",
    metadata,
    Column("run", Text, primary_key=True),
    Column("level_key", Text, primary_key=True),
    Column("sku", Text, nullable=False, index=True),
    Column("record_id", Text, nullable=False),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("counted_at", Instant),
    Column("asked_at", Instant, nullable=False),
    Column("gone", Boolean, nullable=False),  # the org does not have it any more; the numbers are ours
)

# What was found to differ from the org (channel "") or at a channel, and when it no longer did. The newest
# are kept.
drift = Table(
    "drift",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("ours", Integer, nullable=False),
    Column("theirs", Integer, nullable=False),
    Column("found_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("ended_at", Instant),
)
Index(
    "uq_drift_open",
    drift.c.channel,
    drift.c.sku,
    drift.c.location,
    unique=True,
    sqlite_where=text("ended_at IS NULL"),
    postgresql_where=text("ended_at IS NULL"),
)

# -- in shadow: what would have been, and what others did (`domain.shadow`); kept when sfsync goes live -----

# Times for which a shadow watched.
shadow_span = Table(
    "shadow_span",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
)

# Movements that sfsync would have entered in the org.
shadow_row = Table(
    "shadow_row",
    metadata,
    Column("key", Text, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
    Column("level_key", Text, nullable=False),
    Column("sku", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("on_hand_delta", Integer, nullable=False),
    Column("reserved_delta", Integer, nullable=False),
    Column("reference", Text, nullable=False),
    Column("source_version", Text, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("entered_at", Instant, nullable=False),
)

# Movements that others have entered there meanwhile, and for which sale.
shadow_entry = Table(
    "shadow_entry",
    metadata,
    Column("id", Text, primary_key=True),  # the org's
    Column("level_key", Text, nullable=False),
    Column("sku", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("on_hand_delta", Integer, nullable=False),
    Column("reserved_delta", Integer, nullable=False),
    Column("words", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("sale", Text),
    Column("certain", Boolean, nullable=False, server_default=false()),
)

shadow_sale = Table(
    "shadow_sale",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("order_name", Text, nullable=False),
    Column("sku", Text, nullable=False, index=True),
    Column("location", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("placed_at", Instant, nullable=False, index=True),
    Column("heard_at", Instant, nullable=False),
    Column("uncovered", Integer, nullable=False),
    Column("uncovered_at", Instant),
)

# What levels would have beyond what the org has.
shadow_overlay = Table(
    "shadow_overlay",
    metadata,
    Column("level_key", Text, primary_key=True),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("changes", Integer, nullable=False),
)

# What channels would have shown, from when on; and what was read there, from when to when.
shadow_would = Table(
    "shadow_would",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("number", Integer, nullable=False),
)
Index("ix_shadow_would_place", shadow_would.c.channel, shadow_would.c.sku, shadow_would.c.location)
shadow_seen = Table(
    "shadow_seen",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("newest", Boolean, nullable=False),
)
Index("ix_shadow_seen_place", shadow_seen.c.channel, shadow_seen.c.sku, shadow_seen.c.location)
_partial("ix_shadow_seen_newest", "newest", shadow_seen.c.channel, shadow_seen.c.sku, shadow_seen.c.location)
