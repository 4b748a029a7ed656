"""A state that shows what it is told to, in place of the supervisor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadowproxy.admin.state import Health
from shadowproxy.counts import Totals
from shadowproxy.errors import ShadowproxyError
from shadowproxy.promote.phases import Order
from shadowproxy.verdict.cells import CellKey
from shadowproxy.verdict.decision import Evidence, Rules, decide
from shadowproxy.verdict.document import as_document


class FakeState:
    def __init__(self, *rollouts: str) -> None:
        self.boot = "b00t"
        self.totals = Totals()
        self.entries: list[dict[str, Any]] = []
        self.shown_health = Health(alive=True, ready=True)
        self.documents = tuple(verdict(f"{name}-0123456789ab", name) for name in rollouts)
        self.kept: list[dict[str, Any]] = []
        self.asked: list[tuple[int, str | None]] = []
        self.is_shadow_gone = False
        self.reload_problem = ""
        self.switched: list[bool] = []

    def promotions(self) -> Mapping[str, Mapping[str, object]]:
        return {}

    async def order(self, candidate: str, order: Order) -> Mapping[str, object]:
        raise KeyError(candidate)

    async def reload(self) -> str:
        return self.reload_problem

    def set_mirroring(self, is_on: bool) -> None:
        self.switched.append(is_on)

    def health(self) -> Health:
        return self.shown_health

    def verdicts(self) -> tuple[Mapping[str, object], ...]:
        return self.documents

    def history(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        return tuple(entry for entry in self.entries if rollout in (None, entry["rollout"], entry["candidate"]))[:limit]

    async def pairs(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        self.asked.append((limit, rollout))
        if self.is_shadow_gone:
            raise ShadowproxyError("the shadow process did not answer within 5 s")
        return tuple(pair for pair in self.kept if rollout in (None, pair["rollout"]))[:limit]


def verdict(rollout: str, candidate: str, failures: int = 0) -> dict[str, object]:
    """A real verdict document over a few hundred pairs."""
    cells = {
        CellKey("chat", "error", "both_ok"): 400 - failures,
        CellKey("chat", "error", "candidate_only"): failures,
    }
    evidence = Evidence(cells=cells, issued=400, unresolved=0, age_s=60.0, pairs_per_s=5.0, has_control=False)
    rules = Rules()
    return as_document(decide(rules, evidence), rollout=rollout, candidate=candidate, rules=rules, evidence=evidence)


def pair(
    text: str = "Paris.",
    *,
    id: str = "r-1",  # noqa: A002 - the field's name
    rollout: str = "small-0123456789ab",
    body: str = '{"prompt": "Capital of France?"}',
) -> dict[str, Any]:
    """A pair as the shadow process shows it."""
    arm = {
        "outcome": "ok",
        "failure": "",
        "status": 200,
        "text": text,
        "refusal": None,
        "tool_calls": [],
        "finish_reason": "stop",
        "error": None,
        "ttft_s": 0.21,
        "duration_s": 1.5,
        "completion_tokens": 12,
    }
    return {
        "id": id,
        "rollout": rollout,
        "route": "chat",
        "issued_at_s": 1_700_000_000.0,
        "request": {"path": "/v1/chat/completions", "body": body},
        "primary": arm,
        "candidate": {"name": "small", **arm},
        "control": {**arm, "similarity": 0.98},
        "similarity": 0.91,
        "is_exact": False,
        "is_equal_normalised": False,
        "divergences": [{"kind": "text.changed", "severity": "minor", "primary": text, "candidate": text}],
    }
