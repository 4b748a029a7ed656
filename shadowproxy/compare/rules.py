"""Rules of the configuration: which parts of answers are noise, ignored or normalised before anything is compared. PURE.

They are read once (:func:`read_rules`) and applied to JSON answers, to the arguments of tool calls and to plain text, on both sides alike.
:func:`suppressed` counts what each has taken out of a comparison: a rule that hides more than it was meant to has to be seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shadowproxy.compare.json_paths import Path, Places, places
from shadowproxy.compare.json_values import canonical, written
from shadowproxy.compare.patterns import masking

#: The path of a rule that is about plain text.
TEXT = "text"
#: More are a sign that something else should be compared. Bounds the work per answer.
MAX_RULES = 64
#: What a rule of ``ignore`` makes of a value: its key goes, an element becomes ``null`` so that the others keep their places.
_GONE = object()

#: Places whose changes are kept for counting what was suppressed. An answer with more is not read by anybody either.
MAX_COUNTED = 10_000

#: Stands for every key that no rule names: half a character, which no key of a document is.
_OTHER_KEY = chr(0xD800)
#: Stands for every index that no rule names.
_OTHER_INDEX = -1

_Change = Callable[[Any], Any]
#: What each rule (by name) found at a place, and what it left there.
_Changes = dict[tuple[str, Path], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``name`` is what its suppressions are counted under; ``places`` is None where it is about plain text."""

    name: str
    places: Places | None
    change: _Change


