"""Tool calls of two answers: which functions, with which arguments, in whatever order. PURE; nothing is ever called.

``pair`` asks for both functions. Arguments are values, not text: order of keys, white space and 1 or 1.0 do not count.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from shadowproxy.compare.json_diff import MAX_KEPT, Change, Differences, differences
from shadowproxy.compare.json_paths import written
from shadowproxy.compare.json_values import Document, canonical, document, fault
from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.compare.rules import Normalised, Rules
from shadowproxy.compare.schema import Schema, schema
from shadowproxy.exchange import Asked, Choice, Divergence, Severity, ToolCall

#: Calls of one answer that are read. A model that means what it does makes a few; one that is stuck repeats itself for ever.
MAX_CALLS = 10_000

WORDS = {
    Change.MISSING: "the argument is missing",
    Change.EXTRA: "the argument is added",
    Change.TYPE: "another type",
    Change.VALUE: "another value",
    Change.ARRAY_LENGTH: "another number of items",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it is compared: ``arguments`` is a JSON value without its noise, or the text where that is no JSON.

    ``key`` is equal for calls that ask for the same.
    """

    sent: ToolCall
    arguments: Normalised
    key: str


_Pairs = tuple[tuple[Call, Call], ...]


@dataclass(frozen=True, slots=True)
class Matched:
    """The calls of two answers, side by side: the same calls, calls of the same function, of another one, and those left over."""

    same: _Pairs
    altered: _Pairs
    renamed: _Pairs
    missing: tuple[Call, ...]
    extra: tuple[Call, ...]


def compare_tools(primary: Choice, other: Choice, asked: Asked, rules: Rules) -> Found:
    """How two answers differ in what they call. The score is the mean over calls: 0 for the same call, the share of arguments that
    differ for the same function, 1 for any other. None where neither calls anything.
    """
    if not primary.tool_calls and not other.tool_calls:
        return Found()
    invalid = tuple(_invalid(primary, other, asked))
    if not primary.tool_calls or not other.tool_calls:
        found = divergence("tools.call_or_text", Severity.MAJOR, _form(primary), _form(other))
        return Found(1.0, (found, *invalid))
    matched = match(primary, other, rules)
    compared = [(one, differences(one.arguments.value, two.arguments.value)) for one, two in matched.altered]
    whole = len(matched.renamed) + len(matched.missing) + len(matched.extra)
    score = (sum(found.share for _, found in compared) + whole) / (len(matched.same) + len(compared) + whole)
    return Found(score, (*invalid, *islice(chain(_whole(matched), _changed(compared)), MAX_KEPT)))


def is_tool_valid(choice: Choice, asked: Asked) -> bool | None:
    """Whether every call names an offered tool, with JSON that satisfies the tool's schema; None where nothing is called.

    A request that offers no tools (those of a server, or of an earlier turn) leaves names unjudged. Arguments of a tool without a schema
    are whatever the tool takes, such as plain text.
    """
    return next(_faults(choice, asked), None) is None if choice.tool_calls else None


def _faults(choice: Choice, asked: Asked) -> Iterator[tuple[ToolCall, str]]:
    """The calls that cannot be carried out, and why."""
    offered = {tool.name: tool.schema for tool in asked.tools}
    schemas = {name: schema(text) for name, text in offered.items() if text}
    for call in choice.tool_calls[:MAX_CALLS]:
        if offered and call.name not in offered:
            yield call, f"no tool is called {call.name}"
        elif (not offered or offered[call.name]) and (why := _argument_fault(call, schemas.get(call.name))):
            yield call, why


def _argument_fault(call: ToolCall, wanted: Schema | None) -> str:
    found = _arguments(call)
    if found is None:
        return f"the arguments are no JSON: {fault(call.arguments) or 'nested too deeply, or too long'}"
    violation = wanted.violation(found.value) if wanted is not None else None
    return f"{written(violation.path)}: {violation.why}" if violation is not None else ""


