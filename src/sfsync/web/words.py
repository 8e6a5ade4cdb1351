"""How numbers and moments read on the status page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from markupsafe import Markup, escape

from sfsync.domain.stock import MovementKind

_THIN = "\u202f"  # a narrow space that does not break


def moment(text: str) -> datetime:
    """The moment of a text like ``2026-11-23T08:15:00Z``."""
    return datetime.fromisoformat(text)


def ago(at: str | None, now: str) -> str:
    """How long ago, in the one unit that matters."""
    if at is None:
        return "never"
    seconds = int((moment(now) - moment(at)).total_seconds())
    return f"{lasting(seconds)} ago" if seconds >= 1 else "just now"


def since(at: str, now: str) -> str:
    """How long since then."""
    return lasting(max(0, int((moment(now) - moment(at)).total_seconds())))


def lasting(seconds: float | None) -> str:
    """A duration in its largest sensible unit."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + f"{_THIN}s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{_THIN}{unit}"
    return f"{round(seconds)}{_THIN}s"


def millis(ms: float | None) -> str:
    """A latency."""
    if ms is None:
        return "–"
    return f"{ms:.0f}{_THIN}ms" if ms < 1000 else lasting(ms / 1000)


def number(value: float | None) -> str:
    """A count, its thousands set apart."""
    if value is None:
        return "–"
    if 0 < abs(value) < 1:
        return f"{value:.2g}".replace("-", "−")
    text = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"
    return text.replace(",", _THIN).replace("-", "−")


def percent(value: float | None) -> str:
    """A share, to a tenth of a percent."""
    return "–" if value is None else f"{value:.1f}{_THIN}%"


def signed(value: int) -> str:
    """A change, with its sign; nothing for none."""
    return "" if value == 0 else ("+" if value > 0 else "") + number(value)


def clock(at: str | None) -> str:
    """The time of day, UTC, for a list of moments."""
    return "–" if at is None else f"{moment(at):%H:%M:%S}"


def exact(at: str) -> str:
    """The moment to the millisecond, UTC; for the order in which things followed on each other."""
    when = moment(at)
    return f"{when:%d %b %H:%M:%S}.{when.microsecond // 1000:03}"


def day(at: str) -> str:
    """Date and time, UTC."""
    return f"{moment(at):%d %b %Y, %H:%M:%S} UTC"


def date(at: str) -> str:
    """The day alone, UTC."""
    return f"{moment(at):%d %b %Y}"


def marked(text: str) -> Markup:
    """A text in which `commands` stand between backticks; everything else in it is plain."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def moved(kind: str) -> str:
    """A movement's kind, from the org's word for it: ``Sale``, ``Pick-up``."""
    return MovementKind.PICK_UP.word.capitalize() if kind == MovementKind.PICK_UP else kind


def plural(count: int, one: str, many: str = "") -> str:
    """``1 order``, ``2 orders``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


FILTERS: Mapping[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        ago,
        since,
        lasting,
        millis,
        number,
        percent,
        signed,
        clock,
        exact,
        day,
        date,
        marked,
        moved,
        plural,
    )
}
