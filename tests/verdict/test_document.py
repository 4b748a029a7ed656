"""The verdict as a JSON document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.checks import CHECKS
from shadowproxy.verdict.decision import Evidence, Rules, decide
from shadowproxy.verdict.document import Provenance, as_document, digest_of, verify
from shadowproxy.verdict.gates import DEFAULT_MARGINS, gate_rules
from shadowproxy.verdict.schema import schema
from shadowproxy.verdict.splits import Split

RULES = Rules(gates=gate_rules({**dict.fromkeys(DEFAULT_MARGINS), "error": 0.005}))


def document(counts: dict[str, int], limits: Rules = RULES, age_s: float = 3600.0, pairs_per_s: float = 2.0) -> dict[str, Any]:
    cells = {CellKey("chat", "error", cell): n for cell, n in counts.items()}
    evidence = Evidence(cells, sum(counts.values()), 0, age_s, pairs_per_s, has_control=False)
    return as_document(decide(limits, evidence), rollout="canary-1", candidate="canary", rules=limits, evidence=evidence)


def test_a_rollback_reads_like_this() -> None:
    shown = document({"both_ok": 878, "candidate_only": 118, "reference_only": 2, "both_bad": 2})
    assert (shown["rollout"], shown["candidate"], shown["state"]) == ("canary-1", "canary", "rollback")
    assert shown["reasons"][0]["code"] == "worse:error"
    assert shown["reasons"][0]["text"] == "error: candidate fails 12.0 % of requests, primary 0.4 %: at least 8.7 points worse, margin 0.5"
    gate = shown["gates"][0]
    assert gate["counts"] == {"both_ok": 878, "candidate_only": 118, "reference_only": 2, "both_bad": 2}
    assert gate["lower"] < gate["mean"] == 0.116 < gate["upper"]
    assert (gate["n"], gate["margin"], gate["pairs_needed"]) == (1000, 0.005, None)
    assert gate["log10_e_rollback"] > 1.3 > gate["log10_e_promote"]


def test_needs_are_zero_once_promoted_and_unknown_when_it_will_not_pass() -> None:
    promoted = document({"both_ok": 4000})
    assert (promoted["state"], promoted["pairs_needed"], promoted["seconds_needed"]) == ("promote", 0, 0.0)
    stuck = document({"both_ok": 950, "candidate_only": 50})
    assert (stuck["pairs_needed"], stuck["seconds_needed"]) == (None, None)


def test_time_to_a_decision_waits_for_the_soak_too() -> None:
    waiting = document({"both_ok": 4000}, age_s=600.0)
    assert (waiting["state"], waiting["pairs_needed"], waiting["seconds_needed"]) == ("hold", 0, 1200.0)
    soon = document({"both_ok": 1000}, age_s=600.0, pairs_per_s=1000.0)
    assert soon["seconds_needed"] == 1200.0
    late = document({"both_ok": 1000}, age_s=600.0, pairs_per_s=0.01)
    assert late["seconds_needed"] == late["pairs_needed"] / 0.01 > 1200.0


def test_time_is_unknown_while_no_pairs_come() -> None:
    shown = document({"both_ok": 1000}, pairs_per_s=0.0)
    assert shown["pairs_needed"] > 0
    assert shown["seconds_needed"] is None


def test_missing_pairs_of_a_small_route_are_scaled_to_all_traffic() -> None:
    limits = Rules(min_pairs=500, gates=gate_rules({**dict.fromkeys(DEFAULT_MARGINS), "error": 0.4}))
    cells = {CellKey("chat", "error", "both_ok"): 900, CellKey("tools", "error", "both_ok"): 100}
    evidence = Evidence(cells, 1000, 0, 3600.0, 1.0, has_control=False)
    shown = as_document(decide(limits, evidence), rollout="r", candidate="c", rules=limits, evidence=evidence)
    assert shown["pairs_needed"] == 4000


def _numbers(node: object) -> list[float]:
    if isinstance(node, dict):
        return [number for each in node.values() for number in _numbers(each)]
    if isinstance(node, list):
        return [number for each in node for number in _numbers(each)]
    return [node] if isinstance(node, float) else []


@given(
    st.dictionaries(
        st.builds(
            CellKey, st.sampled_from("ab"), st.sampled_from(list(CHECKS)), st.sampled_from(["both_ok", "candidate_only", "0.00", "+1.00"])
        ),
        st.integers(0, 10**9),
    ),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_verdict_is_strict_json_and_survives_the_trip(cells: dict[CellKey, int], has_control: bool) -> None:
    evidence = Evidence(cells, 10**9, 0, 0.0, 0.0, has_control)
    shown = as_document(decide(Rules(), evidence), rollout="r", candidate="c", rules=Rules(), evidence=evidence)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert all(type(number) is float and math.isfinite(number) for number in _numbers(shown))


# --- the seal -------------------------------------------------------------------------------------------------------------


def test_a_document_says_what_was_judged_and_by_what() -> None:
    cells = {CellKey("chat", "error", "both_ok"): 4000}
    evidence = Evidence(cells, 4000, 0, 3600.0, 2.0, has_control=False, splits=(Split("mirrored", 4000, 40_100, 0.1),), sessions=55)
    known = Provenance("shadowproxy 1.2", "ab" * 32, "cd" * 32, "big", "small", 1e9, 1e9 + 3600)
    limits = replace(RULES, attempt=2)
    shown = as_document(decide(limits, evidence), rollout="r", candidate="c", rules=limits, evidence=evidence, provenance=known)
    assert shown["provenance"]["config_digest"] == "ab" * 32
    assert shown["provenance"]["started_at_s"] == 1e9
    assert shown["splits"] == [{"name": "mirrored", "seen": 4000, "total": 40_100, "share": 0.1}]
    assert (shown["sessions"], shown["hours"]) == (55, None)
    assert shown["rules"]["attempt"] == 2
    assert shown["rules"]["alpha_promote"] == pytest.approx(0.05 * 6 / math.pi**2 / 4)
    assert shown["rules"]["margins"] == {"error": 0.005, "aa_error": 0.005}


def test_a_document_verifies_after_any_trip_through_json() -> None:
    shown = document({"both_ok": 878, "candidate_only": 118, "reference_only": 2, "both_bad": 2})
    assert verify(shown)
    assert verify(json.loads(json.dumps(shown, indent=2)))
    assert verify(orjson.loads(orjson.dumps(shown)))
    assert verify(dict(reversed(shown.items())))


def _edits(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {**document, "state": "promote"}
    yield {**document, "issued": document["issued"] + 1}
    yield {**document, "more": 1}
    yield {key: value for key, value in document.items() if key != "rules"}
    yield {key: value for key, value in document.items() if key != "digest"}
    yield {**document, "digest": "0" * 64}
    gates = [{**document["gates"][0], "margin": 0.2}, *document["gates"][1:]]
    yield {**document, "gates": gates}


def test_any_edit_is_seen() -> None:
    edited = list(_edits(document({"both_ok": 878, "candidate_only": 122})))
    assert [verify(each) for each in edited] == [False] * len(edited)


def _nested(depth: int) -> list[Any]:
    node: list[Any] = []
    for _ in range(depth):
        node = [node]
    return node


@pytest.mark.parametrize(
    "broken",
    [
        None,
        1,
        "text",
        [],
        {},
        {"digest": None},
        {"digest": "x", "n": math.nan},
        {"digest": "x", 1: 2, "a": 1},
        {"digest": "x", "n": {1, 2}},
    ],
)
def test_what_is_no_document_does_not_verify(broken: object) -> None:
    assert verify(broken) is False


def test_a_document_of_any_depth_does_not_verify_and_does_not_raise() -> None:
    assert verify({"digest": "x", "deep": _nested(100_000)}) is False


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_has_one_digest(value: object) -> None:
    sealed = {"value": value}
    assert verify({**sealed, "digest": digest_of(sealed)})


# --- the schema -----------------------------------------------------------------------------------------------------------

_TYPES = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}

_KEYWORDS = {"$schema", "title", "description", "type", "enum", "const", "pattern", "minimum", "maximum", "items", "properties"}
_KEYWORDS |= {"required", "additionalProperties"}


def _is_type(value: object, name: str) -> bool:
    if name in ("integer", "number"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, _TYPES[name])


def mistakes(value: Any, schema: dict[str, Any], path: str = "$") -> Iterator[str]:
    """What of the JSON Schema vocabulary the published schema uses, and no more."""
    assert set(schema) <= _KEYWORDS
    types = schema.get("type", [])
    if types and not any(_is_type(value, name) for name in ([types] if isinstance(types, str) else types)):
        yield f"{path}: {value!r} is no {types}"
    elif value is not None:
        yield from _limits_broken(value, schema, path)
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            below = (
                schema.get("items") if isinstance(value, list) else schema.get("properties", {}).get(name, schema["additionalProperties"])
            )
            yield from mistakes(inner, below, f"{path}.{name}") if below else [f"{path}.{name} is not in the schema"]


def _limits_broken(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r} does not match"
    if not schema.get("minimum", -math.inf) <= (value if _is_type(value, "number") else 0) <= schema.get("maximum", math.inf):
        yield f"{path}: {value!r} is out of range"
    yield from (f"{path}.{name} is missing" for name in schema.get("required", []) if name not in value)


@given(
    st.dictionaries(
        st.builds(
            CellKey,
            st.sampled_from("ab"),
            st.sampled_from([*CHECKS, "colour"]),
            st.sampled_from(["both_ok", "candidate_only", "0.00", "+1.00", "ok", "bad", "unreported"]),
            st.sampled_from(["", "language=de", "language=en"]),
        ),
        st.integers(-1, 10**9),
    ),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 100)),
)
@settings(max_examples=40, deadline=None)
def test_any_verdict_is_as_the_schema_says(cells: dict[CellKey, int], has_control: bool, sessions: int | None) -> None:
    evidence = Evidence(cells, 10**9, 0, 0.0, 0.0, has_control, sessions=sessions)
    shown = as_document(decide(Rules(), evidence), rollout="r", candidate="c", rules=Rules(), evidence=evidence)
    assert list(mistakes(json.loads(json.dumps(shown)), schema())) == []


def test_the_schema_refuses_what_is_no_verdict() -> None:
    shown = document({"both_ok": 4000})
    for edited in (
        {**shown, "state": "perhaps"},
        {**shown, "digest": "xyz"},
        {**shown, "more": 1},
        {**shown, "pairs": -1},
        {**shown, "age_s": None},
        {**shown, "gates": [{**shown["gates"][0], "role": "king"}]},
        {key: value for key, value in shown.items() if key != "rules"},
    ):
        assert len(list(mistakes(edited, schema()))) == 1


def test_the_published_schema_is_this_one() -> None:
    published = Path(__file__).resolve().parents[2] / "docs" / "verdict.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == schema(), "run python scripts/verdict_docs.py"
