"""`sfsync coverage`: did we miss anything last night?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    fail,
    out,
    past_moment,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.domain.coverage import ACCEPTED, Answer, How, Interval, Span, answer, less
from sfsync.store import StoreError, open_store
from sfsync.store.tx import SqlTx


def coverage(
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str,
        typer.Option(help=f"How far to look back: {ACCEPTED}."),
    ] = "12h",
    as_json: JsonOption = False,
) -> None:
    """Tell whether any change in the org may have been missed, and how each break was made up for.

    Works with the daemon running or not. Thirty days are kept.

    A quiet stream shows a sign of life only every few minutes: what came since the last one is not yet known,
    and said so. It counts only with a hole in it, after some minutes, or where it is all that you ask for.

    Exit codes: 0 nothing was missed, up to the last sign of life; 1 some time is not known; 2 wrong settings
    or --since; 3 no store.
    """
    settings = settings_or_exit(config)
    now = datetime.now(UTC)
    start = past_moment("--since", since, now)
    try:
        store = open_store(settings.store_url(), exclusive=False, migrate=False)
    except StoreError as error:
        fail(str(error))
    first = store.read_now(lambda tx: tx.first_start())
    intervals = store.read_now(lambda tx: tx.coverage(start, now))
    if first is None:
        fail("this store has never been bound to an org: `sfsync run` does that at its first start")
    patience = timedelta(seconds=settings.salesforce.silence_seconds + settings.salesforce.poll_after_seconds)
    topics = [settings.salesforce.stock_topic, settings.salesforce.pos_topic]
    if settings.org_orders is not None:
        topics.append(settings.org_orders.topic)
    holes = [each.source for each in intervals if each.how is How.OPEN]
    answers = []
    for topic in dict.fromkeys([*filter(None, topics), *holes]):  # an open hole counts, whatever it is in
        watched = store.read_now(partial(SqlTx.first_watched, source=topic))
        # A stream may have been away before it was ever watched: what came then was ours too.
        told = [each.since for each in intervals if each.source == topic]
        begun = min([at for at in (watched, *told) if at is not None], default=None)
        if begun is not None:  # what lies before is no break: it was not ours yet
            answers.append(answer(topic, (min(max(start, begun, first), now), now), intervals, patience))
    if as_json:
        print_json([_as_json(each, max(start, first), now) for each in answers])
    else:
        _print(answers, max(start, first))
    raise typer.Exit(1 if any(each.missed for each in answers) else 0)


def _print(answers: Sequence[Answer], start: datetime) -> None:
    out.print(f"Since {_said(start)} UTC")
    for each in answers:
        colour = "red" if each.missed else "green"
        out.print(Text.assemble(f"  {each.source}: ", (each.sentence, colour)))
    rows = [(each.source, interval) for each in answers for interval in each.breaks]
    gaps = [(each.source, gap) for each in answers for gap in less(each.unknown, _open(each))]
    if rows or gaps:
        made = table(
            "Breaks", "stream", "from (UTC)", "to (UTC)", "how it was made up for", "why it broke", "found"
        )
        for source, interval in rows:
            made.add_row(_short(source), *_row(interval))
        for source, (since, until) in gaps:
            made.add_row(_short(source), _said(since), _said(until), Text("not known", "red"), "", "")
        out.print(made)


def _open(told: Answer) -> list[Span]:
    """Its open holes, which stand among the breaks with their reason."""
    return [(each.since, each.until) for each in told.breaks if each.how is How.OPEN]


def _row(interval: Interval) -> tuple[str, str, str, str, str]:
    return (
        _said(interval.since),
        _said(interval.until),
        interval.how.value,
        interval.why,
        interval.found,
    )


def _short(topic: str) -> str:
    return topic.rpartition("/")[2]


def _said(at: datetime) -> str:
    return f"{at.astimezone(UTC):%d %b %H:%M:%S}"


def _as_json(told: Answer, since: datetime, until: datetime) -> dict[str, object]:
    return {
        "source": told.source,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "missed": told.missed,
        "sentence": told.sentence,
        "not_yet_known_since": told.pending.isoformat() if told.pending else None,
        "unknown": [[begin.isoformat(), end.isoformat()] for begin, end in told.unknown],
        "breaks": [
            {
                "since": each.since.isoformat(),
                "until": each.until.isoformat(),
                "how": each.how.value,
                "why": each.why,
                "found": each.found,
            }
            for each in told.breaks
        ],
    }
