"""The control port's view of the event bus: what can be made to go wrong between commit and subscriber."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request

from sfsync.simulators.org.fates import Fate

if TYPE_CHECKING:
    from sfsync.simulators.org.org import Org
    from sfsync.simulators.org.pubsub import PubSubService


class BusControl:
    """`POST /bus {"do": action, …}`; the other members are the action's arguments."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self.service: PubSubService | None = None
        self._actions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "gap": lambda told: org.bus.inject_gap(
                told["entity"], list(told["ids"]), told.get("kind", "UPDATE")
            ),
            "overflow": lambda told: org.bus.inject_overflow(told["entity"]),
            "convert_field": lambda told: org.bus.inject_conversion(told["entity"]),
            "fates": self._order_fates,
            "duplicate_last": lambda told: org.bus.duplicate_last(told["topic"], int(told.get("count", 1))),
            "hold": lambda told: org.bus.hold(told.get("commits")),
            "release": lambda told: org.bus.release(shuffled=bool(told.get("shuffled", False))),
            "reset_stream": lambda told: org.bus.reset_stream(told.get("next_id")),
            "use_up_allowance": lambda told: org.bus.allowance.use_up(),
            "refill_allowance": lambda told: org.bus.allowance.refill(),
            "forbid": lambda told: org.bus.forbid(told["topic"]),
            "allow": lambda told: org.bus.allow(told["topic"]),
            "cut": lambda told: self._cut(told.get("topic")),
            "silence": lambda told: self._go_silent(),
            "speak": self._speak,
            "drop_cometd_sessions": lambda told: org.cometd.drop_sessions(),
            "refuse": self._refuse,
            "refuse_replay": self._refuse_replay,
            "add_field": lambda told: org.bus.add_field(told["entity"], told["field"]),
        }

    def serve(self, service: PubSubService) -> None:
        """Takes the service whose streams can be cut and silenced, by order and by chance."""
        self.service = service
        self._org.bus.around[Fate.CUT] = self._cut
        self._org.bus.around[Fate.SILENT] = self._go_silent

    def _cut(self, topic: str | None = None) -> int:
        return self._served().cut(topic) + self._org.cometd.cut(topic)

    def _go_silent(self) -> int:
        return self._served().go_silent() + self._org.cometd.go_silent()

    async def inside(self, request: Request) -> Any:
        return {**self._org.bus.inside(), "actions": sorted(self._actions)}

    async def act(self, request: Request) -> Any:
        told = orjson.loads(await request.body())
        action = self._actions.get(told.get("do"))
        if action is None:
            raise ValueError(f"no action {told.get('do')!r}; there are {', '.join(sorted(self._actions))}")
        return {"done": told["do"], "result": action(told)}

    def _order_fates(self, told: dict[str, Any]) -> None:
        fates = self._org.bus.fates
        fates.order(None if each is None else Fate(each) for each in told.get("next", ()))
        if "seed" in told:
            fates.seed(int(told["seed"]))
        for name in set(told) - {"do", "next", "seed"}:
            fates.set(name, float(told[name]))

    def _refuse_replay(self, told: dict[str, Any]) -> None:
        self._org.bus.fates.refused_replays = int(told.get("count", 1))

    def _speak(self, told: dict[str, Any]) -> None:
        self._served().speak()
        self._org.cometd.speak()

    def _refuse(self, told: dict[str, Any]) -> None:
        arguments = {name: told[name] for name in ("code", "count") if name in told}
        self._served().refuse_next(told["rpc"], **arguments)

    def _served(self) -> PubSubService:
        if self.service is None:
            raise ValueError("the Pub/Sub service is not served by this org")
        return self.service
