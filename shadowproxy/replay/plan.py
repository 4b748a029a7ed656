"""Which arms of a request are asked and which are taken from the capture, and what tells answers of one way from another's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import orjson

from shadowproxy.config import Config, Section
from shadowproxy.exchange import CONTROL, PRIMARY, Outcome
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.mirror.admission import ArmShare, arms_for

#: The ``of`` of an arm that is not asked.
RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Plan:
    """``recorded``: arms whose answers are taken from the capture where it has them. ``digests``: by arm, what it is asked by. ``by``
    stands for everything that a compared pair depends on."""

    candidates: tuple[str, ...]
    control: tuple[ArmShare, ...]
    recorded: frozenset[str]
    digests: Mapping[str, str]
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
    taken = frozenset(recorded)
    percent = config.control.percent if config.control is not None else 0.0
    asked = {each.name: _digest(each, _ASKED) for each in config.candidates}
    asked[PRIMARY] = _digest(config.primary, {"url"})
    if config.control is not None:
        asked[CONTROL] = asked[PRIMARY]
    compared = {
        "version": version,
        "embed": config.embed.model_dump(mode="json", include={"backend", "model"}),
        "compare": config.compare.model_dump(mode="json", exclude={"percent"}),
        "dialects": [each.model_dump(mode="json") for each in config.dialects],
        "units": config.units.model_dump(mode="json"),
        "slices": config.slices.model_dump(mode="json"),
        "control": percent,
        "arms": {arm: RECORDED if arm in taken else digest for arm, digest in asked.items()},
    }
    by = hashlib.blake2b(orjson.dumps(compared, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
    control = (ArmShare(CONTROL, percent / 100),) if percent > 0 else ()
    return Plan(tuple(each.name for each in config.candidates), control, taken, asked, by)


#: What makes a candidate's answers those of another.
_ASKED = {"url", "model", "parameters", "prompt", "headers"}


def _digest(section: Section, fields: set[str]) -> str:
    tree = section.model_dump(mode="json", include=fields)
    return hashlib.blake2b(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def whole(record: Record, arms: Sequence[str], answers: Mapping[str, ArmRecord]) -> Record:
    """The request with these answers in place of the capture's."""
    others = tuple(answers[arm] for arm in arms if arm != PRIMARY)
    return msgspec.structs.replace(record, primary=answers[PRIMARY], others=others)
