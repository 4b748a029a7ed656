"""The composition root: configuration in, wired services out. The only place where objects meet their collaborators.

Three processes are composed here: the supervisor (``serve``), a gateway worker and the shadow process. Children are started as
``python -m shadowproxy.app ROLE`` with their specification on standard input, so that no secret shows in a process list.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import orjson
import uvloop

from shadowproxy.admin import app as admin
from shadowproxy.child import Leash, Spec, run
from shadowproxy.config import Candidate, Config, Embed, Secret, build
from shadowproxy.config import load as load_config
from shadowproxy.control import Adopt, Adopted, Listening, Message, PairsReply, PairsRequest, Reference, SetMirroring
from shadowproxy.counts import STEP_FAILURES, Counts
from shadowproxy.embed.loading import load as load_embedder
from shadowproxy.embed.service import EmbeddingService
from shadowproxy.errors import ConfigError, ConfigProblem, ShadowproxyError
from shadowproxy.exchange import CONTROL
from shadowproxy.gateway.gateway import Gateway
from shadowproxy.handover.socket import HandoverWriter, Lines
from shadowproxy.handover.socket import listen as listen_handover
from shadowproxy.logs import set_up
from shadowproxy.mirror.admission import ArmShare
from shadowproxy.mirror.dispatch import ArmBounds, ArmDispatch
from shadowproxy.mirror.rewrite import ArmRewrite
from shadowproxy.shadow import OnCompared, Rollout, Shadow, TtftReferences
from shadowproxy.standalone_judge import StandaloneJudge, source_of
from shadowproxy.supervisor import EXIT_CANNOT_START, Supervisor
from shadowproxy.tasks import Tasks
from shadowproxy.telemetry.loading import load as load_telemetry
from shadowproxy.upstream.endpoint import endpoint_of
from shadowproxy.upstream.pool import Pool, Timing
from shadowproxy.watching import load as load_watcher

_log = logging.getLogger(__name__)

#: At the end, how long what waits to be told of verdicts may take.
_TELL_S = 3.0

#: How often deadlines of copies are looked at.
_SWEEP_S = 0.1

#: Half of what memory there is, added to what this process uses when the kernel chooses whom to kill (proc(5), oom_score_adj). Raising it
#: needs no rights.
_OOM_SCORE = 500

#: How often the hand-over's socket file is looked for. A worker that starts while it is missing drops its exchanges.
_LOOK_S = 0.5

#: How long a worker's first report of being ready waits for the hand-over, so that the first exchanges are not dropped. It serves
#: clients meanwhile, and without a shadow process it goes on after this.
_FIRST_LINE_S = 1.5

#: At the end, how long what is on its way (frames, pairs) may take to arrive.
_FLUSH_S = 2.0

#: At the end, how long workers that have moved to another shadow process may take to close their line to this one.
_LAST_FRAMES_S = 1.0

#: At the end, how long telemetry that waits may take to reach its collector. With the above it stays below the supervisor's patience.
_TELEMETRY_FLUSH_S = 1.0


# --- supervisor -----------------------------------------------------------------------------------------------------------


async def serve(path: Path, announce: Callable[[str, str], None]) -> None:
    """Run what the file at ``path`` says until SIGTERM or SIGINT; SIGHUP reads it again.

    ``announce`` gets the client and the admin address once all is ready.
    """

    def read_config() -> Config:
        config = load_config(path)
        check_secrets(config)
        return config

    config = read_config()
    set_up(config.log, "supervisor")
    tasks = Tasks()
    watcher = load_watcher(config.judge, os.environ, tasks, decides=not config.judge.has_source)
    supervisor = Supervisor(config, tasks, read_config, watcher)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: tasks.start("reload", supervisor.reload()))
    token = config.admin.token.secret() if config.admin.token else None
    try:
        surface = await admin.serve(admin.build(supervisor, token), config.admin.listen)
    except ShadowproxyError:
        await supervisor.close()
        raise
    try:
        if await supervisor.start():
            announce(supervisor.address, surface.address)
        await supervisor.wait()
    finally:
        await supervisor.close()
        await watcher.close(_TELL_S)
        await surface.close()
        await tasks.close()


async def judge(path: Path, announce: Callable[[str, str], None]) -> None:
    """Judge what the file at ``path`` says until SIGTERM or SIGINT.

    ``announce`` gets the source of counts and the admin address once verdicts can be asked for.
    """
    config = load_config(path)
    check_secrets(config)
    set_up(config.log, "judge")
    tasks = Tasks()
    source = source_of(config)
    watcher = load_watcher(config.judge, os.environ, tasks, decides=True)
    process = StandaloneJudge(config, source, watcher)
    token = config.admin.token.secret() if config.admin.token else None
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        surface = await admin.serve(admin.build_judge(process, token), config.judge.listen)
        tasks.start("judge", process.look_forever())
        announce(str(source), surface.address)
        await stopped.wait()
        await surface.close()
    finally:
        await watcher.close(_TELL_S)
        await tasks.close()
        await source.close()


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
    for key in ("prometheus", "admin", "events"):
        section = getattr(config.judge, key)
        if section and section.auth:
            yield f"judge.{key}.auth", section.auth


# --- gateway worker -------------------------------------------------------------------------------------------------------


async def run_gateway(spec: Spec) -> None:
    """A gateway worker, until SIGTERM or until the supervisor is gone."""
    config = build(spec.config)
    tasks = Tasks()
    counts = Counts()
    leash = Leash("gateway", spec, counts, tasks)
    writer = HandoverWriter(Path(spec.handover), config.handover.buffer_bytes, tasks)
    gateway = Gateway(config, writer, tasks, spec.name)
    if config.candidates:
        writer.start()
    await gateway.listen([socket.socket(fileno=fd) for fd in spec.fds], [socket.socket(fileno=fd) for fd in spec.mirrored_fds])
    tasks.start("sweep", gateway.sweep_forever())
    _spare_the_collector()

    if config.candidates:
        await writer.connected(_FIRST_LINE_S)

    def refresh() -> None:
        gateway.report(counts)

    def answer(message: Message) -> None:
        match message:
            case Adopt(text, handover):
                leash.send(Adopted(_adopt(gateway, writer, text, handover)))
            case SetMirroring(is_on):
                gateway.set_mirroring(is_on)
            case _:
                _unexpected(message)

    await leash.hold(refresh, answer)
    await gateway.drain(config.limits.drain_s)
    await writer.close(_FLUSH_S)
    await leash.let_go(refresh)
    await tasks.close()


def _spare_the_collector() -> None:
    """What exists now lives as long as the process, and next to nothing on the data path is cyclic: neither shall be walked every few
    hundred allocations in the middle of traffic."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _adopt(gateway: Gateway, writer: HandoverWriter, text: bytes, handover: str) -> str:
    """Have this worker go by another configuration. Returns what is in the way, or ""."""
    try:
        config = build(orjson.loads(text))
        gateway.adopt(config)
    except (ShadowproxyError, ValueError) as exc:
        return str(exc)
    if config.candidates:
        writer.move(Path(handover), config.handover.buffer_bytes)
    return ""


