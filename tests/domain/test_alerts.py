"""What is worth an alert: what lasts; and what names a message about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sfsync.domain.alerts import LASTING, Alert, AlertKind, Notice, Patient

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
BUSY = Alert(AlertKind.SILENCE, "silence:org", "the org does not answer", lasts=False)
SOLD = Alert(AlertKind.INCIDENT, "incident:7", "1 of BAG sold that no stock covers")


def test_what_passes_within_a_minute_troubles_nobody() -> None:
    """An incident is one at once; an org that is busy is one when it stays so."""
    patient = Patient()
    assert patient.lasting([BUSY, SOLD], (), NOW) == [SOLD]
    assert patient.lasting([BUSY], (), NOW + LASTING - timedelta(seconds=1)) == []
    assert patient.lasting([BUSY], (), NOW + LASTING) == [BUSY]


def test_what_came_back_in_between_begins_anew() -> None:
    """It was well for a moment."""
    patient = Patient()
    patient.lasting([BUSY], (), NOW)
    patient.lasting([], (), NOW + timedelta(seconds=50))
    assert patient.lasting([BUSY], (), NOW + LASTING) == []


def test_what_is_an_alert_already_stays_one_after_a_restart() -> None:
    """Nobody remembers since when; that it was told is known."""
    assert Patient().lasting([BUSY], {"silence:org"}, NOW) == [BUSY]


def test_each_message_has_an_id_of_its_own_that_stays_over_its_tries() -> None:
    """By receiver, alert, and whether it begins or is over; also over a lost store."""
    begun = Notice(1, "pager", 7, AlertKind.INCIDENT, "sold", {}, NOW, None)
    assert replace(begun, id=9, title="other words").message_id == begun.message_id
    others = {
        replace(begun, receiver="desk").message_id,
        replace(begun, alert_id=8).message_id,
        replace(begun, opened_at=NOW + timedelta(days=1)).message_id,
        replace(begun, resolved_at=NOW).message_id,
    }
    assert len(others | {begun.message_id}) == 5
