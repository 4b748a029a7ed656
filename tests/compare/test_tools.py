"""Tool calls are compared by what they ask for, not by how they are written."""

from __future__ import annotations

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
from shadowproxy.compare.tools import MAX_CALLS, compare_tools, is_tool_valid, match
from shadowproxy.exchange import Asked, Choice, Severity, ToolCall, ToolSpec
from tests.compare.test_json_values import VALUES

_BFCL = (Path(__file__).resolve().parents[2] / "../shared/data/toolcalls/bfcl/2024-07-25").resolve()

NOTHING = Rules()
WEATHER = json.dumps({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]})
OFFERED = Asked(tools=(ToolSpec("weather", WEATHER), ToolSpec("clock"), ToolSpec("time", '{"type": "object"}')))


def calls(*sent: tuple[str, str], text: str = "") -> Choice:
    return Choice(text=text, tool_calls=tuple(ToolCall(name, arguments, id=str(at)) for at, (name, arguments) in enumerate(sent)))


def found(primary: Choice, other: Choice, asked: Asked = Asked(), *rows: dict[str, Any]) -> Found:  # noqa: B008 - frozen
    return compare_tools(primary, other, asked, read_rules(rows))


def seen(result: Found) -> list[tuple[str, Severity, str]]:
    return [(each.kind, each.severity, each.path) for each in result.divergences]


PARIS = ("weather", '{"city": "Paris", "days": 1}')
ROME = ("weather", '{"city": "Rome", "days": 1}')


@pytest.mark.parametrize(
    ("primary", "other"),
    [
        (calls(PARIS), calls(("weather", '{"days":1.0,"city":"Paris"}'))),
        (calls(PARIS, ROME), calls(ROME, PARIS)),
        (calls(PARIS, PARIS, ROME), calls(PARIS, ROME, PARIS)),
        (calls(("clock", "")), calls(("clock", "{}"))),
        (calls(("clock", '{"a": ')), calls(("clock", '{"a": '))),
        (calls(PARIS, text="Let me look."), calls(PARIS)),
    ],
)
def test_calls_that_ask_for_the_same_do_not_differ(primary: Choice, other: Choice) -> None:
    assert found(primary, other) == Found(0.0)


def test_without_calls_there_is_nothing_to_compare() -> None:
    assert found(Choice("a"), Choice("b")) == Found()


def test_arguments_differ_at_their_path() -> None:
    result = found(calls(PARIS), calls(("weather", '{"city": "Rome", "unit": "C"}')))
    assert seen(result) == [
        ("tools.arguments", Severity.MAJOR, "weather($.days)"),
        ("tools.arguments", Severity.MINOR, "weather($.unit)"),
        ("tools.arguments", Severity.MINOR, "weather($.city)"),
    ]
    assert result.score == 1.0


def test_the_score_is_the_mean_over_calls() -> None:
    assert found(calls(PARIS, ("clock", "{}")), calls(ROME, ("clock", "{}"))).score == 0.25
    assert found(calls(PARIS, ROME), calls(PARIS)).score == 0.5


def test_the_same_call_is_not_taken_by_another_one_of_its_function() -> None:
    tokyo = ("weather", '{"city": "Tokyo", "days": 1}')
    result = found(calls(PARIS, ROME), calls(tokyo, PARIS))
    assert [(each.primary, each.other) for each in result.divergences] == [('"Rome"', '"Tokyo"')]


def test_calls_without_a_counterpart() -> None:
    assert seen(found(calls(PARIS, ROME), calls(PARIS))) == [("tools.missing", Severity.MAJOR, "")]
    assert seen(found(calls(PARIS), calls(PARIS, ROME))) == [("tools.extra", Severity.MAJOR, "")]
    assert seen(found(calls(PARIS), calls(("forecast", "{}")))) == [("tools.name", Severity.MAJOR, "")]
    assert found(calls(PARIS), calls(("forecast", "{}"))).score == 1.0


