"""Real answers through ``observe`` and ``decide``: two askings of one model, and a model that is clearly worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scripts import script

_DATA = (Path(__file__).resolve().parents[2] / "../shared/data").resolve()

pytestmark = pytest.mark.skipif(not (_DATA / "responses").is_dir(), reason="real answers (../shared/data/responses) are not there")

simulate = script("simulate")
SHUFFLES = 15


def replays(*names: str) -> list[Any]:
    return [each for each in (*simulate.alpaca(_DATA), *simulate.creative_writing(_DATA)) if each.name.startswith(names)]


def test_a_model_asked_again_is_not_rolled_back() -> None:
    """15 orders each; ``scripts/simulate.py`` does 200. A rollback has a chance of 5 % at most, two of fifteen one of 17 %."""
    equal = replays("gpt4_0314", "creative writing")
    assert len(equal) == 2
    for each in equal:
        by_engine, _, _ = simulate.replayed(each, SHUFFLES)
        assert by_engine.is_rolled_back.sum() <= 1


def test_a_worse_model_is_rolled_back_soon_and_never_promoted() -> None:
    [alpaca] = replays("alpaca-7b")
    by_engine, _, _ = simulate.replayed(alpaca, SHUFFLES)
    assert not by_engine.is_promoted.any()
    assert by_engine.is_rolled_back.all()
    assert by_engine.pairs.max() <= 150
