"""What somebody asks of a report on what sells, in the words of command line and API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .ira_wish import BadWishError
from .turnover import DIMENSIONS

MOST_DAYS = 730
MOST_ROWS = 100_000
NUMBERS = {  # name: default, least, most
    "days": (30, 1, MOST_DAYS),
    "lead_days": (7, 0, MOST_DAYS),
    "cover_days": (28, 1, MOST_DAYS),
    "over_days": (180, 1, 3_650),
    "limit": (200, 1, MOST_ROWS),
}
FIELDS = (*NUMBERS, "by", "location", "sku", "class_field")


@dataclass(frozen=True, slots=True)
class TurnoverWish:
    """Sales of the last `days`; at most `limit` rows. Each report takes what concerns it."""

    days: int = 30
    lead_days: int = 7
    cover_days: int = 28
    over_days: int = 180
    limit: int = 200
    by: tuple[str, ...] = ("sku",)
    location: str | None = None
    sku: str | None = None
    class_field: str = ""


def read_turnover(told: Mapping[str, str]) -> TurnoverWish:
    """The wish that texts say; `BadWishError` names all that is wrong."""
    problems = {name: f"is not known; known are {', '.join(FIELDS)}" for name in told if name not in FIELDS}
    numbers = {}
    for name, (default, least, most) in NUMBERS.items():
        text = told.get(name) or str(default)
        numbers[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
        if not least <= numbers[name] <= most:
            problems[name] = f"is no whole number from {least} to {most}"
    by = tuple(filter(None, (part.strip() for part in told.get("by", "sku").split(","))))
    if set(by) - set(DIMENSIONS) or len(set(by)) < len(by):
        problems["by"] = f"is none of {', '.join(DIMENSIONS)}, each at most once, commas between"
    if not problems and numbers["over_days"] <= numbers["lead_days"] + numbers["cover_days"]:
        problems["over_days"] = "is not more than lead_days and cover_days together"
    if problems:
        raise BadWishError(problems)
    return TurnoverWish(
        **numbers,
        by=by,
        location=told.get("location") or None,
        sku=told.get("sku") or None,
        class_field=told.get("class_field", "").strip(),
    )
