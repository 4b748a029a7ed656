"""Asked instead of acting: what Argo Rollouts and Flagger are told of a verdict. They shift the traffic; we only answer.

``app`` reads the requests and ``metrics`` exports the same number. Decides and returns, does nothing.

Argo Rollouts (``docs/analysis/web.md``) reads a number from a 200; any other status is a failed measurement. So "not enough evidence" is a
200 with 0. Flagger (``docs/gitbook/usage/webhooks.md``) reads the status alone: up to 202 is yes. Its confirm hooks wait while the answer
is no, its ``rollback`` hook is the other way round: yes rolls back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import orjson

from shadowproxy.admin.state import Document
from shadowproxy.verdict.decision import State
from shadowproxy.verdict.reasons import REASONS

#: State → the number that stands for it. Never NaN: Rollouts and Flagger both take "no number" for a failure.
NUMBERS: Mapping[State, int] = MappingProxyType({State.PROMOTE: 1, State.HOLD: 0, State.ROLLBACK: -1})

#: Reasons to hold that go away by themselves as pairs come in. Behind any other (lost counts, a broken mirror, no data, an end without a
#: decision) nothing is being shown, and real traffic must not grow on it.
_COLLECTING = frozenset({"undecided", "min_pairs", "min_sessions", "soak"})

#: Statuses for Flagger. Yes is anything up to 202.
_YES, _NO = 200, 409


def number_of(document: Document) -> int:
    """1 promote, 0 hold, -1 rollback."""
    return NUMBERS[State(document["state"])]


def measurement(document: Document) -> dict[str, object]:
    """What a web metric is given: the number, and for people what is behind it."""
    codes = [reason["code"] for reason in document["reasons"]]
    return {"verdict": number_of(document), "state": document["state"], "rollout": document["rollout"], "reasons": codes}


def find(documents: Sequence[Document], name: str | None) -> Document | None:
    """The document of the rollout id or candidate called ``name``. Without a name: of the only rollout, None where there are several."""
    if name is None:
        return documents[0] if len(documents) == 1 else None
    return next((each for each in documents if name in (each["rollout"], each["candidate"])), None)


# --- Flagger ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a hook: which canary it is about, and ``metadata`` as the Canary has it."""

    canary: str
    metadata: Mapping[str, str]

    @property
    def rollout(self) -> str | None:
        """``metadata.rollout``: a candidate's name or a rollout id."""
        return self.metadata.get("rollout")


def read_call(body: bytes) -> Call:
    """The payload ``{name, namespace, phase, checksum, metadata}``; what else Flagger sends is left alone.

    Raises :class:`ValueError` in words for whoever wrote the Canary.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"the payload is no JSON: {exc}") from exc
    if not isinstance(payload, dict):
        raise ValueError("the payload is no JSON object")
    metadata = payload.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("metadata is no object of texts")
    if metadata.get("wait_for", "promote") != "promote":
        raise ValueError(f"metadata.wait_for: {metadata['wait_for']!r} is not promote, the only state that can be waited for")
    return Call(f"{payload.get('namespace', '')}/{payload.get('name', '')}", metadata)


@dataclass(frozen=True, slots=True)
class Hook:
    """One type of webhook: when the answer is yes, in words and as a function of the verdict document."""

    yes_when: str
    says_yes: Callable[[Document], bool]
    can_wait: bool = False


def _is(state: State) -> Callable[[Document], bool]:
    return lambda document: bool(document["state"] == state.value)


def _is_not_rollback(document: Document) -> bool:
    return bool(document["state"] != State.ROLLBACK.value)


def _is_promote_or_collects(document: Document) -> bool:
    """Promote, or a hold behind which evidence is still coming in."""
    if document["state"] == State.HOLD.value:
        codes = {reason["code"] for reason in document["reasons"]}
        return bool(codes) and all(code in _COLLECTING or REASONS.get(code, "").startswith("note:") for code in codes)
    return bool(document["state"] == State.PROMOTE.value)


#: Type of webhook → when the answer is yes. ``can_wait``: ``metadata.wait_for: promote`` makes it wait for promote, too.
HOOKS: Mapping[str, Hook] = MappingProxyType(
    {
        # The canary is not running yet, so nothing can have been shown: only a verdict against it counts.
        "confirm-rollout": Hook("the verdict is not rollback", _is_not_rollback, can_wait=True),
        "pre-rollout": Hook("the verdict is not rollback", _is_not_rollback),
        "rollout": Hook("the verdict is not rollback", _is_not_rollback),
        "confirm-traffic-increase": Hook(
            "the verdict is promote, or hold while evidence is coming in", _is_promote_or_collects, can_wait=True
        ),
        "confirm-promotion": Hook("the verdict is promote", _is(State.PROMOTE)),
        "post-rollout": Hook("always", lambda _: True),
        "event": Hook("always", lambda _: True),
        "rollback": Hook("the verdict is rollback; yes makes Flagger roll back", _is(State.ROLLBACK)),
    }
)


def answer(hook: str, call: Call, document: Document) -> tuple[int, dict[str, object]]:
    """(status, body) for a known ``hook``. Flagger shows the body of a no in the events of the Canary."""
    asked = HOOKS[hook]
    waits = asked.can_wait and "wait_for" in call.metadata
    is_yes = _is(State.PROMOTE)(document) if waits else asked.says_yes(document)
    condition = "the verdict is promote" if waits else asked.yes_when
    told = {"answer": "yes" if is_yes else "no", "yes_when": condition, **measurement(document)}
    return _YES if is_yes else _NO, told
