"""What is to be done: a table over (phase, verdict), and one over (phase, order). PURE.

``controller`` brings what it saw and carries out the commands. Nothing here moves on hold; a rollback comes before everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.commands import Command, Emit, Record, Release, Restore, SetWeight
from shadowproxy.promote.phases import Order, Phase
from shadowproxy.promote.plan import Plan
from shadowproxy.promote.present import Present
from shadowproxy.promote.progress import Progress
from shadowproxy.verdict.decision import State


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known now. ``rollout`` and ``candidate`` are those of the configuration, ``pairs`` counts judged pairs, ``now_s`` is Unix
    time. ``step_age_s``: seconds that the present step lasts, 0 where there is none."""

    rollout: str
    candidate: str
    verdict: State
    pairs: int
    present: Present
    now_s: float
    step_age_s: float


@dataclass(frozen=True, slots=True)
class Situation:
    """What every rule decides on: the way to go, how far it was gone, and what is known now."""

    plan: Plan
    progress: Progress
    seen: Seen

    @property
    def upcoming(self) -> int:
        """Number of the next step."""
        return self.progress.step + 1

    def changed(self, **changes: Any) -> Progress:
        """The progress, decided on now, with these fields."""
        return msgspec.structs.replace(self.progress, previous=self.progress.phase, at_s=self.seen.now_s, **changes)


@dataclass(frozen=True, slots=True)
class Decision:
    """The progress once ``commands`` are carried out, and what is being waited for where there are none."""

    progress: Progress
    commands: tuple[Command, ...] = ()
    waits_for: str = ""


def decide(plan: Plan, progress: Progress | None, seen: Seen) -> Decision:
    """What follows from the verdict. Raises :class:`~shadowproxy.errors.RouterRefused` where the object is busy with another candidate."""
    if progress is None:
        return _begin(seen)
    if progress.rollout != seen.rollout:
        return _supersede(progress, seen)
    now = Situation(plan, progress, seen)
    rule = _TABLE[progress.phase, seen.verdict]
    if rule is _fail:
        return _fail(now)
    if not progress.settled:
        return _finish(now)
    if progress.phase in _STEERED and (strange := _stranger(now)):
        return strange
    return rule(now)


def obey(plan: Plan, progress: Progress | None, seen: Seen, order: Order) -> Decision:
    """What follows from a person's order. Raises :class:`~shadowproxy.errors.RouterRefused` where it makes no sense in this phase."""
    if progress is None:
        raise RouterRefused(f"cannot {order} a rollout that has not begun", "wait for its first look")
    rule = _ORDERS.get((progress.phase, order))
    if rule is None:
        possible = ", ".join(str(known) for phase, known in _ORDERS if phase is progress.phase) or "nothing; start another rollout"
        raise RouterRefused(f"cannot {order} a rollout that is {progress.phase}", f"possible now: {possible}")
    if progress.rollout != seen.rollout and order is not Order.ABORT:
        raise RouterRefused(f"the rollout in the traffic is {progress.rollout}, not {seen.rollout}", "abort it first, or wait")
    return rule(Situation(plan, progress, seen))


# --- the beginning ------------------------------------------------------------------------------------------------------


def _begin(seen: Seen) -> Decision:
    """Shadow, if the candidate has no traffic; else a person must say what that traffic is for."""
    fresh = Progress(
        rollout=seen.rollout,
        candidate=seen.candidate,
        phase=Phase.SHADOW,
        because="the rollout begins",
        at_s=seen.now_s,
        since_s=seen.now_s,
        identity=seen.present.identity,
        found=seen.present.found,
    )
    if not seen.present.is_at(0):
        because = f"the candidate has traffic before any verdict ({seen.present}); resume to take it out and begin, or abort"
        fresh = msgspec.structs.replace(fresh, phase=Phase.HELD, because=because)
    return Decision(fresh, (Record(fresh), Emit(fresh)))


