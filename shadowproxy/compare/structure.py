"""What two answers are built of: JSON place by place, markdown by its outline, code by whether it can be read. PURE.

``pair`` asks for both functions. Values are read by ``json_values``, compared by ``json_diff``, judged by ``schema``.
"""

from __future__ import annotations

from collections.abc import Iterator

from shadowproxy.compare.code import fault
from shadowproxy.compare.json_diff import Change, Difference, differences
from shadowproxy.compare.json_paths import written
from shadowproxy.compare.json_values import MAX_CHARACTERS, Document, document
from shadowproxy.compare.json_values import fault as json_fault
from shadowproxy.compare.kinds import Found, divergence
from shadowproxy.compare.markdown import Block, Outline, outline
from shadowproxy.compare.rules import Rules
from shadowproxy.compare.schema import schema
from shadowproxy.exchange import Asked, Divergence, Severity

KINDS_OF_CHANGE = {
    Change.MISSING: "structure.missing",
    Change.EXTRA: "structure.extra",
    Change.TYPE: "structure.type",
    Change.VALUE: "structure.value",
    Change.ARRAY_LENGTH: "structure.array_length",
}

#: So many of a part on one side and none on the other is another form of answer. One list item or heading more is a matter of the day.
TELLING = {"headings": 2, "list items": 2, "tables": 1}


def compare_structure(primary_text: str, other_text: str, asked: Asked, rules: Rules) -> Found:
    """How two texts differ in structure. For choices that speak: what calls a tool instead is the business of ``tools``.

    As JSON where the request asks for it or the primary's text is an object or an array: the score is the share of leaves that differ.
    Else as markdown: the share of headings, list items, tables and code blocks that one side has and the other has not; 1 where the
    other's code is broken. None where there is no structure on either side, where JSON was asked for and both failed, or where a text is
    too long to be read as JSON.
    """
    primary = document(primary_text)
    if asked.wants_json or (primary is not None and isinstance(primary.value, dict | list)):
        if max(len(primary_text), len(other_text)) > MAX_CHARACTERS:
            return Found()
        return _compare_json(primary, document(other_text), (primary_text, other_text), asked, rules)
    return _compare_markdown(outline(rules.text(primary_text).value), outline(rules.text(other_text).value))


def is_json_valid(text: str, asked: Asked) -> bool | None:
    """Whether ``text`` is the JSON that was asked for; None where none was, or where the text is too long to be read as JSON.

    It has to satisfy the schema, as far as that can be judged (see ``schema``). A code fence around it is a matter of form. An empty text
    is not valid: ask this of choices that were to speak.
    """
    if not asked.wants_json or len(text) > MAX_CHARACTERS:
        return None
    found = document(text)
    wanted = schema(asked.schema) if asked.schema else None
    return found is not None and (wanted is None or wanted.violation(found.value) is None)


# --- JSON ---------------------------------------------------------------------------------------------------------------


def _compare_json(primary: Document | None, other: Document | None, texts: tuple[str, str], asked: Asked, rules: Rules) -> Found:
    if primary is None and other is None:
        return Found()
    if primary is None:
        # A finding about the primary. It must not look like a critical one about the other arm.
        return Found(1.0, (_invalid(Severity.MINOR, texts, json_fault(texts[0])),))
    if other is None:
        severity = Severity.CRITICAL if asked.wants_json else Severity.MAJOR
        return Found(1.0, (_invalid(severity, texts, json_fault(texts[1])),))
    found = differences(rules.json(primary.value).value, rules.json(other.value).value)
    return Found(found.share, (*_forms(primary, other, asked), *map(_difference, found.kept)))


def _invalid(severity: Severity, texts: tuple[str, str], why: str) -> Divergence:
    return divergence("structure.invalid_json", severity, *texts, why=why or "JSON, but nested too deeply for its readers")


def _forms(primary: Document, other: Document, asked: Asked) -> Iterator[Divergence]:
    if primary.is_fenced is not other.is_fenced:
        yield divergence("structure.fence", Severity.INFO, _form(primary), _form(other))
    wanted = schema(asked.schema) if asked.schema else None
    violation = wanted.violation(other.value) if wanted is not None else None
    if wanted is not None and violation is not None and wanted.violation(primary.value) is None:
        yield divergence("structure.schema", Severity.CRITICAL, "valid", "not valid", path=written(violation.path), why=violation.why)


def _form(found: Document) -> str:
    return "JSON in a code fence" if found.is_fenced else "JSON alone"


def _difference(found: Difference) -> Divergence:
    return divergence(KINDS_OF_CHANGE[found.change], found.severity, found.primary, found.other, path=written(found.path))


# --- markdown and code --------------------------------------------------------------------------------------------------


def _compare_markdown(primary: Outline, other: Outline) -> Found:
    parts = sorted(primary.counts.keys() | other.counts.keys())
    counts = [(primary.counts.get(part, 0), other.counts.get(part, 0)) for part in parts]
    if not counts:
        return Found()
    broken = tuple(_broken(primary.blocks, other.blocks))
    share = sum(abs(one - two) for one, two in counts) / sum(map(max, counts))
    return Found(1.0 if broken else share, (*broken, *_outlines(primary, other)))


def _outlines(primary: Outline, other: Outline) -> Iterator[Divergence]:
    if dict(primary.counts) != dict(other.counts):
        is_another_form = any(
            _is_one_sided(primary.counts.get(part, 0), other.counts.get(part, 0), least) for part, least in TELLING.items()
        )
        yield divergence("structure.outline", Severity.MINOR if is_another_form else Severity.INFO, str(primary), str(other))


def _is_one_sided(one: int, two: int, least: int) -> bool:
    return min(one, two) == 0 and max(one, two) >= least


def _broken(primary: tuple[Block, ...], other: tuple[Block, ...]) -> Iterator[Divergence]:
    """The other's blocks that cannot be read, in languages in which all of the primary's can."""
    faults: dict[str, list[str | None]] = {}
    for block in primary:
        faults.setdefault(block.language, []).append(fault(block))
    for at, block in enumerate(other):
        # A list of nothing but empty faults: at least one block, and each is known to be right.
        if set(faults.get(block.language, ())) == {""} and (why := fault(block)):
            yield divergence("structure.code_broken", Severity.MAJOR, "can be read", block.code, path=f"code[{at}]", why=why)
