"""What tills tell amiss, and is never lost for it: identities used twice, times that are still to come.

An identity tells of one thing: who uses it again for another is told, so that nothing is lost in silence.

A till's event that says once more what is known of its identity is a repetition, and nothing comes of it.
One that says something else may be a second sale under one receipt number: it is set aside whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sfsync.domain.incidents import DATED_AHEAD
from sfsync.domain.letters import LEDGER, REUSED, REUSED_ADVICE
from sfsync.domain.stock import Movement, tells_again
from sfsync.ports import Tx

from .context import Context
from .sku_mappings import mapped_level


def told_before(tx: Tx, rows: Sequence[Movement]) -> Sequence[Movement]:
    """What is known of the identity of these rows: entered, folded, waiting, or refused and not dropped."""
    if tx.next_step(rows[0].subject):
        return tx.planned(rows[0].subject)
    key = rows[0].key
    return tx.wrong_rows(key) if (LEDGER, key) in tx.with_dead_letter([key]) else ()


def used_again(tx: Tx, known: Sequence[Movement], rows: Sequence[Movement]) -> bool:
    """True when these rows say something else than what is known of their identity."""
    return bool(known) and not (
        tells_again(known, rows) or tells_again(known, [mapped_level(tx, row) for row in rows])
    )


def set_aside(
    tx: Tx,
    ctx: Context,
    source: str,
    identity: str,
    known: Sequence[Movement],
    rows: Sequence[Movement],
    payload: str,
    now: datetime,
) -> None:
    """Keep what uses an identity again; the same again only renews its letter."""
    said, before = _words(rows), _words(known)
    reason = f"{REUSED}: {identity} was {before} on {known[0].occurred_at.isoformat()}, and is now {said}"
    if not any(row.key for row in known):  # folded: nothing but its sum is known
        reason = f"{REUSED}: {identity} was entered before as {before}, and is now {said}"
    tx.dead_letter(source, f"{identity}: {said}", reason, REUSED_ADVICE, payload, now)
    ctx.log.warning(
        "identity used twice", source=source, identity=identity, reason=reason, next=REUSED_ADVICE
    )


def dated_ahead(
    tx: Tx, ctx: Context, location: str, identity: str, dated: datetime | None, at: datetime
) -> None:
    """Tell a place whose clock is ahead, once until somebody has dealt with it. `at`: what stands instead."""
    if dated is None:
        return
    title = f"{location} dates what it tells with times that are still to come: {identity}, {_iso(dated)}"
    detail = {"location": location, "told": _iso(dated), "entered": _iso(at)}
    if tx.open_incident(DATED_AHEAD, location, title, detail, ctx.clock.now()):
        then = "entered with the time of its event; set the clock there right"
        ctx.log.warning("dated ahead", location=location, identity=identity, told=_iso(dated), next=then)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _words(rows: Sequence[Movement]) -> str:
    return " and ".join(
        f"{row.on_hand_delta:+d} of {row.level}" + (f" ({row.kind.value})" if row.key else "") for row in rows
    )
