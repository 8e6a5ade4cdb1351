"""Runs GraphQL documents against the shop: read once, checked once, priced, then executed.

`prepare` finds everything that can be wrong before the call begins; `execute` carries it out.
Documents that were read and found valid are kept, as clients send the same few again and again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from types import CoroutineType
from typing import Any, TypeGuard

from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    Visitor,
    build_schema,
    execute,
    get_variable_values,
    parse,
    validate,
    visit,
)

from sfsync.simulators.shopify.calls import Call
from sfsync.simulators.shopify.clock import iso
from sfsync.simulators.shopify.config import Knobs
from sfsync.simulators.shopify.cost import CostMeter, Priced, priced
from sfsync.simulators.shopify.queries import QUERY_FIELDS
from sfsync.simulators.shopify.reading import attribute_name, read_attribute
from sfsync.simulators.shopify.selecting import Run, Selections, Told
from sfsync.simulators.shopify.things import THING_FIELDS
from sfsync.simulators.shopify.writing import KEYED_MUTATIONS, MUTATION_FIELDS

ARRAY_LIMIT = 250
DOCUMENTS_KEPT = 256


@cache
def load_schema() -> GraphQLSchema:
    """The Admin API's schema with its resolvers in place; the shops of a process share it."""
    text = resources.files("sfsync.simulators.shopify").joinpath("schema.graphql").read_text(encoding="utf-8")
    schema = build_schema(text)
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLScalarType) and kind.name in _SERIALIZERS:
            kind.coerce_output_value = _SERIALIZERS[kind.name]
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            _attach(kind)
    return schema


def _attach(kind: GraphQLObjectType) -> None:
    roots: Mapping[str, Mapping[str, Any]] = {"QueryRoot": QUERY_FIELDS, "Mutation": MUTATION_FIELDS}
    for name, definition in kind.fields.items():
        for argument_name, argument in definition.args.items():
            argument.out_name = attribute_name(argument_name)
        if kind.name in roots:
            definition.resolve = roots[kind.name][name]
        elif f"{kind.name}.{name}" in THING_FIELDS:
            definition.resolve = THING_FIELDS[f"{kind.name}.{name}"]
        elif name == "legacyResourceId":
            definition.resolve = _legacy_id


def _legacy_id(source: Any, _info: Any) -> Any:
    return source["number"] if isinstance(source, dict) else source.number


def _time(value: Any) -> str:
    return iso(value)


_SERIALIZERS: Mapping[str, Any] = {"DateTime": _time, "UnsignedInt64": str, "Money": str, "URL": str}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can run: its document, the chosen operation, its variables and its price."""

    document: DocumentNode
    operation: OperationDefinitionNode
    variables: Mapping[str, Any]
    meter: CostMeter
    requested_cost: int
    selections: Selections
    root_fields: list[str]  # the names of the fields at the top, as the schema has them

    @property
    def is_mutation(self) -> bool:
        return self.operation.operation is OperationType.MUTATION

    @property
    def is_keyed(self) -> bool:
        return not KEYED_MUTATIONS.isdisjoint(self.root_fields)


@dataclass(frozen=True, slots=True)
class _Document:
    node: DocumentNode | None
    errors: list[dict[str, Any]] = field(default_factory=list)
    longest_list: int = 0
    prices: Mapping[str | None, Priced] = field(default_factory=dict)  # of its operations, by name
    selections: Selections | None = None  # of a valid one


class Refused(Exception):
    """The request cannot run; `errors` are the answer's."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


