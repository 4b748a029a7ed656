"""Parts of texts that mean nothing (times, ids), replaced by a constant: expressions whose work has a bound whatever the text. PURE.

The expressions of the configuration are written by the operator, but the texts are a model's, and Python's ``re`` goes back and forth: on a
text made for it, ``(a+)+b`` takes for ever and ``[0-9]+x`` a time quadratic in its length. Refusing nested repeats would leave the second.
So every repeat has to have an upper bound, and the steps that an expression can take from one place of a text are added up before it is
used. ``rules`` applies what is made here.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

#: Kinds of noise that have a name. From one place they take a few dozen steps, or go no further than the run of digits they begin in,
#: which is then replaced and not read again.
BUILT_IN: dict[str, re.Pattern[str]] = {
    "timestamp": re.compile(
        r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?: ?[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
    ),
    "uuid": re.compile(r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b"),
    "hex_id": re.compile(r"\b[0-9A-Fa-f]{16,64}\b"),
    "number": re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[Ee][+-]?[0-9]{1,3})?"),
}

#: Steps from one place of a text. An ISO date with all its options takes about 100, ``[A-Z]{1,20}-[0-9]{1,20}`` 440.
MAX_STEPS = 1000
#: Characters of one text in which an expression is looked for: with ``MAX_STEPS``, seconds at the very worst. The rest stays as it is.
MAX_CHARACTERS = 1024 * 1024
_MAX_LENGTH = 500

_TOKEN = re.compile(
    r"(?P<item>\\[^1-9]|\[\^?\]?(?:[^\]\\]|\\.)*\])|(?P<open>\((?:\?:)?(?!\?))|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<endless>[*+]|\{[0-9]*,\})|(?P<repeat>\?|\{[0-9]+\}|\{[0-9]*,[0-9]+\})|(?P<refused>\(\?|\\)|(?P<sign>.)",
    re.DOTALL,
)


def masking(pattern: str) -> Callable[[str], str]:
    """A function that replaces every match of ``pattern``: a name of ``BUILT_IN`` becomes ``<name>``, an expression ``<pattern>``.

    Raises ``ValueError`` that says what is wrong with an expression and what to write.
    """
    expression = BUILT_IN.get(pattern) or bounded(pattern)
    mark = f"<{pattern}>" if pattern in BUILT_IN else "<pattern>"

    def masked(text: str) -> str:
        return expression.sub(mark, text[:MAX_CHARACTERS]) + text[MAX_CHARACTERS:]

    return masked


def bounded(pattern: str) -> re.Pattern[str]:
    """Compile an expression from the configuration. Raises ``ValueError`` where its work has no small bound."""
    if len(pattern) > _MAX_LENGTH:
        raise ValueError(f"an expression of {len(pattern)} characters is too long; write at most {_MAX_LENGTH}, or several rules")
    effort(pattern)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "[[a]": Python means to read it otherwise one day
            expression = re.compile(pattern)
    except (re.error, OverflowError, Warning) as exc:
        raise ValueError(f"{pattern!r} is no regular expression: {exc}; names that need none are {', '.join(BUILT_IN)}") from exc
    if expression.match(""):
        raise ValueError(f"{pattern!r} fits an empty text; write one that needs at least one character")
    return expression


@dataclass(frozen=True, slots=True)
class Effort:
    """What trying a part of an expression at one place costs at most: ``steps`` in all, and ``ways`` in which it can fit."""

    ways: int
    steps: int

    def then(self, other: Effort) -> Effort:
        """After each way through this, ``other`` is tried."""
        return Effort(self.ways * other.ways, self.steps + self.ways * other.steps)

    def either(self, other: Effort) -> Effort:
        return Effort(self.ways + other.ways, self.steps + other.steps)

    def repeated(self, least: int, most: int) -> Effort:
        """This, ``least`` to ``most`` times. Above ``MAX_STEPS`` the adding up stops: the answer is known."""
        ways, steps, through = int(least == 0), 0, 1
        for times in range(1, most + 1):
            steps += through * max(1, self.steps)
            through *= self.ways
            ways += through if times >= least else 0
            if steps > MAX_STEPS:
                break
        return Effort(ways, steps)


_NOTHING = Effort(ways=1, steps=0)
_NEVER = Effort(ways=0, steps=0)
_SIGN = Effort(ways=1, steps=1)


def effort(pattern: str) -> Effort:
    """What an expression costs at one place of a text. Raises ``ValueError`` where that is too much, or has no bound."""
    before: list[tuple[Effort, Effort]] = []  # per open group: the alternatives left of it, and what it follows
    left, sequence, last = _NEVER, _NOTHING, _NOTHING
    for found in _TOKEN.finditer(pattern):
        match found.lastgroup:
            case "endless":
                raise ValueError(f"{pattern!r} repeats without a bound ({found[0]}); write how often at most, such as {{1,40}}")
            case "refused":
                raise ValueError(f"{pattern!r} looks around, looks back or sets a flag; write plain groups, (…) or (?:…)")
            case "repeat":
                last = last.repeated(*_times(found[0]))
            case "open":
                before.append((left, sequence.then(last)))
                left, sequence, last = _NEVER, _NOTHING, _NOTHING
            case "close" if before:
                last = left.either(sequence.then(last))
                left, sequence = before.pop()
            case "bar":
                left, sequence, last = left.either(sequence.then(last)), _NOTHING, _NOTHING
            case _:
                sequence, last = sequence.then(last), _SIGN
        if (sequence.then(last)).steps > MAX_STEPS:
            raise ValueError(f"{pattern!r} can take more than {MAX_STEPS} steps from one place; write narrower repeats, or fewer")
    return left.either(sequence.then(last))


def _times(repeat: str) -> tuple[int, int]:
    """``?``, ``{n}`` or ``{least,most}`` as numbers."""
    if repeat == "?":
        return 0, 1
    least, comma, most = repeat[1:-1].partition(",")
    return int(least or 0), int(most if comma else least)