def _supersede(old: Progress, seen: Seen) -> Decision:
    """Another rollout than the one that is remembered. What that one still has in the traffic was not judged by this one's rules."""
    is_over = old.phase.is_over and old.settled
    if is_over or (old.candidate == seen.candidate and old.settled and seen.present.is_at(0)):
        return _begin(seen)
    if old.candidate != seen.candidate:
        problem = f"the object is steered for candidate {old.candidate} (rollout {old.rollout}, {old.phase}, {old.percent} %)"
        raise RouterRefused(problem, "abort that rollout, or let it end")
    fresh = Progress(
        rollout=seen.rollout,
        candidate=seen.candidate,
        phase=Phase.SHADOW,
        previous=old.phase,
        because=f"the configuration changed; rollout {old.rollout} ends and the evidence begins anew",
        at_s=seen.now_s,
        since_s=seen.now_s,
        totals=seen.present.totals if old.settled else old.totals,
        identity=seen.present.identity,
        found=old.found,
    )
    return Decision(fresh, (Restore(fresh), Emit(fresh)))


# --- while it goes on ---------------------------------------------------------------------------------------------------

#: Phases in which the weights are ours: whoever else moves them is asked about it.
_STEERED = (Phase.SHADOW, Phase.CANARY)


def _finish(now: Situation) -> Decision:
    """Somebody ended between the intent and the deed: do it (again), which does no harm where it was done. The step begins now.

    Not where somebody else moved the weights meanwhile, unless it is out of the traffic that the candidate has to go.
    """
    if now.progress.percent and not now.seen.present.is_between(now.progress.came_from, now.progress.percent):
        return _hold_for_a_person(now)
    at_s = now.seen.now_s
    settled = msgspec.structs.replace(now.progress, settled=True, at_s=at_s, since_s=at_s, pairs=now.seen.pairs)
    return Decision(settled, (_move_to(settled), Emit(settled)))


def _stranger(now: Situation) -> Decision | None:
    """What to do where this is not what we left behind; None where it is."""
    progress, present = now.progress, now.seen.present
    if progress.identity and present.identity and present.identity != progress.identity:
        return _roll_back(now, f"{present.identity} took the place of {progress.identity} behind the candidate, and was not judged")
    return None if present.is_at(progress.percent) else _hold_for_a_person(now)


def _hold_for_a_person(now: Situation) -> Decision:
    asked = f"{now.seen.present}; {now.progress.percent} % was set"
    because = f"somebody else moved the weights ({asked}); resume to set them again, or abort"
    held = now.changed(phase=Phase.HELD, because=because, settled=True)
    return Decision(held, (Record(held), Emit(held)))


def _stay(now: Situation) -> Decision:
    return Decision(now.progress, waits_for="a person" if now.progress.phase in (Phase.PAUSED, Phase.HELD) else "the verdict")


def _rest(now: Situation) -> Decision:
    """Nothing moves. What was written may still be ours: whoever wrote it may have ended right after."""
    return Decision(now.progress, (Release(),), waits_for="another rollout")


def _advance(now: Situation) -> Decision:
    """The verdict allows the next step; its turn has come where the present one is old enough and was judged."""
    if waits_for := now.seen.present.problem or _unripe(now):
        return Decision(now.progress, waits_for=waits_for)
    if now.upcoming >= len(now.plan.steps):
        promoted = now.changed(phase=Phase.PROMOTED, because="the last step stood its time and the verdict is promote")
        return Decision(promoted, (Record(promoted), Emit(promoted)))
    step, seen = now.plan.steps[now.upcoming], now.seen
    moved = now.changed(
        phase=Phase.CANARY,
        because=f"the verdict is promote: step {now.upcoming + 1} of {len(now.plan.steps)}, {step.percent} %",
        step=now.upcoming,
        percent=step.percent,
        came_from=now.progress.percent,
        totals=seen.present.totals,
        since_s=seen.now_s,
        pairs=seen.pairs,
    )
    return Decision(moved, (_move_to(moved), Emit(moved)))


def _unripe(now: Situation) -> str:
    """What the present step still lacks before the next; "" where nothing."""
    progress, seen, steps = now.progress, now.seen, now.plan.steps
    if progress.step >= 0:
        step = steps[min(progress.step, len(steps) - 1)]
        if (left_s := step.min_age_s - seen.step_age_s) > 0:
            return f"the step to be {left_s:.0f} s older"
        if progress.percent < 100 and (missing := step.min_pairs - _judged_since(progress, seen)) > 0:
            return f"{missing} more pairs judged during this step"
    if now.upcoming < len(steps) and now.plan.asks_before(now.upcoming) and progress.approved < now.upcoming:
        return f"a person's approval of step {now.upcoming + 1}, {steps[now.upcoming].percent} %"
    return ""


