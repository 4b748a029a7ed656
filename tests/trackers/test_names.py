"""Names that the tools take, whatever the parts are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.trackers.names import artifact_name, mlflow_names, wandb_names

PATHS = st.lists(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=5), max_size=20)


def test_plain_names_stay_as_they_are() -> None:
    paths = [("gates", "chat", "error", "upper"), ("slices", "language=de", "facts", "mean"), ("kinds", "facts.number", "candidate")]
    assert mlflow_names(paths) == ["gates/chat/error/upper", "slices/language_de/facts/mean", "kinds/facts.number/candidate"]
    assert wandb_names(paths) == ["gates/chat/error/upper", "slices/language_de/facts/mean", "kinds/facts_number/candidate"]
    assert mlflow_names([("gates", "error", "margin")], ".") == ["gates.error.margin"]


def test_names_that_come_out_alike_are_numbered() -> None:
    paths = [("a b",), ("a=b",), ("a_b",)]
    assert wandb_names(paths) == ["a_b", "a_b_2", "a_b_3"]
    assert mlflow_names(paths) == ["a b", "a_b", "a_b_2"]


def test_number_of_a_name_never_meets_a_name_that_looks_like_it() -> None:
    assert len(set(wandb_names([("a b",), ("a_b_2",), ("a=b",)]))) == 3


@given(PATHS)
def test_every_name_is_one_that_weights_and_biases_takes(paths: list[list[str]]) -> None:
    names = wandb_names(paths)
    assert len(set(names)) == len(paths) == len(names)
    for name in names:
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", part) for part in name.split("/"))


def test_every_name_is_one_that_mlflow_takes() -> None:
    validation = pytest.importorskip("mlflow.utils.validation", reason="mlflow is not installed")

    @given(PATHS)
    def holds(paths: list[list[str]]) -> None:
        names = mlflow_names(paths)
        assert len(set(names)) == len(paths) == len(names)
        for name in names:
            validation._validate_metric_name(name)
            validation._validate_param_name(name)
            assert len(name) <= 250

    holds()


@given(st.text())
def test_every_artifact_has_a_name(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.\-]{1,128}", artifact_name(text))
