"""The table: what follows from each verdict in each phase, and what never does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.commands import Command, Emit, Record, Restore, SetWeight
from shadowproxy.promote.decision import Seen, decide, obey
from shadowproxy.promote.phases import ORDERS, PHASES, Order, Phase
from shadowproxy.promote.plan import Approval, Plan, Step
from shadowproxy.promote.present import Present, Share
from shadowproxy.promote.progress import Progress, decode, encode, moving
from shadowproxy.verdict.decision import State

PLAN = Plan((Step(1, 60), Step(25, 60), Step(100, 60)))
PERCENTS = (0, 1, 25, 100)


def progress(phase: Phase = Phase.CANARY, **changes: Any) -> Progress:
    fields = {"rollout": "r1", "candidate": "v2", "because": "", "at_s": 0.0, "since_s": 0.0, "step": 0, "percent": 1, "found": 0}
    return Progress(phase=phase, **{**fields, **changes})


def seen(verdict: State = State.PROMOTE, percent: int = 1, **changes: Any) -> Seen:
    present = Present((Share(percent, 100, "here"),), percent, **{k: v for k, v in changes.items() if k in ("identity", "problem")})
    fields = {
        "rollout": "r1",
        "candidate": "v2",
        "verdict": verdict,
        "pairs": 100,
        "present": present,
        "now_s": 1000.0,
        "step_age_s": 1000.0,
    }
    return Seen(**{**fields, **{k: v for k, v in changes.items() if k in fields}})


def moves(commands: tuple[Command, ...]) -> list[int]:
    """The shares that the commands set."""
    return [command.percent if isinstance(command, SetWeight) else 0 for command in commands if isinstance(command, SetWeight | Restore)]


POSSIBLE = st.builds(
    progress,
    phase=st.sampled_from(Phase),
    step=st.integers(-1, 3),
    percent=st.sampled_from(PERCENTS),
    came_from=st.sampled_from(PERCENTS),
    settled=st.booleans(),
    since_s=st.floats(0, 2000),
    pairs=st.integers(0, 200),
    approved=st.integers(-1, 2),
    identity=st.sampled_from(["", "a", "b"]),
)
PLANS = st.sampled_from([PLAN, Plan(PLAN.steps, Approval.EVERY), Plan(PLAN.steps, Approval.LAST), Plan((Step(100, 0),))])


@given(PLANS, POSSIBLE, st.integers(0, 100), st.sampled_from(["", "a", "b"]), st.sampled_from(["r1", "r2"]))
def test_hold_never_gives_the_candidate_more(plan: Plan, before: Progress, percent: int, identity: str, rollout: str) -> None:
    decision = decide(plan, before, seen(State.HOLD, percent, identity=identity, rollout=rollout))
    finishing = [] if before.settled else [before.percent]
    assert set(moves(decision.commands)) <= {0, *finishing}
    assert decision.progress.percent in (0, before.percent)


@given(PLANS, POSSIBLE, st.integers(0, 100))
def test_rollback_takes_the_candidate_out_of_every_phase_that_is_not_over(plan: Plan, before: Progress, percent: int) -> None:
    decision = decide(plan, before, seen(State.ROLLBACK, percent))
    if not before.phase.is_over:
        assert decision.progress.phase is Phase.ROLLED_BACK
        assert decision.progress.percent == 0
        assert moves(decision.commands) == [0] or percent == 0


@given(PLANS, POSSIBLE, st.sampled_from(State), st.integers(0, 100))
def test_nothing_moves_once_it_is_over_except_what_was_begun(plan: Plan, before: Progress, verdict: State, percent: int) -> None:
    if before.phase.is_over and before.settled:
        assert moves(decide(plan, before, seen(verdict, percent)).commands) == []


@given(PLANS, POSSIBLE, st.sampled_from(State), st.integers(0, 100), st.sampled_from(["", "a", "b"]))
def test_weights_and_record_go_together(plan: Plan, before: Progress, verdict: State, percent: int, identity: str) -> None:
    decision = decide(plan, before, seen(verdict, percent, identity=identity))
    for command in decision.commands:
        match command:
            case SetWeight(to, then):
                assert (to, True) == (then.percent, then.settled)
            case Restore(then):
                assert (then.percent, then.settled) == (0, True)
            case Emit(told) | Record(told):
                assert told == decision.progress


@given(PLANS, POSSIBLE, st.integers(0, 100), st.sampled_from(Order))
def test_orders_never_give_the_candidate_more_than_its_step(plan: Plan, before: Progress, percent: int, order: Order) -> None:
    try:
        decision = obey(plan, before, seen(State.PROMOTE, percent), order)
    except RouterRefused:
        return
    assert set(moves(decision.commands)) <= {0, before.percent}


@given(POSSIBLE)
def test_record_comes_back_as_it_was_written(before: Progress) -> None:
    assert decode(encode(before)) == before
    assert encode(before) == encode(decode(encode(before)))
    assert not decode(encode(moving(before))).settled


def test_the_way_up_and_why() -> None:
    began = decide(PLAN, None, seen(State.PROMOTE, 0)).progress
    assert began.phase is Phase.SHADOW
    first = decide(PLAN, began, seen(State.PROMOTE, 0))
    assert moves(first.commands) == [1]
    assert first.progress.because == "the verdict is promote: step 1 of 3, 1 %"
    last = progress(step=2, percent=100)
    assert decide(PLAN, last, seen(State.PROMOTE, 100)).progress.phase is Phase.PROMOTED


def test_last_step_asks_for_no_pairs_because_there_may_be_none() -> None:
    last = progress(step=2, percent=100, pairs=100)
    assert decide(PLAN, last, seen(State.PROMOTE, 100)).progress.phase is Phase.PROMOTED


@pytest.mark.parametrize(("pairs", "missing"), [(500, 100), (560, 40), (600, 0), (30, 70), (120, 0)])
def test_pairs_of_a_step_are_counted_from_its_beginning_or_from_a_restart_since(pairs: int, missing: int) -> None:
    plan = Plan((Step(1, 60, 100), Step(100, 60)))
    decision = decide(plan, progress(pairs=500), seen(pairs=pairs))
    assert decision.waits_for == (f"{missing} more pairs judged during this step" if missing else "")
    assert moves(decision.commands) == ([] if missing else [100])


def test_last_step_is_left_alone_on_hold_and_taken_back_on_rollback() -> None:
    last = progress(step=2, percent=100)
    assert decide(PLAN, last, seen(State.HOLD, 100)).commands == ()
    assert decide(PLAN, last, seen(State.ROLLBACK, 100)).progress.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(("approval", "asked"), [(Approval.EVERY, True), (Approval.LAST, False), (Approval.NONE, False)])
def test_approval_is_waited_for(approval: Approval, asked: bool) -> None:
    plan = Plan(PLAN.steps, approval)
    shadow = progress(Phase.SHADOW, step=-1, percent=0)
    waiting = decide(plan, shadow, seen(percent=0))
    assert ("approval" in waiting.waits_for) is asked
    approved = obey(plan, shadow, seen(percent=0), Order.APPROVE).progress
    assert moves(decide(plan, approved, seen(percent=0)).commands) == [1]


def test_approval_of_one_step_is_none_of_the_next() -> None:
    plan = Plan(PLAN.steps, Approval.EVERY)
    assert "approval of step 2" in decide(plan, progress(approved=0), seen()).waits_for


def test_approval_by_a_person_is_no_verdict() -> None:
    plan = Plan(PLAN.steps, Approval.EVERY)
    approved = obey(plan, progress(), seen(State.HOLD), Order.APPROVE).progress
    assert decide(plan, approved, seen(State.HOLD)).commands == ()


def test_what_is_not_ready_gets_no_more() -> None:
    assert decide(PLAN, progress(), seen(problem="revision b to be ready")).waits_for == "revision b to be ready"
    assert decide(PLAN, progress(), seen(State.ROLLBACK, problem="revision b to be ready")).progress.percent == 0


def test_another_version_behind_the_candidate_goes_out_unjudged() -> None:
    decision = decide(PLAN, progress(identity="a"), seen(State.PROMOTE, identity="b"))
    assert decision.progress.phase is Phase.ROLLED_BACK
    assert "b took the place of a" in decision.progress.because


def test_person_who_moved_the_weights_of_a_move_under_way_is_asked() -> None:
    half = progress(percent=25, came_from=1, settled=False)
    assert moves(decide(PLAN, half, seen(State.HOLD, 12)).commands) == [25]
    assert decide(PLAN, half, seen(State.HOLD, 60)).progress.phase is Phase.HELD


def test_object_busy_with_another_candidate_is_refused() -> None:
    with pytest.raises(RouterRefused, match="steered for candidate v1"):
        decide(PLAN, progress(candidate="v1", rollout="r0"), seen())
    assert obey(PLAN, progress(candidate="v1", rollout="r0"), seen(), Order.ABORT).progress.percent == 0


def test_next_candidate_begins_where_the_last_one_was_promoted() -> None:
    promoted = progress(Phase.PROMOTED, candidate="v1", rollout="r0", step=2, percent=100)
    assert decide(PLAN, promoted, seen(percent=0)).progress.phase is Phase.SHADOW
    assert decide(PLAN, promoted, seen(percent=100)).progress.phase is Phase.HELD, "the same places again: somebody must swap them"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', encode(progress()).replace('"version":1', '"version":2')])
def test_record_that_is_not_understood_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(RouterRefused, match=r"remove shadowproxy\.io/rollout"):
        decode(text)


def test_record_of_a_newer_program_with_more_fields_is_refused() -> None:
    text = msgspec.json.encode({**msgspec.to_builtins(progress()), "new": 1}).decode()
    with pytest.raises(RouterRefused):
        decode(text)


@pytest.mark.parametrize("steps", [(), (Step(5, 0),), (Step(50, 0), Step(25, 0), Step(100, 0)), (Step(100, 0), Step(100, 0))])
def test_plan_that_does_not_rise_to_everything_is_refused(steps: tuple[Step, ...]) -> None:
    with pytest.raises(ValueError, match=r"steps|step of 100"):
        Plan(steps)


def test_every_phase_and_order_has_its_sentence() -> None:
    assert set(PHASES) == set(Phase)
    assert set(ORDERS) == set(Order)
