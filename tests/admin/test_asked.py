"""What Argo Rollouts and Flagger are told, and what they then do: the shipped templates, run by models of both controllers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestClient

from shadowproxy.admin.app import JUDGE_ENDPOINTS, build_judge
from shadowproxy.admin.asked import HOOKS, NUMBERS, answer, read_call
from shadowproxy.verdict.decision import State
from shadowproxy.verdict.reasons import REASONS
from tests.admin import controllers
from tests.admin.clients import bearer, client_of
from tests.admin.controllers import ERROR, FAILED, INCONCLUSIVE, RUNNING, SUCCESSFUL, Canary, assess, is_yes, measure, payload
from tests.admin.fake_state import FakeState

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "manifests" / "overlays"
DOCUMENT = ROOT / "docs" / "kubernetes.md"


def loaded(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((OVERLAYS / path).read_text(encoding="utf-8")))


def metric_of(path: str) -> dict[str, Any]:
    (metric,) = loaded(path)["spec"]["metrics"]
    return dict(metric)


WEB = metric_of("argo-rollouts/analysistemplate-web.yaml")
PROMETHEUS = metric_of("argo-rollouts/analysistemplate-prometheus.yaml")
CANARY = loaded("flagger/canary.yaml")


def state_of(state: str, *codes: str) -> FakeState:
    """One rollout called small, with this state and these reasons."""
    made = FakeState("small")
    reasons = [{"code": code, "text": REASONS[code]} for code in codes or ("undecided",)]
    made.documents = ({**made.documents[0], "state": state, "reasons": reasons},)
    return made


# --- the number ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "number"), [("promote", 1), ("hold", 0), ("rollback", -1)])
async def test_number_of_each_state_is_a_200(state: str, number: int) -> None:
    async with client_of(state_of(state)) as client:
        for query in ("", "?rollout=small", "?rollout=small-0123456789ab"):
            reply = await client.get(f"/verdict/number{query}")
            assert reply.status == 200
            assert await reply.json() == {
                "verdict": number,
                "state": state,
                "rollout": "small-0123456789ab",
                "reasons": ["undecided"],
            }


def test_every_state_has_a_number() -> None:
    assert set(NUMBERS) == set(State)


async def test_rollout_before_its_first_pair_is_a_200_with_0() -> None:
    async with client_of(state_of("hold", "no_data")) as client:
        reply = await client.get("/verdict/number?rollout=small")
        assert (reply.status, (await reply.json())["verdict"]) == (200, 0)


@pytest.mark.parametrize("query", ["?rollout=tiny", ""])
async def test_number_of_nobody_is_no_number(query: str) -> None:
    """Several rollouts and none named, or one that is not there: a guess would steer the wrong one."""
    async with client_of(FakeState("small", "large")) as client:
        reply = await client.get(f"/verdict/number{query}")
        assert reply.status == 404
        assert [each["candidate"] for each in (await reply.json())["error"]["known"]] == ["small", "large"]


def test_a_judge_by_itself_is_asked_the_same_way() -> None:
    assert {resource.canonical for resource in build_judge(FakeState(), None).router.resources()} == set(JUDGE_ENDPOINTS)
    assert {"/verdict/number", "/flagger/{hook}"} <= set(JUDGE_ENDPOINTS)


# --- Argo Rollouts ------------------------------------------------------------------------------------------------------


async def measured(state: FakeState, candidate: str = "small") -> str:
    """One measurement of the shipped web template against the real endpoint."""
    async with client_of(state, "secret") as client:
        path = WEB["provider"]["web"]["url"].partition(":9902")[2].replace("{{args.candidate}}", candidate)
        reply = await client.get(path, headers=bearer("secret"))
        assert WEB["provider"]["web"]["jsonPath"] == "{$.verdict}"
        return measure(WEB, reply.status, (await reply.json()).get("verdict"))


@pytest.mark.parametrize(("state", "phase"), [("promote", SUCCESSFUL), ("hold", INCONCLUSIVE), ("rollback", FAILED)])
async def test_measurement_of_each_state(state: str, phase: str) -> None:
    assert await measured(state_of(state)) == phase


async def test_unknown_rollout_is_a_failed_measurement_not_a_verdict() -> None:
    assert await measured(state_of("promote"), "tiny") == ERROR


def test_prometheus_template_reads_the_same_numbers() -> None:
    assert [measure(PROMETHEUS, 200, [number]) for number in (1, 0, -1)] == [SUCCESSFUL, INCONCLUSIVE, FAILED]
    assert measure(PROMETHEUS, 200, []) == ERROR
    assert measure(PROMETHEUS, 200, [math.nan]) == INCONCLUSIVE, "NaN equals nothing"


@pytest.mark.parametrize("metric", [WEB, PROMETHEUS], ids=["web", "prometheus"])
def test_hold_keeps_the_run_going_and_the_first_promote_ends_it(metric: dict[str, Any]) -> None:
    assert assess(metric, [INCONCLUSIVE] * 600) == RUNNING
    assert assess(metric, [INCONCLUSIVE] * 600 + [SUCCESSFUL]) == SUCCESSFUL
    assert assess(metric, [INCONCLUSIVE] * 600 + [FAILED]) == FAILED
    assert assess(metric, [INCONCLUSIVE] * 1441) == INCONCLUSIVE, "in the end a person decides"


@pytest.mark.parametrize("metric", [WEB, PROMETHEUS], ids=["web", "prometheus"])
def test_run_whose_measurements_all_failed_to_be_made_is_never_successful(metric: dict[str, Any]) -> None:
    """argo-rollouts#4479: with a count or high limits such a run ended as Successful."""
    assert assess(metric, [ERROR] * 4) == RUNNING
    assert assess(metric, [ERROR] * 5) == ERROR


