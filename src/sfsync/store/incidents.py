"""The statements of incidents and their resolutions, a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, select, update

from sfsync.domain.incidents import MISPLACED, ON_FLOOR, OVERSOLD, Stage, Waiting
from sfsync.ports.keeping import Incident, Resolution

from . import tables as t
from .prepared import Prepared
from .statements import Statements, one_of

_THIS = (
    t.incident.c.kind == bindparam("b_kind"),
    t.incident.c.key == bindparam("b_key"),
    t.incident.c.closed_at.is_(None),
)
TELL_INCIDENT = Prepared(
    update(t.incident).where(*_THIS).values(title=bindparam("b_title"), detail=bindparam("b_detail"))
)
INCIDENT_TITLE = Prepared(select(t.incident.c.title).where(*_THIS))
_OF_LINES = (OVERSOLD, MISPLACED, ON_FLOOR)  # whose key is the line's subject
LINES_TOLD = Prepared(
    select(t.incident.c.kind, t.incident.c.key).where(
        one_of(t.incident.c.kind, *_OF_LINES), t.among(t.incident.c.key), t.incident.c.closed_at.is_(None)
    )
)
OPEN_INCIDENT = Prepared(t.incident.insert(), ["kind", "key", "title", "detail", "opened_at"])
ALL_INCIDENTS = Prepared(select(t.incident).order_by(t.incident.c.id.desc()))
INCIDENTS = Prepared(
    select(t.incident).where(t.incident.c.closed_at.is_(None)).order_by(t.incident.c.id.desc())
)
CLOSE_INCIDENT = Prepared(update(t.incident).where(*_THIS).values(closed_at=bindparam("b_at")))
# What became of the movements tells what became of a resolution that has some.
_STAGES = {"waiting": Stage.ASKED, "done": Stage.DONE}


class IncidentStatements(Statements):
    """Incidents, what a person has decided about them, and how far that is."""

    def open_incident(
        self, kind: str, key: str, title: str, detail: Mapping[str, object], at: datetime
    ) -> bool:
        """Raise an incident, or bring an open one up to date; True when it is new."""
        told = {"b_kind": kind, "b_key": key, "b_title": title, "b_detail": dict(detail)}
        if TELL_INCIDENT.run(self._c, told).changed:
            return False
        row = {"kind": kind, "key": key, "title": title, "detail": dict(detail), "opened_at": at}
        OPEN_INCIDENT.run(self._c, row)
        return True

    def told_of(self, kind: str, key: str) -> str | None:
        """The title of an open incident; None where there is none."""
        title: str | None = INCIDENT_TITLE.run(self._c, {"b_kind": kind, "b_key": key}).scalar()
        return title

    def lines_told_of(self, subjects: Collection[str]) -> frozenset[tuple[str, str]]:
        """(kind, subject) of the open incidents that are about these order lines."""
        return frozenset((row.kind, row.key) for row in self._in(LINES_TOLD, subjects))

    def close_incident(self, kind: str, key: str, at: datetime) -> bool:
        """It is over; False when it was not open."""
        closed = CLOSE_INCIDENT.run(self._c, {"b_kind": kind, "b_key": key, "b_at": at})
        return closed.changed == 1

    def incident(self, incident_id: int) -> Incident | None:
        """One incident, open or closed."""
        row = self._c.execute(select(t.incident).where(t.incident.c.id == incident_id)).first()
        return None if row is None else incident_of(row)

    def incidents(self, *, open_only: bool = True) -> list[Incident]:
        """Incidents, newest first."""
        return [incident_of(row) for row in (INCIDENTS if open_only else ALL_INCIDENTS).run(self._c, {})]

    def wait_with(self, incident_id: int, waiting: Waiting) -> None:
        """Somebody has said that it may wait."""
        self._c.execute(
            update(t.incident)
            .where(t.incident.c.id == incident_id)
            .values(waits_until=waiting.until, waits_units=waiting.units)
        )

    def add_resolution(self, resolution: Resolution) -> int:
        """Keep what a person has decided; its id. The one given is not looked at."""
        made = self._c.execute(
            t.resolution.insert().values(
                incident=resolution.incident,
                way=resolution.way,
                who=resolution.by,
                reason=resolution.reason,
                detail=dict(resolution.detail),
                stage=resolution.stage.value,
                answer=resolution.answer,
                bundle=resolution.bundle,
                at=resolution.at,
            )
        ).inserted_primary_key
        if made is None:
            raise RuntimeError("the database gave no id for a new resolution")
        return int(made[0])

    def resolutions(self, incidents: Collection[int]) -> list[Resolution]:
        """What was decided about these incidents, oldest first."""
        if not incidents:
            return []
        wanted = _RESOLUTIONS.where(t.resolution.c.incident.in_(list(incidents)))
        return [_resolution(row) for row in self._c.execute(wanted)]

    def resolution(self, resolution_id: int) -> Resolution | None:
        """One of them."""
        row = self._c.execute(_RESOLUTIONS.where(t.resolution.c.id == resolution_id)).first()
        return None if row is None else _resolution(row)

    def asked_resolutions(self, way: str) -> list[Resolution]:
        """Those that wait for an answer from outside which no movement will give, oldest first."""
        return [_resolution(row) for row in _ASKED.run(self._c, {"b_way": way})]

    def finish_resolution(self, resolution_id: int, stage: Stage, answer: str, at: datetime) -> None:
        """The answer is there."""
        self._c.execute(
            update(t.resolution)
            .where(t.resolution.c.id == resolution_id)
            .values(stage=stage.value, answer=answer, answered_at=at)
        )


def incident_of(row: Row[Any]) -> Incident:
    """An incident as it is kept."""
    waiting = None if row.waits_until is None else Waiting(row.waits_until, row.waits_units)
    return Incident(row.id, row.kind, row.key, row.title, row.detail, row.opened_at, row.closed_at, waiting)


_RESOLUTIONS: Select[Any] = (
    select(
        t.resolution,
        t.bundle.c.state.label("entered"),
        t.bundle.c.reason.label("said"),
        t.bundle.c.answered_at.label("entered_at"),
    )
    .outerjoin(t.bundle, t.bundle.c.id == t.resolution.c.bundle)
    .order_by(t.resolution.c.id)
)


_ASKED = Prepared(
    _RESOLUTIONS.where(
        t.resolution.c.stage == Stage.ASKED.value,
        t.resolution.c.bundle.is_(None),
        t.resolution.c.way == bindparam("b_way"),
    )
)


def _resolution(row: Row[Any]) -> Resolution:
    stage, answer, answered_at = Stage(row.stage), row.answer, row.answered_at
    if row.entered is not None:
        stage = _STAGES.get(row.entered, Stage.REFUSED)
        answer, answered_at = row.said or row.answer, row.entered_at
    return Resolution(
        row.id,
        row.incident,
        row.way,
        row.who,
        row.reason,
        row.detail,
        stage,
        answer,
        row.bundle,
        row.at,
        answered_at,
    )
