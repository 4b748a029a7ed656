"""The model judge that a configuration asks for, checked and wired. Used by the shadow process, and by ``check``."""

from __future__ import annotations

import time

from shadowproxy.config import Config
from shadowproxy.config import LlmJudge as Section
from shadowproxy.errors import ConfigError, ConfigProblem
from shadowproxy.exchange import PRIMARY
from shadowproxy.llmjudge.arms import ArmModel, arm_of, may_be_arm
from shadowproxy.llmjudge.asking import CRITERIA, Terms
from shadowproxy.llmjudge.budget import Bucket, Budget, Ceilings, Prices
from shadowproxy.llmjudge.client import JudgeClient
from shadowproxy.llmjudge.judge import Bounds, LlmJudge, most_spending
from shadowproxy.llmjudge.sampling import Shares
from shadowproxy.redaction.masking import redact
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.upstream.endpoint import endpoint_of


def check(config: Config) -> None:
    """Refuse a judge that is an arm, or whose criteria cannot be read. Raises :class:`ConfigError`."""
    section = config.llm_judge
    if section is None:
        return
    if (arm := arm_of(section.url, section.model, arm_models(config))) is not None:
        problem = f"is arm {arm}'s own model: models prefer what they would have written themselves"
        raise ConfigError((ConfigProblem("llm_judge.model", section.model, problem, "name another model, or another endpoint"),))
    _criteria(section)


def budget_of(section: Section) -> Budget:
    """What may be asked. The rate is this process's own, the ceilings are the rollout's."""
    return Budget(
        Bucket(section.requests_per_minute, time.monotonic()),
        Ceilings(section.max_tokens, section.max_cost),
        most_spending(terms_of(section), prices_of(section)),
    )


def build_judge(section: Section, config: Config, budget: Budget, tasks: Tasks, guard: Guard) -> LlmJudge:
    """The judge, not yet started. ``check`` has passed."""
    auth = section.auth.header_line() if section.auth else None
    return LlmJudge(
        JudgeClient(endpoint_of(section.url, section.tls), auth, connections=section.concurrency),
        terms_of(section),
        Shares(section.percent / 100, section.control_percent / 100),
        budget,
        prices_of(section),
        Bounds(section.concurrency, section.queue, section.timeout_s),
        tasks,
        guard,
        may_be_arm=may_be_arm(section.url, arm_models(config)),
        redact=redact if section.redact else None,
    )


def arm_models(config: Config) -> tuple[ArmModel, ...]:
    """Whom the judge must not be."""
    candidates = (ArmModel(candidate.name, candidate.url, candidate.model) for candidate in config.candidates)
    return (ArmModel(PRIMARY, config.primary.url, None), *candidates)


def terms_of(section: Section) -> Terms:
    """How the judge is asked."""
    return Terms(section.model, _criteria(section), section.max_text_bytes, section.max_reply_tokens, section.parameters)


def prices_of(section: Section) -> Prices:
    return Prices(section.prompt_price, section.completion_price)


def _criteria(section: Section) -> str:
    path = section.criteria_file
    if path is None:
        return CRITERIA
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError((ConfigProblem("llm_judge.criteria_file", str(path), f"cannot be read ({exc})", "fix the path"),)) from exc
    if not text:
        raise ConfigError((ConfigProblem("llm_judge.criteria_file", str(path), "is empty", "say which answer is better"),))
    return text
