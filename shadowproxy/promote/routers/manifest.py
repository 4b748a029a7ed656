"""Changes single values in a YAML text and leaves every other byte: comments, order, quotes, anchors, blank lines.

Used by ``git``. The parser says where a value stands and only those characters are replaced. Writing the parsed tree out again, as
ruamel.yaml does, keeps comments and still moves indentation, quotes and line breaks that nobody asked to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from shadowproxy.errors import RouterRefused

#: A manifest is read by people; what is longer is something else, and takes the parser more than two seconds.
_MOST_CHARACTERS = 200_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: ``pointer`` (JSON Pointer) within the document of this ``kind`` and ``name``, or within the only one."""

    pointer: str
    kind: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.pointer}".strip()


@dataclass(frozen=True, slots=True)
class Value:
    """A plain or quoted value: what it says, and the characters that say it."""

    text: str
    start: int
    end: int
    quote: str


class Manifest:
    """A YAML text, parsed once. Raises :class:`~shadowproxy.errors.RouterRefused` for what is none."""

    def __init__(self, text: str) -> None:
        if len(text) > _MOST_CHARACTERS:
            raise RouterRefused(f"the file has more than {_MOST_CHARACTERS} characters", "name a smaller one")
        try:
            # The loader in C is faster, and counts bytes where this one counts characters.
            self._documents = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        except (yaml.YAMLError, RecursionError) as exc:
            raise RouterRefused(f"the file is no YAML ({str(exc).splitlines()[0]})", "repair it") from exc
        self._text = text

    def value(self, place: Place) -> Value:
        """What stands there. Raises :class:`~shadowproxy.errors.RouterRefused` where nothing does, or what cannot be replaced alone."""
        document = self._document(place)
        way = _way(document, place)
        _refuse_shared(document, way, place)
        return _plain(self._text, way[-1], place)

    def replaced(self, values: Mapping[Place, str]) -> str:
        """The text with these values. Each keeps its quotes."""
        text = self._text
        for value, new in sorted(((self.value(place), new) for place, new in values.items()), key=lambda pair: -pair[0].start):
            text = text[: value.start] + _written(new, value.quote) + text[value.end :]
        return text

    def _document(self, place: Place) -> yaml.Node:
        meant = [node for node in self._documents if _is_meant(node, place)]
        if len(meant) != 1:
            which = f"{place.kind} {place.name}".strip() or "document"
            raise RouterRefused(f"the file has {len(meant)} of {which}, not one", "name kind and name of one document")
        return meant[0]


def _is_meant(document: yaml.Node, place: Place) -> bool:
    kind, name = _text(document, "kind"), _text(_child(document, "metadata"), "name")
    return place.kind in ("", kind) and place.name in ("", name)


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _text(node: yaml.Node | None, key: str) -> str:
    child = _child(node, key)
    return str(child.value) if isinstance(child, yaml.ScalarNode) else ""


def _way(document: yaml.Node, place: Place) -> list[yaml.Node]:
    """The nodes that the pointer leads through, with the value at the end."""
    way = [document]
    for part in place.pointer.removeprefix("/").split("/"):
        way.append(_below(way[-1], part.replace("~1", "/").replace("~0", "~"), place))
    return way


def _below(node: yaml.Node, part: str, place: Place) -> yaml.Node:
    below = _child(node, part)
    if isinstance(node, yaml.SequenceNode) and part.isascii() and part.isdigit() and int(part) < len(node.value):
        below = node.value[int(part)]
    if below is None:
        raise RouterRefused(f"{place} leads nowhere: there is no {part!r}", "correct the pointer, or add the field with its present value")
    return below


def _plain(text: str, node: yaml.Node, place: Place) -> Value:
    start, end = node.start_mark.index, node.end_mark.index
    if not isinstance(node, yaml.ScalarNode) or node.style not in (None, "'", '"') or start == end or text[start] in "&!":
        raise RouterRefused(f"{place} is no plain value", "write it as one, without block, tag or anchor")
    return Value(str(node.value), start, end, node.style or "")


def _refuse_shared(document: yaml.Node, way: Sequence[yaml.Node], place: Place) -> None:
    """A value behind an alias stands somewhere else, and would change there too."""
    mentions = Counter(id(node) for node in _walk(document))
    if any(mentions[id(node)] > 1 for node in way):
        raise RouterRefused(f"{place} is shared through an anchor", "write the value out where it is to change")


def _walk(document: yaml.Node) -> Iterator[yaml.Node]:
    """Every mention of a node; what is mentioned again is not entered again, or aliases within aliases would never end."""
    pending, entered = [document], set[int]()
    while pending:
        node = pending.pop()
        yield node
        if id(node) in entered:
            continue
        entered.add(id(node))
        if isinstance(node, yaml.MappingNode):
            pending.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)


def _written(value: str, quote: str) -> str:
    """The value as YAML: quoted as before, or plain where a plain one says the same."""
    if quote == "'":
        return "'" + value.replace("'", "''") + "'"
    if quote == '"' or not _is_plain(value):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return value


#: What ``=`` and ``<<`` are without quotes: signs of YAML 1.1 that stand for no text, and that readers refuse as values.
_NO_VALUES = frozenset({"tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"})


def _is_plain(value: str) -> bool:
    """True where the value, written without quotes in any place, is read as one scalar with the same text."""
    if any(sign in value for sign in ",[]{}#\n\t") or ": " in value:
        return False
    try:
        node = yaml.compose(value, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return False
    return isinstance(node, yaml.ScalarNode) and node.value == value and node.style is None and node.tag not in _NO_VALUES
