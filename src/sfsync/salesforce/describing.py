"""What the examinations of an org share: their words, and how a field is found by its path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sfsync.ports import Finding, Severity
from sfsync.salesforce.rest import OrgRefused

Describe = Callable[[str], Awaitable[Mapping[str, Any]]]


def fatal(what: str, remedy: str, why: str = "") -> Finding:
    """A finding that stops the daemon."""
    return Finding(Severity.FATAL, what, remedy, why)


class Paths:
    """Fields by their paths, as queries name them: without regard to case. Asks of each object once."""

    def __init__(self, describe: Describe) -> None:
        self._ask = describe
        self._known: dict[str, Mapping[str, Any] | None] = {}

    async def described(self, name: str) -> Mapping[str, Any] | None:
        """An object's description; None when it is missing, or hidden from us."""
        if name not in self._known:
            try:
                self._known[name] = await self._ask(name)
            except OrgRefused as error:
                if error.code not in ("NOT_FOUND", "INVALID_TYPE"):
                    raise
                self._known[name] = None
        return self._known[name]

    async def field(self, name: str, path: str) -> Mapping[str, Any] | str:
        """The description of a field of an object, or why it cannot be read."""
        *hops, field = path.split(".")
        for hop in hops:
            link = await self._one(name, "relationshipName", hop)
            if link is None:
                return f"{name} has no relationship {hop} (of {path})"
            name = str(link["referenceTo"][0])
        return await self._one(name, "name", field) or f"{name}.{field} is missing, or hidden from us"

    async def _one(self, name: str, key: str, value: str) -> Mapping[str, Any] | None:
        fields = (await self.described(name) or {}).get("fields", ())
        return next((each for each in fields if str(each.get(key) or "").lower() == value.lower()), None)
