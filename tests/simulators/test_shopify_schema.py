"""The simulator's schema is a true subset of the published one."""

from __future__ import annotations

import gzip
import json
import os
from importlib import resources
from pathlib import Path

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_client_schema,
    build_schema,
    is_introspection_type,
    is_required_argument,
    is_required_input_field,
    is_specified_scalar_type,
    print_ast,
)
from tests.needs import SHOPIFY_SCHEMAS_VARIABLE, needs

VERSION = "2026-10"


@pytest.fixture(scope="module")
def ours() -> GraphQLSchema:
    text = resources.files("sfsync.simulators.shopify").joinpath("schema.graphql").read_text()
    return build_schema(text)


@pytest.fixture(scope="module")
def published() -> GraphQLSchema:
    path = Path(os.environ[SHOPIFY_SCHEMAS_VARIABLE]) / f"admin_{VERSION}.json.gz"
    with gzip.open(path) as file:
        # Their schema breaks one rule about deprecations of the GraphQL specification; it is theirs to mend.
        return build_client_schema(json.load(file)["data"], assume_valid=True)


def argument_lines(field: GraphQLField) -> dict[str, str]:
    """Each argument with its type and default, as the schema language prints it."""
    return {name: f"{argument.type} = {default_text(argument)}" for name, argument in field.args.items()}


def default_text(owner: GraphQLArgument | GraphQLInputField) -> str:
    """The default of an argument or input field in the schema language, or "none"."""
    literal = owner.default and owner.default.literal
    return print_ast(literal) if literal else "none"


def differences(mine: GraphQLNamedType, theirs: GraphQLNamedType | None) -> list[str]:
    """What in one of our types would not hold of the published type of that name."""
    if theirs is None:
        return [f"{mine.name} does not exist"]
    if type(mine) is not type(theirs):
        return [f"{mine.name} is of another kind"]
    if isinstance(mine, GraphQLEnumType) and isinstance(theirs, GraphQLEnumType):
        return [f"{mine.name}.{value} does not exist" for value in mine.values if value not in theirs.values]
    if isinstance(mine, GraphQLUnionType) and isinstance(theirs, GraphQLUnionType):
        known = {member.name for member in theirs.types}
        return [f"{mine.name} has no {member.name}" for member in mine.types if member.name not in known]
    if isinstance(mine, GraphQLInputObjectType) and isinstance(theirs, GraphQLInputObjectType):
        return _input_differences(mine, theirs)
    if isinstance(mine, GraphQLObjectType | GraphQLInterfaceType):
        assert isinstance(theirs, GraphQLObjectType | GraphQLInterfaceType)
        return _object_differences(mine, theirs)
    return []


def _input_differences(mine: GraphQLInputObjectType, theirs: GraphQLInputObjectType) -> list[str]:
    found = []
    for name, field in mine.fields.items():
        other = theirs.fields.get(name)
        if other is None or str(other.type) != str(field.type):
            found.append(f"{mine.name}.{name}: {field.type} is {other and other.type} there")
        elif default_text(other) != default_text(field):
            found.append(f"{mine.name}.{name} has another default")
    for name, other in theirs.fields.items():
        if is_required_input_field(other) and name not in mine.fields:
            found.append(f"{mine.name}.{name} is required there and missing here")
    return found


def _object_differences(
    mine: GraphQLObjectType | GraphQLInterfaceType, theirs: GraphQLObjectType | GraphQLInterfaceType
) -> list[str]:
    found = []
    known = {interface.name for interface in theirs.interfaces}
    found += [f"{mine.name} is no {face.name} there" for face in mine.interfaces if face.name not in known]
    for name, field in mine.fields.items():
        other = theirs.fields.get(name)
        if other is None or str(other.type) != str(field.type):
            found.append(f"{mine.name}.{name}: {field.type} is {other and other.type} there")
            continue
        if bool(other.deprecation_reason) != bool(field.deprecation_reason):
            found.append(f"{mine.name}.{name} is deprecated in one of the two")
        here, there = argument_lines(field), argument_lines(other)
        found += [
            f"{mine.name}.{name}({arg}: {line}) is {there.get(arg)} there"
            for arg, line in here.items()
            if there.get(arg) != line
        ]
        found += [
            f"{mine.name}.{name}({arg}) is required there and missing here"
            for arg, argument in other.args.items()
            if is_required_argument(argument) and arg not in field.args
        ]
    return found


@needs("shopify-schemas")
def test_the_simulated_schema_is_a_subset_of_the_published_one(
    ours: GraphQLSchema, published: GraphQLSchema
) -> None:
    """Whatever the simulator accepts or answers has the names, types and nullability of the real API."""
    found = []
    for name, mine in ours.type_map.items():
        if not is_introspection_type(mine) and not is_specified_scalar_type(mine):
            found += differences(mine, published.type_map.get(name))
    assert found == []


@needs("shopify-schemas")
def test_the_idempotency_directive_is_the_published_one(
    ours: GraphQLSchema, published: GraphQLSchema
) -> None:
    """`@idempotent` has the same argument and the same places."""
    mine, theirs = ours.get_directive("idempotent"), published.get_directive("idempotent")
    assert mine is not None
    assert theirs is not None
    assert mine.locations == theirs.locations
    assert {name: str(arg.type) for name, arg in mine.args.items()} == {
        name: str(arg.type) for name, arg in theirs.args.items()
    }


def test_the_comparison_notices_each_kind_of_difference() -> None:
    """The proof itself is tried on a schema that differs in every way it looks for."""
    mine = build_schema(
        "type Query { kept(a: Int = 1, b: Int): Int gone: Int other: Int } enum Colour { RED MAUVE }"
        " input Row { sku: String! } type Extra { x: Int }"
    )
    theirs = build_schema(
        "type Query { kept(a: Int = 2, b: Int, c: Int!): Int other: Int! } enum Colour { RED }"
        " input Row { sku: String! quantity: Int! }"
    )
    found = [
        line
        for name in ("Query", "Colour", "Row", "Extra")
        for line in differences(mine.type_map[name], theirs.type_map.get(name))
    ]
    assert len(found) == 7
