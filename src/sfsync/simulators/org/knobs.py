"""Every point where public material leaves the behaviour of a real org open, as a switch.

`--knob name=value` at start and `POST /knobs` later set them; the product's tests run with each. The bus and
the Pub/Sub service have knobs of their own; `Panel` shows all of them as one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True)
class Knobs:
    """The settings of records, requests and sessions; `MEANINGS` tells what each decides."""

    priorvalue_sees_rollup: bool = True
    rollup_error_attribution: str = "all"
    roll_up_touches_last_modified: bool = True
    null_matches_not_equal: bool = True
    lock_error_status: int = 400
    lock_wait_seconds: float = 10.0
    parse_error_scope: str = "request"
    atomic_composite_order: str = "given"
    session_seconds: float = 7200.0
    session_extends_with_use: bool = True
    reuse_session: bool = True
    daily_api_requests: int = 100_000
    refusal_tells_usage: bool = True
    bulk_job_seconds: float = 0.0
    cancelled_status_category: str = "Activated"
    setup_visible: bool = True
    channel_told_by: str = "name"


MEANINGS: dict[str, str] = {
    "priorvalue_sees_rollup": "PRIORVALUE of a roll-up in a parent's rule is the value before this DML "
    "(true), or already the recalculated one, so that no rule can see the change (false)",
    "rollup_error_attribution": "a parent's rule refuses several children of one request at once: `all` of "
    "them carry the error, or only the `last`",
    "roll_up_touches_last_modified": "a roll-up change moves the parent's LastModifiedDate (true), or its "
    "SystemModstamp alone (false)",
    "null_matches_not_equal": "in a channel filter, null matches `!=` (true) or no comparison (false)",
    "lock_error_status": "HTTP status of UNABLE_TO_LOCK_ROW for one record; in collections it is in a 200",
    "lock_wait_seconds": "how long a save waits for a row lock before UNABLE_TO_LOCK_ROW",
    "parse_error_scope": "an unknown field or wrong JSON type in one record of a collection fails the whole "
    "`request` with 400, or only that `record`",
    "atomic_composite_order": "a composite with allOrNone works off its parts as `given`, or "
    "`creates_first`, or `deletes_first`",
    "session_seconds": "lifetime of an access token",
    "session_extends_with_use": "using a token in the second half of its life extends it",
    "reuse_session": "client credentials and JWT give the session that is still valid (true), or a new one",
    "daily_api_requests": "allowance of API requests in 24 h",
    "refusal_tells_usage": "a call refused because the day's are used up carries Sforce-Limit-Info as any "
    "other (true), or does not (false)",
    "bulk_job_seconds": "how long a bulk query job runs before it is complete",
    "cancelled_status_category": "the category of an order's status Cancelled: `Activated` (there are but "
    "two) or `Canceled`, which older releases list",
    "setup_visible": "the user that an app runs as has View Setup and Configuration: `limits` and the "
    "tooling API answer (true), or refuse (false)",
    "channel_told_by": "the tooling API names the custom channel of a member by its `name` or its `id`",
    "selected_entities": "further objects of the standard channel ChangeEvents, separated by commas",
    "merge_equal_changes": "the same change of several records in one transaction is one event with all ids",
    "parent_event_on_rollup": "a parent changed by its roll-ups alone sends a change event (true) or none",
    "formula_fields_in_events": "change events carry formula fields",
    "overflow_changes": "changes in one transaction from which on an overflow event stands for the rest",
    "largest_event_characters": "text in a change event from which on a gap event stands in for it",
    "most_selected_entities": "how many objects may be selected for change events, over all channels",
    "delivery_allowance": "events that may be delivered in 24 h, over all subscribers",
    "hourly_published_events": "platform events that may be published in an hour",
    "event_delay_seconds": "time from commit to the event's place in the stream",
    "event_delay_jitter_seconds": "at most this much more delay, drawn for each commit; the order is kept",
    "keepalive_seconds": "silence after which a Pub/Sub stream gets an empty batch",
    "unrequested_close_seconds": "a Pub/Sub stream without requested events is closed after this time",
    "first_answer_is_keepalive": "a Pub/Sub stream starts with an empty batch with the newest replay id",
    "batch_size": "most events in one FetchResponse",
    "replay_id_bytes": "8, or 10 with two zero bytes at the end",
    "recheck_token": "Pub/Sub checks the token with each request and keep-alive, not at the start alone",
    "cometd_timeout_seconds": "how long an idle CometD connect is held",
    "cometd_max_interval_seconds": "how long a CometD client may stay away between connects",
    "cometd_interval_milliseconds": "pause between connects that the advice asks of CometD clients",
    "cometd_accepts_bearer": "CometD takes `Bearer` beside `OAuth` and the raw session id, or refuses it",
    "cometd_first_connect_at_once": "the first CometD connect is answered at once, without events",
    "cometd_changed_fields": "CometD headers name changed fields (`updates`) or `never`: documents differ",
    "cometd_names_missing_cookie": "a lost BAYEUX_BROWSER cookie is named by a 400, or a 403 comes",
    "cometd_expired_token_is_http_401": "a dead token gives CometD clients a bare HTTP 401, or a 401 message",
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "rollup_error_attribution": ("all", "last"),
    "parse_error_scope": ("request", "record"),
    "atomic_composite_order": ("given", "creates_first", "deletes_first"),
    "cancelled_status_category": ("Activated", "Canceled"),
    "cometd_changed_fields": ("updates", "never"),
}


class UnknownKnob(ValueError):
    """There is no such knob, or it does not take that value; the message says what would be valid."""


class Panel:
    """The knobs of several settings objects under one roof, by their names."""

    def __init__(self, *groups: Any) -> None:
        self._groups: dict[str, Any] = {each.name: group for group in groups for each in fields(group)}
        self._defaults = {name: getattr(group, name) for name, group in self._groups.items()}

    def set(self, name: str, value: object) -> None:
        """Sets one knob from text or JSON; raises `UnknownKnob`."""
        group = self._group(name)
        setattr(group, name, _convert(name, type(self._defaults[name]), value))

    def _group(self, name: str) -> Any:
        group = self._groups.get(name)
        if group is None:
            raise UnknownKnob(f"no knob {name!r}; there are {', '.join(sorted(self._groups))}")
        return group

    def value(self, name: str) -> object:
        """What a knob stands at; raises `UnknownKnob`."""
        return getattr(self._group(name), name)

    def table(self) -> list[dict[str, object]]:
        """Name, present value, value at start and meaning of each knob."""
        return [
            {
                "name": name,
                "value": getattr(group, name),
                "default": self._defaults[name],
                "meaning": MEANINGS.get(name, ""),
            }
            for name, group in self._groups.items()
        ]


def set_all(panel: Panel, settings: Sequence[str]) -> None:
    """Sets knobs from `name=value` texts, as the command line has them."""
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UnknownKnob(f"a knob is set by name=value, not {setting!r}")
        panel.set(name.strip(), value)


def _convert(name: str, kind: type, value: object) -> bool | int | float | str:
    text = str(value).strip()
    if kind is bool:
        if text.lower() not in {"true", "false"}:
            raise UnknownKnob(f"knob {name} takes true or false, not {text!r}")
        return text.lower() == "true"
    if kind is str:
        choices = _CHOICES.get(name)
        if choices is not None and text not in choices:
            raise UnknownKnob(f"knob {name} takes {' or '.join(choices)}, not {text!r}")
        return text
    try:
        return int(text) if kind is int else float(text)
    except ValueError as error:
        raise UnknownKnob(f"knob {name} takes a number, not {text!r}") from error
