"""What is written behind ``--track``."""

from __future__ import annotations

import pytest

from shadowproxy.errors import InputError
from shadowproxy.trackers.destinations import Destination, Tool, destinations_of


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("mlflow", Destination(Tool.MLFLOW)),
        ("mlflow:triage/nightly: all", Destination(Tool.MLFLOW, "triage/nightly: all")),
        ("wandb", Destination(Tool.WANDB)),
        ("wandb:triage", Destination(Tool.WANDB, "triage")),
        ("wandb:acme/triage", Destination(Tool.WANDB, "triage", "acme")),
    ],
)
def test_each_is_understood_and_says_itself(written: str, meant: Destination) -> None:
    assert destinations_of([written]) == (meant,)
    assert str(meant) == written


def test_several_keep_their_order() -> None:
    assert [each.tool for each in destinations_of(["wandb", "mlflow", "mlflow:b"])] == [Tool.WANDB, Tool.MLFLOW, Tool.MLFLOW]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["comet"], "write mlflow, mlflow:EXPERIMENT"),
        (["mlflow:"], "no name behind the colon"),
        (["wandb: "], "no name behind the colon"),
        (["wandb:acme/"], "not a project"),
        (["wandb:/triage"], "not a project"),
        (["wandb:a#b"], "not a project"),
        (["wandb:a/b/c"], "not a project"),
        (["wandb:" + "x" * 129], "not a project"),
        (["mlflow:" + "x" * 501], "at most 500"),
        (["mlflow", "mlflow"], "twice"),
    ],
)
def test_what_names_no_place_is_refused_with_a_remedy(written: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        destinations_of(written)
