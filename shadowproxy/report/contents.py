"""What stands in a report, with personal data and secrets masked: the verdict document, the pairs added up, and notes. PURE.

Between ``gathering`` and what renders it. Masking happens here and nowhere else, so that no rendering can forget it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shadowproxy.exchange import Divergence
from shadowproxy.redaction.masking import redact, redact_document
from shadowproxy.report.gathering import Gathering
from shadowproxy.report.pairs import ArmShown, Excerpt, Likeness, PairShown

#: Characters shown of a text. A person reads a few screens; ten pairs of three such texts keep the file below 1 MB.
SHOWN_CHARACTERS = 12_000

#: Characters that are given up behind masking where a text was cut: a key or token that the cut went through cannot be recognised.
#: Longer than a PEM private key of 4096 bits.
_UNSURE = 4_000

#: Parts of the document that hold digests and numbers of ours; masking would take a digest for a key.
_OURS = ("digest", "provenance", "rollout", "version", "rules")

Mask = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything a report is made from. ``is_raw`` says that nothing was masked."""

    document: Mapping[str, Any]
    gathering: Gathering
    worst: tuple[PairShown, ...]
    notes: tuple[str, ...]
    is_raw: bool = False


def contents(document: Mapping[str, Any], gathering: Gathering, notes: Sequence[str] = (), *, is_raw: bool = False) -> Contents:
    """``notes`` are sentences about what was left out before anything was compared; they are shown as they are, but masked."""
    mask: Mask = _as_it_is if is_raw else redact
    worst = tuple(shown_pair(pair, is_raw=is_raw) for pair in gathering.worst)
    shown = document if is_raw else {**redact_document(document), **{key: document[key] for key in _OURS if key in document}}
    return Contents(shown, gathering, worst, tuple(mask(note) for note in notes), is_raw)


def _as_it_is(text: str) -> str:
    return text


def shown_pair(pair: PairShown, *, is_raw: bool = False) -> PairShown:
    """One pair as it may be shown: masked unless ``is_raw``, its texts at most :data:`SHOWN_CHARACTERS` long."""
    mask: Mask = _as_it_is if is_raw else redact
    return replace(
        pair,
        id=mask(pair.id),
        route=mask(pair.route),
        question=_excerpt(pair.question, mask),
        primary=_arm(pair.primary, mask),
        candidate=_arm(pair.candidate, mask),
        control=_arm(pair.control, mask) if pair.control is not None else None,
        likeness=_likeness(pair.likeness, mask),
        control_likeness=_likeness(pair.control_likeness, mask) if pair.control_likeness is not None else None,
    )


def _arm(arm: ArmShown, mask: Mask) -> ArmShown:
    return replace(arm, answer=_excerpt(arm.answer, mask))


def _excerpt(excerpt: Excerpt, mask: Mask) -> Excerpt:
    if excerpt.characters is None:
        return excerpt
    masked = mask(excerpt.text)
    sure = masked[: max(len(masked) - _UNSURE, 0)] if excerpt.is_cut else masked
    shown = sure[:SHOWN_CHARACTERS]
    return Excerpt(shown, excerpt.characters if excerpt.is_cut or len(shown) < len(masked) else len(shown))


def _likeness(likeness: Likeness, mask: Mask) -> Likeness:
    return replace(likeness, divergences=tuple(_divergence(each, mask) for each in likeness.divergences))


def _divergence(each: Divergence, mask: Mask) -> Divergence:
    return replace(each, primary=mask(each.primary), other=mask(each.other), path=mask(each.path), why=mask(each.why))
