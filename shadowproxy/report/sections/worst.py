"""The pairs that differ most, side by side, with the words that differ marked. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shadowproxy.exchange import Divergence
from shadowproxy.report.characters import line
from shadowproxy.report.contents import Contents
from shadowproxy.report.diff import Difference, difference
from shadowproxy.report.markup import Child, Markup, joined, table, tag
from shadowproxy.report.pairs import ArmShown, Excerpt, PairShown
from shadowproxy.report.sections.section import folded, quiet, section
from shadowproxy.report.wording import seconds
from shadowproxy.verdict.wording import count

#: Pairs that are open when the page is; the rest is one click away.
_OPEN = 3

#: Divergences shown of a pair, the gravest first.
_DIVERGENCES = 12

#: Of two answers that share less than this nothing is marked: everything would be.
_LEAST_KEPT = 0.15

#: Characters that fit into a text's box without scrolling, on a narrow screen.
_FITTING_CHARACTERS = 600

_RANKS = ("critical", "major", "minor", "info")

_HOW_TO_READ = (
    "Weight is the divergence of the candidate's answer (0 the same, 1 another answer) less that of the primary's own second answer. "
    "Words that only the primary has are struck through, words that only the candidate has are underlined."
)


def worst_section(contents: Contents) -> Markup | None:
    if not contents.gathering.pairs:
        return None
    if not contents.worst:
        said = "None: no candidate's answer is further from the primary's than the primary's own second answer."
        return section("worst", "Worst pairs", tag("p", said))
    raw = "Texts are shown as they are." if contents.is_raw else "Personal data and secrets are masked."
    pairs = (_pair(pair, is_open=at < _OPEN) for at, pair in enumerate(contents.worst))
    return section("worst", "Worst pairs", tag("p", f"{_HOW_TO_READ} {raw}", class_="quiet"), *pairs)


def _pair(pair: PairShown, *, is_open: bool) -> Markup:
    summary = joined(
        tag("h3", f"Pair {line(pair.id, 80)}"),
        tag("span", f"weight {pair.weight:+.2f}", class_="weight"),
        quiet(", ".join(dict.fromkeys(each.kind for each in gravest(pair.likeness.divergences)[:3]))),
        quiet(f"route {line(pair.route, 60)}") if pair.route else None,
    )
    return folded(summary, _question(pair.question), *_answers(pair), _divergences(pair), is_open=is_open, class_="pair")


def gravest(divergences: Sequence[Divergence]) -> list[Divergence]:
    """The gravest first, otherwise as found."""
    return sorted(divergences, key=lambda each: _RANKS.index(each.severity.value))


def _question(question: Excerpt) -> Markup | None:
    return tag("div", tag("h4", "Asked"), _text(question.text), _cut(question), class_="asked") if question.text else None


def _answers(pair: PairShown) -> Iterator[Markup]:
    """Both answers with their difference; where texts are not known, the divergences below say what can be said."""
    if pair.primary.answer.characters is None and pair.candidate.answer.characters is None:
        yield tag("p", "The texts of this pair were not given to the report.", class_="quiet")
        return
    found = difference(pair.primary.answer.text, pair.candidate.answer.text)
    if found.kept_share < _LEAST_KEPT and pair.candidate.outcome in ("ok", ""):
        yield tag("p", "The answers have next to no words in common, so that nothing is marked.", class_="quiet")
    primary = _arm("Primary", pair.primary, _side(found, is_primary=True))
    candidate = _arm("Candidate", pair.candidate, _side(found, is_primary=False))
    yield tag("div", primary, candidate, class_="arms")
    if pair.control is not None and pair.control.answer.text:
        yield folded("The primary asked again (control)", _arm("Control", pair.control, pair.control.answer.text))


def _side(found: Difference, *, is_primary: bool) -> Markup:
    """One side of the difference: what the other side does not have is marked."""
    sides = ((piece.primary if is_primary else piece.other, piece.is_kept) for piece in found.pieces)
    is_marked = found.kept_share >= _LEAST_KEPT
    pieces = [side if is_kept or not is_marked else _mark("del" if is_primary else "ins", side) for side, is_kept in sides if side]
    return joined(*pieces, found.rest if is_primary else found.other_rest)


def _mark(name: str, words: str) -> Markup:
    """The words marked, the space before them not: a line that begins in the air looks like a slip."""
    inner = words.lstrip()
    return joined(words[: len(words) - len(inner)], tag(name, inner) if inner else None)


def _arm(title: str, arm: ArmShown, words: str) -> Markup:
    times = (("first content after", arm.ttft_s), ("took", arm.duration_s))
    facts = [
        "" if arm.outcome == "ok" else arm.outcome,
        *(f"{name} {seconds(value)}" for name, value in times if value is not None),
        f"{count(arm.tokens)} tokens" if arm.tokens is not None else "",
    ]
    said = " · ".join(fact for fact in facts if fact)
    empty = None if arm.answer.text else quiet("(no text)")
    return tag("div", tag("h4", title), quiet(said), empty or _text(words), _cut(arm.answer), class_="arm")


def _text(words: str) -> Markup:
    """In a box that scrolls where it is long, and can then be scrolled from the keyboard."""
    is_long = len(words) > _FITTING_CHARACTERS
    reachable = {"tabindex": "0", "role": "region", "aria_label": "Text of an answer or question"} if is_long else {}
    return tag("div", words, class_="text", dir="auto", **reachable)


def _cut(excerpt: Excerpt) -> Markup | None:
    if not excerpt.is_cut or excerpt.characters is None:
        return None
    return tag("p", f"Cut off after {count(len(excerpt.text))} of {count(excerpt.characters)} characters.", class_="quiet")


def _divergences(pair: PairShown) -> Markup | None:
    found = gravest(pair.likeness.divergences)
    rows = (_row(each) for each in found[:_DIVERGENCES])
    more = quiet(f"and {len(found) - _DIVERGENCES} more") if len(found) > _DIVERGENCES else None
    heads = ("divergence", "severity", "primary", "candidate", "why")
    return joined(table(f"Divergences of pair {line(pair.id, 80)}", heads, rows), more)


def _row(each: Divergence) -> Sequence[Child]:
    where = joined(tag("br"), quiet(line(each.path, 120))) if each.path else None
    severity = tag("span", each.severity.value, class_=f"severity {each.severity.value}")
    sides = (tag("bdi", line(side, 240)) for side in (each.primary, each.other, each.why))
    return (joined(line(each.kind, 60), where), severity, *sides)
