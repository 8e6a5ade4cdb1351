"""Alembic's entry: migrations run on the connection that `database` opened."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from sfsync.store.tables import Instant, Json, metadata


def _render(kind: str, thing: Any, _context: object) -> str | Literal[False]:
    """Migrations name plain types, so that an old one never changes with our code."""
    if kind == "type" and isinstance(thing, Instant):
        return "sa.Double()"
    if kind == "type" and isinstance(thing, Json):
        return "sa.Text()"
    return False


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_item=_render)
with context.begin_transaction():
    context.run_migrations()
