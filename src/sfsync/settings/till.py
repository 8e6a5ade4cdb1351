"""What a concession's till must be told: where it stands, how it writes, who may speak for it."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from sfsync.domain.till_file import COLUMNS
from sfsync.domain.tills import DAY_ENDS, MOST_UNITS, Restart, Till, TillExpected

from .section import Section
from .texts import OrgLocation, Text, matching, refuse


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise refuse("is no time zone that this machine knows", 'Give it like "Europe/Paris"') from None
    return name


def _column(name: str) -> str:
    if name not in COLUMNS:
        raise refuse("is no column that we read", f"Known are {', '.join(COLUMNS)}")
    return name


class TillSettings(Section):
    """A till of another company that sells what is at one of the org's locations: docs/concession.md."""

    location: OrgLocation
    timezone: Annotated[str, AfterValidator(_zone)]  # of its dates and times
    tokens: tuple[Text, ...] = ()  # names of those that may speak for it; empty: operators only
    # Its file: our columns receipt, line, sku, quantity, date, time, unit -> its own names of them.
    columns: dict[Annotated[str, AfterValidator(_column)], Text] = Field(default={})
    delimiter: Literal["", ",", ";", "\t", "|"] = ""  # empty: what the first line has most of
    decimal: Literal[".", ","] = "."
    date_format: Literal["YYYY-MM-DD", "YYYYMMDD", "DD.MM.YYYY", "DD/MM/YYYY", "DD-MM-YYYY", "MM/DD/YYYY"] = (
        "YYYY-MM-DD"
    )
    # When its trading day ends: the time of what it tells with a date only.
    day_ends: Annotated[
        str, matching(r"([01]\d|2[0-3]):[0-5]\d|24:00", "is no time of day", 'Give it like "21:30"')
    ] = "24:00"
    receipts_restart: Literal["never", "yearly", "daily"] = "never"
    most_units: int = Field(default=MOST_UNITS, ge=1, le=1_000_000)  # of one line; more are a mistake
    safety_stock: int = Field(default=0, ge=0)  # units of each SKU there that it may not sell
    cap: int | None = Field(default=None, ge=0)
    reports_every_hours: float | None = Field(default=None, gt=0, le=24 * 31)  # or a warning says so
    inbox: Path | None = None  # a folder that is watched for its files
    rest_seconds: float = Field(
        default=10.0, ge=1, le=3600
    )  # a file that has not changed for so long is whole
    partial: bool = False  # of a file from the folder: enter its good rows although others are bad
    levels_out: Path | None = None  # a file that always says what it may sell

    def expected(self) -> TillExpected:
        """What the status must know of it."""
        every = self.reports_every_hours
        return TillExpected(self.location, None if every is None else timedelta(hours=every))

    def told(self, name: str) -> Till:
        """In the domain's words."""
        return Till(
            name=name,
            location=self.location,
            zone=ZoneInfo(self.timezone),
            columns=self.columns,
            delimiter=self.delimiter,
            decimal=self.decimal,
            date_format=self.date_format,
            day_ends=DAY_ENDS if self.day_ends == "24:00" else time.fromisoformat(self.day_ends),
            restart=Restart(self.receipts_restart),
            most_units=self.most_units,
            partial=self.partial,
            safety_stock=self.safety_stock,
            cap=self.cap,
        )