@pytest.mark.parametrize("text", ["It is sunny.", ""])
def test_a_call_instead_of_a_text_is_major_either_way(text: str) -> None:
    for primary, other in ((calls(PARIS), Choice(text)), (Choice(text), calls(PARIS))):
        assert seen(found(primary, other)) == [("tools.call_or_text", Severity.MAJOR, "")]
        assert found(primary, other).score == 1.0


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (("weather", '{"city": "Paris"'), "the arguments are no JSON"),
        (("weather", '```json\n{"city": "Paris"}\n```'), "the arguments are no JSON"),
        (("weather", '{"days": 1}'), '$: "city" is a required property'),
        (("weather", '{"city": 7}'), "$.city: the value is not of type"),
        (("rain", "{}"), "no tool is called rain"),
        (("time", "[]"), "$: the value is not of type"),
    ],
)
def test_a_call_that_cannot_be_carried_out_is_critical(sent: tuple[str, str], why: str) -> None:
    assert is_tool_valid(calls(sent), OFFERED) is False
    invalid = found(calls(PARIS), calls(sent), OFFERED).divergences[0]
    assert (invalid.kind, invalid.severity, invalid.path) == ("tools.invalid", Severity.CRITICAL, sent[0])
    assert invalid.why.startswith(why)


def test_an_invalid_call_is_no_finding_where_the_primarys_is_invalid_too() -> None:
    assert seen(found(calls(("rain", "{}")), calls(("rain", "{}")), OFFERED)) == []


def test_an_invalid_call_in_place_of_a_text_is_critical() -> None:
    kinds = [kind for kind, _, _ in seen(found(Choice("Sunny."), calls(("rain", "{}")), OFFERED))]
    assert kinds == ["tools.call_or_text", "tools.invalid"]


@pytest.mark.parametrize(
    ("choice", "asked", "expected"),
    [
        (Choice("text"), OFFERED, None),
        (calls(PARIS), OFFERED, True),
        (calls(PARIS, ("rain", "{}")), OFFERED, False),
        (calls(("clock", "free text, as custom tools take it")), OFFERED, True),
        (calls(("time", "")), OFFERED, True),
        (calls(("hosted", "{}")), Asked(), True),
        (calls(("hosted", "no json")), Asked(), False),
        (calls(("f", "{}")), Asked(tools=(ToolSpec("f", '{"type": "dict"}'),)), True),
    ],
)
def test_one_side_alone_is_valid_or_not_or_not_asked(choice: Choice, asked: Asked, expected: bool | None) -> None:
    assert is_tool_valid(choice, asked) is expected


def test_rules_apply_to_arguments_before_they_are_compared() -> None:
    rules = [{"path": "$.id", "ignore": True}, {"path": "$.at", "pattern": "timestamp"}]
    one, two = ("log", '{"id": 1, "at": "2024-05-01", "n": 1}'), ("log", '{"id": 2, "at": "2025-06-02", "n": 1}')
    assert found(calls(one), calls(two), Asked(), *rules) == Found(0.0)
    assert found(calls(one), calls(two)).score == 2 / 3


CALLS = st.lists(st.tuples(st.sampled_from("fgh"), VALUES.map(json.dumps) | st.text(max_size=5)), max_size=5)


@given(CALLS, st.randoms(use_true_random=False))
def test_the_order_of_parallel_calls_does_not_count(sent: list[tuple[str, str]], random: Any) -> None:
    shuffled = random.sample(sent, len(sent))
    assert found(calls(*sent), calls(*shuffled)) == Found(0.0 if sent else None)


@given(CALLS, CALLS)
def test_every_call_is_matched_once_and_the_score_is_bounded(one: list[tuple[str, str]], two: list[tuple[str, str]]) -> None:
    matched = match(calls(*one), calls(*two), NOTHING)
    pairs = (*matched.same, *matched.altered, *matched.renamed)
    assert len(pairs) + len(matched.missing) == len(one)
    assert len(pairs) + len(matched.extra) == len(two)
    assert not (matched.missing and matched.extra)
    result = found(calls(*one), calls(*two))
    assert result.score is None or 0.0 <= result.score <= 1.0
    assert bool(result.divergences) is bool(result.score)


