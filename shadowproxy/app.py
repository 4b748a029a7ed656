"""The composition root of ``serve`` and ``judge``: configuration in, a process with its admin surface out. ``processes`` composes the
children of ``serve``."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from shadowproxy import comparing, judge_building
from shadowproxy.admin import app as admin
from shadowproxy.config import Config, Secret
from shadowproxy.config import load as load_config
from shadowproxy.errors import ConfigError, ConfigProblem, ShadowproxyError
from shadowproxy.journal.redacting import recorder_for
from shadowproxy.logs import set_up
from shadowproxy.promote.building import Surroundings
from shadowproxy.promote.steering import Steering
from shadowproxy.standalone_judge import StandaloneJudge, source_of
from shadowproxy.supervisor import Supervisor
from shadowproxy.tasks import Tasks
from shadowproxy.watching import load as load_watcher

_log = logging.getLogger(__name__)

#: At the end, how long what waits to be told of verdicts may take.
_TELL_S = 3.0


async def serve(path: Path, announce: Callable[[str, str], None], show: Callable[[str], None] | None) -> None:
    """Run what the file at ``path`` says until SIGTERM or SIGINT; SIGHUP reads it again.

    ``announce`` gets the client and the admin address once all is ready. ``show`` gets what would be done to the traffic; None: it is
    done. That is for a process that judges alone: with a source of counts in ``judge`` the traffic is another process's business.
    """

    def read_config() -> Config:
        config = load_config(path)
        check(config)
        return config

    config = read_config()
    set_up(config.log, "supervisor")
    tasks = Tasks()
    watcher = load_watcher(config.judge, os.environ, tasks, decides=not config.judge.has_source)
    supervisor = Supervisor(config, tasks, read_config, watcher)
    steering = Steering(Surroundings(supervisor.verdicts, watcher.events, os.environ, _identity(), show), tasks)
    if not config.judge.has_source:
        supervisor.steer(steering)
    elif config.promotions:
        _log.info("traffic is moved by shadowproxy judge and not here: judge names a source of counts")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: tasks.start("reload", supervisor.reload()))
    token = config.admin.token.secret() if config.admin.token else None
    try:
        course = steering.prepare(() if config.judge.has_source else config.promotions)
        surface = await admin.serve(admin.build(supervisor, token), config.admin.listen)
    except ShadowproxyError:
        await supervisor.close()
        raise
    try:
        if await supervisor.start():
            announce(supervisor.address, surface.address)
            await steering.adopt(course)
        await supervisor.wait()
    finally:
        await supervisor.close()
        await steering.close()
        await watcher.close(_TELL_S)
        await surface.close()
        await tasks.close()


async def judge(path: Path, announce: Callable[[str, str], None], show: Callable[[str], None] | None) -> None:
    """Judge, and move traffic, as the file at ``path`` says until SIGTERM or SIGINT.

    ``announce`` gets the source of counts and the admin address once verdicts can be asked for. ``show`` gets what would be done to the
    traffic; None: it is done.
    """
    config = load_config(path)
    check_secrets(config)
    set_up(config.log, "judge")
    tasks = Tasks()
    source = source_of(config)
    watcher = load_watcher(config.judge, os.environ, tasks, decides=True)
    process = StandaloneJudge(config, source, watcher)
    steering = Steering(Surroundings(process.verdicts, watcher.events, os.environ, _identity(), show), tasks)
    course = steering.prepare(config.promotions)
    process.steer(steering)
    token = config.admin.token.secret() if config.admin.token else None
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        surface = await admin.serve(admin.build_judge(process, token), config.judge.listen)
        tasks.start("judge", process.look_forever())
        announce(str(source), surface.address)
        await steering.adopt(course)
        await stopped.wait()
        await surface.close()
    finally:
        await tasks.close()
        await steering.close()
        await watcher.close(_TELL_S)
        await source.close()


def _identity() -> str:
    """A name of this process that no other has: who holds a lease."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


def check(config: Config) -> None:
    """What the configuration's own types cannot see: secrets, rules, expressions, extensions. Raises :class:`ConfigError`, or
    :class:`~shadowproxy.errors.StartError` where something is not installed."""
    check_secrets(config)
    comparing.check(config)
    judge_building.check(config)
    if config.journal is not None:
        recorder_for(config.journal.redact, {})


def check_secrets(config: Config) -> None:
    """Read every configured secret once, so that a missing one is an error at start and not at the first copy.

    Raises :class:`ConfigError` with all of them.
    """
    problems: list[ConfigProblem] = []
    for key, auth in _secrets(config):
        try:
            auth.secret()
        except ConfigError as exc:
            problems += (ConfigProblem(key, problem.value, problem.problem, problem.remedy) for problem in exc.problems)
    if problems:
        raise ConfigError(tuple(problems))


def _secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    if config.admin.token:
        yield "admin.token", config.admin.token
    if config.control and config.control.auth:
        yield "control.auth", config.control.auth
    for index, candidate in enumerate(config.candidates):
        if candidate.auth:
            yield f"candidates[{index}].auth", candidate.auth
    if config.telemetry and config.telemetry.auth:
        yield "telemetry.auth", config.telemetry.auth
    if config.journal and config.journal.redact.key:
        yield "journal.redact.key", config.journal.redact.key
    if config.llm_judge and config.llm_judge.auth:
        yield "llm_judge.auth", config.llm_judge.auth
    for key in ("prometheus", "admin", "events"):
        section = getattr(config.judge, key)
        if section and section.auth:
            yield f"judge.{key}.auth", section.auth
    for index, promotion in enumerate(config.promotions):
        if promotion.hook and promotion.hook.auth:
            yield f"promotions[{index}].hook.auth", promotion.hook.auth
