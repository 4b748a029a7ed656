"""The pipeline in one process: frames in, counts out, with real sockets to the arms."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import orjson
import pytest

from shadowproxy.bookkeeping import Ledger, without_words
from shadowproxy.compare.means import Means
from shadowproxy.comparing import rules_of
from shadowproxy.config import build
from shadowproxy.counts import (
    CELLS,
    COPIES,
    JOURNAL_RECORDS,
    NOT_MIRRORED,
    PAIRS_COUNTED,
    PAIRS_ISSUED,
    PAIRS_PENDING,
    PAIRS_RESOLVED,
    SPENT_TOKENS,
    STEP_FAILURES,
    SUPPRESSED,
    UNITS,
    Counts,
    Totals,
)
from shadowproxy.exchange import Comparison, Divergence, Exchange, Outcome, Severity, Timing
from shadowproxy.handover.frames import ExchangeFrame
from shadowproxy.journal.reader import read as read_journal
from shadowproxy.journal.sink import JournalSink, NoSink
from shadowproxy.mirror.lateness import next_look
from shadowproxy.processes.shadow import build_shadow
from shadowproxy.shadow import Shadow
from shadowproxy.spending import Bill
from shadowproxy.tasks import Tasks
from shadowproxy.testing.faults import FaultyServer
from tests.gateway.wires import Upstream, closed_port, until
from tests.replay.arms import Arm


def chat_reply(text: str) -> bytes:
    body = orjson.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def frame(number: int = 0, text: str = "Paris.", body: dict | None = None, **changes: object) -> ExchangeFrame:
    reply = chat_reply(text).partition(b"\r\n\r\n")[2]
    fields = {
        "id": f"id-{number}",
        "route": "chat",
        "method": "POST",
        "target": "/v1/chat/completions",
        "headers": [(b"content-type", b"application/json")],
        "body": orjson.dumps(body or {"model": "m", "messages": [{"role": "user", "content": "capital?"}]}),
        "issued_at_s": 1.0,
        "duration_s": 0.1,
        "outcome": "ok",
        "failure": "",
        "status": 200,
        "reply_headers": [(b"content-type", b"application/json")],
        "reads": [(0.1, reply)],
    }
    return ExchangeFrame(**{**fields, **changes})  # type: ignore[arg-type]


class Pipeline:
    def __init__(self, shadow: Shadow, counts: Counts, rollout: str) -> None:
        self.shadow = shadow
        self.counts = counts
        self.rollout = rollout

    def totals(self) -> Totals:
        totals = Totals()
        totals.absorb("boot", self.counts.everything())
        return totals

    def resolved(self, arm: str = "candidate") -> dict[str, int]:
        return {labels[3]: int(count) for labels, count in self.totals().items(PAIRS_RESOLVED) if labels[2] == arm}

    def cells(self, check: str) -> dict[str, int]:
        return {labels[4]: int(count) for labels, count in self.totals().items(CELLS) if labels[3] == check and not labels[2]}


@contextlib.asynccontextmanager
async def pipeline(candidate: str, primary: str = "http://127.0.0.1:9", **sections: object) -> AsyncIterator[Pipeline]:
    arm = {"name": "v2", "url": candidate, "timeout_s": 5, **sections.pop("arm", {})}  # type: ignore[dict-item]
    parts = {name: sections.pop(name, None) for name in ("sink", "embedding")}
    config = build(
        {"primary": {"url": primary}, "candidates": [arm], "embed": {"backend": "none"}, "units": {"drop_repeats": False}, **sections}
    )
    counts, tasks = Counts(), Tasks()
    means = Means(rules=rules_of(config.compare))
    shadow = build_shadow(config, counts, tasks, lambda *_: None, means=means, **parts)  # type: ignore[arg-type]

    async def sweep() -> None:
        while True:
            await next_look(0.05)
            shadow.sweep()

    tasks.start("sweep", sweep())
    try:
        yield Pipeline(shadow, counts, config.rollout_id(config.candidates[0]))
    finally:
        shadow.close()
        await tasks.close()


async def test_equal_answers_make_cells_for_every_gate() -> None:
    async with (
        Upstream(chat_reply("Paris.")) as up,
        pipeline(up.url, up.url, control={"percent": 100}, gates={"ttft": {"reference_s": 1.0}}) as p,
    ):
        for number in range(10):
            p.shadow.receive(frame(number))
        await until(lambda: p.resolved().get("ok") == 10)
        assert p.resolved("control") == {"ok": 10}
        assert p.totals().value(PAIRS_ISSUED, p.rollout, "chat", "candidate") == 10
        assert p.cells("error") == {"both_ok": 10}
        assert p.cells("similarity") == {"0.00": 10}
        tail = p.cells("ttft_tail")
        assert tail.keys() == {"both_ok", "both_ok:crowded"}, "they came together: one stall could have slowed them all"
        assert sum(tail.values()) == 10
        assert p.cells("aa_error") == {"both_ok": 10}
        assert len(p.shadow.latest_pairs(3, None)) == 3


FAULTS = {
    "hang": "timeout",
    "hang_mid_stream": "timeout",
    "reset": "reset",
    "close_mid_reply": "reset",
    "garbage": "protocol_error",
    "bad_chunk": "protocol_error",
    "endless": "too_large",
    "error_500": "http_error",
    "error_in_stream": "stream_error",
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_of_a_candidate_has_its_own_outcome(fault: str) -> None:
    async with (
        FaultyServer(fault) as server,
        pipeline(server.url, arm={"timeout_s": 0.5 if fault.startswith("hang") else 10, "max_reply_bytes": 1_000_000}) as p,
    ):
        p.shadow.receive(frame())
        await until(lambda: p.resolved(), within_s=10)
        assert p.resolved() == {FAULTS[fault]: 1}
        assert p.cells("error") == {"candidate_only": 1}
        assert p.totals().value(STEP_FAILURES) == 0


async def test_refused_connection_has_its_own_outcome() -> None:
    async with pipeline(f"http://127.0.0.1:{closed_port()}") as p:
        p.shadow.receive(frame())
        await until(lambda: p.resolved())
        assert p.resolved() == {"connect_failed": 1}


async def test_slow_candidate_fills_its_queue_and_that_counts_against_it() -> None:
    async with FaultyServer("hang") as server, pipeline(server.url, arm={"timeout_s": 0.5, "concurrency": 2, "queue": 3}) as p:
        for number in range(10):
            p.shadow.receive(frame(number))
        await until(lambda: sum(p.resolved().values()) == 10)
        assert set(p.resolved()) == {"timeout", "dropped_candidate"}
        assert p.resolved()["dropped_candidate"] >= 5
        assert p.cells("error") == {"candidate_only": 10}


async def test_what_is_only_sent_makes_no_pair() -> None:
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url) as p:
        for number in range(5):
            p.shadow.receive(frame(number, is_compared=False, reads=[]))
        await until(lambda: p.totals().value(COPIES, "v2", "ok") == 5)
        assert len(up.requests) == 5
        assert p.totals().value(PAIRS_ISSUED) == 0
        assert p.resolved() == {}
        assert p.totals().value(CELLS) == 0
        p.shadow.receive(frame(9))
        await until(lambda: p.resolved().get("ok") == 1)
        assert p.totals().value(COPIES, "v2", "ok") == 6


async def test_what_is_only_sent_is_bounded_too() -> None:
    async with FaultyServer("hang") as server, pipeline(server.url, handover={"pending_exchanges": 3}) as p:
        for number in range(5):
            p.shadow.receive(frame(number, is_compared=False, reads=[]))
        assert p.totals().value(NOT_MIRRORED, "shadow_full") == 2


async def test_side_effects_are_counted_and_not_sent() -> None:
    async with Upstream(chat_reply("x")) as up, pipeline(up.url) as p:
        p.shadow.receive(frame(body={"previous_response_id": "r"}))
        assert p.totals().value(NOT_MIRRORED, "stateful") == 1
        assert up.requests == []


async def test_pending_bound_drops_and_counts() -> None:
    async with FaultyServer("hang") as server, pipeline(server.url, handover={"pending_exchanges": 3}) as p:
        for number in range(5):
            p.shadow.receive(frame(number))
        assert p.totals().value(NOT_MIRRORED, "shadow_full") == 2


@pytest.mark.interpreted
async def test_our_own_failure_counts_against_nobody() -> None:
    async with Upstream(chat_reply("x")) as up, pipeline(up.url) as p:

        def broken(*_: object) -> None:
            raise RuntimeError("a bug of ours")

        p.shadow._resolve = broken  # type: ignore[method-assign]
        p.shadow.receive(frame())
        await until(lambda: p.resolved())
        assert p.resolved() == {"dropped_local": 1}
        assert p.cells("error") == {}
        assert p.totals().value(STEP_FAILURES, "compare") == 1


def test_ledger_publishes_in_the_order_of_issue() -> None:
    ledger, published = Ledger(), []
    entries = [ledger.open("chat") for _ in range(6)]
    order = list(range(6))
    random.Random(1).shuffle(order)
    for number in order:
        ledger.resolve(entries[number], lambda number=number: published.append(number))
        assert published == list(range(len(published)))
    assert published == list(range(6))
    assert len(ledger) == 0
    assert ledger.pending == {"chat": 0}


async def test_ttft_reference_is_measured_then_frozen_and_those_pairs_do_not_count() -> None:
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url, gates={"ttft": {"calibration_pairs": 20}}) as p:
        for number in range(30):
            p.shadow.receive(frame(number))
            await until(lambda number=number: sum(p.resolved().values()) == number + 1)
        assert sum(p.cells("ttft_tail").values()) == 10


async def test_copy_on_a_connection_that_was_closing_is_sent_again() -> None:
    """That race says nothing about the arm, and a copy is ours to repeat."""
    async with FaultyServer("stale") as server, pipeline(server.url) as p:
        for number in range(6):
            p.shadow.receive(frame(number))
            await until(lambda number=number: sum(p.resolved().values()) == number + 1)
        assert p.resolved() == {"ok": 6}


async def test_memory_in_work_is_bounded_by_bytes() -> None:
    async with FaultyServer("hang") as server, pipeline(server.url, handover={"pending_bytes": 1024 * 1024}) as p:
        for number in range(5):
            p.shadow.receive(frame(number, text="x" * 600_000))
        assert p.totals().value(NOT_MIRRORED, "shadow_full") == 3


async def test_deadline_that_the_primary_missed_binds_nobody() -> None:
    headers = [(b"x-envoy-expected-rq-timeout-ms", b"1")]
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url) as p:
        p.shadow.receive(frame(headers=headers, duration_s=0.3))
        await until(lambda: p.resolved())
        assert p.resolved() == {"ok": 1}


@pytest.mark.interpreted
async def test_failure_in_counting_is_ours() -> None:
    async with Upstream(chat_reply("x")) as up, pipeline(up.url) as p:
        p.shadow._books["v2"]._references = None  # type: ignore[assignment]
        p.shadow.receive(frame())
        await until(lambda: p.totals().value(STEP_FAILURES, "cells") == 1)
        assert p.cells("error") == {}, "the judge then counts the pair as lost"


@pytest.mark.interpreted
async def test_pair_that_cannot_be_shown_still_counts_and_holds_nothing_back() -> None:
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url) as p:
        shown = p.shadow._count_latency

        def broken(*_: object) -> None:
            raise RuntimeError("a bug of ours")

        p.shadow._count_latency = broken  # type: ignore[method-assign]
        p.shadow.receive(frame(0))
        await until(lambda: p.resolved())
        p.shadow._count_latency = shown  # type: ignore[method-assign]
        p.shadow.receive(frame(1))
        await until(lambda: p.resolved() == {"ok": 2})
        assert p.cells("error") == {"both_ok": 2}
        assert p.shadow._pending == 0
        assert p.totals().value(STEP_FAILURES, "show") == 1


@pytest.mark.interpreted
async def test_unreadable_pair_is_lost_and_holds_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url) as p:
        with monkeypatch.context() as patch:
            patch.setattr("shadowproxy.shadow.read_answer", lambda *_: 1 / 0)
            p.shadow.receive(frame(0))
            await until(lambda: p.resolved() == {"dropped_local": 1})
        p.shadow.receive(frame(1))
        await until(lambda: p.resolved().get("ok") == 1)
        assert p.cells("error") == {"both_ok": 1}
        assert (p.shadow._pending, p.shadow._pending_bytes) == (0, 0)


async def test_sessions_are_one_observation_and_what_waits_in_them_is_pending() -> None:
    units = {"session": "header:x-session", "max_pairs": 3, "drop_repeats": False}
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url, units=units) as p:
        for number in range(4):
            headers = [(b"content-type", b"application/json"), (b"x-session", b"s1")]
            p.shadow.receive(frame(number, headers=headers, body={"messages": [{"role": "user", "content": f"q{number}"}]}))
        await until(lambda: p.resolved() == {"ok": 4})
        p.shadow.report()
        assert p.cells("error") == {"both_ok": 1}
        assert p.totals().value(PAIRS_COUNTED, p.rollout, "chat") == 3
        assert p.totals().value(PAIRS_PENDING, p.rollout, "v2", "chat") == 1
        assert p.totals().value(UNITS, p.rollout) == 1
        p.shadow.close()
        assert p.cells("error") == {"both_ok": 2}
        assert p.totals().value(PAIRS_COUNTED, p.rollout, "chat") == 4


async def test_repeated_prompt_counts_once_and_is_not_lost() -> None:
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url, units={"drop_repeats": True}) as p:
        for number in range(5):
            p.shadow.receive(frame(number))
        await until(lambda: p.resolved() == {"ok": 5})
        assert p.cells("error") == {"both_ok": 1}
        assert p.totals().value(PAIRS_COUNTED, p.rollout, "chat") == 5


async def test_pair_counts_in_its_slices() -> None:
    slices = {"tenant": "header:x-tenant", "streamed": True, "tools": True, "prompt_length": True}
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url, slices=slices) as p:
        p.shadow.receive(frame(headers=[(b"content-type", b"application/json"), (b"x-tenant", b"acme")]))
        await until(lambda: p.resolved() == {"ok": 1})
        found = {labels[2] for labels, _ in p.totals().items(CELLS) if labels[3] == "error"}
        assert found == {"", "tenant=acme", "streamed=no", "tools=no", "prompt_length=under_1k"}


# --- our own delays ---------------------------------------------------------------------------------------------------------

SHORT_TAIL = {"gates": {"ttft": {"reference_s": 0.1}}}


async def test_a_delay_of_ours_is_no_slowness_of_the_candidate() -> None:
    """A candidate that was as good was rolled back: forty answers lay unread while the process loaded what it compares with."""
    with Arm(delay_s=0.05) as arm:  # in a thread, for this one's loop is busy
        async with pipeline(arm.url, **SHORT_TAIL) as p:
            p.shadow.receive(frame())
            await asyncio.sleep(0.02)
            time.sleep(0.4)
            await until(lambda: p.resolved() == {"ok": 1})
            assert p.cells("ttft_tail") == {"unreported": 1}


async def test_slowness_of_the_candidate_is_no_delay_of_ours() -> None:
    with Arm(delay_s=0.4) as arm:
        async with pipeline(arm.url, **SHORT_TAIL) as p:
            p.shadow.receive(frame())
            await asyncio.sleep(0.02)
            time.sleep(0.05)
            await until(lambda: p.resolved() == {"ok": 1})
            assert p.cells("ttft_tail") == {"candidate_only": 1}


async def test_one_stall_of_the_candidate_is_one_slow_answer_to_a_rollback() -> None:
    with Arm(delay_s=0.4) as arm:
        async with pipeline(arm.url, arm={"concurrency": 20}, **SHORT_TAIL) as p:
            for number in range(20):
                p.shadow.receive(frame(number))
            await until(lambda: p.resolved() == {"ok": 20})
            tail = p.cells("ttft_tail")
            assert sum(tail.values()) == 20
            assert 1 <= tail["candidate_only"] < 10
        async with pipeline(arm.url, units={"stall_s": 0, "drop_repeats": False}, **SHORT_TAIL) as p:
            for number in range(2):
                p.shadow.receive(frame(number))
            await until(lambda: p.resolved() == {"ok": 2})
            assert p.cells("ttft_tail") == {"candidate_only": 2}


async def test_an_answer_that_lay_unread_until_its_deadline_is_no_time_out() -> None:
    with Arm(delay_s=0.05) as arm:
        async with pipeline(arm.url, arm={"timeout_s": 0.2}) as p:
            p.shadow.receive(frame())
            await asyncio.sleep(0.02)
            time.sleep(0.5)
            await until(lambda: sum(p.resolved().values()) == 1)
            assert p.resolved() == {"ok": 1}


async def test_our_delays_are_in_the_journal(tmp_path: Path) -> None:
    sink = JournalSink(build({"primary": {"url": "http://127.0.0.1:9"}, "journal": {"to": str(tmp_path)}}).journal, {})  # type: ignore[arg-type]
    sink.start()
    with Arm(delay_s=0.05) as arm:
        async with pipeline(arm.url, sink=sink) as p:
            p.shadow.receive(frame())
            await asyncio.sleep(0.02)
            time.sleep(0.2)
            await until(lambda: p.resolved() == {"ok": 1})
    await sink.close(5)
    (record,) = read_journal(str(tmp_path))
    _, candidate = record.exchanges()
    assert candidate.reply is not None
    assert 0.1 < candidate.late_by(candidate.reply.reads[0][0]) <= candidate.duration_s
    assert candidate.late_by(0.0) == 0


async def test_rules_take_noise_out_and_are_counted() -> None:
    rules = {"rules": [{"path": "text", "pattern": "number"}]}
    async with Upstream(chat_reply("Run 8841 done.")) as up, pipeline(up.url, compare=rules) as p:
        p.shadow.receive(frame(text="Run 17 done."))
        await until(lambda: p.resolved() == {"ok": 1})
        (pair,) = p.shadow.latest_pairs(1, None)
        assert pair["is_exact"]
        assert p.totals().value(SUPPRESSED, p.rollout, "pattern number text") == 1


def test_evidence_that_waits_holds_no_words() -> None:
    """A candidate that hangs keeps pairs waiting for minutes: with their texts, they filled memory."""
    found = (
        Divergence("facts.number", Severity.MAJOR, "5 mg" * 50, "50 mg" * 50, why="x" * 200),
        Divergence("text.format", Severity.INFO, "a", "A"),
    )
    timing = Timing(0.1, None, 0.2)
    kept = without_words(Comparison("v2", Outcome.OK, 0.9, False, False, timing, timing, found, {"facts": 0.9}))
    assert [(each.kind, each.severity, each.primary) for each in kept.divergences] == [("facts.number", Severity.MAJOR, "")]
    assert kept.scores == {"facts": 0.9}


async def test_finished_requests_are_written_into_the_journal(tmp_path: Path) -> None:
    section = build({"primary": {"url": "http://a:1"}, "journal": {"to": str(tmp_path / "journal"), "flush_records": 1}}).journal
    assert section is not None
    sink = JournalSink(section, {"v2": "v2-abc"})
    sink.start()
    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url, sink=sink) as p:
        p.shadow.receive(frame(headers=[(b"content-type", b"application/json"), (b"x-tenant", b"acme")]))
        await until(lambda: p.resolved() == {"ok": 1})
        await sink.close(5)
        sink.report(p.counts)
        assert p.totals().value(JOURNAL_RECORDS, "written") == 1
    (record,) = read_journal(str(tmp_path / "journal"))
    assert [exchange.arm for exchange in record.exchanges()] == ["primary", "v2"]
    assert record.request().header(b"x-tenant") is None, "headers are kept by name only"


async def test_sink_that_fails_costs_nothing_else(tmp_path: Path) -> None:
    class Broken(NoSink):
        def offer(self, *_: object, **__: object) -> None:
            raise OSError("no space left")

    async with Upstream(chat_reply("Paris.")) as up, pipeline(up.url, sink=Broken()) as p:
        p.shadow.receive(frame())
        await until(lambda: p.resolved() == {"ok": 1})
        assert p.cells("error") == {"both_ok": 1}
        assert p.totals().value(STEP_FAILURES, "journal") == 1


async def test_what_no_model_could_embed_is_in_the_journal_all_the_same() -> None:
    class Broken:
        async def vectors(self, texts: object) -> object:
            raise RuntimeError("the model is gone")

    class Kept(NoSink):
        def __init__(self) -> None:
            self.arms: list[str] = []

        def offer(self, primary: Exchange, others: Sequence[Exchange], session: str = "") -> None:
            self.arms += [exchange.arm for exchange in (primary, *others)]

    sink = Kept()
    async with Upstream(chat_reply("Rome.")) as up, pipeline(up.url, sink=sink, embedding=Broken()) as p:
        p.shadow.receive(frame())
        await until(lambda: p.resolved() == {"dropped_local": 1})
        assert p.totals().value(STEP_FAILURES, "embed") == 1
        assert sink.arms == ["primary", "v2"]


# --- what copies may cost ---------------------------------------------------------------------------------------------------


def chat_reply_of(tokens: int) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}
    body = orjson.dumps({"choices": [choice], "usage": {"prompt_tokens": tokens, "completion_tokens": 0}})
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def test_a_candidate_that_has_spent_its_ceiling_is_asked_no_more() -> None:
    async with Upstream(chat_reply_of(10)) as up, pipeline(up.url, arm={"ceiling": {"tokens": 50}}) as p:
        for number in range(8):
            p.shadow.receive(frame(number))
            await until(lambda number=number: p.resolved().get("ok", 0) + p.counts.get(NOT_MIRRORED, "ceiling") == number + 1)
        assert p.resolved() == {"ok": 5}
        assert p.counts.get(NOT_MIRRORED, "ceiling") == 3
        assert p.counts.get(SPENT_TOKENS, p.rollout) == 50
        assert p.totals().value(PAIRS_ISSUED, p.rollout) == 5, "what is not asked is no pair, and nothing is lost"


async def test_what_an_earlier_boot_has_spent_is_not_spent_twice() -> None:
    async with Upstream(chat_reply_of(10)) as up, pipeline(up.url, arm={"ceiling": {"tokens": 50}}) as p:
        p.shadow.restore_spending(p.rollout, Bill(45))
        p.shadow.restore_spending("another-rollout", Bill(1000))
        p.shadow.receive(frame(0))
        await until(lambda: p.resolved() == {"ok": 1})
        p.shadow.receive(frame(1))
        assert p.counts.get(NOT_MIRRORED, "ceiling") == 1
        assert p.counts.get(SPENT_TOKENS, p.rollout) == 10, "the earlier boot has counted its own"


async def test_a_ceiling_in_money_goes_by_the_prices() -> None:
    prices = {"prices": {"models": [{"model": "*", "prompt": 100_000.0, "completion": 0.0}]}}
    async with Upstream(chat_reply_of(10)) as up, pipeline(up.url, arm={"ceiling": {"cost": 2.5}}, compare=prices) as p:
        for number in range(5):
            p.shadow.receive(frame(number))
            await until(lambda number=number: p.resolved().get("ok", 0) + p.counts.get(NOT_MIRRORED, "ceiling") == number + 1)
        assert p.resolved() == {"ok": 3}, "a copy costs 1: after the third no more"


async def test_copies_that_nobody_reads_cost_what_those_cost_that_are_read() -> None:
    async with Upstream(chat_reply_of(10)) as up, pipeline(up.url, arm={"ceiling": {"tokens": 1000}}) as p:
        p.shadow.receive(frame(0))
        await until(lambda: p.resolved() == {"ok": 1})
        p.shadow.receive(frame(1, is_compared=False))
        await until(lambda: p.counts.get(COPIES, "v2", "ok") == 2)
        assert p.counts.get(SPENT_TOKENS, p.rollout) == 20


# --- what is kept where nobody is asked -------------------------------------------------------------------------------------


async def test_without_a_candidate_the_journal_keeps_the_primary_alone(tmp_path: Path) -> None:
    sink = JournalSink(build({"primary": {"url": "http://127.0.0.1:9"}, "journal": {"to": str(tmp_path)}}).journal, {})  # type: ignore[arg-type]
    sink.start()
    config = build({"primary": {"url": "http://127.0.0.1:9"}, "control": {"percent": 100}})
    counts, tasks = Counts(), Tasks()
    shadow = build_shadow(config, counts, tasks, lambda *_: None, sink=sink)
    body = {"model": "m", "user": "u-1", "messages": [{"role": "user", "content": "capital?"}]}
    shadow.receive(frame(0, body=body))
    shadow.receive(frame(1, body={**body, "previous_response_id": "r"}))
    await shadow.finish(5)
    await sink.close(5)
    shadow.close()
    await tasks.close()
    (record,) = read_journal(str(tmp_path))
    assert (record.id, record.others) == ("id-0", ())
    assert record.session
    assert counts.get(NOT_MIRRORED, "no_candidates") == 1
    assert counts.get(NOT_MIRRORED, "stateful") == 1, "what must not be asked twice is of no use to a replay"


async def test_what_no_candidate_was_chosen_for_is_kept_too(tmp_path: Path) -> None:
    sink = JournalSink(build({"primary": {"url": "http://127.0.0.1:9"}, "journal": {"to": str(tmp_path)}}).journal, {})  # type: ignore[arg-type]
    sink.start()
    async with pipeline("http://127.0.0.1:9", arm={"percent": 0}, sink=sink) as p:
        p.shadow.receive(frame(0))
        await p.shadow.finish(5)
        await sink.close(5)
        assert p.counts.get(NOT_MIRRORED, "candidate_sampled_out") == 1
    assert [record.id for record in read_journal(str(tmp_path))] == ["id-0"]
