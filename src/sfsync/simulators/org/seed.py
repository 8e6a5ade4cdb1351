"""What the org holds at start: itself, its user, and the stock of a seed file.

A seed is `{"levels": [{"sku", "location", "unit"?, "on_hand"?, "reserved"?}], "records": {"Order": [{…}]}}`.
It is saved by the same rules as any record but counts as history: no event tells of it. `levels` needs the
stock objects of the sfsync package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.engine import Caller, Engine
from sfsync.simulators.org.errors import ApiError
from sfsync.simulators.org.model import ChangeKind
from sfsync.simulators.org.rest.bodies import fill
from sfsync.simulators.org.save import Operation
from sfsync.simulators.org.sessions import Identity, User

_CHUNK = 1_000
_LEVEL, _MOVEMENT = "StockLevel__c", "StockMovement__c"


class SeedError(Exception):
    """The seed does not fit the org; the message names the record."""


def put_org_and_users(engine: Engine, identity: Identity, clock: Clock) -> None:
    """Stores the records that no client creates: the organization and its users."""
    user_ids = [user.id for user in identity.users.values()]
    organization = {
        "Name": "Simulated Org",
        "InstanceName": "SIM1",
        "OrganizationType": "Developer Edition",
        "IsSandbox": True,
    }
    _put(engine, "Organization", identity.org_id, organization, user_ids[0], clock)
    for user in identity.users.values():
        _put(engine, "User", user.id, _user_fields(user), user_ids[0], clock)


def _user_fields(user: User) -> dict[str, Any]:
    first, _, last = user.name.partition(" ")
    return {
        "Username": user.username,
        "Email": user.username,
        "FirstName": first,
        "LastName": last,
        "Name": user.name,
        "Alias": first[:8].lower(),
        "IsActive": True,
        "UserType": "Standard",
    }


def _put(
    engine: Engine, entity: str, record_id: str, values: dict[str, Any], user_id: str, clock: Clock
) -> None:
    plan = engine.plans.get(entity)
    if plan is None:
        return
    now = clock.now().replace(microsecond=0)
    row = {**plan.template, "Id": record_id}
    row |= {name: value for name, value in values.items() if name in row}
    row |= dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), now)
    row |= dict.fromkeys(("CreatedById", "LastModifiedById"), user_id)
    table = engine.store.tables[entity]
    table.put(row, None)
    table.next_number += 1


def fill_org(engine: Engine, seed: Mapping[str, Any], caller: Caller) -> int:
    """Saves the seed's records; returns how many. Raises `SeedError`."""
    unknown = set(seed) - {"levels", "records"}
    if unknown:
        raise SeedError(f"a seed has levels and records, not {', '.join(sorted(unknown))}")
    saved = 0
    for entity, bodies in seed.get("records", {}).items():
        saved += len(save_records(engine, entity, bodies, caller))
    levels = seed.get("levels", [])
    if levels and _LEVEL not in engine.plans:
        raise SeedError(f"levels need the object {_LEVEL}, which this source does not have")
    for chunk in _chunks(levels):
        ids = save_records(engine, _LEVEL, [_level(level) for level in chunk], caller)
        opening = [_opening(level, each) for level, each in zip(chunk, ids, strict=True)]
        reserved = [
            _reserved(level, each) for level, each in zip(chunk, ids, strict=True) if level.get("reserved")
        ]
        saved += len(ids) + len(save_records(engine, _MOVEMENT, opening, caller))
        saved += len(save_records(engine, _MOVEMENT, reserved, caller))
    return saved


def save_records(
    engine: Engine, entity: str, bodies: Iterable[Mapping[str, Any]], caller: Caller
) -> list[str]:
    """Inserts records as history, in order; returns their ids."""
    plan = engine.plan(entity)
    if plan is None:
        raise SeedError(f"the org has no object {entity}")
    ids: list[str] = []
    for chunk in _chunks(bodies):
        transaction = engine.begin(caller)
        operations = [Operation(plan.sobject, ChangeKind.CREATE) for _ in chunk]
        for operation, body in zip(operations, chunk, strict=True):
            try:
                fill(operation, body, plan, engine.plans, transaction.layer, inserting=True)
            except ApiError as error:
                raise SeedError(f"{entity} {dict(body)}: {error.message}") from error
        engine.dml_now(transaction, operations, all_or_none=True)
        for operation, body in zip(operations, chunk, strict=True):
            if operation.errors and operation.errors[0].code != "ALL_OR_NONE_OPERATION_ROLLED_BACK":
                raise SeedError(f"{entity} {dict(body)}: {operation.errors[0].message}")
        engine.commit_now(transaction, tell=False)
        ids.extend(operation.record_id or "" for operation in operations)
    return ids


def _chunks(items: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _level(level: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(level) - {"sku", "location", "unit", "on_hand", "reserved"}
    if unknown or not level.get("sku") or not level.get("location"):
        raise SeedError(f"a level has sku, location, and perhaps unit, on_hand, reserved: {dict(level)}")
    parts = [str(level[name]) for name in ("sku", "location", "unit") if level.get(name)]
    body = {"LevelKey__c": "|".join(parts), "Sku__c": level["sku"], "LocationCode__c": level["location"]}
    if level.get("unit"):
        body["Unit__c"] = level["unit"]
    return body


def _opening(level: Mapping[str, Any], level_id: str) -> dict[str, Any]:
    return {"StockLevel__c": level_id, "Kind__c": "Opening", "OnHandDelta__c": level.get("on_hand", 0)}


def _reserved(level: Mapping[str, Any], level_id: str) -> dict[str, Any]:
    return {"StockLevel__c": level_id, "Kind__c": "Client", "ReservedDelta__c": level["reserved"]}
