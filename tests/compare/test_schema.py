"""Whether a value satisfies a schema that somebody sent, and what hostile schemas can do: nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from shadowproxy.compare.schema import MAX_SCHEMA_CHARACTERS, Schema, Violation, schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


def read(value: Any) -> Schema:
    found = schema(json.dumps(value))
    assert found is not None
    return found


def doubling(levels: int) -> dict[str, Any]:
    """Each level tries the one below twice."""
    parts = {f"p{at}": {"anyOf": [{"$ref": f"#/$defs/p{at - 1}"}] * 2} for at in range(1, levels)}
    return {"$defs": {"p0": {"type": "string"}, **parts}, "$ref": f"#/$defs/p{levels - 1}"}


def nested(levels: int, *, by: str = "") -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {by: value} if by else [value]
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"age": 3}, ()),
        ({"name": "Ada", "age": "3"}, ("age",)),
        ({"name": "ada"}, ("name",)),
        ({"name": "Ada", "age": -1}, ("age",)),
        ({"name": "Ada", "more": 1}, ()),
    ],
)
def test_a_violation_is_named_with_its_place(value: Any, path: tuple[str, ...]) -> None:
    violation = read(PERSON).violation(value)
    assert isinstance(violation, Violation)
    assert violation.path == path
    assert violation.why


def test_a_value_that_satisfies_has_no_violation() -> None:
    assert read(PERSON).violation({"name": "Ada", "age": 36}) is None


def test_the_words_of_a_violation_do_not_repeat_the_value() -> None:
    violation = read({"type": "integer"}).violation("x" * 1_000_000)
    assert violation is not None
    assert len(violation.why) < 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "[]",
        "true",
        '{"type": "dict"}',
        '{"$ref": "https://example.com/schema.json"}',
        '{"$ref": "file:///etc/passwd"}',
        '{"properties": {"a": {"$ref": "other.json#/x"}}}',
        '{"$ref": "#/$defs/nowhere"}',
        '{"$ref": "#anchor", "$defs": {"a": {"$anchor": "anchor"}}}',
        '{"$dynamicRef": "#x"}',
        '{"items": {"$id": "https://example.com/", "$ref": "#"}}',
        '{"$schema": "http://json-schema.org/draft-04/schema#", "items": {"id": "x"}}',
        '{"pattern": "(?=look)"}',
        '{"pattern": "(a)\\\\1"}',
        '{"pattern": "(a{1,1000}){1,1000}"}',
        '{"not": ' * 300 + "{}" + "}" * 300,
        '{"description": "' + "x" * MAX_SCHEMA_CHARACTERS + '"}',
    ],
)
def test_what_cannot_be_judged_by_is_no_schema(text: str) -> None:
    assert schema(text) is None


def test_the_schemas_own_name_does_no_harm() -> None:
    assert read({"$id": "https://example.com/person.json", **PERSON}).violation({}) is not None


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_a_pattern_takes_linear_time(keyword: str) -> None:
    bait = "a" * 100_000 + "!"
    if keyword == "pattern":
        assert read({"pattern": "^(a+)+$"}).violation(bait) is not None
    else:
        assert read({"patternProperties": {"^(a+)+$": False}}).violation({bait: 1}) is None


@pytest.mark.parametrize(
    "endless", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"anyOf": [{"$ref": "#"}, {"type": "string"}]}, {"not": {"$ref": "#"}}]
)
def test_a_schema_that_refers_to_itself_ends(endless: Any) -> None:
    read(endless).violation(nested(199))


def test_a_tree_is_judged_to_its_depth() -> None:
    tree = {"type": "object", "properties": {"inner": {"$ref": "#"}, "value": {"type": "integer"}}, "additionalProperties": False}
    value: Any = {"value": 1}
    for _ in range(150):
        value = {"inner": value, "value": 1}
    assert read(tree).violation(value) is None
    value["inner"]["inner"]["value"] = "x"
    assert read(tree).violation(value) == Violation(("inner", "inner", "value"), 'the value is not of type "integer"')


def test_both_sides_of_a_binary_tree_are_judged() -> None:
    side = {"anyOf": [{"type": "null"}, {"$ref": "#"}]}
    tree = {"type": "object", "properties": {"left": side, "right": side}, "required": ["left", "right"]}
    value: Any = None
    for _ in range(8):
        value = {"left": value, "right": None}
    assert read(tree).is_affordable(value)
    assert read(tree).violation(value) is None
    assert read(tree).violation({"left": {}, "right": None}) is not None


@pytest.mark.parametrize(
    ("hostile", "value"),
    [
        (doubling(60), 1),
        ({"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}, {"const": 2}]}, nested(100)),
        ({"properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}, "required": ["b"]}, nested(100, by="a")),
        ({"dependentSchemas": {"properties": {"$ref": "#/$defs/x"}, "items": {"$ref": "#/$defs/x"}}, "$defs": {"x": doubling(60)}}, 1),
        ({"contains": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}, nested(100)),
        ({"items": {"enum": list(range(2000))}}, list(range(5000))),
        ({"allOf": [{"pattern": "a"}] * 1000}, "b" * 1_000_000),
    ],
)
def test_work_that_multiplies_is_not_begun(hostile: Any, value: Any) -> None:
    found = schema(json.dumps(hostile))
    assert found is None or not found.is_affordable(value)
    assert found is None or found.violation(value) is None


def test_many_parts_are_not_judged_by() -> None:
    chain = {f"p{at}": {"$ref": f"#/$defs/p{at + 1}"} for at in range(300)}
    assert schema(json.dumps({"$defs": {**chain, "p300": {}}, "$ref": "#/$defs/p0"})) is None


def test_the_library_stands_the_deepest_value_and_the_deepest_schema() -> None:
    assert sys.getrecursionlimit() >= 1000
    deep: Any = {"type": "integer"}
    for _ in range(99):
        deep = {"items": deep}
    assert read(deep).violation(nested(99)) is None
    assert read({"items": {"$ref": "#"}, "type": ["array", "integer"]}).violation(nested(199)) is None
