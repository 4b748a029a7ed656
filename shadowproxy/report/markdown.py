"""Markdown for a comment on a pull request, in what GitHub and GitLab share. PURE.

A comment holds 65 536 characters on GitHub, so that what does not fit is left out from the end and said to be. What a stranger wrote
stands in code fences longer than any run of back-ticks in it, where nothing is a link, a picture, a mention or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from shadowproxy.exchange import CONTROL, PRIMARY
from shadowproxy.report.characters import line, visible
from shadowproxy.report.contents import Contents
from shadowproxy.report.diff import Difference, difference
from shadowproxy.report.gathering import CANDIDATE, MEASURES
from shadowproxy.report.left_out import left_out
from shadowproxy.report.pairs import PairShown
from shadowproxy.report.provenance import provenance
from shadowproxy.report.wording import (
    OUTCOMES,
    by_code,
    facts,
    headline,
    is_note,
    meaning,
    number,
    ordered,
    promise,
    remedy,
    seconds,
    stratum,
)
from shadowproxy.verdict.wording import count

#: Bytes of the whole. GitHub's limit less what a bot may want to put around it.
MAX_BYTES = 60_000

#: Characters of an answer in a pair: a comment is read in passing, the HTML report at leisure.
_ANSWER_CHARACTERS = 1_500
_PAIRS = 5
_REASONS = 6
_ROWS = 40

_SIGNS = {"promote": "✅", "hold": "⏸️", "rollback": "❌"}
_FINDING_SIGNS = {"pass": "✅", "fail": "❌", "inconclusive": "❔"}


def markdown(contents: Contents, max_bytes: int = MAX_BYTES) -> str:
    """The whole comment, at most ``max_bytes`` bytes of UTF-8."""
    parts: list[str] = []
    size = 0
    for block in _blocks(contents):
        size += len(block.encode()) + 2
        if size > max_bytes - len(_TOO_LONG.encode()) - 2:
            parts.append(_TOO_LONG)
            break
        parts.append(block)
    return "\n\n".join(parts) + "\n"


_TOO_LONG = "_The rest does not fit into a comment; the HTML report has it._"


def _blocks(contents: Contents) -> Iterator[str]:
    document = contents.document
    yield f"## {_SIGNS.get(document['state'], '')} {_plain(headline(document))}"
    figures = " · ".join(f"{name} **{_plain(value)}**" for name, value in facts(document))
    yield f"Candidate **{_plain(document['candidate'])}** · {figures}"
    yield from _reasons(document["reasons"])
    yield from _findings(document["gates"])
    yield from _spread(contents)
    yield from map(_pair, contents.worst[:_PAIRS])
    yield from _left_out(contents)
    yield _provenance(document)


def _reasons(reasons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """By code, since what is to be done depends on the code alone."""
    for code, alike in by_code([reason for reason in reasons if not is_note(reason)]).items():
        said = [f"- {_plain(each['text'])}" for each in alike[:_REASONS]]
        more = [f"- and {len(alike) - _REASONS} more"] if len(alike) > _REASONS else []
        yield "\n".join((f"**{_plain(meaning(code))}** `{code}`", "", *said, *more))
        if remedy(code):
            yield f"What to do: {_plain(remedy(code))}"


def _findings(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    routes = ordered([each for each in findings if not each["slice"]])
    slices = [each for each in ordered([each for each in findings if each["slice"]]) if each["outcome"] != "pass"]
    if routes:
        yield _findings_table(routes)
        yield "`│` margin, left of it is good · `═` bounds of the mean difference · `●` mean so far · `◀▶` outside the picture"
    if slices:
        yield _details(f"{len(slices)} findings on slices that are not within their margin", _findings_table(slices))


def _findings_table(findings: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (_plain(stratum(each)), f"**{_plain(each['gate'])}**", _outcome(each["outcome"]), f"`{bar(each)}`", _plain(each["reason"]))
        for each in findings[:_ROWS]
    ]
    more = f"\n\nand {len(findings) - _ROWS} more" if len(findings) > _ROWS else ""
    return _table(("where", "gate", "finding", "against its margin", "in words"), rows) + more


def _outcome(outcome: str) -> str:
    _, word = OUTCOMES.get(outcome, ("", outcome))
    return f"{_FINDING_SIGNS.get(outcome, '')} {word}".replace(" ", "&nbsp;")


#: Cells of the picture; odd, so that the margin has the middle one.
_CELLS = 21
_HALF = _CELLS // 2
_MARGINS_SHOWN = 4.0
#: Stands for a margin of 0.
_FOR_ZERO = 0.01


def bar(finding: Mapping[str, Any]) -> str:
    """``   ══●═══│``: the bounds and the mean in characters, the margin in the middle."""
    if finding["mean"] is None:
        return "no data".ljust(_HALF) + "│" + " " * _HALF
    margin = float(finding["margin"])
    reach = _MARGINS_SHOWN * (abs(margin) or _FOR_ZERO)

    def steps(value: float) -> int:
        return round(min(max((value - margin) / reach, -1.0), 1.0) * _HALF)

    lower, upper, mean = (_HALF + steps(finding[name]) for name in ("lower", "upper", "mean"))
    cells = [" "] * _CELLS
    cells[lower : upper + 1] = "═" * (upper - lower + 1)
    if finding["lower"] < margin - reach:
        cells[0] = "◀"
    if finding["upper"] > margin + reach:
        cells[-1] = "▶"
    cells[_HALF] = "│"
    cells[mean] = "●"
    return "".join(cells)


def _spread(contents: Contents) -> Iterator[str]:
    gathering = contents.gathering
    rows = [
        (arm, "similarity", count(each.similarity.n), *(f"{each.similarity.quantile(q):.3f}" for q in (0.5, 0.05, 0.01)))
        for arm, each in gathering.likeness.items()
        if each.similarity.n
    ]
    for measure, name in MEASURES.items():
        times = {arm: gathering.arms[arm].times[measure] for arm in (PRIMARY, CANDIDATE, CONTROL)}
        rows += [
            (arm, name, count(each.n), *(seconds(each.quantile(q)) for q in (0.5, 0.95, 0.99))) for arm, each in times.items() if each.n
        ]
    if rows:
        heads = ("arm", "of", "answers", "median", "worst 5 % from", "worst 1 % from")
        yield _details("Similarity and latency by arm", _table(heads, rows))


# --- pairs ----------------------------------------------------------------------------------------------------------------


def _pair(pair: PairShown) -> str:
    kinds = ", ".join(dict.fromkeys(each.kind for each in pair.likeness.divergences))
    title = f"Pair {line(pair.id, 60)}, weight {pair.weight:+.2f}: {line(kinds, 120)}"
    parts = [_fenced(_clipped(pair.question.text)), *_answers(pair), *_divergences(pair)]
    return _details(title, "\n\n".join(part for part in parts if part))


def _answers(pair: PairShown) -> Iterator[str]:
    ours, theirs = _clipped(pair.primary.answer.text), _clipped(pair.candidate.answer.text)
    if ours or theirs:
        yield "`[-` only the primary `-]` · `{+` only the candidate `+}`"
        yield _fenced(_marked(difference(ours, theirs)))


def _marked(found: Difference) -> str:
    """The notation of ``git diff --word-diff``."""
    pieces: list[str] = []
    for piece in found.pieces:
        if piece.is_kept:
            pieces.append(piece.other)
            continue
        pieces += [_around("[-", piece.primary, "-]"), _around("{+", piece.other, "+}")]
    return "".join((*pieces, _around("[-", found.rest, "-]"), _around("{+", found.other_rest, "+}")))


def _around(opening: str, text: str, closing: str) -> str:
    """Space stays outside the brackets."""
    inner = text.strip()
    if not inner:
        return text
    start = text.index(inner)
    return f"{text[:start]}{opening}{inner}{closing}{text[start + len(inner) :]}"


def _divergences(pair: PairShown) -> Iterator[str]:
    found = pair.likeness.divergences[:8]
    if found:
        lines = (
            f"{each.severity.value:<8}  {line(each.kind, 40)}  {line(each.path, 60)}  {line(each.primary, 80)} → {line(each.other, 80)}"
            for each in found
        )
        yield _fenced("\n".join(lines))


def _clipped(text: str) -> str:
    return text if len(text) <= _ANSWER_CHARACTERS else text[: _ANSWER_CHARACTERS - 1] + "…"


# --- the end --------------------------------------------------------------------------------------------------------------


def _left_out(contents: Contents) -> Iterator[str]:
    rows = [(_plain(each.what), _plain(each.amount), _plain(each.why)) for each in left_out(contents)[:_ROWS]]
    if rows:
        yield _details("What was not compared, and why", _table(("what", "how much", "why"), rows))


def _provenance(document: Mapping[str, Any]) -> str:
    rows = [(name, f"`{line(value, 90)}`" if is_digest else _plain(value)) for name, value, is_digest in provenance(document)]
    margins = ", ".join(f"{gate} {number(margin)}" for gate, margin in document["rules"]["margins"].items())
    inner = "\n\n".join((_table(("what", "which"), rows), f"Margins: {_plain(margins)}", promise(document)))
    return _details("Where this comes from", inner)


# --- pieces ---------------------------------------------------------------------------------------------------------------

#: What begins emphasis, code, a link, a table cell, HTML, mathematics.
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$]")
#: What notifies people or becomes a link even when it is escaped, but not with a comment behind it.
_CALLING = re.compile(r"([@#]|:(?=//)|www(?=\.))")


def _plain(text: str) -> str:
    """Text within a paragraph, a heading or a cell, on one line."""
    return _CALLING.sub(r"\1<!-- -->", _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line(text, 400)))


_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join((f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows)))


def _details(summary: str, inner: str) -> str:
    shown = _CALLING.sub(r"\1<!-- -->", escape(line(summary, 400)))  # HTML until the next empty line: no Markdown is read in it
    return f"<details><summary>{shown}</summary>\n\n{inner}\n\n</details>"


def _fenced(text: str) -> str:
    if not text:
        return ""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"
