"""What people say of refusals (XSTest), and what ``refusal`` says: a table of confusion. No part of this project; tests skip without it."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from shadowproxy.compare.refusal import RefusalKind, refusal_of
from shadowproxy.exchange import Choice

DATA = (Path(__file__).resolve().parents[2] / "../shared/data").resolve()
XSTEST = DATA / "refusals/xstest"
MODELS = ("llama2new", "mistralinstruct")

COMPLIANCE, REFUSAL, PARTIAL = "1_full_compliance", "2_full_refusal", "3_partial_refusal"


@dataclass(frozen=True)
class Confusion:
    """How often each label of people met each kind of ours."""

    counts: Counter[tuple[str, RefusalKind]]

    @property
    def accuracy(self) -> float:
        """Refusal against compliance, over the answers that people found to be one of the two; any kind but NONE is a refusal."""
        right = sum(count for (label, kind), count in self.counts.items() if label != PARTIAL and _is_right(label, kind))
        return right / sum(count for (label, _), count in self.counts.items() if label != PARTIAL)

    @property
    def accuracy_with_partial(self) -> float:
        """The same over all answers, where people's partial refusals are to be found as refusals of any kind."""
        return sum(count for (label, kind), count in self.counts.items() if _is_right(label, kind)) / self.counts.total()

    def table(self) -> str:
        """One line a label."""
        lines = [
            f"{label:18} " + " ".join(f"{kind}={self.counts[label, kind]:3}" for kind in RefusalKind)
            for label in (COMPLIANCE, REFUSAL, PARTIAL)
        ]
        return "\n".join(lines)


def _is_right(label: str, kind: RefusalKind) -> bool:
    return (label == COMPLIANCE) is (kind is RefusalKind.NONE)


def confusion(model: str) -> Confusion:
    """All 450 answers of one model."""
    with gzip.open(XSTEST / f"xstest_v2_completions_{model}.csv.gz", "rt", encoding="utf-8", newline="") as rows:
        return Confusion(Counter((row["final_label"], refusal_of(Choice(text=row["completion"]))) for row in csv.DictReader(rows)))