@dataclass(frozen=True, slots=True)
class Normalised:
    """A JSON value or a text without its noise, and what the rules have changed to get there."""

    value: Any
    changes: _Changes


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules in the order in which they are applied to one place."""

    rules: tuple[Rule, ...] = ()

    def json(self, value: Any) -> Normalised:
        """Normalise a JSON value; ``value`` itself is left as it is. What is inside comes before what it is in."""
        walk = _Walk([(rule, rule.places) for rule in self.rules if rule.places is not None])
        changed = walk.walked(value, walk.start(), ())
        return Normalised(None if changed is _GONE else changed, walk.changes)

    def text(self, text: str) -> Normalised:
        """Normalise a plain text; an ignored one is empty."""
        changes: _Changes = {}
        changed: Any = text
        for rule in self.rules:
            if rule.places is None and changed is not _GONE:
                changed = _changed(rule, changed, (), changes)
        return Normalised("" if changed is _GONE else changed, changes)


class _Walk:
    """One value on its way through the rules: an automaton whose states are made as they are met.

    A state is what the rules' paths have reached (see :class:`Places`), rule by rule. Keys that no rule names are all alike, so a few
    states serve a value of any size.
    """

    __slots__ = ("_named", "_rules", "_states", "changes")

    def __init__(self, rules: Sequence[tuple[Rule, Places]]) -> None:
        self._rules = rules
        self._named = {step for _, places in rules for step in places.steps if isinstance(step, str | int)}
        self._states: dict[_Reached, _State] = {}
        self.changes: _Changes = {}

    def start(self) -> _State:
        return self._state(tuple((at, places.start()) for at, (_, places) in enumerate(self._rules)))

    def walked(self, value: Any, state: _State, path: Path) -> Any:
        """``value`` after the rules. Recursive: documents are no deeper than json_values.MAX_DEPTH."""
        if not state.reached:
            return value
        if isinstance(value, dict):
            inner = {key: self.walked(each, self._after(state, key), (*path, key)) for key, each in value.items()}
            value = {key: each for key, each in inner.items() if each is not _GONE}
        elif isinstance(value, list):
            elements = [self.walked(each, self._after(state, at), (*path, at)) for at, each in enumerate(value)]
            value = [None if each is _GONE else each for each in elements]
        for rule in state.here:
            if value is not _GONE:
                value = _changed(rule, value, path, self.changes)
        return value

    def _after(self, state: _State, key: str | int) -> _State:
        known = key if key in self._named else _OTHER_KEY if isinstance(key, str) else _OTHER_INDEX
        following = state.following.get(known)
        if following is None:
            steps = ((at, self._rules[at][1].after(reached, known)) for at, reached in state.reached)
            following = state.following[known] = self._state(tuple(each for each in steps if each[1]))
        return following

    def _state(self, reached: _Reached) -> _State:
        if reached not in self._states:
            here = tuple(self._rules[at][0] for at, each in reached if self._rules[at][1].is_here(each))
            self._states[reached] = _State(reached, here, {})
        return self._states[reached]


#: Rules, by their number, with the steps of their path that may come next. Rules without any are left out.
_Reached = tuple[tuple[int, frozenset[int]], ...]


@dataclass(frozen=True, slots=True)
class _State:
    """``here`` are the rules that mean this place; ``following`` what comes after a key, as far as it was asked for."""

    reached: _Reached
    here: tuple[Rule, ...]
    following: dict[str | int, _State]


def _changed(rule: Rule, value: Any, path: Path, changes: _Changes) -> Any:
    changed = rule.change(value)
    if len(changes) < MAX_COUNTED:
        changes[rule.name, path] = value, changed
    return changed


def suppressed(primary: Normalised, other: Normalised) -> Counter[str]:
    """How many differences each rule has taken out: places at which both sides differed before it, and after it no longer do.

    A place that only one side has counts where the rule ignores it.
    """
    absent = (_GONE, _GONE)
    counts: Counter[str] = Counter()
    for key in primary.changes.keys() | other.changes.keys():
        (before, after), (others_before, others_after) = primary.changes.get(key, absent), other.changes.get(key, absent)
        if before != others_before and after == others_after:
            counts[key[0]] += 1
    return counts


# --- reading them out of the configuration ------------------------------------------------------------------------------


def read_rules(rows: Sequence[Mapping[str, Any]]) -> Rules:
    """Rules as the configuration has them: ``path``, one action, and a ``name`` where the one made of both is not wanted.

    Raises ``ValueError`` that names the rule by its place in the list, what is wrong and what to write.
    """
    if len(rows) > MAX_RULES:
        raise ValueError(f"{len(rows)} rules are too many; write at most {MAX_RULES}, with wild cards in their paths")
    rules: dict[str, Rule] = {}
    for at, row in enumerate(rows):
        try:
            rule = _rule(row)
        except ValueError as exc:
            raise ValueError(f"rules[{at}]: {exc}") from exc
        if rule.name in rules:
            raise ValueError(f"rules[{at}]: a second rule is called {rule.name!r}; leave it out, or give it another name")
        rules[rule.name] = rule
    return Rules(tuple(rules.values()))


def _rule(row: Mapping[str, Any]) -> Rule:
    path, action = row.get("path"), [key for key in row if key not in ("path", "name")]
    if not isinstance(path, str):
        raise ValueError(f"a rule needs a path; write $.a.b, ** or {TEXT}")
    if len(action) != 1 or action[0] not in _ACTIONS:
        raise ValueError(f"{', '.join(action) or 'nothing'} is not one action; write one of {', '.join(_ACTIONS)}")
    if path == TEXT and action[0] in ("round", "sort"):
        raise ValueError(f"there is nothing to {action[0]} in plain text; write pattern: number, or a path into JSON")
    name = row.get("name") or _name(path, action[0], row[action[0]])
    return Rule(str(name), None if path == TEXT else places(path), _ACTIONS[action[0]](row[action[0]]))


def _name(path: str, action: str, setting: Any) -> str:
    return f"{action} {path}" if setting is True else f"{action} {setting} {path}"


def _ignore(setting: Any) -> _Change:
    _only_true("ignore", setting)
    return lambda _: _GONE


def _round(setting: Any) -> _Change:
    if isinstance(setting, bool) or not isinstance(setting, int) or not 0 <= setting <= 15:
        raise ValueError(f"round: {setting!r} is not a number of decimal places; write 0 to 15")

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            short = round(value, setting)
            return int(short) if short.is_integer() else short
        return value

    return rounded


def _sort(setting: Any) -> _Change:
    _only_true("sort", setting)
    return lambda value: sorted(value, key=canonical) if isinstance(value, list) else value


def _lower(setting: Any) -> _Change:
    _only_true("lower", setting)
    return lambda value: value.casefold() if isinstance(value, str) else value


def _strip(setting: Any) -> _Change:
    _only_true("strip", setting)
    return lambda value: value.strip() if isinstance(value, str) else value


def _pattern(setting: Any) -> _Change:
    if not isinstance(setting, str):
        raise ValueError(f"pattern: {setting!r} is not a text; write a regular expression in quotes")
    masked = masking(setting)

    def replaced(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        text = value if isinstance(value, str) else written(value)
        changed = masked(text)
        return value if changed == text else changed

    return replaced


def _only_true(action: str, setting: Any) -> None:
    if setting is not True:
        raise ValueError(f"{action}: {setting!r} switches nothing; write true, or leave the rule out")


_ACTIONS: dict[str, Callable[[Any], _Change]] = {
    "ignore": _ignore,
    "round": _round,
    "sort": _sort,
    "lower": _lower,
    "strip": _strip,
    "pattern": _pattern,
}
