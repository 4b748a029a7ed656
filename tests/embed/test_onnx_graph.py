"""Model files written, read back, and run by the real runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.embed.onnx_graph import MICROSOFT, Graph, constants

KINDS = [np.float32, np.uint8, np.int8, np.int64, np.bool_]

arrays = st.builds(
    lambda kind, shape, seed: np.random.default_rng(seed).integers(0, 2, shape).astype(kind),
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 300), max_size=2),
    st.integers(0, 9),
)


def model_of(*values: np.ndarray) -> bytes:
    graph = Graph()
    for value in values:
        graph.constant(value)
    return graph.model(takes=("numbers", ("any",)), gives=("numbers", ("any",)))


@given(st.lists(arrays, min_size=1, max_size=4))
def test_constants_come_back_as_they_were(values: list[np.ndarray]) -> None:
    found = list(constants(model_of(*values)).values())
    for value, read in zip(values, found, strict=True):
        assert read.dtype == value.dtype
        np.testing.assert_array_equal(read, value)


def test_constants_are_views_that_cannot_be_written() -> None:
    (found,) = constants(model_of(np.ones(3, dtype=np.float32))).values()
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 2


def test_transposed_constant_is_written_in_the_order_it_is_seen() -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(*constants(model_of(value)).values(), value)


@given(st.integers(0, 200))
def test_cut_file_is_refused(kept: int) -> None:
    whole = model_of(np.arange(30, dtype=np.int64))
    with pytest.raises(ValueError, match=r"."):
        constants(whole[: min(kept, len(whole) - 3)])


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_give_constants_or_are_refused(content: bytes) -> None:
    try:
        found = constants(content)
    except ValueError:
        return
    assert found


def test_constant_of_a_kind_that_is_not_known_is_named() -> None:
    whole = model_of(np.ones(3, dtype=np.bool_))
    with pytest.raises(ValueError, match="constant_0 is of kind 11"):
        constants(whole.replace(b"\x10\x09", b"\x10\x0b"))


def test_runtime_runs_what_is_written() -> None:
    """Attributes of each type, a negative one among them, an input that is left out, an operator of the runtime's own."""
    graph = Graph()
    numbers = graph.apply("Cast", "numbers", to=1)
    first, second = graph.apply_for(2, "Split", numbers, graph.constant(np.array([1, 2])), axis=-1)
    product = graph.apply(
        "DynamicQuantizeMatMul",
        first,
        graph.constant(np.array([[1, 2]], dtype=np.int8)),
        graph.constant(np.array([1, 1], dtype=np.float32)),
        "",
        graph.constant(np.array([0.5, 0.25], dtype=np.float32)),
        domain=MICROSOFT,
    )
    leaky = graph.apply("LeakyRelu", graph.apply("Transpose", second, perm=[1, 0]), alpha=0.25)
    added = graph.apply("Add", product, graph.apply("Transpose", leaky, perm=[1, 0]))
    model = graph.model(takes=("numbers", ("rows", 3)), gives=(added, ("rows", 2)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"numbers": np.array([[255, 4, -4]])})
    np.testing.assert_allclose(found, [[255.5 + 4, 510.25 - 1]], rtol=1e-6)


def test_graph_says_how_large_it_is() -> None:
    graph = Graph()
    graph.apply("Neg", graph.constant(np.ones(1, dtype=np.float32)))
    assert repr(graph) == "<Graph nodes=1 constants=1>"