def _unexpected(message: Message) -> None:
    _log.error("unexpected message from the supervisor: %r", message)


# --- shadow process -------------------------------------------------------------------------------------------------------


async def run_shadow(spec: Spec) -> None:
    """The shadow process, until SIGTERM or until the supervisor is gone."""
    _offer_to_oom_killer()
    config = build(spec.config)
    tasks = Tasks()
    counts = Counts()
    leash = Leash("shadow", spec, counts, tasks)
    telemetry = load_telemetry(config)
    shadow = build_shadow(config, counts, tasks, lambda *frozen: leash.send(Reference(*frozen)), telemetry.compared)
    path = Path(spec.handover)
    lines = Lines()
    server = Listening(path, lambda: listen_handover(path, shadow.receive, lambda: counts.add(STEP_FAILURES, "hand-over"), lines))
    await server.look()  # where there is no room for a socket's file yet, it is tried again
    tasks.start("sweep", _sweep_forever(shadow))
    tasks.start("stay reachable", _stay_reachable(server))
    embedding = await _start_embedding(config.embed)
    shadow.start(embedding)
    _spare_the_collector()

    def answer(message: Message) -> None:
        match message:
            case PairsRequest(ask, limit, rollout):
                leash.send(PairsReply(ask, orjson.dumps(shadow.latest_pairs(limit, rollout))))
            case Reference(rollout, route, seconds):
                shadow.freeze_reference(rollout, route, seconds)
            case _:
                _unexpected(message)

    def refresh() -> None:
        shadow.report()
        telemetry.report(counts)

    await leash.hold(refresh, answer)
    server.close()
    # After a reload the workers have a new line, and what they gave to this one before lies in the socket still.
    await lines.ended(_LAST_FRAMES_S)
    await shadow.finish(_FLUSH_S)
    shadow.close()
    await telemetry.close(_TELEMETRY_FLUSH_S)
    await leash.let_go(refresh)
    if embedding is not None:
        await embedding.close()
    await tasks.close()


