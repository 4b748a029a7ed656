"""How many exchanges a second one thread writes into a journal, redacted, encrypted or neither, and what offering one costs.

    python loadtest/journal.py --rounds 5

A record has three exchanges: the primary's, the control's and a candidate's, each with an answer of its own. Rates are per second of
processor time of the writing thread, on one core, so that what else the machine does counts as little as it can; rounds are interleaved.
Bodies are JSON of half a kilobyte (request 0.3), of one, of four, or a stream of 100 events. One answer in ten holds an address and a
phone number.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from machine import LOAD_CORE, description, on_cores
from tables import number, show

from shadowproxy.config import Journal
from shadowproxy.exchange import CONTROL, PRIMARY, Exchange, Headers, Outcome, Read, Reply, Request
from shadowproxy.journal.sink import JournalSink
from shadowproxy.journal.writer import JournalWriter

JSON: Headers = ((b"content-type", b"application/json"), (b"date", b"x"), (b"server", b"uvicorn"))
EVENTS: Headers = ((b"content-type", b"text/event-stream"), (b"date", b"x"))
WORDS = (
    *("the", "node", "that", "overflows", "is", "split", "at", "its", "median", "key", "and", "moves", "up", "while"),
    *("both", "halves", "become", "children", "of", "it"),
)
PERSONAL = " Write to ada.lovelace@example.com or call +44 20 7946 0958."

Offer = tuple[Exchange, tuple[Exchange, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1500, help="records of one measurement (streams: a tenth)")
    options = parser.parse_args()
    chance = random.Random(1)
    loads = {
        "0.5 KB": [_offer(chance, 200) for _ in range(options.records)],
        "1 KB": [_offer(chance, 700) for _ in range(options.records)],
        "4 KB": [_offer(chance, 3700) for _ in range(options.records)],
        "100 events": [_streamed(chance) for _ in range(options.records // 10)],
    }
    with on_cores({LOAD_CORE}):
        rates = _rounds(loads, _kinds(), options.rounds)
        offering_us = _offering_us(loads["1 KB"])
    lines = [(load, kind, number(statistics.median(values), 0), number(min(values), 0)) for (load, kind), values in rates.items()]
    notes = (
        f"Offering a request to the journal: {offering_us:.1f} µs.",
        ", ".join(f"{key} {value}" for key, value in description().items()),
    )
    show(f"Journal, exchanges a second of processor time, {options.rounds} rounds", ("bodies", "journal", "median", "least"), lines, notes)


def _kinds() -> dict[str, dict[str, object]]:
    kinds: dict[str, dict[str, object]] = {"redacted": {}, "as it was": {"redact": {"bodies": False}}}
    try:
        from pyrage import x25519
    except ImportError:
        print("skipped: sealed: pyrage is not installed")
        return kinds
    return {**kinds, "redacted and sealed": {"recipients": [str(x25519.Identity.generate().to_public())]}}


def _rounds(loads: dict[str, list[Offer]], kinds: dict[str, dict[str, object]], rounds: int) -> dict[tuple[str, str], list[float]]:
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for load, offers in loads.items():
            for kind, keys in kinds.items():
                rates.setdefault((load, kind), []).append(_rate(offers, keys))
    return rates


def _rate(offers: Sequence[Offer], keys: dict[str, object]) -> float:
    with tempfile.TemporaryDirectory(prefix="loadtest-journal-") as folder:
        writer = JournalWriter(Journal.model_validate({"to": folder, **keys}), {"v2": "v2-0123456789ab"}, Path(folder))
        began_s = time.process_time()
        for primary, others in offers:
            writer.take(primary, others)
        writer.finish()
        took_s = time.process_time() - began_s
        assert writer.written == len(offers), writer.lost
        return writer.exchanges / took_s


def _offering_us(offers: Sequence[Offer]) -> float:
    with tempfile.TemporaryDirectory(prefix="loadtest-journal-") as folder:
        sink = JournalSink(Journal(to=folder), {})  # not started: what is measured is the caller's part
        began_s = time.process_time()
        for primary, others in offers:
            sink.offer(primary, others)
        return (time.process_time() - began_s) / len(offers) * 1e6


# --- exchanges ------------------------------------------------------------------------------------------------------------


def _offer(chance: random.Random, chars: int) -> Offer:
    return _arms(chance, lambda: (JSON, ((0.2, _reply(chance, chars)),)))


def _streamed(chance: random.Random) -> Offer:
    return _arms(chance, lambda: (EVENTS, tuple(_events(chance))))


def _arms(chance: random.Random, answer: Callable[[], tuple[Headers, tuple[Read, ...]]]) -> Offer:
    words = _words(chance, 180)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": words}], "temperature": 0.2}).encode()
    request = Request("POST", "/v1/chat/completions", JSON, body)
    id_ = f"{chance.getrandbits(64):016x}"

    def exchange(arm: str) -> Exchange:
        headers, reads = answer()
        return Exchange(id_, arm, "chat", request, Reply(200, headers, reads), Outcome.OK, time.time(), reads[-1][0])

    return exchange(PRIMARY), (exchange(CONTROL), exchange("v2"))


def _reply(chance: random.Random, chars: int) -> bytes:
    said = {"role": "assistant", "content": _words(chance, chars) + (PERSONAL if chance.random() < 0.1 else "")}
    usage = {"prompt_tokens": 40, "completion_tokens": chars // 4, "total_tokens": 40 + chars // 4}
    reply = {
        "id": f"chatcmpl-{chance.getrandbits(64):x}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        "usage": usage,
    }
    return json.dumps(reply).encode()


def _events(chance: random.Random) -> Iterator[Read]:
    for number_ in range(100):
        delta = {"index": 0, "delta": {"content": f" {chance.choice(WORDS)}"}, "finish_reason": None}
        event = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [delta]}
        yield 0.2 + number_ / 50, b"data: " + json.dumps(event).encode() + b"\n\n"


def _words(chance: random.Random, chars: int) -> str:
    """Sentences and line breaks, as answers have them."""
    text = ""
    while len(text) < chars:
        text += " ".join(chance.choices(WORDS, k=chance.randint(6, 16))).capitalize() + chance.choice((". ", ".\n", ".\n\n"))
    return text


if __name__ == "__main__":
    main()
