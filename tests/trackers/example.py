"""An evaluation to log: the report's example, with a candidate that has a model, parameters, a prompt, and secrets in its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shadowproxy.config import Config, build
from shadowproxy.report.contents import contents
from shadowproxy.report.gathering import gathered
from shadowproxy.report.pairs import PairShown
from shadowproxy.trackers.record import Record, Source, record_of
from shadowproxy.trackers.settings import candidate_of, prompt_of, settings_of
from shadowproxy.trackers.tracking import Evaluation
from tests.report.example import NOTES, document
from tests.report.example import pairs as made_up

SECRET = "hunter2-hunter2-hunter2"
MAIL = "anna.schmidt@example.com"
PROMPT = f"You sort support tickets. Questions go to {MAIL}."

SOURCES = (Source("primary", "old.jsonl", "a" * 64, 604), Source("candidate", "new.jsonl", "b" * 64, 604))


def settings(**prompt: Any) -> Config:
    """The configuration behind ``document("rollback")``."""
    return build(
        {
            "primary": {"url": "http://primary.internal:8000"},
            "control": {"percent": 100, "auth": {"env": "PRIMARY_KEY"}},
            "candidates": [
                {
                    "name": "llama-33",
                    "url": "http://candidate.internal:8000",
                    "model": "llama-3.3-70b",
                    "parameters": {"temperature": 0.2, "api-key": SECRET, "stop": ["\n"]},
                    "prompt": prompt or {"system": PROMPT, "version": "triage-v7"},
                    "headers": {"set": {"x-team-token": SECRET}},
                }
            ],
            "gates": {"cost": {"enabled": False}},
        }
    )


def evaluation(name: str = "rollback", **prompt: Any) -> Evaluation:
    return Evaluation(document(name), settings(**prompt), gathered(pairs()), NOTES, SOURCES)


def pairs(count: int = 60) -> Iterator[PairShown]:
    return made_up(count)


def record(name: str = "rollback", *, is_raw: bool = False) -> Record:
    given = evaluation(name)
    candidate = candidate_of(given.settings, "llama-33")
    shown = contents(given.document, given.gathering, given.notes, is_raw=is_raw)
    return record_of(shown, settings_of(given.settings, candidate), prompt_of(candidate), given.sources)


def weighing(pair: PairShown, weight: float) -> PairShown:
    """The pair with another divergence, and nothing that takes from it."""
    return replace(pair, likeness=replace(pair.likeness, divergence=weight), control_likeness=None)
