"""What is logged of an evaluation, whatever the tool: identity, settings, metrics, versions, a note. PURE.

Between the report's ``contents``, which are masked already, and the two shells. A tool adds its own spelling (``names``) and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shadowproxy.exchange import CONTROL, PRIMARY
from shadowproxy.redaction.masking import redact, redact_document
from shadowproxy.report.contents import Contents
from shadowproxy.report.gathering import CANDIDATE, Gathering, LikenessTotals
from shadowproxy.report.markdown import markdown
from shadowproxy.report.wording import headline

#: The verdict as a number, as ``/verdict/number`` has it.
STATES: Mapping[str, int] = {"promote": 1, "hold": 0, "rollback": -1}

#: Bytes of the note. Servers of MLflow before 2.21 take 5,000 of a tag.
NOTE_BYTES = 4_800

_OF_EVIDENCE = (
    "pairs",
    "issued",
    "unresolved",
    "sessions",
    "hours",
    "age_s",
    "pairs_per_s",
    "pairs_needed",
    "seconds_needed",
    "e_rollback_log10",
)
_OF_GATE = ("mean", "lower", "upper", "margin", "n")
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True, slots=True)
class PromptUsed:
    """The candidate's prompt. ``text`` is masked as reports are, ``sha256`` is that of what was sent, ``registry`` its address there."""

    text: str
    sha256: str
    version: str = ""
    registry: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """What answered as one arm. ``name`` is what a tool lists it under, ``model`` what the verdict document calls its model."""

    arm: str
    name: str
    model: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the exchanges of an arm were read from: a path or URL, the sha256 of what is there, how many lines; None where not known."""

    arm: str
    uri: str
    sha256: str
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """``path`` leads from the general to the special; ``arm`` is whose it is, empty for none."""

    path: tuple[str, ...]
    value: float
    arm: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that a tracker is told but the files."""

    title: str
    state: str
    candidate: str
    rollout: str
    headline: str
    identity: Mapping[str, str]
    settings: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    versions: tuple[Version, ...]
    note: str
    prompt: PromptUsed | None = None
    sources: tuple[Source, ...] = ()


def record_of(
    contents: Contents, settings: Mapping[str, Any], prompt: PromptUsed | None = None, sources: tuple[Source, ...] = ()
) -> Record:
    """``settings`` is what of the configuration may be told; its texts are masked here, unless ``contents`` are raw."""
    document = contents.document
    shown = settings if contents.is_raw else redact_document(settings)
    return Record(
        title=f"{document['candidate']}: {document['state']}",
        state=document["state"],
        candidate=document["candidate"],
        rollout=document["rollout"],
        headline=headline(document),
        identity=_identity(document, prompt),
        settings=shown,
        metrics=tuple(_metrics(document, contents.gathering)),
        versions=tuple(_versions(document, shown)),
        note=markdown(contents, NOTE_BYTES),
        prompt=prompt if prompt is None or contents.is_raw else _masked(prompt),
        sources=tuple(replace(each, uri=_public(each.uri)) for each in sources),
    )


#: Of a URL: ``user:password@``, and the query, which may hold a signature.
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@|\?.*$")


def _public(uri: str) -> str:
    return _CREDENTIALS.sub("", uri) if "://" in uri else uri


def _masked(prompt: PromptUsed) -> PromptUsed:
    return PromptUsed(redact(prompt.text), prompt.sha256, prompt.version, prompt.registry)


# --- who and what -----------------------------------------------------------------------------------------------------------


def _identity(document: Mapping[str, Any], prompt: PromptUsed | None) -> dict[str, str]:
    """What tells two evaluations apart; nothing that is not known."""
    known = document["provenance"]
    codes = dict.fromkeys(reason["code"] for reason in document["reasons"])
    fields = {
        "verdict": document["state"],
        "reasons": ",".join(codes),
        "candidate": document["candidate"],
        "candidate_model": known["candidate_model"],
        "primary_model": known["primary_model"],
        "rollout": document["rollout"],
        "attempt": str(document["rules"]["attempt"] or ""),
        "prompt_version": prompt.version if prompt is not None else "",
        "prompt_registry": prompt.registry if prompt is not None else "",
        "prompt_sha256": known["prompt_digest"] or (prompt.sha256 if prompt is not None else ""),
        "config_sha256": known["config_digest"],
        "document_sha256": document["digest"],
        "software": known["software"],
    }
    return {name: value for name, value in fields.items() if value}


def _versions(document: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Version]:
    """The candidate always; the primary where anybody said which model it is."""
    known = document["provenance"]
    yield Version(CANDIDATE, document["candidate"], known["candidate_model"], settings.get(CANDIDATE, {}))
    if known["primary_model"]:
        yield Version(PRIMARY, known["primary_model"], known["primary_model"], {})


# --- numbers ----------------------------------------------------------------------------------------------------------------


def _metrics(document: Mapping[str, Any], gathering: Gathering) -> Iterator[Metric]:
    every = (*_of_verdict(document), *_of_gates(document), *_of_arms(gathering), *_of_likeness(gathering))
    return (each for each in every if math.isfinite(each.value))


def _of_verdict(document: Mapping[str, Any]) -> Iterator[Metric]:
    if document["state"] in STATES:
        yield Metric(("verdict",), STATES[document["state"]])
    for name in _OF_EVIDENCE:
        if document[name] is not None:
            yield Metric(("evidence", name), document[name])


def _of_gates(document: Mapping[str, Any]) -> Iterator[Metric]:
    """``gates/ROUTE/GATE/…`` and ``slices/SLICE/GATE/…``; ``all`` stands for routes that are judged together."""
    for finding in document["gates"]:
        where = ("slices", finding["slice"]) if finding["slice"] else ("gates", finding["route"] or "all")
        for name in _OF_GATE:
            if finding[name] is not None:
                yield Metric((*where, finding["gate"], name), finding[name], CANDIDATE if not finding["gate"].startswith("aa_") else "")


def _of_arms(gathering: Gathering) -> Iterator[Metric]:
    for arm, totals in gathering.arms.items():
        if not totals.asked:
            continue
        known = totals.asked - totals.outcomes["unknown"]
        if known:
            yield Metric(("arms", arm, "failed_share"), (known - totals.outcomes["ok"]) / known, arm)
        for measure, histogram in totals.times.items():
            for name, share in _QUANTILES:
                if (value := histogram.quantile(share)) is not None and histogram.n:
                    yield Metric(("arms", arm, f"{measure}_{name}"), value, arm)
        for name, amount in (("tokens", totals.tokens), ("cost", totals.cost)):
            if amount.mean is not None:
                yield Metric(("arms", arm, f"{name}_mean"), amount.mean, arm)


def _of_likeness(gathering: Gathering) -> Iterator[Metric]:
    """How alike an arm's answers are to the primary's, and in which share of pairs each kind of difference occurs."""
    for arm in (CANDIDATE, CONTROL):
        totals: LikenessTotals = gathering.likeness[arm]
        if totals.similarity.n:
            for name, share in (("p05", 0.05), ("p50", 0.5)):
                if (value := totals.similarity.quantile(share)) is not None:
                    yield Metric(("arms", arm, f"similarity_{name}"), value, arm)
        for kind, severities in sorted(totals.kinds.items()):
            yield Metric(("kinds", kind, arm), severities.total() / totals.pairs, arm)