def _judged_since(progress: Progress, seen: Seen) -> int:
    """Pairs that were judged during the present step. Fewer in all than at its beginning: whoever counts was started again since, and
    everything it has is of this step."""
    return seen.pairs - progress.pairs if seen.pairs >= progress.pairs else seen.pairs


def _fail(now: Situation) -> Decision:
    return _roll_back(now, "the verdict is rollback")


def _roll_back(now: Situation, because: str) -> Decision:
    """Out of the traffic at once. Weights that were never touched are left alone."""
    is_untouched = now.progress.step < 0 and now.progress.settled and now.seen.present.is_at(0)
    # What was half done tells less of the totals than whoever began it.
    totals = now.seen.present.totals if now.progress.settled else now.progress.totals
    ended = now.changed(phase=Phase.ROLLED_BACK, because=because, percent=0, totals=totals, settled=True)
    return Decision(ended, (Record(ended) if is_untouched else Restore(ended), Emit(ended)))


def _move_to(progress: Progress) -> Command:
    """The command that makes the weights what the progress says."""
    return SetWeight(progress.percent, progress) if progress.percent else Restore(progress)


# --- a person's orders --------------------------------------------------------------------------------------------------


def _approve(now: Situation) -> Decision:
    if now.upcoming >= len(now.plan.steps):
        raise RouterRefused("cannot approve a step after the last", "wait; it ends by itself")
    because = f"a person approved step {now.upcoming + 1}, {now.plan.steps[now.upcoming].percent} %"
    approved = now.changed(approved=now.upcoming, because=because)
    return Decision(approved, (Record(approved), Emit(approved)))


def _pause(now: Situation) -> Decision:
    paused = now.changed(phase=Phase.PAUSED, because="a person paused it")
    return Decision(paused, (Record(paused), Emit(paused)))


def _resume(now: Situation) -> Decision:
    phase = Phase.SHADOW if now.progress.step < 0 else Phase.CANARY
    seen = now.seen
    begins = {"since_s": seen.now_s, "pairs": seen.pairs, "came_from": seen.present.percent, "totals": seen.present.totals}
    resumed = now.changed(phase=phase, because="a person resumed it", settled=True, **begins)
    command = Record(resumed) if seen.present.is_at(resumed.percent) else _move_to(resumed)
    return Decision(resumed, (command, Emit(resumed)))


def _abort(now: Situation) -> Decision:
    return _roll_back(now, "a person aborted it")


Rule = Callable[[Situation], Decision]

_TABLE: Mapping[tuple[Phase, State], Rule] = MappingProxyType(
    {
        (Phase.SHADOW, State.PROMOTE): _advance,
        (Phase.SHADOW, State.HOLD): _stay,
        (Phase.SHADOW, State.ROLLBACK): _fail,
        (Phase.CANARY, State.PROMOTE): _advance,
        (Phase.CANARY, State.HOLD): _stay,
        (Phase.CANARY, State.ROLLBACK): _fail,
        (Phase.PAUSED, State.PROMOTE): _stay,
        (Phase.PAUSED, State.HOLD): _stay,
        (Phase.PAUSED, State.ROLLBACK): _fail,
        (Phase.HELD, State.PROMOTE): _stay,
        (Phase.HELD, State.HOLD): _stay,
        (Phase.HELD, State.ROLLBACK): _fail,
        (Phase.PROMOTED, State.PROMOTE): _rest,
        (Phase.PROMOTED, State.HOLD): _rest,
        (Phase.PROMOTED, State.ROLLBACK): _rest,
        (Phase.ROLLED_BACK, State.PROMOTE): _rest,
        (Phase.ROLLED_BACK, State.HOLD): _rest,
        (Phase.ROLLED_BACK, State.ROLLBACK): _rest,
    }
)

_ORDERS: Mapping[tuple[Phase, Order], Rule] = MappingProxyType(
    {
        (Phase.SHADOW, Order.APPROVE): _approve,
        (Phase.SHADOW, Order.PAUSE): _pause,
        (Phase.SHADOW, Order.ABORT): _abort,
        (Phase.CANARY, Order.APPROVE): _approve,
        (Phase.CANARY, Order.PAUSE): _pause,
        (Phase.CANARY, Order.ABORT): _abort,
        (Phase.PAUSED, Order.RESUME): _resume,
        (Phase.PAUSED, Order.ABORT): _abort,
        (Phase.HELD, Order.RESUME): _resume,
        (Phase.HELD, Order.ABORT): _abort,
    }
)
