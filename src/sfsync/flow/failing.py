"""Receivers that do not take what they are told: kept, told to a person once, forgotten on their return."""

from __future__ import annotations

from datetime import datetime

from sfsync.domain.callbacks import Failing, heard
from sfsync.domain.incidents import SET_ASIDE
from sfsync.ports import Tx

from .context import Context


def set_aside(tx: Tx, ctx: Context, name: str, failing: Failing) -> None:
    """Keep how a receiver stands after a failure; an incident once it is set aside."""
    before = tx.failing(name)
    tx.put_failing(name, failing)
    if failing.set_aside_at is None:
        return
    title = f"{name} takes no callbacks since {_minute(failing.since)}: {failing.reason}"
    detail = {"channel": name, "failures": failing.failures, "reason": failing.reason}
    tx.open_incident(SET_ASIDE, name, title, detail, ctx.clock.now())
    if before is None or before.set_aside_at is None:
        ctx.log.warning("a receiver is set aside", channel=name, reason=failing.reason)


def took_again(tx: Tx, ctx: Context, name: str) -> None:
    """It has taken a message: what is sent from now on is what is true now."""
    if tx.failing(name) is None:
        return
    tx.put_failing(name, None)
    if tx.close_incident(SET_ASIDE, name, ctx.clock.now()):
        ctx.log.info("a receiver is back", channel=name)


def try_again(tx: Tx, ctx: Context, name: str) -> None:
    """Somebody has mended something about it: it is tried at once, whatever its schedule says."""
    if (failing := tx.failing(name)) is not None:
        tx.put_failing(name, heard(failing, ctx.clock.now()))


def standing(failing: Failing) -> str:
    """How it stands, for the status."""
    if failing.set_aside_at is None:
        return f"failing since {_minute(failing.since)}: {failing.reason}"
    return f"set aside since {_minute(failing.set_aside_at)}: {failing.reason}"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
