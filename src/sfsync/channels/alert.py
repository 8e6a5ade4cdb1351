"""Alerts by signed callback, to whoever is to be woken: a message when one begins, another when it ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import orjson

from sfsync.channels.guard import Lookup, system_lookup
from sfsync.channels.sender import CallbackConfig, Sender, told_by
from sfsync.domain.alerts import AlertKind, Notice
from sfsync.ports import Clock, Finding, Unusable


class AlertCallback:
    """One receiver; see `sfsync.ports.AlertReceiver`."""

    def __init__(
        self,
        config: CallbackConfig,
        kinds: Collection[AlertKind],
        clock: Clock,
        *,
        lookup: Lookup = system_lookup,
    ) -> None:
        self.name, self.kinds, self.patience = config.name, frozenset(kinds), config.patience
        self._sender = Sender(config, clock, lookup=lookup)

    async def check(self) -> Sequence[Finding]:
        """Whether its name leads to where a callback may go, and how messages are signed."""
        return await self._sender.check("whoever is to be woken by it hears of no trouble")

    async def tell(self, notice: Notice) -> None:
        """Send one message once."""
        answer = await self._sender.send(notice.message_id, encode(notice))
        if not answer.is_success:
            raise Unusable(told_by(answer), advice="look at the receiver: it cannot use this alert")

    async def close(self) -> None:
        """Give back connections."""
        await self._sender.close()


def encode(notice: Notice) -> bytes:
    """The message; the same notice gives the same bytes."""
    over = notice.resolved_at is not None
    return orjson.dumps(
        {
            "id": notice.message_id,
            "type": "alert.resolved" if over else "alert.opened",
            "timestamp": _moment(notice.resolved_at or notice.opened_at),
            "data": {
                "alert": notice.alert_id,
                "kind": notice.kind.value,
                "title": notice.title,
                "detail": dict(notice.detail),
                "opened_at": _moment(notice.opened_at),
                "resolved_at": None if notice.resolved_at is None else _moment(notice.resolved_at),
            },
        }
    )


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
