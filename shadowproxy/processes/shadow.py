"""The shadow process: asks the arms, compares, counts. Started by the supervisor as ``python -m shadowproxy.processes.shadow``."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from pathlib import Path

import orjson

from shadowproxy.bookkeeping import Book, OnFrozen, Slicer, TailReferences, tail_gates
from shadowproxy.child import Leash, Spec, main, spare_the_collector, unexpected
from shadowproxy.compare.means import Means
from shadowproxy.comparing import dialects_of, load_means, prices_of
from shadowproxy.config import Candidate, Config, Embed, build
from shadowproxy.control import Listening, Message, PairsReply, PairsRequest, Reference, Spent
from shadowproxy.counts import LATE_SECONDS, STEP_FAILURES, Counts
from shadowproxy.embed.loading import load as load_embedder
from shadowproxy.embed.service import EmbeddingService
from shadowproxy.exchange import CONTROL
from shadowproxy.handover.frames import ExchangeFrame
from shadowproxy.handover.socket import Lines
from shadowproxy.handover.socket import listen as listen_handover
from shadowproxy.journal.sink import JournalSink, NoSink, Sink
from shadowproxy.judge_building import budget_of, build_judge
from shadowproxy.llmjudge.budget import Budget, Spending
from shadowproxy.llmjudge.judge import LlmJudge
from shadowproxy.mirror.admission import ArmShare
from shadowproxy.mirror.arms import as_candidate, dispatch_of
from shadowproxy.mirror.dispatch import ArmDispatch
from shadowproxy.mirror.lateness import Lateness, next_look
from shadowproxy.opinions import Opinions
from shadowproxy.shadow import OnCompared, Shadow
from shadowproxy.spending import Bill, Ceiling, Purse
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.telemetry.loading import load as load_telemetry

_log = logging.getLogger(__name__)

#: How long a thread that computes may keep the loop waiting, which times every copy's first byte. Python's own 5 ms would show.
_SWITCH_S = 0.0005

#: How often deadlines of copies are looked at.
_SWEEP_S = 0.1

#: Half of what memory there is, added to what this process uses when the kernel chooses whom to kill (proc(5), oom_score_adj). Raising it
#: needs no rights.
_OOM_SCORE = 500

#: How often the hand-over's socket file is looked for. A worker that starts while it is missing drops its exchanges.
_LOOK_S = 0.5

#: At the end, how long what is on its way (frames, pairs) may take to arrive.
_FLUSH_S = 2.0

#: At the end, how long workers that have moved to another shadow process may take to close their line to this one.
_LAST_FRAMES_S = 1.0

#: At the end, how long questions to the judge that are on their way may take.
_JUDGE_FLUSH_S = 0.5

#: At the end, how long records that wait may take to be written.
_JOURNAL_FLUSH_S = 1.0

#: At the end, how long telemetry that waits may take to reach its collector. With the above it stays below the supervisor's patience.
_TELEMETRY_FLUSH_S = 1.0


async def run_shadow(spec: Spec) -> None:
    """The shadow process, until SIGTERM or until the supervisor is gone."""
    _offer_to_oom_killer()
    sys.setswitchinterval(_SWITCH_S)
    config = build(spec.config)
    tasks = Tasks()
    counts = Counts()
    leash = Leash("shadow", spec, counts, tasks)
    telemetry = load_telemetry(config)
    budget = budget_of(config.llm_judge) if config.llm_judge else None
    judge = _judge(config, budget, counts, tasks)
    sink = _journal(config)
    path = Path(spec.handover)
    # Workers connect at once, so that a restart loses little; what they write is read when a copy's answer would find us at our post.
    # Loading a model keeps the interpreter for tenths of a second, which would be in the times of every arm.
    lines = Lines(is_held=True)

    def broken() -> None:
        counts.add(STEP_FAILURES, "hand-over")

    def receive(frame: ExchangeFrame) -> None:
        shadow.receive(frame)  # which is there when the lines are read

    server = Listening(path, lambda: listen_handover(path, receive, broken, lines))
    await server.look()  # where there is no room for a socket's file yet, it is tried again
    tasks.start("stay reachable", _stay_reachable(server))
    embedding = await _start_embedding(config.embed) if config.candidates else None  # else nothing is compared
    lateness = Lateness()
    shadow = build_shadow(
        config,
        counts,
        tasks,
        lambda *frozen: leash.send(Reference(*frozen)),
        Opinions(judge, counts) if judge is not None else None,
        telemetry.compared,
        sink,
        embedding=embedding,
        means=await asyncio.to_thread(load_means, config.compare, tells_language=config.slices.language),
        lateness=lateness,
    )
    tasks.start("sweep", _sweep_forever(shadow, lateness, counts))
    if judge is not None:
        judge.start()
    restored: set[str] = set()
    spare_the_collector()

    def answer(message: Message) -> None:
        match message:
            case PairsRequest(ask, limit, rollout):
                leash.send(PairsReply(ask, orjson.dumps(shadow.latest_pairs(limit, rollout))))
            case Reference(rollout, route, measure, seconds):
                shadow.freeze_reference(rollout, route, measure, seconds)
            case Spent(rollout):
                if rollout not in restored:  # said again on every new line to the supervisor
                    shadow.restore_spending(rollout, Bill(message.tokens, message.cost))
                    if budget is not None:
                        budget.restore(rollout, Spending(message.judge_tokens, message.judge_cost))
                restored.add(rollout)
            case _:
                unexpected(message)

    lines.read()

    def refresh() -> None:
        shadow.report()
        sink.report(counts)
        telemetry.report(counts)

    await leash.hold(refresh, answer)
    server.close()
    # After a reload the workers have a new line, and what they gave to this one before lies in the socket still.
    await lines.ended(_LAST_FRAMES_S)
    await shadow.finish(_FLUSH_S)
    if judge is not None:
        await judge.close(_JUDGE_FLUSH_S)
    shadow.close()
    await sink.close(_JOURNAL_FLUSH_S)
    await telemetry.close(_TELEMETRY_FLUSH_S)
    await leash.let_go(refresh)
    if embedding is not None:
        await embedding.close()
    await tasks.close()


def _journal(config: Config) -> Sink:
    """Where finished requests are kept, if anywhere."""
    if config.journal is None:
        return NoSink()
    sink = JournalSink(config.journal, {each.name: config.rollout_id(each) for each in config.candidates})
    sink.start()
    return sink


def _judge(config: Config, budget: Budget | None, counts: Counts, tasks: Tasks) -> LlmJudge | None:
    if config.llm_judge is None or budget is None:
        return None
    return build_judge(config.llm_judge, config, budget, tasks, Guard(lambda step: counts.add(STEP_FAILURES, step)))


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


async def _sweep_forever(shadow: Shadow, lateness: Lateness, counts: Counts) -> None:
    told_s = 0.0
    while True:
        await next_look(_SWEEP_S)
        shadow.sweep()
        late_s = lateness.total_s(time.monotonic())
        counts.add(LATE_SECONDS, by=late_s - told_s)
        told_s = late_s


def build_shadow(
    config: Config,
    counts: Counts,
    tasks: Tasks,
    on_frozen: OnFrozen,
    opinions: Opinions | None = None,
    on_compared: OnCompared | None = None,
    sink: Sink | None = None,
    *,
    embedding: EmbeddingService | None = None,
    means: Means | None = None,
    lateness: Lateness | None = None,
) -> Shadow:
    """Wire the pipeline: one dispatch per arm, one rollout per candidate. ``lateness`` is that of the loop; by default one of its own."""
    late = lateness or Lateness()
    arms: dict[str, ArmDispatch] = {}
    shares: list[ArmShare] = []
    if config.control is not None and config.control.percent > 0:
        arms[CONTROL] = dispatch_of(CONTROL, as_candidate(config.primary, config.control), config, tasks, late)
        shares.append(ArmShare(CONTROL, config.control.percent / 100))
    for candidate in config.candidates:
        arms[candidate.name] = dispatch_of(candidate.name, candidate, config, tasks, late)
        shares.append(ArmShare(candidate.name, candidate.percent / 100))
    references = TailReferences(tail_gates(config.gates), counts, on_frozen)
    chance = random.Random()  # noqa: S311 - dithers evidence; nothing secret depends on it
    has_control = CONTROL in arms
    books = {
        each.name: Book(config.rollout_id(each), each.name, config.gates, config.units, references, counts, chance, has_control=has_control)
        for each in config.candidates
    }
    return Shadow(
        tuple(shares),
        arms,
        books,
        references,
        counts,
        tasks,
        pending_bound=config.handover.pending_exchanges,
        bytes_bound=config.handover.pending_bytes,
        pairs_kept=config.admin.pairs,
        slicer=Slicer(config.slices),
        purses={each.name: Purse(_ceiling(each)) for each in config.candidates},
        dearest=prices_of(config.compare).dearest,
        units=config.units,
        embedding=embedding,
        means=means or Means(),
        dialects=dialects_of(config),
        opinions=opinions,
        on_compared=on_compared,
        sink=sink,
    )


def _ceiling(candidate: Candidate) -> Ceiling:
    return Ceiling(candidate.ceiling.tokens, candidate.ceiling.cost) if candidate.ceiling is not None else Ceiling()


if __name__ == "__main__":
    main(run_shadow)