def _offer_to_oom_killer() -> None:
    """Where memory runs out, the kernel shall take this process: it costs evidence, a gateway worker costs replies."""
    try:
        adjustment = Path("/proc/self/oom_score_adj")
        adjustment.write_text(str(max(int(adjustment.read_text()), _OOM_SCORE)), encoding="ascii")
    except (OSError, ValueError) as exc:
        _log.debug("this process cannot offer itself to the OOM killer: %s", exc)


async def _start_embedding(section: Embed) -> EmbeddingService | None:
    embedder = await asyncio.to_thread(load_embedder, section)
    if embedder is None:
        return None
    service = EmbeddingService(embedder, batch=section.batch, cache_entries=section.cache_entries)
    await service.start()
    return service


async def _stay_reachable(server: Listening) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        await server.look()


async def _sweep_forever(shadow: Shadow) -> None:
    while True:
        await asyncio.sleep(_SWEEP_S)
        shadow.sweep()


def build_shadow(
    config: Config,
    counts: Counts,
    tasks: Tasks,
    on_frozen: Callable[[str, str, float], None],
    on_compared: OnCompared | None = None,
) -> Shadow:
    """Wire the pipeline: one dispatch per arm, one rollout per candidate."""
    arms: dict[str, ArmDispatch] = {}
    shares: list[ArmShare] = []
    if config.control is not None and config.control.percent > 0:
        # The control is a candidate that happens to be the primary.
        asked_again = Candidate.model_validate(
            {**dict(config.control), "name": "asked-again", "url": config.primary.url, "tls": config.primary.tls}
        )
        arms[CONTROL] = _dispatch(CONTROL, asked_again, config, tasks)
        shares.append(ArmShare(CONTROL, config.control.percent / 100))
    for candidate in config.candidates:
        arms[candidate.name] = _dispatch(candidate.name, candidate, config, tasks)
        shares.append(ArmShare(candidate.name, candidate.percent / 100))
    return Shadow(
        tuple(Rollout(config.rollout_id(candidate), candidate.name) for candidate in config.candidates),
        tuple(shares),
        arms,
        TtftReferences(config.gates.ttft, on_frozen),
        counts,
        tasks,
        pending_bound=config.handover.pending_exchanges,
        bytes_bound=config.handover.pending_bytes,
        pairs_kept=config.admin.pairs,
        chance=random.Random(),  # noqa: S311 - dithers evidence; nothing secret depends on it
        on_compared=on_compared,
    )


def _dispatch(arm: str, target: Candidate, config: Config, tasks: Tasks) -> ArmDispatch:
    endpoint = endpoint_of(target.url, target.tls)
    rewrite = ArmRewrite(
        arm=arm,
        authority=endpoint.authority,
        path_prefix=endpoint.path_prefix,
        model=target.model,
        set_headers=tuple((name.lower().encode(), value.encode()) for name, value in target.headers.set.items()),
        remove_headers=frozenset(name.lower().encode() for name in target.headers.remove),
        auth=target.auth.header_line() if target.auth else None,
    )
    # The copy's own deadline bounds everything; the pool's finer ones would only blur which outcome it was.
    timing = Timing(
        connect_s=min(config.primary.connect_timeout_s, target.timeout_s),
        first_byte_s=target.timeout_s,
        idle_s=target.timeout_s,
        keepalive_s=config.primary.keepalive_s,
    )
    pool = Pool(endpoint, timing, tasks, max_idle=target.concurrency, max_header_bytes=config.limits.max_header_bytes)
    bounds = ArmBounds(target.concurrency, target.queue, target.timeout_s, target.max_reply_bytes)
    return ArmDispatch(rewrite, pool, bounds, random.Random())  # noqa: S311 - span ids need to differ, not to be secret


def main() -> None:
    """Entry of a child process: role as the only argument, :class:`Spec` as JSON on standard input."""
    role = sys.argv[1]
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    set_up(build(spec.config).log, spec.name)
    try:
        run({"gateway": run_gateway, "shadow": run_shadow}[role], uvloop.new_event_loop, spec)
    except ShadowproxyError as exc:
        _log.error("%s", exc)
        raise SystemExit(EXIT_CANNOT_START) from None


if __name__ == "__main__":
    main()
