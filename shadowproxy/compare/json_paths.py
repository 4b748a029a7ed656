"""Where in a JSON value something is, and the small language in which rules say it. PURE.

``$`` is the whole value, ``.name`` or ``["any name"]`` a key, ``[2]`` an element, ``.*`` any key, ``[*]`` any element, ``.**`` any number
of levels, none included: ``$.items[*].price``, ``$.**.id``. ``**.id`` is short for ``$.**.id``. A path as :func:`written` names one place
and can be pasted into a rule.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum

from shadowproxy.compare import json_values

#: Keys and indices from the root down.
Path = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[^\W\d][\w-]*")
_STEP = re.compile(
    r"\.(?P<deep>\*\*)|\.(?P<any_key>\*)|\.(?P<key>[\w-]+)"
    r'|\[(?P<any_index>\*)\]|\[(?P<index>[0-9]{1,9})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]'
)

#: Far more than any value that is worth a rule has levels. Bounds the work per place.
_MAX_STEPS = 32


class Wild(Enum):
    """Steps that fit more than one key or index."""

    KEY = "*"
    INDEX = "[*]"
    DEEP = "**"


@dataclass(frozen=True, slots=True)
class Places:
    """A path with wild cards: which places a rule is about.

    It is followed step by step while a value is walked: :meth:`start` at the root, :meth:`after` each key or index. What it carries along
    is the set of steps that may come next; a place is meant where :meth:`is_here`, and an empty set means none below is.
    """

    steps: tuple[str | int | Wild, ...]

    def start(self) -> frozenset[int]:
        return self._closed({0})

    def after(self, reached: frozenset[int], key: str | int) -> frozenset[int]:
        following: set[int] = set()
        for at in reached:
            if at < len(self.steps):
                step = self.steps[at]
                if step is Wild.DEEP:
                    following.add(at)
                elif _fits(step, key):
                    following.add(at + 1)
        return self._closed(following)

    def is_here(self, reached: frozenset[int]) -> bool:
        return len(self.steps) in reached

    def _closed(self, reached: set[int]) -> frozenset[int]:
        """With the steps after a ``**``, which may stand for no level at all."""
        for at in range(len(self.steps)):
            if at in reached and self.steps[at] is Wild.DEEP:
                reached.add(at + 1)
        return frozenset(reached)


def _fits(step: str | int | Wild, key: str | int) -> bool:
    if isinstance(step, Wild):
        return isinstance(key, str) is (step is Wild.KEY)
    return step == key


def written(path: Path) -> str:
    """The path as text: ``$.items[2].price``."""
    return "$" + "".join(map(_written_step, path))


def _written_step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _BARE_KEY.fullmatch(key) else f"[{json_values.written(key)}]"


def places(text: str) -> Places:
    """Read a path with wild cards. Raises ``ValueError`` that says what is wrong and what to write."""
    text = unicodedata.normalize("NFC", text)  # as the keys it is compared with
    rest = "." + text if text.startswith("**") else text.removeprefix("$")
    if not text.startswith(("$", "**")):
        raise ValueError(f"{text!r} is not a path; begin with $, as in $.items[*].price, or with ** for any depth")
    steps: list[str | int | Wild] = []
    while rest:
        found = _STEP.match(rest)
        step = _step(found) if found is not None else None
        if found is None or step is None:
            raise ValueError(f'{rest!r} is not a step of a path; write .name, ["any name"], [2], .*, [*] or .**')
        steps.append(step)
        rest = rest[found.end() :]
    if len(steps) > _MAX_STEPS:
        raise ValueError(f"a path of {len(steps)} steps is too long; use ** to skip levels (at most {_MAX_STEPS} steps)")
    return Places(tuple(steps))


def _step(found: re.Match[str]) -> str | int | Wild | None:
    """What was written, or None where it is no JSON string."""
    name = found.lastgroup or ""
    text = found[name]
    if name == "quoted":
        key = json_values.document(text)
        return key.value if key is not None and isinstance(key.value, str) else None
    if name == "index":
        return int(text)
    return {"deep": Wild.DEEP, "any_key": Wild.KEY, "any_index": Wild.INDEX}.get(name, text)
