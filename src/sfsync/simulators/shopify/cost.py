"""What a call costs in points, and the bucket the points come from.

A mutation costs 10, an object 1, a scalar nothing; a connection costs 2 and its page's rows. The cost
asked for is taken at the start, and what the answer did not need is given back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
)

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Plan

MUTATION_COST = 10
SINGLE_QUERY_LIMIT = 1000
ROUNDING = 1e-3  # a client that waits exactly long enough is not turned away by a float


@dataclass(slots=True)
class Bucket:
    """A leaking bucket turned over: spent points come back at the plan's rate."""

    plan: Plan
    clock: ShopClock
    _level: float = 0.0
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._level = self.plan.bucket_size
        self._at = self.clock.now()

    @property
    def available(self) -> float:
        """Points that can be spent now."""
        now = self.clock.now()
        self._level = min(self.plan.bucket_size, self._level + (now - self._at) * self.plan.restore_rate)
        self._at = now
        return self._level

    def take(self, points: float) -> bool:
        """Spend, or refuse and spend nothing."""
        if points > self.available + ROUNDING:
            return False
        self._level -= points
        return True

    def give_back(self, points: float) -> None:
        """Return what was taken and not needed."""
        self._level = min(self.plan.bucket_size, self.available + points)

    def status(self) -> dict[str, float]:
        """The throttleStatus of an answer."""
        return {
            "maximumAvailable": self.plan.bucket_size,
            "currentlyAvailable": math.floor(self.available),
            "restoreRate": self.plan.restore_rate,
        }


@dataclass(frozen=True, slots=True)
class Part:
    """A field that may cost something: what leads to objects. Scalars cost nothing and are left out."""

    name: str
    key: str  # under which its answer stands
    size: int | str | None  # rows asked for; a text names the variable that says so
    is_connection: bool
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Priced:
    """What of an operation costs something: found once, as clients send the same few again and again."""

    is_mutation: bool
    parts: tuple[Part, ...]


def priced(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> Priced:
    """Read what costs something off a valid operation."""
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }

    def fields(selections: SelectionSetNode | None, parent: Any) -> Iterator[tuple[FieldNode, Any]]:
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                yield node, parent
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                inner = schema.get_type(condition.name.value) if condition else parent
                yield from fields(node.selection_set, inner)
            elif isinstance(node, FragmentSpreadNode):
                fragment = fragments[node.name.value]
                yield from fields(fragment.selection_set, schema.get_type(fragment.type_condition.name.value))

    def parts(selections: SelectionSetNode | None, parent: Any) -> Iterator[Part]:
        for node, owner in fields(selections, parent):
            definition = owner.fields.get(node.name.value)
            if definition is None or is_leaf_type(get_named_type(definition.type)):
                continue
            inner = get_named_type(definition.type)
            yield Part(
                node.name.value,
                node.alias.value if node.alias else node.name.value,
                _page_size(node),
                inner.name.endswith("Connection"),
                tuple(parts(node.selection_set, inner)),
            )

    root = schema.get_root_type(operation.operation)
    is_mutation = operation.operation is OperationType.MUTATION
    return Priced(is_mutation, tuple(parts(operation.selection_set, root)))


def _page_size(node: FieldNode) -> int | str | None:
    for argument in node.arguments or ():
        if argument.name.value not in ("first", "last"):
            continue
        if isinstance(argument.value, IntValueNode):
            return int(argument.value.value)
        if isinstance(argument.value, VariableNode):
            return str(argument.value.name.value)
    return None


class CostMeter:
    """Prices one operation, before it runs by its page sizes and afterwards by its answer."""

    def __init__(self, operation: Priced, variables: Mapping[str, Any], scale: str) -> None:
        self._operation = operation
        self._variables = variables
        self._scale = _SCALES[scale]

    def requested(self) -> int:
        """What the operation may cost at most."""
        return self._root(_REQUESTED)

    def actual(self, data: Mapping[str, Any]) -> int:
        """What it did cost, given what it answered."""
        return self._root(data)

    def _root(self, data: Any) -> int:
        total = 0.0
        for part in self._operation.parts:
            answer = _answer(data, part)
            if self._operation.is_mutation:
                total += MUTATION_COST + self._below(part, answer)
            else:
                total += self._field(part, answer)
        return math.ceil(total)

    def _field(self, part: Part, answer: Any) -> float:
        if answer is None:  # asked for, but not there: nothing was read
            return 0.0
        if part.is_connection:
            return self._connection(part, answer)
        if part.size is not None and answer is _REQUESTED:  # a plain list with a length is priced by it
            return self._size(part) * (1.0 + self._below(part, answer))
        if part.size is not None and isinstance(answer, list):
            return sum(1.0 + self._below(part, row) for row in answer)
        return 1.0 + self._below(part, answer)

    def _below(self, part: Part, answer: Any) -> float:
        if not part.parts:
            return 0.0
        if isinstance(answer, list):  # a plain list counts as one object
            answer = answer[0] if answer else None
        if answer is None:
            return 0.0
        total = 0.0
        for inner in part.parts:
            total += self._field(inner, _answer(answer, inner))
        return total

    def _connection(self, part: Part, answer: Any) -> float:
        rows = 0.0
        for inner in part.parts:
            if inner.name not in ("nodes", "edges"):
                continue
            held = _answer(answer, inner)
            if held is _REQUESTED:
                rows += self._scale(self._size(part)) * (1.0 + self._row(inner, _REQUESTED))
            else:
                per_row = [1.0 + self._row(inner, row) for row in held]
                rows += self._scale(len(held)) * (sum(per_row) / len(per_row)) if per_row else 0.0
        return 2.0 + rows

    def _row(self, part: Part, row: Any) -> float:
        if part.name == "nodes":
            return self._below(part, row)
        return sum(self._below(inner, _answer(row, inner)) for inner in part.parts if inner.name == "node")

    def _size(self, part: Part) -> int:
        return int(self._variables.get(part.size) or 0) if isinstance(part.size, str) else part.size or 0


_REQUESTED: Any = object()  # stands for the answer before there is one


def _answer(answer: Any, part: Part) -> Any:
    return answer if answer is None or answer is _REQUESTED else answer.get(part.key)


_SCALES: Mapping[str, Callable[[int], float]] = {
    "linear": float,
    "logarithmic": lambda rows: math.log2(rows + 1) * 2 if rows else 0.0,
}
