"""Records in the org as its people and other systems make, change and delete them: by the org's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sfsync.simulators.org.model import ChangeKind
from sfsync.simulators.org.rest.bodies import fill
from sfsync.simulators.org.save import Operation

from .world import World


class NotSavedError(Exception):
    """The org refused it; its words."""


class Records:
    """The org's records."""

    def __init__(self, world: World) -> None:
        self._engine, self._admin = world.org.engine, world.org.admin

    async def create(self, entity: str, *bodies: Mapping[str, Any]) -> list[str]:
        """Saves records together, or none of them; their ids."""
        kind = ChangeKind.CREATE
        done = [(Operation(self._engine.plans[entity].sobject, kind), body) for body in bodies]
        await self._save(done, inserting=True)
        return [operation.record_id or "" for operation, _ in done]

    async def update(self, entity: str, record_id: str, **values: Any) -> None:
        sobject = self._engine.plans[entity].sobject
        await self._save([(Operation(sobject, ChangeKind.UPDATE, record_id=record_id), values)])

    async def delete(self, entity: str, record_id: str) -> None:
        sobject = self._engine.plans[entity].sobject
        await self._save([(Operation(sobject, ChangeKind.DELETE, record_id=record_id), {})])

    async def _save(
        self, work: Sequence[tuple[Operation, Mapping[str, Any]]], *, inserting: bool = False
    ) -> None:
        engine = self._engine
        async with engine.transaction(self._admin) as transaction:
            for operation, body in work:
                plan = engine.plans[operation.sobject.name]
                fill(operation, body, plan, engine.plans, transaction.layer, inserting=inserting)
            await engine.dml(transaction, [operation for operation, _ in work], all_or_none=True)
        for operation, _ in work:
            if operation.errors:
                raise NotSavedError(operation.errors[0].message)

    def erase(self, entity: str, record_id: str) -> None:
        """Gone for ever: somebody has emptied the recycle bin."""
        self._engine.erase(entity, record_id)

    def rows(self, entity: str) -> Iterator[Mapping[str, Any]]:
        """Every record, deleted ones too."""
        yield from self._engine.store.tables[entity].rows.values()

    def row(self, entity: str, record_id: str) -> Mapping[str, Any] | None:
        return self._engine.store.tables[entity].rows.get(record_id)
