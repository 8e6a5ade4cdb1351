"""What a document selects, made ready once, as clients send the same few again and again.

The library looks up anew for every field of every row what the field is, how it is read and how its value
is told; this keeps all of that. It knows only the way that goes well. Where anything else turns up it raises
`Aside`, or whatever a resolver raises, and the library does the same once more and tells it in its own
words: so nothing here may change anything. Of a mutation only what its answer is made of is told here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLBoolean,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLString,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    VariableValues,
    Visitor,
    get_argument_values,
    is_leaf_type,
    visit,
)

from sfsync.simulators.shopify.calls import Call
from sfsync.simulators.shopify.reading import attribute_name, read_attribute

# Values that are told as they are; an Int only as far as the type goes.
_AS_THEY_ARE: dict[GraphQLLeafType, type] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
_INT_LIMIT = 2**31


class Aside(Exception):
    """Not for this module: the library must do it."""


@dataclass(slots=True)
class Run:
    """One execution: what it carries, its variables, and the arguments that they made so far, by field."""

    call: Call
    variables: VariableValues
    arguments: dict[int, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Key:
    key: str


@dataclass(slots=True)
class _Info:
    """As much of the library's resolve info as resolvers look at."""

    context: Call
    field_name: str
    path: _Key


Told: TypeAlias = Callable[[Any, Run], Any]  # of a value, and in what run: as the answer has it
Nodes: TypeAlias = list[FieldNode]
_Selecting: TypeAlias = FieldNode | OperationDefinitionNode  # what has a selection


class Selections:
    """Of one document: what its operations select, or fields at their top."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema, self._fragments = schema, fragments
        self._held: dict[tuple[int, str], Told | None] = {}

    def of(self, kind: GraphQLObjectType, nodes: Sequence[_Selecting]) -> Told | None:
        """How a thing of this kind is told, as these nodes select from it; None: only the library can."""
        key = id(nodes[0]), kind.name  # the document, and with it each node, lives as long as this does
        if key not in self._held:
            try:
                self._held[key] = self._object(kind, nodes)
            except Aside:
                self._held[key] = None
        return self._held[key]

    def _object(self, kind: GraphQLObjectType, nodes: Sequence[_Selecting]) -> Told:
        groups: dict[str, Nodes] = {}
        met: set[str] = set()
        for node in nodes:
            for each in self._fields(kind, node.selection_set, met):
                groups.setdefault(each.alias.value if each.alias else each.name.value, []).append(each)
        fields = [(key, self._field(kind, key, group)) for key, group in groups.items()]

        def told(source: Any, run: Run) -> Any:
            return None if source is None else {key: read(source, run) for key, read in fields}

        return told

    def _fields(
        self, kind: GraphQLObjectType, selected: SelectionSetNode | None, met: set[str]
    ) -> Iterator[FieldNode]:
        for node in selected.selections if selected else ():
            if node.directives:
                raise Aside
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._fits(kind, node.type_condition.name.value):
                    yield from self._fields(kind, node.selection_set, met)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in met:
                met.add(node.name.value)
                fragment = self._fragments[node.name.value]
                if fragment.directives:
                    raise Aside
                if self._fits(kind, fragment.type_condition.name.value):
                    yield from self._fields(kind, fragment.selection_set, met)

    def _fits(self, kind: GraphQLObjectType, condition: str) -> bool:
        return condition == kind.name or condition in {face.name for face in kind.interfaces}

    def _field(self, kind: GraphQLObjectType, key: str, nodes: Nodes) -> Told:
        name = nodes[0].name.value
        if name == "__typename":
            return lambda _source, _run: kind.name
        definition = kind.fields[name]
        told, path, resolve = self._value(definition.type, nodes), _Key(key), definition.resolve
        if resolve is None and not definition.args:
            attribute = attribute_name(name)

            def read(source: Any, run: Run) -> Any:
                value = source.get(attribute) if isinstance(source, dict) else getattr(source, attribute)
                return told(value(_Info(run.call, name, path)) if callable(value) else value, run)

            return read
        resolver: Callable[..., Any] = resolve or read_attribute
        if not definition.args:
            return lambda source, run: told(resolver(source, _Info(run.call, name, path)), run)
        if not _has_variables(nodes[0]):
            always = get_argument_values(definition, nodes[0])
            return lambda source, run: told(resolver(source, _Info(run.call, name, path), **always), run)

        def ask(source: Any, run: Run) -> Any:
            arguments = run.arguments.get(id(path))
            if arguments is None:
                arguments = get_argument_values(definition, nodes[0], run.variables)
                run.arguments[id(path)] = arguments
            return told(resolver(source, _Info(run.call, name, path), **arguments), run)

        return ask

    def _value(self, kind: GraphQLOutputType, nodes: Nodes) -> Told:
        if isinstance(kind, GraphQLNonNull):
            inner = self._value(kind.of_type, nodes)

            def something(value: Any, run: Run) -> Any:
                if value is None:
                    raise Aside
                return inner(value, run)

            return something
        if isinstance(kind, GraphQLList):
            return _listed(self._value(kind.of_type, nodes))
        if isinstance(kind, GraphQLObjectType):
            return self._object(kind, nodes)
        if is_leaf_type(kind):
            return _leaf(kind)
        raise Aside  # an interface or a union


def _listed(inner: Told) -> Told:
    def told(value: Any, run: Run) -> Any:
        if isinstance(value, list | tuple):
            return [inner(each, run) for each in value]
        if value is None:
            return None
        raise Aside

    return told


def _leaf(kind: GraphQLLeafType) -> Told:
    coerce, plain = kind.coerce_output_value, _AS_THEY_ARE.get(kind)

    def told(value: Any, _run: Run) -> Any:
        if value is None or type(value) is plain:
            return value
        coerced = coerce(value)
        if coerced is None:
            raise Aside
        return coerced

    def told_number(value: Any, run: Run) -> Any:
        return value if type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT else told(value, run)

    return told_number if kind is GraphQLInt else told


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def enter_variable(self, _node: VariableNode, *_args: Any) -> None:
        self.met = True


def _has_variables(node: FieldNode) -> bool:
    variables = _Variables()
    for argument in node.arguments or ():
        visit(argument, variables)
    return variables.met
