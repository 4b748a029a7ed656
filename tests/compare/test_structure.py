"""How answers differ in what they are built of."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.json_diff import MAX_KEPT
from shadowproxy.compare.kinds import Found
from shadowproxy.compare.rules import Rules, read_rules
from shadowproxy.compare.structure import compare_structure, is_json_valid
from shadowproxy.exchange import Asked, Severity
from tests.compare.test_json_values import VALUES

_LEETCODE = (Path(__file__).resolve().parents[2] / "../shared/data/responses/llmdrift/LEETCODE_EASY_EVAL.csv.gz").resolve()

NOTHING = Rules()
WANTS_JSON = Asked(wants_json=True)
SCHEMA = json.dumps({"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]})
WITH_SCHEMA = Asked(wants_json=True, schema=SCHEMA)


def found(primary: str, other: str, asked: Asked = Asked(), *rows: dict[str, Any]) -> Found:  # noqa: B008 - frozen
    return compare_structure(primary, other, asked, read_rules(rows))


def seen(result: Found) -> list[tuple[str, Severity, str]]:
    return [(each.kind, each.severity, each.path) for each in result.divergences]


# --- JSON ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primary", "other", "kind", "severity", "path"),
    [
        ('{"a": 1, "b": 2}', '{"a": 1}', "structure.missing", Severity.MAJOR, "$.b"),
        ('{"a": 1}', '{"a": 1, "b": 2}', "structure.extra", Severity.MINOR, "$.b"),
        ('{"a": 1}', '{"a": "1"}', "structure.type", Severity.MAJOR, "$.a"),
        ('{"items": [{"price": 1}]}', '{"items": [{"price": 2}]}', "structure.value", Severity.MAJOR, "$.items[0].price"),
        ('["a"]', '["b"]', "structure.value", Severity.MINOR, "$[0]"),
        ('{"xs": [1]}', '{"xs": [1, 2]}', "structure.array_length", Severity.MINOR, "$.xs"),
        ('{"a": 1}', '```json\n{"a": 1}\n```', "structure.fence", Severity.INFO, ""),
        ('{"a": 1}', "Sorry, no.", "structure.invalid_json", Severity.MAJOR, ""),
    ],
)
def test_json_is_compared_place_by_place_without_being_asked_for(
    primary: str, other: str, kind: str, severity: Severity, path: str
) -> None:
    assert seen(found(primary, other)) == [(kind, severity, path)]


def test_broken_json_is_critical_where_json_was_asked_for() -> None:
    result = found('{"a": 1}', '{"a": 1', WANTS_JSON)
    assert seen(result) == [("structure.invalid_json", Severity.CRITICAL, "")]
    assert result.score == 1.0
    assert "line 1" in result.divergences[0].why


def test_a_primary_that_broke_its_json_is_no_critical_finding_about_the_other() -> None:
    assert seen(found('{"a": 1', '{"a": 1}', WANTS_JSON)) == [("structure.invalid_json", Severity.MINOR, "")]


def test_two_that_failed_say_nothing_about_each_other() -> None:
    assert found("no", "neither", WANTS_JSON) == Found()


def test_scalars_are_json_where_json_was_asked_for_and_text_elsewhere() -> None:
    assert seen(found("41", "42", WANTS_JSON)) == [("structure.value", Severity.MAJOR, "$")]
    assert found("41", "42") == Found()


def test_a_violation_counts_where_the_primary_satisfies_the_schema() -> None:
    result = found('{"total": 1}', '{"total": "1"}', WITH_SCHEMA)
    assert seen(result) == [("structure.schema", Severity.CRITICAL, "$.total"), ("structure.type", Severity.MAJOR, "$.total")]
    assert [kind for kind, _, _ in seen(found('{"total": "1"}', '{"total": "2"}', WITH_SCHEMA))] == ["structure.value"]


def test_rules_apply_before_json_is_compared() -> None:
    rules = [{"path": "$.id", "ignore": True}, {"path": "$.score", "round": 1}, {"path": "$.tags", "sort": True}]
    primary = '{"id": "a", "score": 0.51, "tags": ["x", "y"], "n": 1}'
    assert found(primary, '{"id": "b", "score": 0.52, "tags": ["y", "x"], "n": 1}', Asked(), *rules) == Found(0.0)
    assert seen(found(primary, '{"score": 0.52, "tags": ["y", "x"], "n": 2}', Asked(), *rules)) == [
        ("structure.value", Severity.MAJOR, "$.n")
    ]


@given(VALUES, VALUES)
def test_equal_values_score_zero_and_others_more(one: Any, two: Any) -> None:
    result = compare_structure(json.dumps(one), json.dumps(two), WANTS_JSON, NOTHING)
    assert result.score is None or 0.0 <= result.score <= 1.0
    assert compare_structure(json.dumps(one), json.dumps(one, indent=2, sort_keys=True), WANTS_JSON, NOTHING).score in (0.0, None)


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ('{"total": 1}', WITH_SCHEMA, True),
        ('{"total": "x"}', WITH_SCHEMA, False),
        ('```json\n{"total": 1}\n```', WITH_SCHEMA, True),
        ("[]", WANTS_JSON, True),
        ("", WANTS_JSON, False),
        ("No.", WANTS_JSON, False),
        ("No.", Asked(), None),
        ('"' + "a" * 2_000_000 + '"', WANTS_JSON, None),
        ("[]", Asked(wants_json=True, schema='{"type": "dict"}'), True),
        ("[" * 100_000 + "]" * 100_000, WANTS_JSON, False),
    ],
)
def test_one_side_alone_is_valid_or_not_or_not_asked(text: str, asked: Asked, expected: bool | None) -> None:
    assert is_json_valid(text, asked) is expected


# --- markdown and code --------------------------------------------------------------------------------------------------


def test_prose_has_no_structure_to_compare() -> None:
    assert found("Paris is the capital.", "The capital is Paris.") == Found()


def test_another_form_of_answer_is_minor_and_a_few_items_more_are_a_note() -> None:
    assert seen(found("- a\n- b\n- c", "a, b and c")) == [("structure.outline", Severity.MINOR, "")]
    assert seen(found("- a\n- b\n- c", "- a\n- b")) == [("structure.outline", Severity.INFO, "")]
    assert seen(found("x = 1", "```python\nx = 1\n```")) == [("structure.outline", Severity.INFO, "")]
    result = found("# A\n- a\n- b", "# B\n- c\n- d\n- e\n- f")
    assert result.score == 2 / 5
    assert (result.divergences[0].primary, result.divergences[0].other) == ("1 heading, 2 list items", "1 heading, 4 list items")


def test_code_that_no_longer_parses_is_major() -> None:
    result = found("```python\ndef f(x):\n    return x\n```", "```python\ndef f(x)\n    return x\n```")
    assert seen(result) == [("structure.code_broken", Severity.MAJOR, "code[0]")]
    assert result.score == 1.0
    assert "expected ':', line 1" in result.divergences[0].why


@pytest.mark.parametrize(
    ("primary", "other"),
    [
        ("```python\nprint 'x'\n```", "```python\nprint 'y'\n```"),
        ("```rust\nfn f() {}\n```", "```rust\nfn f( {}\n```"),
        ("```json\n{}\n```\ntext", "```python\nx = [\n```\ntext"),
    ],
)
def test_code_is_broken_only_where_the_primarys_in_that_language_is_known_to_be_whole(primary: str, other: str) -> None:
    assert found(primary, other).score == 0.0


def test_rules_about_text_apply_before_outlines_are_compared() -> None:
    assert found("- a\n- b", "a b", Asked(), {"path": "text", "ignore": True}) == Found()


@pytest.mark.skipif(not _LEETCODE.is_file(), reason="answers of two versions of a model (../shared/data/responses/llmdrift) are not there")
def test_a_change_of_format_between_real_versions_is_a_note_and_never_broken_code() -> None:
    """One version of gpt-3.5-turbo began to put its code into fences: other structure, the same quality."""
    csv.field_size_limit(1_000_000)
    answers: dict[str, dict[str, str]] = {}
    with gzip.open(_LEETCODE, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            answers.setdefault(row["id"], {})[row["model"]] = row["answer"]
    newer, older = "openaichat/gpt-3.5-turbo-0613", "openaichat/gpt-3.5-turbo-0301"
    pairs = [(models[older], models[newer]) for models in answers.values() if {newer, older} <= models.keys()]
    assert len(pairs) >= 20
    severities = {each.severity for one, two in pairs for each in found(one, two).divergences}
    assert severities == {Severity.INFO}


# --- hostile answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000,
        "[" + "1," * 400_000 + "1]",
        "[" + "{}," * 300_000 + "{}]",
        '{"a": "' + "\\u0301" * 150_000 + '"}',
        "```" * 3_000_000,
        "`" * 10_000_000,
        "- a\n" * 1_000_000,
        "\ud800" * 100_000,
        "```python\n" + "(" * 1_000_000,
        "x" * 10_000_000,
        '{"a": 1' + "0" * 500_000 + "}",
    ],
)
@pytest.mark.parametrize("asked", [Asked(), WITH_SCHEMA])
def test_a_hostile_answer_is_compared_within_bounds(text: str, asked: Asked) -> None:
    for primary, other in ((text, '{"total": 1}'), ('{"total": 1}', text), (text, text[:-1] + "!")):
        result = compare_structure(primary, other, asked, NOTHING)
        assert len(result.divergences) <= MAX_KEPT + 2
        assert result.score is None or 0.0 <= result.score <= 1.0
    assert is_json_valid(text, asked) in (True, False, None)


@given(st.text(), st.text())
def test_any_two_texts_can_be_compared(one: str, two: str) -> None:
    for asked in (Asked(), WITH_SCHEMA):
        assert compare_structure(one, one, asked, NOTHING).score in (0.0, None)
        compare_structure(one, two, asked, NOTHING)
