"""What of a configuration may be told to a tracker: what decides the verdict. Nothing else leaves the house.

A list of what is told, not of what is kept back: addresses, headers and credentials are not on it, and a key that is added to the
configuration is not told before somebody puts it here.
"""

from __future__ import annotations

import hashlib
from typing import Any

from shadowproxy.config import Candidate, Config, Prompt
from shadowproxy.exchange import is_credential
from shadowproxy.trackers.record import PromptUsed


def candidate_of(config: Config, name: str) -> Candidate | None:
    """The candidate that a verdict document names."""
    return next((each for each in config.candidates if each.name == name), None)


def settings_of(config: Config, candidate: Candidate | None) -> dict[str, Any]:
    """Gates that are on, the rule of decision, what is compared and how, and the candidate, as a tree of plain values."""
    gates = config.gates.model_dump(mode="json")
    on = {name: _without_switch(gate) for name, gate in gates.items() if isinstance(gate, dict) and gate.get("enabled")}
    if gates.get("budgets"):
        on["budgets"] = gates["budgets"]
    return {
        "gates": on,
        "verdict": config.verdict.model_dump(mode="json", exclude={"interval_s"}),
        "units": config.units.model_dump(mode="json"),
        "slices": config.slices.model_dump(mode="json"),
        "compare": config.compare.model_dump(mode="json", exclude_defaults=True),
        "embed": config.embed.model_dump(mode="json", include={"backend", "model"}),
        "control": {"percent": config.control.percent if config.control is not None else 0.0},
        **({"judge": {"model": config.llm_judge.model}} if config.llm_judge is not None and config.gates.judge.enabled else {}),
        **({"candidate": _candidate(candidate)} if candidate is not None else {}),
    }


def prompt_of(candidate: Candidate | None) -> PromptUsed | None:
    """The candidate's own prompt, where it has one."""
    prompt = candidate.prompt if candidate is not None else None
    if prompt is None:
        return None
    return PromptUsed(prompt.system, sha256_of(prompt.system), prompt.version, prompt.registry)


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _without_switch(gate: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in gate.items() if name != "enabled"}


def _candidate(candidate: Candidate) -> dict[str, Any]:
    told: dict[str, Any] = {"name": candidate.name}
    if candidate.model is not None:
        told["model"] = candidate.model
    if candidate.parameters:
        told["parameters"] = {
            name: "[secret]" if is_credential(name.lower().encode()) else value for name, value in candidate.parameters.items()
        }
    if candidate.prompt is not None:
        told["prompt"] = _prompt(candidate.prompt)
    return told


def _prompt(prompt: Prompt) -> dict[str, str]:
    named = {"version": prompt.version, "registry": prompt.registry, "file": prompt.file.name if prompt.file is not None else ""}
    return {**{name: value for name, value in named.items() if value}, "sha256": sha256_of(prompt.system)}
