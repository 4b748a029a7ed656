"""One arm's exchange as the comparators see it: made once, compared with as many others as there are. PURE.

Between ``wire`` (what a reply says) and ``pair`` (how two of them differ).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shadowproxy.compare.cost import cost_of
from shadowproxy.compare.json_values import canonical, document
from shadowproxy.compare.language import language_of
from shadowproxy.compare.latency import timing
from shadowproxy.compare.length import is_truncated
from shadowproxy.compare.means import Means
from shadowproxy.compare.refusal import RefusalKind, refusal_of
from shadowproxy.compare.rules import Rules
from shadowproxy.compare.structure import is_json_valid
from shadowproxy.compare.text import comparable_text
from shadowproxy.compare.tools import is_tool_valid
from shadowproxy.exchange import Answer, Asked, Choice, Exchange, Side, Timing

#: Choices of an answer (n > 1) that are compared one by one. What differs in the first eight differs.
MAX_CHOICES = 8


@dataclass(frozen=True, slots=True)
class View:
    """``ruled`` is the answer after the configured rules, ``text`` what its reader acts on (see ``text.comparable_text``), both empty
    where nothing could be read out of the reply. ``side`` is what is known of the answer by itself, ``refusals`` of each of its choices.
    """

    exchange: Exchange
    answer: Answer | None
    ruled: Answer
    text: str
    side: Side
    timing: Timing
    refusals: tuple[RefusalKind, ...] = ()


def view(exchange: Exchange, answer: Answer | None, asked: Asked, means: Means) -> View:
    """Look at one arm's exchange."""
    if answer is None or exchange.outcome.is_failure:
        return View(exchange, answer, answer or Answer(""), "", Side(), timing(exchange, answer))
    ruled = _ruled(answer, means.rules)
    refusals = tuple(map(refusal_of, answer.choices[:MAX_CHOICES]))
    side = _side(answer, asked, means, refusals[0] if refusals else RefusalKind.NONE)
    return View(exchange, answer, ruled, comparable_text(ruled), side, timing(exchange, answer), refusals)


def _ruled(answer: Answer, rules: Rules) -> Answer:
    """The answer as the text comparators read it: JSON without what rules take out of it, prose without its noise."""
    if not rules.rules:
        return answer
    return replace(answer, choices=tuple(replace(choice, text=_ruled_text(choice.text, rules)) for choice in answer.choices))


def _ruled_text(text: str, rules: Rules) -> str:
    found = document(text)
    if found is not None and isinstance(found.value, dict | list):
        return canonical(rules.json(found.value).value)
    return str(rules.text(text).value)


def _side(answer: Answer, asked: Asked, means: Means, refusal: RefusalKind) -> Side:
    first, usage = answer.first, answer.usage
    speaks = bool(first.text.strip() or first.refusal)
    return Side(
        is_refusal=refusal is RefusalKind.FULL if speaks or first.tool_calls else None,
        is_json_valid=is_json_valid(first.text, asked) if not first.tool_calls else None,
        is_tool_valid=is_tool_valid(first, asked),
        is_truncated=is_truncated(first) if first.finish_reason else None,
        language=_language(first, means),
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cost=cost_of(usage, answer.model, means.prices),
    )


def _language(choice: Choice, means: Means) -> str | None:
    return language_of(choice.text, means.detector) if means.tells_language and means.detector is not None and choice.text else None
