"""What an examination finds: how bad, what, why it matters, and how it is mended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    WARNING = "warning"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an examination found.

    `mend` names what `sfsync check --fix` can do about it ("" where only a person can); see `doctor`.
    """

    severity: Severity
    what: str
    remedy: str = ""
    why: str = ""
    mend: str = ""


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst of them; good when there is none."""
    order = list(Severity)
    return max((each.severity for each in findings), key=order.index, default=Severity.GOOD)
