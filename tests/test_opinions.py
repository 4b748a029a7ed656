"""Pairs that a model judge is asked about, in the pipeline with a judge on loopback."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

import orjson
import pytest

from shadowproxy import config as configuration
from shadowproxy.config import build, judging
from shadowproxy.counts import CELLS, LLM_JUDGE_ABSTENTIONS, LLM_JUDGE_PAIRS, LLM_JUDGE_TOKENS, Counts, Totals
from shadowproxy.errors import ConfigError
from shadowproxy.judge_building import budget_of, build_judge, check
from shadowproxy.llmjudge.asking import RESERVED_PARAMETERS
from shadowproxy.llmjudge.budget import Spending
from shadowproxy.opinions import Opinions
from shadowproxy.processes.shadow import build_shadow
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.testing.faults import FaultyServer
from tests.gateway.wires import Upstream, until
from tests.test_shadow import chat_reply, frame


def verdict_reply(pick: str) -> bytes:
    content = orjson.dumps({"reason": "shorter", "verdict": pick}).decode()
    body = orjson.dumps(
        {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 90, "completion_tokens": 10},
        }
    )
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def settings(primary: str, candidate: str, judge: str, **changes: object) -> configuration.Config:
    section = {"url": judge, "model": "a-large-model", "percent": 100, "control_percent": 100, "requests_per_minute": 6000, **changes}
    return build(
        {
            "primary": {"url": primary},
            "control": {"percent": 100},
            "candidates": [{"name": "v2", "url": candidate}],
            "embed": {"backend": "none"},
            "gates": {"judge": {"enabled": True}},
            "llm_judge": section,
        }
    )


@contextlib.asynccontextmanager
async def judged(config: configuration.Config) -> AsyncIterator[tuple[Counts, str]]:
    """One request through the pipeline, with the judge at work."""
    assert config.llm_judge is not None
    counts, tasks = Counts(), Tasks()
    judge = build_judge(config.llm_judge, config, budget_of(config.llm_judge), tasks, Guard(lambda step: pytest.fail(step)))
    shadow = build_shadow(config, counts, tasks, lambda *_: None, Opinions(judge, counts))
    judge.start()
    try:
        shadow.receive(frame(text="Paris."))
        yield counts, config.rollout_id(config.candidates[0])
    finally:
        await judge.close(0)
        shadow.close()
        await tasks.close()


def totals(counts: Counts) -> Totals:
    found = Totals()
    found.absorb("boot", counts.everything())
    return found


async def test_judge_that_names_whatever_comes_first_finds_ties() -> None:
    async with (
        Upstream(chat_reply("Paris.")) as up,
        Upstream(chat_reply("Rome.")) as other,
        Upstream(verdict_reply("A")) as judge,
        judged(settings(up.url, other.url, judge.url)) as (counts, rollout),
    ):
        await until(lambda: totals(counts).value(CELLS, rollout, "chat", "", "judge", "both_ok") == 1)
        found = totals(counts)
        assert found.value(LLM_JUDGE_PAIRS, rollout, "chat", "candidate", "first") == 1
        assert found.value(LLM_JUDGE_PAIRS, rollout, "chat", "control", "tie") == 1, "equal answers need no question"
        assert found.value(LLM_JUDGE_TOKENS, rollout) == 200


async def test_judge_that_is_down_looks_like_nothing_and_not_like_ties() -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
    async with (
        Upstream(chat_reply("Paris.")) as up,
        Upstream(chat_reply("Rome.")) as other,
        Upstream(refusal) as judge,
        judged(settings(up.url, other.url, judge.url)) as (counts, rollout),
    ):
        await until(lambda: totals(counts).value(LLM_JUDGE_ABSTENTIONS, rollout, "candidate") == 1)
        assert totals(counts).value(CELLS, rollout, "chat", "", "judge", "both_ok") == 0


async def test_candidate_without_answer_has_lost() -> None:
    async with (
        Upstream(chat_reply("Paris.")) as up,
        FaultyServer("error_500") as other,
        Upstream(verdict_reply("A")) as judge,
        judged(settings(up.url, other.url, judge.url)) as (counts, rollout),
    ):
        await until(lambda: totals(counts).value(CELLS, rollout, "chat", "", "judge", "candidate_only") == 1)


def test_judge_that_is_an_arm_is_refused() -> None:
    config = settings("http://127.0.0.1:1", "http://127.0.0.1:2", "http://localhost:2", model="v2-model")
    candidate = config.candidates[0].model_copy(update={"model": "v2-model"})
    with pytest.raises(ConfigError, match="arm v2's own model"):
        check(config.model_copy(update={"candidates": (candidate,)}))


def test_configuration_refuses_what_the_judge_sets_itself() -> None:
    assert judging._JUDGE_SETS == RESERVED_PARAMETERS
    with pytest.raises(ConfigError, match="messages"):
        settings("http://a:1", "http://b:1", "http://c:1", parameters={"messages": []})


def test_spending_of_an_earlier_process_counts_against_the_ceiling() -> None:
    config = settings("http://a:1", "http://b:1", "http://c:1", max_tokens=100_000)
    assert config.llm_judge is not None
    budget = budget_of(config.llm_judge)
    assert not budget.admit("r", time.monotonic())
    budget.restore("r", Spending(99_999, 0.0))
    assert budget.admit("r", time.monotonic())
