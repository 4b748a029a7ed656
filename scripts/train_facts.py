"""Learns the weights of ``shadowproxy/compare/facts_weights.py`` from SummEdits.

    python scripts/train_facts.py [--data ../shared/data]            print what domains held out give, write nothing
    python scripts/train_facts.py [--data ../shared/data] --write    learn from all domains and write the weights

SummEdits (Laban et al. 2023, Apache-2.0) holds summaries that people judged after an edit: still true to the document, or not. The model is
a logistic regression with a ridge penalty on the square roots of the counts that ``compare.evidence`` takes; direct and cross pairs weigh
alike, and every domain as much as any other. Nothing else is learned from: sets under other licences are for measuring only.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from quality_sets import Labelled, summedits, summedits_domains  # noqa: E402

from shadowproxy import lexicon  # noqa: E402
from shadowproxy.compare.alignment import align  # noqa: E402
from shadowproxy.compare.evidence import Weigher  # noqa: E402
from shadowproxy.compare.facts import counted, probability  # noqa: E402
from shadowproxy.compare.sentences import sentences  # noqa: E402

WEIGHTS = ROOT / "shadowproxy" / "compare" / "facts_weights.py"
#: Chosen with documents held out: between 3 and 300 nothing changes by more than 0.005.
RIDGE = 30.0
#: Counts seen in fewer pairs than this teach nothing that holds elsewhere.
SEEN = 20
#: How often an edit in live answers changes a fact, roughly. In SummEdits it is three in five, by design.
PRIOR = 1 / 3

Counts = dict[str, float]


def counts_of(pairs: Sequence[Labelled]) -> list[Counts]:
    known = lexicon.load()
    return [_counts(pair, known) for pair in pairs]


def _counts(pair: Labelled, known: Any) -> Counts:
    weigher = Weigher(known)
    found = align(sentences(pair.primary, known), sentences(pair.other, known))
    return counted([(aligned, weigher.evidence(aligned)) for aligned in found.pairs])


def fit(rows: NDArray[Any], labels: NDArray[Any], importance: NDArray[Any]) -> NDArray[Any]:
    """Weights and, last, the intercept: Newton's method on the penalised likelihood, on standardised columns."""
    mean, spread = np.average(rows, axis=0, weights=importance), rows.std(axis=0) + 1e-9
    inputs = np.column_stack([(rows - mean) / spread, np.ones(len(rows))])
    penalty = np.diag([RIDGE] * rows.shape[1] + [0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(25):
        expected = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (importance * (labels - expected)) - penalty @ weights
        curvature = (inputs * (importance * expected * (1 - expected))[:, None]).T @ inputs + penalty
        weights += np.linalg.solve(curvature, gradient)
    slopes = weights[:-1] / spread
    return np.append(slopes, weights[-1] - slopes @ mean)


def auc(scores: Sequence[float] | NDArray[Any], labels: Sequence[bool] | NDArray[Any]) -> float:
    """The chance that a changed pair scores above an unchanged one; equal scores count half."""
    values, is_changed = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    order = np.sort(values[~is_changed])
    below, upto = np.searchsorted(order, values[is_changed], "left"), np.searchsorted(order, values[is_changed], "right")
    return float(((below + upto) / 2).mean() / len(order))


class Trained:
    """A domain's pairs with their counts, taken once."""

    def __init__(self, data: Path, domain: str) -> None:
        self.kinds = summedits(data, domain)
        self.counts = {kind: counts_of(pairs) for kind, pairs in self.kinds.items()}

    def rows(self, kind: str, names: Sequence[str]) -> NDArray[Any]:
        return np.sqrt(np.array([[counts.get(name, 0.0) for name in names] for counts in self.counts[kind]]))

    def labels(self, kind: str) -> NDArray[Any]:
        return np.array([pair.is_changed for pair in self.kinds[kind]], dtype=float)


def learn(domains: Sequence[Trained]) -> dict[str, float]:
    """The weights of the counts by name, and the ``intercept``."""
    seen: dict[str, int] = {}
    for domain in domains:
        for counts in domain.counts["direct"]:
            for name in (name for name, count in counts.items() if count):
                seen[name] = seen.get(name, 0) + 1
    names = sorted(name for name, count in seen.items() if count >= SEEN)
    parts = [(domain.rows(kind, names), domain.labels(kind)) for domain in domains for kind in ("direct", "cross")]
    importance = np.concatenate([np.full(len(labels), 1000 / len(labels)) for _, labels in parts])
    labels = np.concatenate([labels for _, labels in parts])
    weights = fit(np.vstack([rows for rows, _ in parts]), labels, importance)
    shift = logit(PRIOR) - logit(float(np.average(labels, weights=importance)))
    return {"intercept": float(weights[-1]) + shift, **dict(zip(names, map(float, weights[:-1]), strict=True))}


def logit(chance: float) -> float:
    return math.log(chance / (1 - chance))


def held_out(domains: dict[str, Trained]) -> None:
    for tested in domains:
        weights = learn([trained for name, trained in domains.items() if name != tested])
        for kind in ("direct", "cross"):
            scores = [probability(counts, weights) for counts in domains[tested].counts[kind]]
            print(f"{tested:12} held out  {kind:7} AUC {auc(scores, domains[tested].labels(kind)):.3f}")


def written(weights: dict[str, float], domains: Sequence[str]) -> str:
    lines = [f'    "{name}": {weight:.4f},' for name, weight in weights.items()]
    head = (
        '"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py '
        f"from SummEdits ({', '.join(domains)}). PURE.\n\n"
        "Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.\n"
        '"""\n\nfrom __future__ import annotations\n\n'
    )
    return head + "WEIGHTS: dict[str, float] = {\n" + "\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="folder of the public data sets")
    parser.add_argument("--write", action="store_true", help="learn from all domains and write the weights")
    arguments = parser.parse_args()
    names = summedits_domains(arguments.data)
    domains = {name: Trained(arguments.data, name) for name in names}
    if len(domains) > 1:
        held_out(domains)
    if arguments.write:
        WEIGHTS.write_text(written(learn(list(domains.values())), names))


if __name__ == "__main__":
    main()