# --- hostile answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hostile",
    [
        Choice(tool_calls=(ToolCall("weather", "{}"),) * 1_000_000),
        Choice(tool_calls=tuple(ToolCall(f"f{at}", str(at)) for at in range(20_000))),
        calls(("weather", "[" * 100_000 + "]" * 100_000)),
        calls(("weather", '{"city": "' + "a" * 10_000_000 + '"}')),
        calls(("\ud800", "\ud800" * 1000)),
        calls(("weather", "[" + "0," * 300_000 + "0]")),
    ],
)
def test_hostile_calls_are_compared_within_bounds(hostile: Choice) -> None:
    for primary, other in ((calls(PARIS), hostile), (hostile, calls(PARIS))):
        result = compare_tools(primary, other, OFFERED, NOTHING)
        assert len(result.divergences) <= MAX_KEPT + 1
        assert result.score is not None
        assert 0.0 < result.score <= 1.0
    assert is_tool_valid(hostile, OFFERED) is not None
    assert len(match(hostile, hostile, NOTHING).same) <= MAX_CALLS


# --- recorded calls -----------------------------------------------------------------------------------------------------

recorded = pytest.mark.skipif(not _BFCL.is_dir(), reason="recorded tool calls (../shared/data/toolcalls/bfcl) are not there")
CATEGORIES = ("simple", "multiple_function", "parallel_function", "parallel_multiple_function", "relevance")
MODELS = ("gpt-4o-2024-05-13-FC", "gpt-3.5-turbo-0125-FC")


def rows(model: str, category: str, kind: str) -> list[dict[str, Any]]:
    with gzip.open(_BFCL / model / f"{category}.{kind}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def choice(result: Any) -> Choice:
    return Choice(text=result) if isinstance(result, str) else calls(*(next(iter(call.items())) for call in result))


def plain(result: Any) -> Any:
    """What a recorded result asks for, read independently of what is tested: a text, or sorted calls."""
    if isinstance(result, str):
        return ""
    return sorted(f"{name} {_by_value(arguments)}" for call in result for name, arguments in call.items())


def _by_value(arguments: str) -> str:
    def number(text: str) -> Any:
        return int(float(text)) if float(text).is_integer() else float(text)

    try:
        return json.dumps(json.loads(arguments, parse_int=number, parse_float=number), sort_keys=True)
    except ValueError:
        return arguments


@recorded
@pytest.mark.parametrize("category", CATEGORIES)
def test_two_models_calls_differ_exactly_where_their_values_do(category: str) -> None:
    pairs = [(one["result"], two["result"]) for one, two in zip(*(rows(model, category, "result") for model in MODELS), strict=True)]
    compared = [(plain(one) == plain(two), found(choice(one), choice(two))) for one, two in pairs]
    assert len({is_same for is_same, _ in compared}) == 2
    for is_same, result in compared:
        assert (result.score in (0.0, None)) is is_same
        assert (not result.divergences) is is_same


@recorded
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("category", CATEGORIES[:4])
def test_calls_written_down_twice_compare_equal(model: str, category: str) -> None:
    """The score files repeat what the model answered, once as text and once decoded."""
    decoded = [row["model_result_decoded"] for row in rows(model, category, "score") if "model_result_decoded" in row]
    sent = [row["model_result_raw"] for row in rows(model, category, "score") if "model_result_decoded" in row]
    pairs = [
        (one, two) for one, two in zip(sent, decoded, strict=True) if isinstance(two, list) and all(isinstance(each, dict) for each in two)
    ]
    assert pairs
    for one, two in pairs:
        again = [{name: json.dumps(arguments, sort_keys=True, indent=1) for name, arguments in call.items()} for call in two]
        names = [next(iter(call)) for call in one]
        assert found(
            choice(one), choice([dict(zip([name], call.values(), strict=True)) for name, call in zip(names, again, strict=True)])
        ) == Found(0.0)