def _invalid(primary: Choice, other: Choice, asked: Asked) -> Iterator[Divergence]:
    first = next(_faults(other, asked), None)
    if first is not None and is_tool_valid(primary, asked) is not False:
        call, why = first
        yield divergence("tools.invalid", Severity.CRITICAL, _form(primary), _shown(call), path=call.name, why=why)


def _form(choice: Choice) -> str:
    if not choice.tool_calls:
        return choice.text or choice.refusal or "nothing"
    shown = ", ".join(map(_shown, choice.tool_calls[:MAX_KEPT]))
    return f"{len(choice.tool_calls)} calls: {shown}" if len(choice.tool_calls) > 1 else shown


def _shown(call: ToolCall) -> str:
    return f"{call.name}({call.arguments})"


def _whole(matched: Matched) -> Iterator[Divergence]:
    """Calls without a counterpart."""
    for one, two in matched.renamed:
        yield divergence("tools.name", Severity.MAJOR, _shown(one.sent), _shown(two.sent))
    for one in matched.missing:
        yield divergence("tools.missing", Severity.MAJOR, _shown(one.sent), "")
    for two in matched.extra:
        yield divergence("tools.extra", Severity.MAJOR, "", _shown(two.sent))


def _changed(compared: Sequence[tuple[Call, Differences]]) -> Iterator[Divergence]:
    """Arguments that differ; the path is that of the argument within its call: ``weather($.city)``."""
    for call, found in compared:
        for each in found.kept:
            path = f"{call.sent.name}({written(each.path)})"
            yield divergence("tools.arguments", each.severity, each.primary, each.other, path=path, why=WORDS[each.change])


# --- which call is which ------------------------------------------------------------------------------------------------


def match(primary: Choice, other: Choice, rules: Rules) -> Matched:
    """Pair the calls: first those that are the same, then those of the same function in order, then what is left in order.

    Each step is linear. The best matching of arguments would be cubic, and between calls that differ no pairing is the right one.
    """
    ones, twos, same = _paired(_read(primary, rules), _read(other, rules), lambda call: call.key)
    ones, twos, altered = _paired(ones, twos, lambda call: call.sent.name)
    renamed = tuple(zip(ones, twos, strict=False))
    return Matched(same, altered, renamed, tuple(ones[len(renamed) :]), tuple(twos[len(renamed) :]))


def _paired(ones: list[Call], twos: list[Call], key: Callable[[Call], str]) -> tuple[list[Call], list[Call], _Pairs]:
    """What is left on both sides after pairing calls of equal ``key`` in order, and the pairs."""
    waiting: defaultdict[str, deque[Call]] = defaultdict(deque)
    for two in twos:
        waiting[key(two)].append(two)
    left: list[Call] = []
    pairs: list[tuple[Call, Call]] = []
    for one in ones:
        if waiting[key(one)]:
            pairs.append((one, waiting[key(one)].popleft()))
        else:
            left.append(one)
    # Whatever waits of a key came last of its key, but the order between keys is that of the answer.
    unpaired = {id(two) for group in waiting.values() for two in group}
    return left, [two for two in twos if id(two) in unpaired], tuple(pairs)


def _read(choice: Choice, rules: Rules) -> list[Call]:
    return [_call(call, rules) for call in choice.tool_calls[:MAX_CALLS]]


def _call(call: ToolCall, rules: Rules) -> Call:
    found = _arguments(call)
    arguments = rules.json(found.value) if found is not None else Normalised(call.arguments, {})
    return Call(call, arguments, canonical([call.name, found is not None, arguments.value]))


def _arguments(call: ToolCall) -> Document | None:
    """The arguments as JSON, or None. Some servers send nothing at all for a function without any."""
    found = document(call.arguments if call.arguments.strip() else "{}")
    return found if found is not None and not found.is_fenced else None