class _Executor(Executor[Any]):
    """The library's, for mutations and what goes wrong, with a short way to tell a payload."""

    def __init__(self, *args: Any, selections: Selections, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._selections = selections

    def collect_and_execute_subfields(
        self,
        return_type: GraphQLObjectType,
        field_details_list: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if path.prev is None:
            told = self._selections.of(return_type, [each.node for each in field_details_list])
            if told is not None:
                answer = _tried(told, result, Run(self.context_value, self.variable_values))
                if answer is not None:
                    return answer
        return super().collect_and_execute_subfields(
            return_type, field_details_list, path, result, position_context
        )


class Engine:
    """Reads, checks, prices and executes documents."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self.schema = load_schema()

    def prepare(self, text: str, variables: Mapping[str, Any], operation_name: str | None) -> Prepared:
        """Everything before the run. Raises Refused."""
        held = _document(text)
        if held.node is None or held.selections is None:
            raise Refused(held.errors)
        operation = _chosen(held.node, operation_name)
        longest = max(held.longest_list, _longest_list(variables))
        if longest > ARRAY_LIMIT:
            text = f"The input array size of {longest} is greater than the maximum allowed of {ARRAY_LIMIT}."
            raise Refused([_error(text, "MAX_INPUT_SIZE_EXCEEDED", path=[_first_field(operation), "input"])])
        price = held.prices[operation.name.value if operation.name else None]
        meter = CostMeter(price, variables, self._knobs.connection_cost)
        nodes = operation.selection_set.selections
        roots = [node.name.value for node in nodes if isinstance(node, FieldNode)]
        return Prepared(held.node, operation, variables, meter, meter.requested(), held.selections, roots)

    async def execute(self, prepared: Prepared, call: Call) -> dict[str, Any]:
        """Carry it out; answers `data` and perhaps `errors`. Raises Refused for wrong variables."""
        if not prepared.is_mutation and (data := self._read(prepared, call)) is not None:
            return {"data": data}
        outcome = execute(
            self.schema,
            prepared.document,
            context_value=call,
            variable_values=dict(prepared.variables),
            operation_name=prepared.operation.name.value if prepared.operation.name else None,
            field_resolver=read_attribute,
            executor_class=_Executor,
            selections=prepared.selections,
            is_awaitable=_is_coroutine,
        )
        result = outcome if isinstance(outcome, ExecutionResult) else await outcome
        if result.data is None and result.errors and result.errors[0].path is None:
            raise Refused([_variable_error(error) for error in result.errors])
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [_formatted(error, call) for error in result.errors]
        return answer

    def _read(self, prepared: Prepared, call: Call) -> dict[str, Any] | None:
        """What a query answers; None when anything is wrong with it, of which the library has the words."""
        operation, root = prepared.operation, self.schema.query_type
        if root is None or (told := prepared.selections.of(root, [operation])) is None:
            return None
        variables = get_variable_values(
            self.schema, operation.variable_definitions or (), dict(prepared.variables)
        )
        if isinstance(variables, list):
            return None
        answer: dict[str, Any] | None = _tried(told, _ROOT, Run(call, variables))
        return answer


_ROOT = object()  # no field at the top looks at what it is read from


def _tried(told: Told, source: Any, run: Run) -> Any:
    """What is told of it; None, and no trace of it, when something was wrong on the way."""
    warnings = run.call.search_warnings
    warned = len(warnings)
    try:
        return told(source, run)
    except Exception:  # that of the simulator itself comes up again in the library's hands
        del warnings[warned:]
        return None


@lru_cache(DOCUMENTS_KEPT)
def _document(text: str) -> _Document:
    """Read and checked, for all stores of this process: they have one schema, and documents are few."""
    try:
        node = parse(text)
    except GraphQLError as error:
        return _Document(None, [_error(f"syntax error: {error.message}", "PARSE_ERROR", error)])
    errors = [
        _error(error.message, _validation_code(error.message), error)
        for error in validate(load_schema(), node)
    ]
    if errors:
        return _Document(node, errors)
    prices = {
        each.name.value if each.name else None: priced(load_schema(), node, each)
        for each in node.definitions
        if isinstance(each, OperationDefinitionNode)
    }
    fragments = {
        each.name.value: each for each in node.definitions if isinstance(each, FragmentDefinitionNode)
    }
    return _Document(node, [], _longest_literal(node), prices, Selections(load_schema(), fragments))


def _is_coroutine(value: Any) -> TypeGuard[Awaitable[Any]]:
    # The only awaitables here are slow mutations; the library's own question is asked of every row.
    return isinstance(value, CoroutineType)


def _variable_error(error: GraphQLError) -> dict[str, Any]:
    return _error(error.message, "INVALID_VARIABLE", error, problems=_problems(error.message))


def _problems(message: str) -> list[dict[str, Any]]:
    """Where in the variables the mistake is: `… at "input.quantities[0].x" …` or `$input.quantities[0].x`."""
    match = re.search(r"""(?:\$|at ["'])(\w+(?:\.\w+|\[\d+\])+)""", message)
    steps = re.findall(r"\w+", match.group(1))[1:] if match else []
    return [{"path": [int(step) if step.isdigit() else step for step in steps], "explanation": message}]


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    held = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name is not None:
        held = [node for node in held if node.name and node.name.value == name]
    if len(held) != 1:
        raise Refused(
            [_error("An operation name is required, and must be one of the document's", "BAD_REQUEST")]
        )
    return held[0]


def _first_field(operation: OperationDefinitionNode) -> str:
    node = operation.selection_set.selections[0]
    return node.name.value if isinstance(node, FieldNode) else ""


def _longest_list(value: Any) -> int:
    if isinstance(value, Mapping):
        return max((_longest_list(each) for each in value.values()), default=0)
    if isinstance(value, list):
        return max(len(value), max((_longest_list(each) for each in value), default=0))
    return 0


class _ListLengths(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.longest = 0

    def enter_list_value(self, node: ListValueNode, *_args: Any) -> None:
        self.longest = max(self.longest, len(node.values))


def _longest_literal(document: DocumentNode) -> int:
    lengths = _ListLengths()
    visit(document, lengths)
    return lengths.longest


def _error(
    message: str, code: str, cause: GraphQLError | None = None, *, path: list[Any] | None = None, **extra: Any
) -> dict[str, Any]:
    made: dict[str, Any] = {"message": message, "extensions": {"code": code, **extra}}
    if cause is not None and cause.locations:
        made["locations"] = [{"line": place.line, "column": place.column} for place in cause.locations]
    if path:
        made["path"] = path
    return made


def _formatted(error: GraphQLError, call: Call) -> dict[str, Any]:
    made = dict(error.formatted)
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        raise error.original_error  # a mistake of the simulator's own must be seen
    made.setdefault("extensions", {"code": "INTERNAL_SERVER_ERROR", "requestId": call.request_id})
    return made


# Which of Shopify's codes fits a message of the library that found the mistake.
_VALIDATION_CODES = (
    ("Cannot query field", "undefinedField"),
    ("Unknown argument", "argumentNotAccepted"),
    ("Unknown directive", "undefinedDirective"),
    ("is required, but it was not provided", "missingRequiredArguments"),
    ("must have a selection of subfields", "selectionMismatch"),
    ("Unknown type", "undefinedType"),
)


def _validation_code(message: str) -> str:
    return next((code for part, code in _VALIDATION_CODES if part in message), "BAD_REQUEST")
