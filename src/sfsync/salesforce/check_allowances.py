"""What an org tells of its allowances, its clock, and what its channels of change events carry.

Only an examination asks for these. `limits` and the Tooling API want the permission View Setup and
Configuration, which the user that sfsync signs in as need not have: then they are not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from sfsync.domain.doctor import Allowance, Member
from sfsync.ports import Clock, TryLater
from sfsync.salesforce import soql
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.rest import OrgRefused, Rest
from sfsync.salesforce.transport import LOST

STOCK_CHANNEL = "SfsyncStock__chn"
HALF_A_SECOND = timedelta(seconds=0.5)  # a Date header has whole seconds
MEMBERS = "SELECT EventChannel, SelectedEntity FROM PlatformEventChannelMember"
CHANNELS = "SELECT Id, DeveloperName FROM PlatformEventChannel"


def allowance(limits: Mapping[str, Any] | None, name: str) -> Allowance | None:
    """One entry of what `limits` answers; None where the org does not tell it."""
    told = (limits or {}).get(name)
    return None if told is None else Allowance(int(told["Max"]), int(told["Remaining"]))


async def limits(rest: Rest) -> Mapping[str, Any] | None:
    """Everything that the org limits; None where it does not tell our user."""
    try:
        told: Mapping[str, Any] = await rest.get("limits")
    except OrgRefused:
        return None
    return told


async def members(rest: Rest) -> list[Member] | None:
    """The entities that every channel of change events carries; None where the org does not tell our user.

    An org names a custom channel by its record id in some releases: both spellings are understood.
    """
    try:
        channels = await _tooling(rest, CHANNELS)
        found = await _tooling(rest, MEMBERS)
    except OrgRefused:
        return None
    names = {str(each["Id"])[:15]: str(each["DeveloperName"]) for each in channels}
    return [
        Member(
            names.get(str(each["EventChannel"])[:15], str(each["EventChannel"])), str(each["SelectedEntity"])
        )
        for each in found
    ]


async def _tooling(rest: Rest, query: str) -> list[Mapping[str, Any]]:
    answer = await rest.get(f"tooling/query?q={soql.encoded(query)}")
    return list(answer["records"])


async def clock_offset(
    http: httpx.AsyncClient, config: OrgConfig, clock: Clock
) -> tuple[timedelta, timedelta] | None:
    """How far the org's clock is ahead of ours, and how surely; None when it tells no time.

    Costs no API call. Raises `TryLater`.
    """
    asked = clock.now()
    try:
        answer = await http.get(config.login_url.rstrip("/") + "/services/data")
    except LOST as error:
        raise TryLater(f"the org was not reached: {str(error) or type(error).__name__}") from error
    answered = clock.now()
    try:
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    uncertain = (answered - asked) / 2 + HALF_A_SECOND
    return told.astimezone(UTC) + HALF_A_SECOND - _middle(asked, answered), uncertain


def _middle(one: datetime, other: datetime) -> datetime:
    return one + (other - one) / 2
