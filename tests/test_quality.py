"""The quality scripts: what they compute is right, and they say what they could not measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shadowproxy import lexicon
from shadowproxy.compare.facts_weights import WEIGHTS
from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]
DATA = (ROOT / "../shared/data").resolve()

quality = script("quality")
train_facts = script("train_facts")


class _NoEmbedder:
    """Every text has the same vector."""

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 2), dtype=np.float32)


def bench(data: Path) -> object:
    return quality.Bench(data, 20, _NoEmbedder(), lexicon.load())


def test_auc_counts_pairs_in_the_right_order_and_ties_half() -> None:
    assert train_facts.auc([0.1, 0.9, 0.5, 0.5], [False, True, False, True]) == (1 + 1 + 1 + 0.5) / 4


def test_the_regression_finds_what_decides() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(400, 3))
    labels = (rows[:, 1] > 0).astype(float)
    weights = train_facts.fit(rows, labels, np.ones(400))
    assert weights[1] > 10 * max(abs(weights[0]), abs(weights[2]))


def test_parts_without_data_are_skipped_by_name(tmp_path: Path) -> None:
    rows = list(quality.measured(bench(tmp_path), ["live", "tools"]))
    assert [(row.part, row.figure) for row in rows if "skipped" in row.what] == [("live", "-"), ("tools", "-")]


def test_every_part_is_in_the_document() -> None:
    document = (ROOT / "docs" / "quality.md").read_text()
    assert all(f"| {part} |" in document for part in quality.PARTS)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "pairs/summedits").is_dir(), reason="SummEdits (../shared/data) is not there")
def test_the_shipped_weights_are_those_that_training_gives() -> None:
    names = train_facts.summedits_domains(DATA)
    if names != ["news", "samsum"]:
        pytest.skip(f"the shipped weights were learned from news and samsum, and here are {names}")
    learned = train_facts.learn([train_facts.Trained(DATA, name) for name in names])
    assert learned == pytest.approx(WEIGHTS, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "responses/alpaca_eval").is_dir(), reason="alpaca_eval (../shared/data) is not there")
def test_two_draws_of_one_model_seldom_differ_gravely_and_another_model_more_often() -> None:
    rows = {row.what: row.figure for row in quality.measured(quality.Bench(DATA, 0, _NoEmbedder(), lexicon.load()), ["live"])}
    shares = [float(rows[f"gpt4 ~ {model}: major facts.* divergences"].rstrip("%")) for model in quality.LADDER]
    assert shares[0] <= 15
    assert shares == sorted(shares)
