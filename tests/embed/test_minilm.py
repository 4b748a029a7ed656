"""The packaged model as it is run, against the packaged model as it comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from shadowproxy.embed import minilm, onnx
from shadowproxy.embed.onnx_graph import constants
from shadowproxy.embed.onnx_session import session


@pytest.fixture(scope="module")
def packaged() -> bytes:
    return onnx.packaged_files().model.read_bytes()


@pytest.fixture(scope="module")
def in_int8(packaged: bytes) -> Any:
    return session(minilm.in_int8(packaged), 1)


def float_rows(model: Any, ids: np.ndarray) -> np.ndarray:
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    rows: np.ndarray = model.run(None, feeds)[0].mean(axis=1)
    return rows


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float((one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two))


@pytest.mark.parametrize("tokens", [1, 2, 17, 128, 512])
def test_eight_bits_stay_near_the_floats(packaged: bytes, in_int8: Any, tokens: int) -> None:
    """Random word pieces are harder than text: what eight bits lose there is the worst that was seen."""
    ids = np.random.default_rng(tokens).integers(1000, 20000, (1, tokens))
    floats = onnxruntime.InferenceSession(packaged, providers=["CPUExecutionProvider"])
    (rows,) = in_int8.run(None, {"input_ids": ids})
    assert rows.shape == (1, 384)
    assert cosine(rows, float_rows(floats, ids)) > 0.95


def test_order_of_the_words_counts(in_int8: Any) -> None:
    ids = np.array([[101, 2158, 11112, 3899, 102]])
    (one,), (two,) = (in_int8.run(None, {"input_ids": each}) for each in (ids, ids[:, [0, 3, 2, 1, 4]]))
    assert cosine(one, two) < 0.999


def test_another_model_is_refused(packaged: bytes) -> None:
    with pytest.raises(ValueError, match="it has no"):
        minilm.in_int8(packaged.replace(b"LayerNorm.weight", b"LayerNorm.wicket"))
    with pytest.raises(ValueError, match=r"."):
        minilm.in_int8(packaged.replace(b"val_473_q", b"val_473_x"))


def test_words_stay_in_eight_bits(packaged: bytes) -> None:
    """As floats they would be 46 MB of every shadow process."""
    written = constants(minilm.in_int8(packaged))
    assert max(value.nbytes for value in written.values() if value.dtype == np.float32) < 1_000_000
    assert any(value.dtype == np.int8 and value.shape == (30522, 384) for value in written.values())