def test_rollout_asks_as_a_step_because_a_run_that_is_stopped_counts_as_successful() -> None:
    """Whatever it had measured until then: no limit of a template can prevent that."""
    assert assess(WEB, [ERROR] * 4, is_stopped=True) == SUCCESSFUL
    canary = loaded("argo-rollouts/rollout.yaml")["spec"]["strategy"]["canary"]
    assert "analysis" not in canary, "an analysis in the background is stopped when the steps are done"
    steps = canary["steps"]
    first_weight = next(index for index, step in enumerate(steps) if step.get("setWeight", 0) > 0)
    assert any("analysis" in step for step in steps[:first_weight]), "no client sees what the copies have not shown"


@pytest.mark.parametrize("metric", [WEB, PROMETHEUS], ids=["web", "prometheus"])
def test_hold_would_fail_without_the_second_condition(metric: dict[str, Any]) -> None:
    one_sided = {key: value for key, value in metric.items() if key != "failureCondition"}
    assert measure(one_sided, 200, [0] if metric is PROMETHEUS else 0) == FAILED


# --- Flagger: hooks -----------------------------------------------------------------------------------------------------

PROMOTE, UNDECIDED, NO_DATA, GAP, NEAR, ROLLBACK = (
    state_of("promote", "within_margins"),
    state_of("hold", "undecided", "soak", "no_control"),
    state_of("hold", "no_data"),
    state_of("hold", "state_gap"),
    state_of("hold", "near_margin"),
    state_of("rollback", "worse:error"),
)
#: Hook → the answer in each of the states above.
ANSWERS = {
    "confirm-rollout": (True, True, True, True, True, False),
    "pre-rollout": (True, True, True, True, True, False),
    "rollout": (True, True, True, True, True, False),
    "confirm-traffic-increase": (True, True, False, False, False, False),
    "confirm-promotion": (True, False, False, False, False, False),
    "post-rollout": (True,) * 6,
    "event": (True,) * 6,
    "rollback": (False, False, False, False, False, True),
}


async def post(client: TestClient, hook: str, content: Any) -> tuple[int, dict[str, Any]]:
    reply = await client.post(f"/flagger/{hook}", json=content)
    return reply.status, await reply.json()


def test_every_hook_is_in_the_table() -> None:
    assert set(ANSWERS) == set(HOOKS)


def test_documentation_has_the_same_table() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("<!-- table: hooks -->")[2].partition("<!-- end -->")[0]
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", table, re.MULTILINE)) == {name: hook.yes_when for name, hook in HOOKS.items()}


@pytest.mark.parametrize("hook", ANSWERS)
async def test_hooks_answer_by_the_table(hook: str) -> None:
    for state, expected in zip((PROMOTE, UNDECIDED, NO_DATA, GAP, NEAR, ROLLBACK), ANSWERS[hook], strict=True):
        async with client_of(state) as client:
            status, body = await post(client, hook, payload("llm", {"metadata": {"rollout": "small"}}))
        assert (is_yes(status), body["answer"]) == (expected, "yes" if expected else "no"), (hook, state.documents[0]["reasons"])


@pytest.mark.parametrize("hook", ["confirm-rollout", "confirm-traffic-increase"])
async def test_shadow_first_waits_for_promote(hook: str) -> None:
    asked = payload("llm", {"metadata": {"rollout": "small", "wait_for": "promote"}})
    for state, expected in ((PROMOTE, True), (UNDECIDED, False), (ROLLBACK, False)):
        async with client_of(state) as client:
            assert is_yes((await post(client, hook, asked))[0]) is expected


