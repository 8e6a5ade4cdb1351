"""What somebody asks of an accuracy report, in the words of command line and API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .coverage import asked_since
from .ira import BANDS, DIMENSIONS, TOLERANCES, Tolerance

FIELDS = ("by", "since", "until", "tolerance", "bands", "class_field", "location", "sku")
SINCE = "90d"


class BadWishError(ValueError):
    """What cannot be asked; `problems` names each field and what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name} {what}" for name, what in problems.items()))
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class IraWish:
    """A report's grouping, time, tolerances and limits. `class_field` is a product's field; "" the first."""

    since: datetime
    until: datetime
    by: tuple[str, ...] = ("location",)
    tolerances: tuple[Tolerance, ...] = TOLERANCES
    bands: tuple[float, ...] = BANDS
    class_field: str = ""
    location: str | None = None
    sku: str | None = None


def read_wish(told: Mapping[str, str], now: datetime) -> IraWish:
    """The wish that texts say; lists have commas between, and moments are UTC unless they say otherwise.

    `BadWishError` names all that is wrong.
    """
    problems = {name: f"is not known; known are {', '.join(FIELDS)}" for name in told if name not in FIELDS}
    by = tuple(filter(None, (part.strip() for part in told.get("by", "location").split(","))))
    wrong = [part for part in by if part not in DIMENSIONS]
    if wrong or len(set(by)) < len(by):
        problems["by"] = (
            f"{', '.join(wrong) or told['by']}: give each of {', '.join(DIMENSIONS)} at most once"
        )
    tolerances: tuple[Tolerance, ...] = TOLERANCES
    if told.get("tolerance"):
        try:
            tolerances = tuple(dict.fromkeys(map(Tolerance.parse, told["tolerance"].split(","))))
        except ValueError as error:
            problems["tolerance"] = str(error)
    bands: tuple[float, ...] = BANDS
    if told.get("bands"):
        parts = [part.strip() for part in told["bands"].split(",")]
        numbers = [float(part) for part in parts if re.fullmatch(r"\d{1,9}(\.\d+)?", part)]
        bands = tuple(numbers)
        if len(numbers) < len(parts) or sorted(set(numbers)) != numbers or numbers[0] <= 0:
            problems["bands"] = "is no list of rising prices, such as 100,500,1000"
    since, until = _moment("since", told.get("since") or SINCE, now, problems), now
    if told.get("until"):
        until = _moment("until", told["until"], now, problems)
    if not problems and since >= until:
        problems["since"] = "is not before until"
    if problems:
        raise BadWishError(problems)
    return IraWish(
        since,
        until,
        by,
        tolerances,
        bands,
        told.get("class_field", "").strip(),
        told.get("location") or None,
        told.get("sku") or None,
    )


def _moment(name: str, text: str, now: datetime, problems: dict[str, str]) -> datetime:
    try:
        at = asked_since(text, now.replace(tzinfo=None))
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        problems[name] = f"is wrong: {error}"
        return now
