"""`tooling/query`, as far as somebody wants to know what the channels of change events carry.

Two queries are understood, with any fields: all of PlatformEventChannel, all of PlatformEventChannelMember.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sfsync.simulators.org.errors import ApiError
from sfsync.simulators.org.ids import make_id
from sfsync.simulators.org.knobs import Knobs
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse

_QUERY = re.compile(r"\s*SELECT\s+([\w\s,]+?)\s+FROM\s+(\w+)\s*\Z", re.IGNORECASE)

Channels = Callable[[], Mapping[str, Sequence[str]]]  # of each channel, the change events that it carries


def may_see_setup(knobs: Knobs) -> None:
    """Refuses a user without the permission View Setup and Configuration."""
    if not knobs.setup_visible:
        message = "You do not have the level of access necessary to perform the operation you requested."
        raise ApiError(403, "INSUFFICIENT_ACCESS", message)


class Tooling:
    """The `tooling` resource."""

    def __init__(self, channels: Channels, knobs: Knobs) -> None:
        self._channels, self._knobs = channels, knobs

    async def query(self, request: ApiRequest) -> ApiResponse:
        may_see_setup(self._knobs)
        asked = _QUERY.match(request.query.get("q", ""))
        if asked is None:
            raise ApiError(400, "MALFORMED_QUERY", "this org's tooling API understands SELECT … FROM … alone")
        fields, name = [each.strip() for each in asked[1].split(",")], asked[2]
        rows = self._rows().get(name.lower())
        if rows is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
        unknown = [field for field in fields for row in rows[:1] if field not in row]
        if unknown:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on entity '{name}'.")
        records = [{"attributes": {"type": name}, **{field: row[field] for field in fields}} for row in rows]
        size = len(records)
        body = {"size": size, "totalSize": size, "done": True, "queryLocator": None, "records": records}
        return ApiResponse(200, body | {"entityTypeName": name})

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        carried = self._channels()
        ids = {name: make_id("0YL", number) for number, name in enumerate(sorted(carried), 1)}
        custom = [name for name in carried if name.endswith("__chn")]
        by_id = self._knobs.channel_told_by == "id"
        members = [(name, entity) for name, entities in carried.items() for entity in entities]
        return {
            "platformeventchannel": [
                {"Id": ids[name], "DeveloperName": name.removesuffix("__chn"), "ChannelType": "data"}
                for name in custom
            ],
            "platformeventchannelmember": [
                {
                    "Id": make_id("0v8", number),
                    "DeveloperName": f"{name}_{entity}".replace("__", "_"),
                    "EventChannel": ids[name] if by_id and name in custom else name,
                    "SelectedEntity": entity,
                }
                for number, (name, entity) in enumerate(members, 1)
            ],
        }
