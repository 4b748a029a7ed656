"""Whether a JSON value satisfies a JSON Schema that somebody sent. PURE.

``structure`` and ``tools`` ask; the schema comes with the client's request, the value out of an answer. Both may be hostile:

- nothing is fetched: the validator runs offline, and a reference to anything but a part of the same schema makes it unusable;
- ``pattern`` runs on Rust's ``regex``, which takes time linear in the text and knows neither look-around nor back-references;
- schemas and values are no deeper than ``json_values.MAX_DEPTH``, which the validator's recursion stands;
- references that meet again and again multiply the work with every level. It is estimated before anything runs.

What is too much for these bounds is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from shadowproxy.compare.json_paths import Path
from shadowproxy.compare.json_values import canonical, children, document, measured

#: Visits of a schema's part to a value's part, at worst 2 µs each (where all of them fail, and each failure is put into words).
#: A schema of 200 parts and a value of 10,000 fit.
MAX_VISITS = 2_000_000
#: Schemas are written by people or by their types; providers take 120,000 characters at most.
MAX_SCHEMA_CHARACTERS = 128 * 1024
#: Parts of one schema that are referred to. Bounds the estimate itself.
_MAX_BLOCKS = 256
#: Bytes that one compiled ``pattern`` may take: the largest in use (e-mail, URL) need a few hundred kB.
_MAX_PATTERN_BYTES = 1024 * 1024

#: Keywords whose schemas are for the value itself, in every draft; those of all others are for what is in it, or are no schemas.
_BESIDE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"})
#: Keywords that hold schemas by name.
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
#: Keywords whose schemas do nothing unless something refers to them.
_SHELVES = frozenset({"$defs", "definitions"})
#: Keywords that change what a reference means.
_MOVING = frozenset({"$dynamicRef", "$recursiveRef", "$id"})


@dataclass(frozen=True, slots=True)
class Violation:
    """The first thing in a value that its schema forbids."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema that can be judged by: see :func:`schema`."""

    validator: jsonschema_rs.Validator
    blocks: tuple[_Block, ...]

    def violation(self, value: Any) -> Violation | None:
        """What ``value`` violates; None where it satisfies the schema, or where finding out would take too long."""
        if not self.is_affordable(value):
            return None
        try:
            self.validator.validate(value)
        except jsonschema_rs.ValidationError as exc:
            return Violation(tuple(exc.instance_path), exc.message)
        return None

    def is_affordable(self, value: Any) -> bool:
        """False where the work for ``value`` could exceed ``MAX_VISITS``."""
        size = measured(value)
        # Patterns and lengths read texts: a hundred characters take what a place takes.
        enough = MAX_VISITS // (size.nodes + len(canonical(value)) // 100)
        return _visits(self.blocks, size.depth, enough) <= enough


def schema(text: str) -> Schema | None:
    """Read a JSON Schema (draft 2020-12 unless it names another); None where it is none, or one that is not judged by.

    ``format`` is a note, not a rule, as the draft has it.
    """
    read = document(text) if len(text) <= MAX_SCHEMA_CHARACTERS else None
    if read is None or not isinstance(read.value, dict):
        return None
    value = {key: each for key, each in read.value.items() if key != "$id"}  # the name of the whole; nobody can ask for it by name here
    blocks = _blocks(value)
    if blocks is None or "draft-04" in str(value.get("$schema")):  # where a plain "id" moves what references mean
        return None
    try:
        return Schema(_validator(value), blocks)
    except ValueError:  # what the library raises for schemas and references alike
        return None


def _validator(value: Any) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(
        value,
        validate_formats=False,
        offline=True,
        mask="the value",  # without it, a message repeats the whole value
        pattern_options=jsonschema_rs.RegexOptions(size_limit=_MAX_PATTERN_BYTES),
    )


# --- how much work a schema can make ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """The schema, or a part of it that something refers to.

    ``nodes`` is its size; ``beside`` are the blocks it refers to for the same place of a value, ``below`` those for the places in it.
    """

    nodes: int
    beside: tuple[int, ...]
    below: tuple[int, ...]


def _blocks(root: Any) -> tuple[_Block, ...] | None:
    """The root and every part that is referred to; None where a reference leaves the schema, or is decided only on the way."""
    parts, places = [root], {"#": 0}
    blocks: list[_Block] = []
    for part in parts:  # grows while it is walked
        found = list(_references(part))
        for pointer, _ in found:
            target = _resolved(root, pointer)
            if target is None or len(places) > _MAX_BLOCKS:
                return None
            if pointer not in places:
                places[pointer] = len(parts)
                parts.append(target)
        beside = tuple(places[pointer] for pointer, is_below in found if not is_below)
        blocks.append(_Block(measured(part).nodes, beside, tuple(places[pointer] for pointer, is_below in found if is_below)))
    return tuple(blocks)


def _references(part: Any) -> Iterator[tuple[Any, bool]]:
    """What ``part`` refers to, and whether that is for what is in the value rather than for the value itself.

    A reference that cannot be followed here is reported as None.
    """
    waiting = [(part, False)]
    while waiting:
        each, is_below = waiting.pop()
        if isinstance(each, list):
            waiting.extend((one, is_below) for one in each)
        if not isinstance(each, dict):
            continue
        if not _MOVING.isdisjoint(each):
            yield None, is_below
        if "$ref" in each:
            yield each["$ref"], is_below
        for key in each.keys() - _SHELVES:
            # In maps, keys are names that somebody chose, and no keywords.
            inner = children(each[key]) if key in _MAPS else [each[key]]
            waiting.extend((one, is_below or key not in _BESIDE) for one in inner)


def _resolved(root: Any, pointer: Any) -> Any:
    """The part of ``root`` at a JSON pointer (RFC 6901) after its ``#``; None where that is no such pointer, or leads nowhere."""
    if not isinstance(pointer, str) or not (pointer == "#" or pointer.startswith("#/")):
        return None
    part = root
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        elif isinstance(part, dict):
            part = part.get(key)
        else:
            return None
    return part


def _visits(blocks: tuple[_Block, ...], depth: int, enough: int) -> int:
    """How often parts of the schema are visited, at most, for a value with one place on each of ``depth`` levels.

    Level by level from the deepest. Above ``enough`` the counting stops.
    """
    lower = [0] * len(blocks)
    for _ in range(depth):
        alone = [block.nodes + sum(lower[at] for at in block.below) for block in blocks]
        lower = _beside(blocks, alone, enough)
        if max(lower) > enough:
            break
    return max(lower)


def _beside(blocks: tuple[_Block, ...], alone: list[int], enough: int) -> list[int]:
    """Add what is visited by reference at the same place. The validator ends circles; a way without one meets each block once at most."""
    visits = alone
    for _ in blocks:
        following = [alone[at] + sum(visits[to] for to in block.beside) for at, block in enumerate(blocks)]
        if following == visits or max(following) > enough:
            return following
        visits = following
    return visits
