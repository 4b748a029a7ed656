"""Dialects that an operator describes: where in a server's JSON the answer stands, as JMESPath expressions by path. PURE.

Expressions come from the configuration and are compiled once; what they are applied to comes from a server, and nothing in it raises.
JMESPath: https://jmespath.org/specification.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jmespath
import jmespath.exceptions
import jmespath.parser

from shadowproxy.errors import ConfigError, ConfigProblem
from shadowproxy.exchange import Answer, Choice, ReplyError, Usage
from shadowproxy.wire.collector import Collector, collected
from shadowproxy.wire.decoded import DecodedReply
from shadowproxy.wire.drafts import Draft, add_text
from shadowproxy.wire.failures import failure_in
from shadowproxy.wire.loose_json import Object, a_count, a_label, canonical, parsed
from shadowproxy.wire.paths import path_of

DIALECT = "custom"

#: How much of an expression, and of what is wrong with it, an error shows.
MAX_SHOWN_CHARS = 200

_EXPRESSIONS = ("text", "finish_reason", "prompt_tokens", "completion_tokens", "error")

#: What evaluating an expression on somebody else's JSON may raise: its own errors, and Python's where a function meets odd values.
_EVALUATION = (jmespath.exceptions.JMESPathError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class DialectSpec:
    """One dialect as configured. ``path`` is a request path, or the beginning of one with a trailing ``*``.

    The others are JMESPath expressions, applied to a whole body and to every event or line of a stream; empty where there is nothing to
    find. ``text`` is concatenated over a stream (what is no string counts as its JSON text); of the others, the last one found counts. A
    stream is whole when a ``finish_reason`` was found or ``[DONE]`` came, and without a ``finish_reason`` to look for, when its body is.
    """

    path: str
    text: str
    finish_reason: str = ""
    prompt_tokens: str = ""
    completion_tokens: str = ""
    error: str = ""


class _Compiled:
    """The expressions of one dialect, compiled; ``problems`` says which are none."""

    __slots__ = ("_expressions", "problems")

    def __init__(self, key: str, spec: DialectSpec) -> None:
        self._expressions: dict[str, jmespath.parser.ParsedResult] = {}
        self.problems: list[ConfigProblem] = []
        for name in _EXPRESSIONS:
            self._compile(f"{key}.{name}", name, getattr(spec, name))

    def _compile(self, key: str, name: str, text: str) -> None:
        if not text:
            if name == "text":
                self.problems.append(ConfigProblem(key, "", "is empty", "say where the answer's text stands, such as choices[0].text"))
            return
        try:
            self._expressions[name] = jmespath.compile(text)
        except (jmespath.exceptions.JMESPathError, ValueError) as exc:
            reason = " ".join(str(exc).split())[:MAX_SHOWN_CHARS]
            remedy = "see https://jmespath.org/specification.html"
            self.problems.append(ConfigProblem(key, repr(text[:MAX_SHOWN_CHARS]), f"is not a JMESPath expression ({reason})", remedy))
        except RecursionError:
            self.problems.append(ConfigProblem(key, "", "is nested too deeply", "write a shorter expression"))

    def has(self, name: str) -> bool:
        return name in self._expressions

    def find(self, name: str, value: Any) -> Any:
        """What the expression finds in ``value``; None where it finds nothing or cannot be evaluated."""
        expression = self._expressions.get(name)
        if expression is None:
            return None
        try:
            return expression.search(value)
        except _EVALUATION:
            return None


class CustomDialects:
    """All configured dialects, compiled. Raises :class:`~shadowproxy.errors.ConfigError` with everything that is wrong with them."""

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, specs: Iterable[DialectSpec] = (), key: str = "dialects") -> None:
        """``key`` is where the dialects stand in the configuration, for what errors say."""
        found = [(spec.path, _Compiled(f"{key}[{place}]", spec)) for place, spec in enumerate(specs)]
        if problems := tuple(problem for _, compiled in found for problem in compiled.problems):
            raise ConfigError(problems)
        self._exact = {path: compiled for path, compiled in found if not path.endswith("*")}
        prefixes = [(path[:-1], compiled) for path, compiled in found if path.endswith("*")]
        self._prefixes = sorted(prefixes, key=lambda each: -len(each[0]))

    def __repr__(self) -> str:
        return f"<CustomDialects for {', '.join([*self._exact, *(f'{prefix}*' for prefix, _ in self._prefixes)]) or 'no path'}>"

    def read(self, target: str, reply: DecodedReply) -> Answer | None:
        """The meaning of a reply to ``target``; None where none is configured for it. An exact path wins, then the longest."""
        path = path_of(target)
        found = self._exact.get(path) or next((each for prefix, each in self._prefixes if path.startswith(prefix)), None)
        return None if found is None else collected(reply, _Custom(found))


class _Custom(Collector):
    dialect = DIALECT
    ends_with_done = True

    def __init__(self, expressions: _Compiled) -> None:
        super().__init__()
        self._expressions = expressions
        self._draft = Draft()
        self._is_found = False

    def take_whole(self, value: Any) -> bool:
        has_content = self._take(value)
        self.is_finished = self._is_found
        return has_content

    def failure(self, status: int, body: bytes) -> ReplyError:
        return self._failure(parsed(body)) or super().failure(status, body)

    def _failure(self, value: Any) -> ReplyError | None:
        return failure_in({"error": self._expressions.find("error", value)})

    def take_event(self, kind: str, event: Object) -> bool:
        return self._take(event)

    def _take(self, value: Any) -> bool:
        self.error = self.error or self._failure(value)
        self._draft.finish_reason = a_label(self._expressions.find("finish_reason", value)) or self._draft.finish_reason
        self._take_usage(value)
        text = self._expressions.find("text", value)
        self._is_found = self._is_found or text is not None
        return add_text(self._draft.text, _text(text))

    def _take_usage(self, value: Any) -> None:
        prompt = a_count(self._expressions.find("prompt_tokens", value))
        completion = a_count(self._expressions.find("completion_tokens", value))
        if prompt is not None or completion is not None:
            before = self.usage or Usage(0, 0)
            self.usage = Usage(
                before.prompt_tokens if prompt is None else prompt, before.completion_tokens if completion is None else completion
            )

    def is_ended(self, *, has_partial: bool) -> bool:
        if self._expressions.has("finish_reason"):
            return self._draft.finish_reason is not None
        return self._is_found and not has_partial

    def choices(self) -> tuple[Choice, ...]:
        return (self._draft.choice(),) if self._is_found or self._draft.finish_reason else ()


def _text(value: Any) -> str:
    """A string as it is, a list of strings joined, anything else as its JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "".join(value)
    return canonical(value) or ""
