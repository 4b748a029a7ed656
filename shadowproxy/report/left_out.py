"""What was not compared, and why, as sentences with counts. PURE.

Between ``contents`` and the renderings. Nothing that a verdict did not look at goes unsaid: that would read as "no difference".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shadowproxy.compare.overall import WEIGHTS
from shadowproxy.report.contents import Contents
from shadowproxy.report.gathering import CANDIDATE, Gathering
from shadowproxy.report.wording import is_note, share, stratum
from shadowproxy.verdict.checks import UNREPORTED
from shadowproxy.verdict.wording import count


@dataclass(frozen=True, slots=True)
class LeftOut:
    """``what`` was left out, ``amount`` of it, and ``why``."""

    what: str
    amount: str
    why: str


def left_out(contents: Contents) -> list[LeftOut]:
    """In the order of the data's way: requests, answers, kinds of comparison, rules, gates."""
    return [
        *(LeftOut("lines of the input", "", note) for note in contents.notes),
        *_requests(contents),
        *_answers(contents.gathering),
        *_abstentions(contents.gathering),
        *_suppressed(contents.gathering),
        *_unreported(contents),
        *_gates(contents),
    ]


def _requests(contents: Contents) -> Iterator[LeftOut]:
    document = contents.document
    if lost := document["unresolved"]:
        why = "never came to an end on our side; taken at their worst for either direction"
        yield LeftOut("pairs lost", f"{count(lost)} of {count(document['issued'])}", why)


def _answers(gathering: Gathering) -> Iterator[LeftOut]:
    for arm, totals in gathering.arms.items():
        for outcome, n in sorted(totals.outcomes.items()):
            if outcome not in ("ok", "unknown"):
                yield LeftOut(f"answers of the {arm}", f"{count(n)} of {count(totals.asked)}", f"{outcome}: {_CONSEQUENCES[arm]}")


_CONSEQUENCES = {
    "primary": "without a served answer only failures are counted",
    "candidate": "a missing answer counts against the candidate in every gate",
    "control": "a failed control is left out of everything but the self-check",
}


def _abstentions(gathering: Gathering) -> Iterator[LeftOut]:
    """Kinds that could compare some pairs and not others; those that compared none at all, in one line."""
    totals = gathering.likeness[CANDIDATE]
    kinds = tuple(WEIGHTS) if totals.pairs else ()
    if never := [kind for kind in kinds if not totals.scored[kind]]:
        yield LeftOut(
            f"comparison of {', '.join(never)}", "all pairs", "no pair had anything of the kind, or its comparator could not tell"
        )
    for kind in kinds:
        scored = totals.scored[kind]
        if 0 < scored < totals.pairs:
            missing = f"{count(totals.pairs - scored)} of {count(totals.pairs)} pairs ({share(totals.pairs - scored, totals.pairs)})"
            yield LeftOut(f"comparison of {kind}", missing, "nothing of the kind to compare, or its comparator could not tell")
    if totals.pairs and not totals.similarity.n:
        yield LeftOut("similarity", "all pairs", "no embedder was used, or no pair has text on both sides")


def _suppressed(gathering: Gathering) -> Iterator[LeftOut]:
    for rule, n in gathering.likeness[CANDIDATE].suppressed.most_common():
        yield LeftOut("differences ignored", count(n), f"by rule {rule}")


def _unreported(contents: Contents) -> Iterator[LeftOut]:
    for finding in contents.document["gates"]:
        if n := finding["counts"].get(UNREPORTED, 0):
            where = f"gate {finding['gate']}, {stratum(finding)}"
            yield LeftOut(
                where,
                f"{count(n)} of {count(finding['n'])} pairs",
                "the candidate does not report it, or we were too late to time it; taken at its worst both ways",
            )


def _gates(contents: Contents) -> Iterator[LeftOut]:
    for reason in contents.document["reasons"]:
        if is_note(reason):
            yield LeftOut(f"gate {reason['gate']}" if reason["gate"] else "gates", stratum(reason), reason["text"])
