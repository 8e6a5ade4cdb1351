"""The statements of dead letters; a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update

from sfsync.domain.letters import Cause, cause_of
from sfsync.domain.stock import BROKEN
from sfsync.ports.keeping import DeadLetter, DroppedLetter

from . import tables as t
from .prepared import Prepared
from .statements import Statements, among

LETTERS_BY_KEY = Prepared(among(t.dead_letter.c.key))
DROP_LETTER = Prepared(
    t.dead_letter.delete().where(
        t.dead_letter.c.source == bindparam("b_source"), t.dead_letter.c.key == bindparam("b_key")
    )
)


class LetterStatements(Statements):
    """What a person must look at, and what one has dropped."""

    def dead_letter(
        self, source: str, key: str, reason: str, advice: str, payload: str, at: datetime
    ) -> None:
        """Set an item aside for a person; the same item again only renews its reason."""
        self._upsert(
            t.dead_letter,
            [
                {
                    "source": source,
                    "key": _keepable(key),
                    "cause": cause_of(source, _keepable(key), _keepable(reason)).value,
                    "reason": _keepable(reason),
                    "advice": _keepable(advice),
                    "payload": _keepable(payload),
                    "at": at,
                }
            ],
            keys=["source", "key"],
        )

    def drop_dead_letter(self, source: str, key: str) -> bool:
        """It has settled itself; False when there was none."""
        return DROP_LETTER.run(self._c, {"b_source": source, "b_key": key}).changed > 0

    def with_dead_letter(self, keys: Collection[str]) -> frozenset[tuple[str, str]]:
        """(source, key) of the dead letters that have one of these keys."""
        return frozenset((row.source, row.key) for row in self._in(LETTERS_BY_KEY, keys))

    def drop_letters(self, numbers: Collection[int], by: str, because: str, at: datetime) -> list[int]:
        """A person has dealt with them: off the list and into the record. The ids that there were."""
        wanted = t.dead_letter.c.id.in_(sorted(set(numbers)))
        rows = self._c.execute(select(t.dead_letter).where(wanted).order_by(t.dead_letter.c.id)).all()
        if not rows:
            return []
        said = {"dropped_at": at, "by": by, "because": because}
        kept = [row._asdict() for row in rows]
        for letter in kept:
            del letter["cause"]
            letter |= {**said, "letter": letter.pop("id")}
        self._c.execute(t.dropped_letter.insert(), kept)
        self._c.execute(t.dead_letter.delete().where(wanted))
        return [row.id for row in rows]

    def dropped_for_good(self, source: str, key: str) -> bool:
        """Whether a person has taken a letter of this key off the list."""
        c = t.dropped_letter.c
        return (
            self._c.execute(select(c.id).where(c.source == source, c.key == key).limit(1)).first() is not None
        )

    def dropped_letters(self, limit: int = 100) -> list[DroppedLetter]:
        """The last that persons took off the list, newest first."""
        table = t.dropped_letter
        rows = self._c.execute(
            select(table).order_by(table.c.dropped_at.desc(), table.c.id.desc()).limit(limit)
        )
        return [
            DroppedLetter(
                DeadLetter(r.letter, r.source, r.key, r.reason, r.advice, r.payload, r.at),
                r.dropped_at,
                r.by,
                r.because,
            )
            for r in rows
        ]

    def reopen_inbox(self, source: str, key: str) -> bool:
        """Take a delivery up again as it came; False when it is not kept any more."""
        this = (t.inbox.c.source == source, t.inbox.c.key == key)
        return self._c.execute(update(t.inbox).where(*this).values(done_at=None)).rowcount > 0

    def dead_letters(
        self,
        causes: Collection[Cause] = (),
        *,
        ids: Collection[int] | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[DeadLetter]:
        """What a person must look at, oldest first: of all causes or these, of these ids, after an id."""
        c = t.dead_letter.c
        asked = select(t.dead_letter).where(c.id > after).order_by(c.id).limit(limit)
        if causes:
            asked = asked.where(c.cause.in_([each.value for each in causes]))
        if ids is not None:
            asked = asked.where(c.id.in_(sorted(set(ids))))
        return [_letter(row) for row in self._c.execute(asked)]

    def newest_letters(self, limit: int) -> list[DeadLetter]:
        """Those that came last, newest first."""
        rows = self._c.execute(select(t.dead_letter).order_by(t.dead_letter.c.id.desc()).limit(limit))
        return [_letter(row) for row in rows]

    def letters_by_cause(self) -> dict[Cause, int]:
        """How many there are of each cause."""
        cause = t.dead_letter.c.cause
        rows = self._c.execute(select(cause, func.count()).group_by(cause))
        return {Cause(name): int(count) for name, count in rows}

    def newest_letter(self, cause: Cause) -> int:
        """The id of a cause's newest letter; 0 when there is none."""
        c = t.dead_letter.c
        return self._c.execute(select(func.max(c.id)).where(c.cause == cause.value)).scalar() or 0


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(row.id, row.source, row.key, row.reason, row.advice, row.payload, row.at)


def _keepable(text: str) -> str:
    """A text as every database keeps it: none has NUL, nor half a character."""
    return text.replace("\0", BROKEN).encode(errors="replace").decode()
