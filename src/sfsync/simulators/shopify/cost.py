"""What a call costs in points, and the bucket the points come from.

A mutation costs 10, an object 1, a scalar nothing; a connection costs 2 and its page's rows. The cost
asked for is taken at the start, and what the answer did not need is given back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
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


class CostMeter:
    """Prices one operation, before it runs by its page sizes and afterwards by its answer."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
        scale: str,
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._variables = variables
        self._scale = _SCALES[scale]
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def requested(self) -> int:
        """What the operation may cost at most."""
        return self._root(_REQUESTED)

    def actual(self, data: Mapping[str, Any]) -> int:
        """What it did cost, given what it answered."""
        return self._root(data)

    def _root(self, data: Any) -> int:
        total = 0.0
        root = self._schema.get_root_type(self._operation.operation)
        for field_node, parent in self._fields(self._operation.selection_set, root):
            answer = _part(data, field_node)
            if self._operation.operation is OperationType.MUTATION:
                total += MUTATION_COST + self._below(field_node, parent, answer)
            else:
                total += self._field(field_node, parent, answer)
        return math.ceil(total)

    def _fields(
        self, selections: SelectionSetNode | None, parent: Any
    ) -> list[tuple[FieldNode, GraphQLObjectType]]:
        found: list[tuple[FieldNode, GraphQLObjectType]] = []
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                found.append((node, parent))
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                inner = self._schema.get_type(condition.name.value) if condition else parent
                found += self._fields(node.selection_set, inner)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                inner = self._schema.get_type(fragment.type_condition.name.value)
                found += self._fields(fragment.selection_set, inner)
        return found

    def _field(self, node: FieldNode, parent: GraphQLObjectType, answer: Any) -> float:
        definition = parent.fields.get(node.name.value)
        if definition is None or is_leaf_type(get_named_type(definition.type)):
            return 0.0
        if answer is None:  # asked for, but not there: nothing was read
            return 0.0
        if get_named_type(definition.type).name.endswith("Connection"):
            return self._connection(node, parent, answer)
        size = self._page_size(node)
        if size is not None and answer is _REQUESTED:  # a plain list with a length is priced by it
            return size * (1.0 + self._below(node, parent, answer))
        if size is not None and isinstance(answer, list):
            return sum(1.0 + self._below(node, parent, row) for row in answer)
        return 1.0 + self._below(node, parent, answer)

    def _below(self, node: FieldNode, parent: GraphQLObjectType, answer: Any) -> float:
        definition = parent.fields.get(node.name.value)
        if definition is None:
            return 0.0
        inner = get_named_type(definition.type)
        if isinstance(answer, list):  # a plain list counts as one object
            answer = answer[0] if answer else None
        if answer is None:
            return 0.0
        return sum(
            self._field(child, owner, _part(answer, child))
            for child, owner in self._fields(node.selection_set, inner)
        )

    def _connection(self, node: FieldNode, parent: GraphQLObjectType, answer: Any) -> float:
        inner = get_named_type(parent.fields[node.name.value].type)
        asked = self._page_size(node) or 0
        rows: float = 0.0
        for child, owner in self._fields(node.selection_set, inner):
            if child.name.value not in ("nodes", "edges"):
                continue
            part = _part(answer, child)
            if part is _REQUESTED:
                rows += self._scale(asked) * (1.0 + self._row(child, owner, _REQUESTED))
            else:
                per_row = [1.0 + self._row(child, owner, row) for row in part]
                rows += self._scale(len(part)) * (sum(per_row) / len(per_row)) if per_row else 0.0
        return 2.0 + rows

    def _row(self, node: FieldNode, parent: GraphQLObjectType, row: Any) -> float:
        if node.name.value == "nodes":
            return self._below(node, parent, row)
        edge = get_named_type(parent.fields["edges"].type)
        return sum(
            self._below(child, owner, _part(row, child))
            for child, owner in self._fields(node.selection_set, edge)
            if child.name.value == "node"
        )

    def _page_size(self, node: FieldNode) -> int | None:
        for argument in node.arguments or ():
            if argument.name.value not in ("first", "last"):
                continue
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
            if isinstance(argument.value, VariableNode):
                return int(self._variables.get(argument.value.name.value) or 0)
        return None


_REQUESTED: Any = object()  # stands for the answer before there is one


def _part(answer: Any, node: FieldNode) -> Any:
    if answer is None or answer is _REQUESTED:
        return answer
    return answer.get(node.alias.value if node.alias else node.name.value)


_SCALES: Mapping[str, Callable[[int], float]] = {
    "linear": float,
    "logarithmic": lambda rows: math.log2(rows + 1) * 2 if rows else 0.0,
}