def test_wait_for_changes_no_hook_that_cannot_wait() -> None:
    call = read_call(b'{"metadata": {"wait_for": "promote"}}')
    assert answer("rollback", call, ROLLBACK.documents[0])[0] == 200
    assert answer("event", call, UNDECIDED.documents[0])[0] == 200


async def test_hooks_need_no_token_and_nothing_else_is_open_for_it() -> None:
    async with client_of(PROMOTE, "secret") as client:
        assert (await post(client, "confirm-promotion", payload("llm", {})))[0] == 200
        assert (await client.get("/flagger/confirm-promotion")).status == 401
        assert (await client.post("/flaggers/confirm-promotion", json={})).status == 401
        assert (await client.post("/reload")).status == 401
        status, body = await post(client, "confirm-promotion", payload("llm", {"metadata": {"rollout": "tiny"}}))
        assert status == 404
        assert "small" not in str(body), "who holds no token is not told what there is"


BAD = [
    b"",
    b"{",
    b"[]",
    b"7",
    b'{"metadata": 3}',
    b'{"metadata": {"rollout": 3}}',
    b'{"metadata": {"wait_for": "hold"}}',
    b"\xff",
    b"[" * 9999,
]


@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body[:20]))
@pytest.mark.parametrize("hook", ["rollback", "confirm-promotion"])
async def test_payload_that_is_none_is_never_a_yes(hook: str, body: bytes) -> None:
    """A yes of ``rollback`` rolls back, a yes of the others moves on: a mistake must do neither."""
    async with client_of(PROMOTE if hook == "confirm-promotion" else ROLLBACK) as client:
        reply = await client.post(f"/flagger/{hook}", data=body)
        assert reply.status == 400
        assert (await reply.json())["error"]["remedy"]


async def test_unknown_hook_and_unnamed_rollout_are_never_a_yes() -> None:
    async with client_of(FakeState("small", "large")) as client:
        assert (await post(client, "confirm-everything", payload("llm", {})))[0] == 404
        assert (await post(client, "rollback", payload("llm", {})))[0] == 404


# --- Flagger: a canary --------------------------------------------------------------------------------------------------


async def turned(canary: Canary, state: FakeState, turns: int, value: float | None = None) -> Canary:
    """``turns`` intervals with the shipped hooks against the real endpoints; the metric is the number unless ``value`` is given."""
    async with client_of(state, "secret") as client:
        for _ in range(turns):
            answers = {}
            for hook in CANARY["spec"]["analysis"]["webhooks"]:
                path = hook["url"].partition(":9902")[2]
                asked = payload("llm", {"metadata": {**hook["metadata"], "rollout": "small"}})
                answers[hook["type"]] = (await client.post(path, json=asked)).status
            number = float(NUMBERS[State(state.documents[0]["state"])])
            canary.turn(answers, number if value is None else value)
    return canary


def new_canary() -> Canary:
    return Canary(CANARY["spec"]["analysis"])


async def test_canary_waits_at_zero_while_the_verdict_holds_and_is_never_failed_by_it() -> None:
    canary = await turned(new_canary(), UNDECIDED, 30)
    assert (canary.phase, canary.weight, canary.failed_checks) == ("Progressing", 0, 0)
    assert set(canary.halted) == {"confirm-traffic-increase"}


async def test_canary_goes_up_and_is_promoted_on_promote() -> None:
    canary = await turned(await turned(new_canary(), UNDECIDED, 3), PROMOTE, 6)
    assert (canary.phase, canary.weight) == ("Promoting", 50)


async def test_canary_is_rolled_back_at_once_on_rollback() -> None:
    canary = await turned(await turned(new_canary(), PROMOTE, 2), ROLLBACK, 1)
    assert (canary.phase, canary.weight) == ("Failed", 20)


async def test_no_number_at_all_would_roll_the_canary_back() -> None:
    """Which is why the query of the template ends in ``or vector(0)`` and the metric is never NaN."""
    canary = await turned(new_canary(), UNDECIDED, 6, value=math.nan)
    assert canary.phase == "Failed"
    for path in ("flagger/metrictemplate.yaml", "argo-rollouts/analysistemplate-prometheus.yaml"):
        assert "or vector(0)" in (OVERLAYS / path).read_text(encoding="utf-8")


def test_shipped_hooks_exist_and_go_where_their_type_says() -> None:
    hooks = CANARY["spec"]["analysis"]["webhooks"]
    assert {hook["type"] for hook in hooks} <= set(HOOKS)
    assert all(hook["url"].endswith(f"/flagger/{hook['type']}") for hook in hooks)
    assert controllers.is_yes(202)
    assert not controllers.is_yes(203)
