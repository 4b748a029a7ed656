"""Which arms of a request are asked and which are taken from the capture, and what tells answers of one way from another's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from shadowproxy.config import Config, Redact, Section
from shadowproxy.exchange import CONTROL, PRIMARY, Outcome
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.mirror.admission import ArmShare, arms_for

#: The ``of`` of an arm that is not asked.
RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Plan:
    """``recorded``: arms whose answers are taken from the capture where it has them. ``digests``: by arm, what it is asked by and how its
    answer is kept. ``parts``: by name, a digest of each thing that a compared pair depends on; ``by`` stands for all of them."""

    candidates: tuple[str, ...]
    control: tuple[ArmShare, ...]
    recorded: frozenset[str]
    digests: Mapping[str, str]
    parts: Mapping[str, str]
    by: str

    def arms(self, record: Record) -> tuple[str, ...]:
        """Every arm that request is about."""
        control = arms_for(record.id, self.control)
        return (PRIMARY, *control, *self.candidates)

    def taken(self, record: Record) -> dict[str, ArmRecord]:
        """What is not asked, because it is known."""
        return {arm.arm: arm for arm in record.arms if arm.arm in self.recorded and has_answer(arm)}


def has_answer(arm: ArmRecord) -> bool:
    """The capture says what became of it: an answer, or a failure of the arm's own."""
    return arm.outcome != Outcome.DROPPED_LOCAL and not arm.body.withheld


def plan_of(config: Config, recorded: Iterable[str], version: str) -> Plan:
    """``version``: of this program, because comparators change with it."""
    percent = config.control.percent if config.control is not None else 0.0
    control = control_of(config)
    asked = {each.name: _digest({"arm": _tree(each, _ASKED), "redact": _redaction(config)}) for each in config.candidates}
    again = {
        "arm": {**_tree(config.primary, {"url"}), **(_tree(config.control, _AGAIN) if config.control else {})},
        "redact": _redaction(config),
    }
    asked[PRIMARY] = _digest(again)
    if control:
        asked[CONTROL] = asked[PRIMARY]
    taken = frozenset(recorded) & asked.keys()
    parts = {
        "version": version,
        "embed": _digest(_tree(config.embed, {"backend", "model"})),
        "compare": _digest(config.compare.model_dump(mode="json", exclude={"percent"})),
        "dialects": _digest([each.model_dump(mode="json") for each in config.dialects]),
        "units": _digest(config.units.model_dump(mode="json")),
        "slices": _digest(config.slices.model_dump(mode="json")),
        "control": str(percent),
        **{f"arm {arm}": RECORDED if arm in taken else digest for arm, digest in asked.items()},
    }
    return Plan(tuple(each.name for each in config.candidates), control, taken, asked, parts, _digest(parts))


def control_of(config: Config) -> tuple[ArmShare, ...]:
    """The control's share of the requests; empty where there is none."""
    percent = config.control.percent if config.control is not None else 0.0
    return (ArmShare(CONTROL, percent / 100),) if percent > 0 else ()


#: What makes an answer another's: who is asked what, and how long it may take. ``auth`` by where it is read from.
_AGAIN = {"timeout_s", "max_reply_bytes", "auth"}
_ASKED = {"url", "model", "parameters", "prompt", "headers", *_AGAIN}


def _redaction(config: Config) -> Mapping[str, Any]:
    """How answers are changed before they are kept. By which key is another matter."""
    return (config.journal.redact if config.journal is not None else Redact()).model_dump(mode="json", exclude={"key"})


def _tree(section: Section, fields: set[str]) -> dict[str, Any]:
    return section.model_dump(mode="json", include=fields)


def _digest(value: object) -> str:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def whole(record: Record, arms: Sequence[str], answers: Mapping[str, ArmRecord]) -> Record:
    """The request with these answers in place of the capture's."""
    others = tuple(answers[arm] for arm in arms if arm != PRIMARY)
    return msgspec.structs.replace(record, primary=answers[PRIMARY], others=others)
