"""The first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One step forward."""

    op.create_table(
        "binding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("first_start", sa.Double(), nullable=False),
        sa.Column("policies", sa.Text(), nullable=True),
        sa.Column("shadow_since", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_binding")),
    )
    op.create_table(
        "bundle",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundle")),
    )
    op.create_index(
        "ix_bundle_waiting",
        "bundle",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "calls",
        sa.Column("hour", sa.Double(), nullable=False),
        sa.Column("ours", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=True),
        sa.Column("allowed", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("hour", name=op.f("pk_calls")),
    )
    op.create_table(
        "channel",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=True),
        sa.Column("approved_at", sa.Double(), nullable=True),
        sa.Column("policies", sa.Text(), nullable=True),
        sa.Column("held_since", sa.Double(), nullable=True),
        sa.Column("held_changed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held_known", sa.Integer(), server_default="0", nullable=False),
        sa.Column("identity", sa.Text(), nullable=True),
        sa.Column("moved_since", sa.Double(), nullable=True),
        sa.Column("moved_changed", sa.Integer(), nullable=True),
        sa.Column("moved_known", sa.Integer(), nullable=True),
        sa.Column("poll_mark", sa.Double(), nullable=True),
        sa.Column("asked_to", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_channel")),
    )
    op.create_table(
        "rulebook",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_rulebook")),
    )
    op.create_table(
        "rules_since",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules_since")),
    )
    op.create_index("ix_rules_since_channel", "rules_since", ["channel", "since"], unique=False)
    op.create_table(
        "channel_level",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("location_id", sa.Text(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=True),
        sa.Column("baseline_from", sa.Double(), nullable=False),
        sa.Column("baseline_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.Column("push", sa.Integer(), nullable=True),
        sa.Column("spare", sa.Integer(), server_default="0", nullable=False),
        sa.Column("flying", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sequence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unsure", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("raised_at", sa.Double(), nullable=True),
        sa.Column("exposure_unit_seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("exposure_units", sa.Integer(), server_default="0", nullable=False),
        sa.Column("exposure_since", sa.Double(), server_default="0", nullable=False),
        sa.Column("exposure_began", sa.Double(), server_default="0", nullable=False),
        sa.Column("exposure_before", sa.Double(), server_default="0", nullable=False),
        sa.Column("exposure_most", sa.Integer(), server_default="0", nullable=False),
        sa.Column("exposure_scarce", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("offered", sa.Integer(), server_default="0", nullable=False),
        sa.Column("offered_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("empty_at", sa.Double(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("channel", "sku", "location", name=op.f("pk_channel_level")),
    )
    op.create_index(
        "ix_channel_level_exposed",
        "channel_level",
        ["channel"],
        unique=False,
        sqlite_where=sa.text("exposure_units > 0"),
        postgresql_where=sa.text("exposure_units > 0"),
    )
    op.create_index(
        "ix_channel_level_due",
        "channel_level",
        ["channel"],
        unique=False,
        sqlite_where=sa.text("push IS NULL AND problem = '' AND (target <> published OR unsure)"),
        postgresql_where=sa.text("push IS NULL AND problem = '' AND (target <> published OR unsure)"),
    )
    op.create_index(
        "ix_channel_level_problem",
        "channel_level",
        ["channel"],
        unique=False,
        sqlite_where=sa.text("problem <> ''"),
        postgresql_where=sa.text("problem <> ''"),
    )
    op.create_index(
        "ix_channel_level_flying",
        "channel_level",
        ["channel"],
        unique=False,
        sqlite_where=sa.text("push IS NOT NULL"),
        postgresql_where=sa.text("push IS NOT NULL"),
    )
    op.create_index(
        "ix_channel_level_was_exposed",
        "channel_level",
        ["channel", "exposure_unit_seconds"],
        unique=False,
        sqlite_where=sa.text("exposure_unit_seconds > 0"),
        postgresql_where=sa.text("exposure_unit_seconds > 0"),
    )
    op.create_index("ix_channel_level_sequence", "channel_level", ["sequence"], unique=False)
    op.create_index("ix_channel_level_item", "channel_level", ["channel", "item_id"], unique=False)
    op.create_index(op.f("ix_channel_level_sku"), "channel_level", ["sku"], unique=False)
    op.create_table(
        "cursor",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("cursor", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_cursor")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("advice", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_dead_letter_source_key")),
    )
    op.create_index("ix_dead_letter_cause", "dead_letter", ["cause", "id"], unique=False)
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("receivers", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("resolved_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    op.create_index(
        "uq_alert_open",
        "alert",
        ["key"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("alert", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_notice_alert"), "notice", ["alert"], unique=False)
    op.create_index(op.f("ix_notice_receiver"), "notice", ["receiver"], unique=False)
    op.create_table(
        "dropped_letter",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("letter", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("advice", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("dropped_at", sa.Double(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dropped_letter")),
    )
    op.create_table(
        "till_report",
        sa.Column("till", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("entered", sa.Integer(), nullable=False),
        sa.Column("again", sa.Integer(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("reports_in_all", sa.Integer(), nullable=False),
        sa.Column("entered_in_all", sa.Integer(), nullable=False),
        sa.Column("refused_in_all", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("till", name=op.f("pk_till_report")),
    )
    op.create_table(
        "deliveries",
        sa.Column("hour", sa.Double(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("allowed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hour", name=op.f("pk_deliveries")),
    )
    op.create_table(
        "sku_mapping",
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("old", "source", name=op.f("pk_sku_mapping")),
    )
    op.create_table(
        "failing",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("again_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tried_at", sa.Double(), nullable=False),
        sa.Column("set_aside_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_failing")),
    )
    op.create_table(
        "fold",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("planned_at", sa.Double(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fold")),
    )
    op.create_index(
        "ix_fold_open",
        "fold",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "folded",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("next_step", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "level_key", name=op.f("pk_folded")),
    )
    op.create_index(op.f("ix_folded_level_key"), "folded", ["level_key"], unique=False)
    op.create_table(
        "holding",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("next_step", sa.Integer(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "level_key", name=op.f("pk_holding")),
    )
    op.create_index(
        "ix_holding_held",
        "holding",
        ["sku", "kind", "channel", "level_key", "reserved"],
        unique=False,
        sqlite_where=sa.text("reserved <> 0"),
        postgresql_where=sa.text("reserved <> 0"),
    )
    op.create_index(
        "ix_holding_reserved",
        "holding",
        ["level_key"],
        unique=False,
        sqlite_where=sa.text("reserved <> 0"),
        postgresql_where=sa.text("reserved <> 0"),
    )
    op.create_index(op.f("ix_holding_sku"), "holding", ["sku"], unique=False)
    op.create_table(
        "spell",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("scarce", sa.Boolean(), nullable=False),
        sa.Column("began", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("unit_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spell")),
    )
    op.create_index("ix_spell_seconds", "spell", ["channel", "scarce", "seconds"], unique=False)
    op.create_index("ix_spell_unit_seconds", "spell", ["channel", "scarce", "unit_seconds"], unique=False)
    op.create_table(
        "emptied",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("offered", sa.Integer(), nullable=False),
        sa.Column("offered_at", sa.Double(), nullable=False),
        sa.Column("empty_at", sa.Double(), nullable=False),
        sa.Column("shown_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emptied")),
    )
    op.create_table(
        "by_hand",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sku", "channel", name=op.f("pk_by_hand")),
    )
    op.create_table(
        "turn",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_turn")),
    )
    op.create_table(
        "scarce",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("scarcity", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sku", "scarcity", name=op.f("pk_scarce")),
    )
    op.create_table(
        "draw",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reservation", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("bundle", sa.Integer(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_draw")),
    )
    op.create_index(
        "ix_draw_bundle",
        "draw",
        ["bundle"],
        unique=False,
        sqlite_where=sa.text("bundle IS NOT NULL"),
        postgresql_where=sa.text("bundle IS NOT NULL"),
    )
    op.create_index(op.f("ix_draw_reservation"), "draw", ["reservation"], unique=False)
    op.create_index(
        "ix_draw_open",
        "draw",
        ["sku", "level_key", "channel", "units"],
        unique=False,
        sqlite_where=sa.text("bundle IS NULL"),
        postgresql_where=sa.text("bundle IS NULL"),
    )
    op.create_table(
        "hole",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("closes", sa.Text(), server_default="reading", nullable=False),
        sa.Column("replayed_to", sa.Double(), nullable=True),
        sa.Column("how", sa.Text(), server_default="", nullable=False),
        sa.Column("found", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hole")),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_inbox_source_key")),
    )
    op.create_index(
        "ix_inbox_waiting",
        "inbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("done_at IS NULL"),
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("waits_until", sa.Double(), nullable=True),
        sa.Column("waits_units", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    op.create_index(
        "uq_incident_open",
        "incident",
        ["kind", "key"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "resolution",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.Column("bundle", sa.Integer(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resolution")),
    )
    op.create_index(op.f("ix_resolution_incident"), "resolution", ["incident"], unique=False)
    op.create_index(
        "ix_resolution_asked",
        "resolution",
        ["way"],
        unique=False,
        sqlite_where=sa.text("stage = 'asked'"),
        postgresql_where=sa.text("stage = 'asked'"),
    )
    op.create_table(
        "refund",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("reservation", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("order_reference", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("closed_by", sa.Text(), server_default="", nullable=False),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("reservation", name=op.f("uq_refund_reservation")),
    )
    op.create_index("ix_refund_order", "refund", ["channel", "order_reference"], unique=False)
    op.create_index(
        "ix_refund_open",
        "refund",
        ["channel"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "level",
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.Double(), nullable=True),
        sa.Column("stored_at", sa.Double(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch_at", sa.Double(), nullable=True),
        sa.Column("read_again", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("not_found", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("level_key", name=op.f("pk_level")),
    )
    op.create_index(
        "ix_level_epoch",
        "level",
        ["epoch_at"],
        unique=False,
        sqlite_where=sa.text("epoch_at IS NOT NULL"),
        postgresql_where=sa.text("epoch_at IS NOT NULL"),
    )
    op.create_index(
        "ix_level_read_again",
        "level",
        ["level_key"],
        unique=False,
        sqlite_where=sa.text("read_again"),
        postgresql_where=sa.text("read_again"),
    )
    op.create_index(op.f("ix_level_record_id"), "level", ["record_id"], unique=False)
    op.create_index(op.f("ix_level_sku"), "level", ["sku"], unique=False)
    op.create_table(
        "movement",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("bundle", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("on_hand_delta", sa.Integer(), nullable=False),
        sa.Column("reserved_delta", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("source_version", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.Double(), nullable=False),
        sa.Column("companion", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movement")),
    )
    op.create_index(op.f("ix_movement_bundle"), "movement", ["bundle"], unique=False)
    op.create_index(op.f("ix_movement_level_key"), "movement", ["level_key"], unique=False)
    op.create_index(op.f("ix_movement_key"), "movement", ["key"], unique=False)
    op.create_index(op.f("ix_movement_subject"), "movement", ["subject"], unique=False)
    op.create_index(
        "ix_movement_asked",
        "movement",
        ["subject"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_movement_waiting",
        "movement",
        ["sku"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "return_line",
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("org_order", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("line_id", name=op.f("pk_return_line")),
    )
    op.create_table(
        "erased_return",
        sa.Column("org_order", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_order", "line_id", name=op.f("pk_erased_return")),
    )
    op.create_table(
        "order_call",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "reference", name=op.f("pk_order_call")),
    )
    op.create_table(
        "order_line",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("open_quantity", sa.Integer(), nullable=False),
        sa.Column("fulfilled_quantity", sa.Integer(), nullable=False),
        sa.Column("returned_quantity", sa.Integer(), nullable=False),
        sa.Column("taken_quantity", sa.Integer(), nullable=False),
        sa.Column("version", sa.Double(), nullable=False),
        sa.Column("placed_at", sa.Double(), nullable=False),
        sa.Column("channel_location", sa.Text(), nullable=False),
        sa.Column("reservations", sa.Text(), nullable=False),
        sa.Column("uncovered", sa.Integer(), nullable=False),
        sa.Column("asked_in_vain", sa.Boolean(), nullable=False),
        sa.Column("due", sa.Boolean(), nullable=False),
        sa.Column("settles", sa.Boolean(), nullable=False),
        sa.Column("told", sa.Text(), nullable=True),
        sa.Column("org_order", sa.Text(), nullable=True),
        sa.Column("places", sa.Text(), nullable=True),
        sa.Column("routed", sa.Boolean(), nullable=False),
        sa.Column("routed_at", sa.Double(), nullable=True),
        sa.Column("misplaced", sa.Integer(), nullable=False),
        sa.Column("aside", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("aside_at", sa.Double(), nullable=True),
        sa.Column("client", sa.Text(), server_default="", nullable=False),
        sa.Column("mapped_from", sa.Text(), server_default="", nullable=False),
        sa.Column("moments", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_order_line")),
    )
    op.create_index(
        "ix_order_line_due",
        "order_line",
        ["placed_at", "subject"],
        unique=False,
        sqlite_where=sa.text("due"),
        postgresql_where=sa.text("due"),
    )
    op.create_index("ix_order_line_name", "order_line", ["channel", "order_name"], unique=False)
    op.create_index("ix_order_line_sku", "order_line", ["sku", "placed_at"], unique=False)
    op.create_index("ix_order_line_order", "order_line", ["channel", "order_id"], unique=False)
    op.create_index(
        "ix_order_line_org_order",
        "order_line",
        ["org_order"],
        unique=False,
        sqlite_where=sa.text("org_order IS NOT NULL"),
        postgresql_where=sa.text("org_order IS NOT NULL"),
    )
    op.create_index(
        "ix_order_line_uncovered",
        "order_line",
        ["sku"],
        unique=False,
        sqlite_where=sa.text("uncovered > 0 OR misplaced > 0"),
        postgresql_where=sa.text("uncovered > 0 OR misplaced > 0"),
    )
    op.create_index(
        "ix_order_line_client",
        "order_line",
        ["client"],
        unique=False,
        sqlite_where=sa.text("client <> ''"),
        postgresql_where=sa.text("client <> ''"),
    )
    op.create_table(
        "edition_elsewhere",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_edition_elsewhere")),
    )
    op.create_table(
        "edition",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("planned", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_edition")),
    )
    op.create_table(
        "product",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("price", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_product")),
    )
    op.create_table(
        "push",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("planned_at", sa.Double(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_push")),
    )
    op.create_index(
        "ix_push_open",
        "push",
        ["channel"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "remembered",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_remembered")),
    )
    op.create_table(
        "reservation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("order_reference", sa.Text(), server_default="", nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("window_begins", sa.Double(), nullable=True),
        sa.Column("window_ends", sa.Double(), nullable=True),
        sa.Column("paid_at", sa.Double(), nullable=True),
        sa.Column("needs_store", sa.Boolean(), nullable=False),
        sa.Column("found_at", sa.Double(), nullable=True),
        sa.Column("client", sa.Text(), server_default="", nullable=False),
        sa.Column("instead_of", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservation")),
    )
    op.create_index(
        "ix_reservation_instead_of",
        "reservation",
        ["instead_of"],
        unique=False,
        sqlite_where=sa.text("instead_of <> ''"),
        postgresql_where=sa.text("instead_of <> ''"),
    )
    op.create_index(
        "ix_reservation_client",
        "reservation",
        ["client"],
        unique=False,
        sqlite_where=sa.text("client <> ''"),
        postgresql_where=sa.text("client <> ''"),
    )
    op.create_index("ix_reservation_state", "reservation", ["state", "created_at"], unique=False)
    op.create_table(
        "reservation_line",
        sa.Column("reservation", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("named", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("found", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("reservation", "number", name=op.f("pk_reservation_line")),
    )
    op.create_index(op.f("ix_reservation_line_location"), "reservation_line", ["location"], unique=False)
    op.create_index(
        "ix_reservation_expiring",
        "reservation",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('granted', 'awaiting-store')"),
        postgresql_where=sa.text("state IN ('granted', 'awaiting-store')"),
    )
    op.create_index(
        "ix_reservation_order",
        "reservation",
        ["order_reference"],
        unique=False,
        sqlite_where=sa.text("order_reference <> ''"),
        postgresql_where=sa.text("order_reference <> ''"),
    )
    op.create_table(
        "sku",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_sku")),
        sa.UniqueConstraint("number", name=op.f("uq_sku_number")),
    )
    op.create_table(
        "sold_on",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("reservation", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sold_on")),
        sa.UniqueConstraint("reservation", "line", name=op.f("uq_sold_on_reservation_line")),
    )
    op.create_table(
        "stock_count",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("count_id", sa.Text(), nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.Double(), nullable=False),
        sa.Column("entered_at", sa.Double(), nullable=False),
        sa.Column("counted_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("price", sa.Double(), nullable=True),
        sa.Column("record_id", sa.Text(), server_default="", nullable=False),
        sa.Column("told", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_stock_count")),
    )
    op.create_index("ix_stock_count_counted_at", "stock_count", ["counted_at"], unique=False)
    op.create_index("ix_stock_count_level", "stock_count", ["level_key"], unique=False)
    op.create_index(
        "ix_stock_count_record",
        "stock_count",
        ["record_id"],
        unique=False,
        sqlite_where=sa.text("record_id <> ''"),
        postgresql_where=sa.text("record_id <> ''"),
    )
    op.create_index(
        "ix_stock_count_untold",
        "stock_count",
        ["subject"],
        unique=False,
        sqlite_where=sa.text("told IS NULL"),
        postgresql_where=sa.text("told IS NULL"),
    )
    op.create_table(
        "watch",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("found", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch")),
    )
    op.create_index("ix_watch_source", "watch", ["source", "until"], unique=False)
    op.create_table(
        "drift",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("ours", sa.Integer(), nullable=False),
        sa.Column("theirs", sa.Integer(), nullable=False),
        sa.Column("found_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
    )
    op.create_index(
        "uq_drift_open",
        "drift",
        ["channel", "sku", "location"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "resync",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resync")),
    )
    op.create_table(
        "resync_level",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.Double(), nullable=True),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run", "level_key", name=op.f("pk_resync_level")),
    )
    op.create_index(op.f("ix_resync_level_sku"), "resync_level", ["sku"], unique=False)
    op.create_table(
        "resync_page",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("skus", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resync_page")),
    )
    op.create_index("ix_resync_page_channel", "resync_page", ["run", "channel"], unique=False)
    op.create_table(
        "resync_row",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("shows", sa.Integer(), nullable=True),
        sa.Column("target", sa.Integer(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=True),
        sa.Column("item_id", sa.Text(), nullable=True),
        sa.Column("location_id", sa.Text(), nullable=True),
        sa.Column("tracked", sa.Boolean(), nullable=False),
        sa.Column("oversell", sa.Boolean(), nullable=False),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("read_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("run", "channel", "sku", "location", name=op.f("pk_resync_row")),
    )
    op.create_index(
        "ix_resync_row_planned",
        "resync_row",
        ["channel", "sku"],
        unique=False,
        sqlite_where=sa.text("state = 'planned'"),
        postgresql_where=sa.text("state = 'planned'"),
    )
    op.create_table(
        "shadow_entry",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("on_hand_delta", sa.Integer(), nullable=False),
        sa.Column("reserved_delta", sa.Integer(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("sale", sa.Text(), nullable=True),
        sa.Column("certain", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_entry")),
    )
    op.create_index(op.f("ix_shadow_entry_sku"), "shadow_entry", ["sku"], unique=False)
    op.create_table(
        "shadow_overlay",
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("level_key", name=op.f("pk_shadow_overlay")),
    )
    op.create_table(
        "shadow_row",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("level_key", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("on_hand_delta", sa.Integer(), nullable=False),
        sa.Column("reserved_delta", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("source_version", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.Double(), nullable=False),
        sa.Column("entered_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_shadow_row")),
    )
    op.create_index(op.f("ix_shadow_row_sku"), "shadow_row", ["sku"], unique=False)
    op.create_index(op.f("ix_shadow_row_subject"), "shadow_row", ["subject"], unique=False)
    op.create_table(
        "shadow_sale",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("placed_at", sa.Double(), nullable=False),
        sa.Column("heard_at", sa.Double(), nullable=False),
        sa.Column("uncovered", sa.Integer(), nullable=False),
        sa.Column("uncovered_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_shadow_sale")),
    )
    op.create_index(op.f("ix_shadow_sale_placed_at"), "shadow_sale", ["placed_at"], unique=False)
    op.create_index(op.f("ix_shadow_sale_sku"), "shadow_sale", ["sku"], unique=False)
    op.create_table(
        "shadow_seen",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.Column("newest", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_seen")),
    )
    op.create_index(
        "ix_shadow_seen_newest",
        "shadow_seen",
        ["channel", "sku", "location"],
        unique=False,
        sqlite_where=sa.text("newest"),
        postgresql_where=sa.text("newest"),
    )
    op.create_index("ix_shadow_seen_place", "shadow_seen", ["channel", "sku", "location"], unique=False)
    op.create_table(
        "shadow_span",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_span")),
    )
    op.create_table(
        "shadow_would",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_would")),
    )
    op.create_index("ix_shadow_would_place", "shadow_would", ["channel", "sku", "location"], unique=False)


def downgrade() -> None:
    """One step back."""

    op.drop_index("ix_shadow_would_place", table_name="shadow_would")
    op.drop_table("shadow_would")
    op.drop_table("shadow_span")
    op.drop_index("ix_shadow_seen_place", table_name="shadow_seen")
    op.drop_index(
        "ix_shadow_seen_newest",
        table_name="shadow_seen",
        sqlite_where=sa.text("newest"),
        postgresql_where=sa.text("newest"),
    )
    op.drop_table("shadow_seen")
    op.drop_index(op.f("ix_shadow_sale_sku"), table_name="shadow_sale")
    op.drop_index(op.f("ix_shadow_sale_placed_at"), table_name="shadow_sale")
    op.drop_table("shadow_sale")
    op.drop_index(op.f("ix_shadow_row_subject"), table_name="shadow_row")
    op.drop_index(op.f("ix_shadow_row_sku"), table_name="shadow_row")
    op.drop_table("shadow_row")
    op.drop_table("shadow_overlay")
    op.drop_index(op.f("ix_shadow_entry_sku"), table_name="shadow_entry")
    op.drop_table("shadow_entry")
    op.drop_index(
        "ix_resync_row_planned",
        table_name="resync_row",
        sqlite_where=sa.text("state = 'planned'"),
        postgresql_where=sa.text("state = 'planned'"),
    )
    op.drop_table("resync_row")
    op.drop_index("ix_resync_page_channel", table_name="resync_page")
    op.drop_table("resync_page")
    op.drop_index(op.f("ix_resync_level_sku"), table_name="resync_level")
    op.drop_table("resync_level")
    op.drop_table("resync")
    op.drop_index(
        "uq_drift_open",
        table_name="drift",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.drop_table("drift")
    op.drop_index(
        "ix_draw_open",
        table_name="draw",
        sqlite_where=sa.text("bundle IS NULL"),
        postgresql_where=sa.text("bundle IS NULL"),
    )
    op.drop_index(op.f("ix_draw_reservation"), table_name="draw")
    op.drop_index(
        "ix_draw_bundle",
        table_name="draw",
        sqlite_where=sa.text("bundle IS NOT NULL"),
        postgresql_where=sa.text("bundle IS NOT NULL"),
    )
    op.drop_table("draw")
    op.drop_table("sold_on")
    op.drop_table("sku")
    op.drop_index(
        "ix_stock_count_untold",
        table_name="stock_count",
        sqlite_where=sa.text("told IS NULL"),
        postgresql_where=sa.text("told IS NULL"),
    )
    op.drop_index(
        "ix_stock_count_record",
        table_name="stock_count",
        sqlite_where=sa.text("record_id <> ''"),
        postgresql_where=sa.text("record_id <> ''"),
    )
    op.drop_index("ix_stock_count_level", table_name="stock_count")
    op.drop_index("ix_stock_count_counted_at", table_name="stock_count")
    op.drop_table("stock_count")
    op.drop_index(
        "ix_reservation_client",
        table_name="reservation",
        sqlite_where=sa.text("client <> ''"),
        postgresql_where=sa.text("client <> ''"),
    )
    op.drop_index(
        "ix_reservation_order",
        table_name="reservation",
        sqlite_where=sa.text("order_reference <> ''"),
        postgresql_where=sa.text("order_reference <> ''"),
    )
    op.drop_index(
        "ix_reservation_expiring",
        table_name="reservation",
        sqlite_where=sa.text("state = 'granted'"),
        postgresql_where=sa.text("state = 'granted'"),
    )
    op.drop_table("reservation")
    op.drop_table("remembered")
    op.drop_index(
        "ix_push_open",
        table_name="push",
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.drop_table("push")
    op.drop_table("product")
    op.drop_index(
        "ix_order_line_uncovered",
        table_name="order_line",
        sqlite_where=sa.text("uncovered > 0 OR misplaced > 0"),
        postgresql_where=sa.text("uncovered > 0 OR misplaced > 0"),
    )
    op.drop_index(
        "ix_order_line_client",
        table_name="order_line",
        sqlite_where=sa.text("client <> ''"),
        postgresql_where=sa.text("client <> ''"),
    )
    op.drop_index("ix_order_line_sku", table_name="order_line")
    op.drop_index("ix_order_line_order", table_name="order_line")
    op.drop_index("ix_order_line_name", table_name="order_line")
    op.drop_index(
        "ix_order_line_org_order",
        table_name="order_line",
        sqlite_where=sa.text("org_order IS NOT NULL"),
        postgresql_where=sa.text("org_order IS NOT NULL"),
    )
    op.drop_index(
        "ix_order_line_due",
        table_name="order_line",
        sqlite_where=sa.text("due"),
        postgresql_where=sa.text("due"),
    )
    op.drop_table("order_line")
    op.drop_table("erased_return")
    op.drop_table("return_line")
    op.drop_index(
        "ix_movement_asked",
        table_name="movement",
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.drop_index(
        "ix_movement_waiting",
        table_name="movement",
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.drop_index(op.f("ix_movement_subject"), table_name="movement")
    op.drop_index(op.f("ix_movement_level_key"), table_name="movement")
    op.drop_index(op.f("ix_movement_key"), table_name="movement")
    op.drop_index(op.f("ix_movement_bundle"), table_name="movement")
    op.drop_table("movement")
    op.drop_index(op.f("ix_level_sku"), table_name="level")
    op.drop_index(op.f("ix_level_record_id"), table_name="level")
    op.drop_index(
        "ix_level_read_again",
        table_name="level",
        sqlite_where=sa.text("read_again"),
        postgresql_where=sa.text("read_again"),
    )
    op.drop_index(
        "ix_level_epoch",
        table_name="level",
        sqlite_where=sa.text("epoch_at IS NOT NULL"),
        postgresql_where=sa.text("epoch_at IS NOT NULL"),
    )
    op.drop_table("level")
    op.drop_table("refund")
    op.drop_index(
        "ix_resolution_asked",
        table_name="resolution",
        sqlite_where=sa.text("stage = 'asked'"),
        postgresql_where=sa.text("stage = 'asked'"),
    )
    op.drop_index(op.f("ix_resolution_incident"), table_name="resolution")
    op.drop_table("resolution")
    op.drop_index(
        "uq_incident_open",
        table_name="incident",
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.drop_table("incident")
    op.drop_index(
        "ix_inbox_waiting",
        table_name="inbox",
        sqlite_where=sa.text("done_at IS NULL"),
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.drop_table("inbox")
    op.drop_table("scarce")
    op.drop_table("turn")
    op.drop_table("by_hand")
    op.drop_table("emptied")
    op.drop_index("ix_spell_unit_seconds", table_name="spell")
    op.drop_index("ix_spell_seconds", table_name="spell")
    op.drop_table("spell")
    op.drop_table("hole")
    op.drop_index(op.f("ix_holding_sku"), table_name="holding")
    op.drop_index(
        "ix_holding_held",
        table_name="holding",
        sqlite_where=sa.text("reserved <> 0"),
        postgresql_where=sa.text("reserved <> 0"),
    )
    op.drop_index(
        "ix_holding_reserved",
        table_name="holding",
        sqlite_where=sa.text("reserved <> 0"),
        postgresql_where=sa.text("reserved <> 0"),
    )
    op.drop_table("holding")
    op.drop_index(op.f("ix_folded_level_key"), table_name="folded")
    op.drop_table("folded")
    op.drop_index(
        "ix_fold_open",
        table_name="fold",
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.drop_table("fold")
    op.drop_table("failing")
    op.drop_index(op.f("ix_notice_receiver"), table_name="notice")
    op.drop_index(op.f("ix_notice_alert"), table_name="notice")
    op.drop_table("notice")
    op.drop_index(
        "uq_alert_open",
        table_name="alert",
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.drop_table("alert")
    op.drop_table("sku_mapping")
    op.drop_table("deliveries")
    op.drop_table("till_report")
    op.drop_table("dropped_letter")
    op.drop_index("ix_dead_letter_cause", table_name="dead_letter")
    op.drop_table("dead_letter")
    op.drop_table("cursor")
    op.drop_index(op.f("ix_channel_level_sku"), table_name="channel_level")
    op.drop_index("ix_channel_level_sequence", table_name="channel_level")
    op.drop_index(
        "ix_channel_level_was_exposed",
        table_name="channel_level",
        sqlite_where=sa.text("exposure_unit_seconds > 0"),
        postgresql_where=sa.text("exposure_unit_seconds > 0"),
    )
    op.drop_index(
        "ix_channel_level_flying",
        table_name="channel_level",
        sqlite_where=sa.text("push IS NOT NULL"),
        postgresql_where=sa.text("push IS NOT NULL"),
    )
    op.drop_index(
        "ix_channel_level_problem",
        table_name="channel_level",
        sqlite_where=sa.text("problem <> ''"),
        postgresql_where=sa.text("problem <> ''"),
    )
    op.drop_index(
        "ix_channel_level_exposed",
        table_name="channel_level",
        sqlite_where=sa.text("exposure_units > 0"),
        postgresql_where=sa.text("exposure_units > 0"),
    )
    op.drop_index(
        "ix_channel_level_due",
        table_name="channel_level",
        sqlite_where=sa.text("push IS NULL AND problem = '' AND (target <> published OR unsure)"),
        postgresql_where=sa.text("push IS NULL AND problem = '' AND (target <> published OR unsure)"),
    )
    op.drop_table("channel_level")
    op.drop_table("channel")
    op.drop_index(
        "ix_bundle_waiting",
        table_name="bundle",
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.drop_table("bundle")
    op.drop_table("edition_elsewhere")
    op.drop_table("edition")
    op.drop_table("calls")
    op.drop_table("binding")
