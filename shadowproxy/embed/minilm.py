"""all-MiniLM-L6-v2 as a graph that multiplies in int8, made from the constants of the packaged file.

That file keeps its weights in int8, one scale a column, but its graph turns them into floats and multiplies those. Here the same
weights stand in a graph of onnxruntime's own operators that bring the activations to eight bits while they run (Zafrir et al. 2019,
"Q8BERT"): a processor with VNNI multiplies those four times as fast. docs/embedding.md has what that gains, what it costs in agreement
with the floats, and what was tried instead. ``onnx`` loads the graph; ``onnx_graph`` writes it.

The graph takes one window, without padding, and pools by itself: input ``input_ids`` of shape (1, tokens), output (1, 384).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowproxy.embed.onnx_graph import MICROSOFT, Graph, constants

_LAYERS = 6
_HEADS = 12
_HEAD_SIZE = 32
_HIDDEN = _HEADS * _HEAD_SIZE
_EPSILON = 1e-12
_EMBEDDINGS = "inner.embeddings"
#: The products of a layer, in the order in which the file keeps their weights.
_PRODUCTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


def in_int8(model: bytes) -> bytes:
    """The packaged model as a file whose products run in int8. Raises :class:`ValueError` where it is another model."""
    try:
        return _Encoder(constants(model)).model()
    except KeyError as exc:
        raise ValueError(f"it has no {exc}") from exc


class _Encoder:
    """Writes the encoder from the bottom up; each method adds its nodes and returns the name of what they give."""

    def __init__(self, found: dict[str, NDArray[Any]]) -> None:
        self._found = found
        self._graph = Graph()
        weights = [name.removesuffix("_q") for name in found if name.startswith("val_") and name.endswith("_q")]
        places = [f"inner.encoder.layer.{layer}.{product}" for layer in range(_LAYERS) for product in _PRODUCTS]
        self._weights = dict(zip(places, weights, strict=True))

    def model(self) -> bytes:
        hidden = self._embedded("input_ids")
        for layer in range(_LAYERS):
            hidden = self._layer(hidden, f"inner.encoder.layer.{layer}")
        sentence = self._graph.apply("ReduceMean", hidden, axes=[0], keepdims=1)
        return self._graph.model(takes=("input_ids", (1, "tokens")), gives=(sentence, (1, _HIDDEN)))

    def _embedded(self, ids: str) -> str:
        """Words and positions, shape (tokens, hidden). The words stay in int8 and only those looked up become floats: 35 MB less."""
        add = self._graph.apply
        row = add("Reshape", ids, self._whole(-1))
        kept, scales = (self._graph.constant(self._found[f"{_EMBEDDINGS}.word_embeddings.weight_{part}"]) for part in ("q", "scale"))
        words = add("Mul", add("Cast", add("Gather", kept, row), to=1), add("Gather", scales, row))
        places = add("Slice", self._graph.constant(self._positions()), self._whole(0), add("Shape", row), self._whole(0))
        return self._normalised(add("Add", words, places), f"{_EMBEDDINGS}.LayerNorm")

    def _positions(self) -> NDArray[np.float32]:
        """Position vectors, each with that of the first token type added: every text here is of that type."""
        kept, scales = (self._found[f"{_EMBEDDINGS}.position_embeddings.weight_{part}"] for part in ("q", "scale"))
        positions: NDArray[np.float32] = kept * scales + self._found[f"{_EMBEDDINGS}.token_type_embeddings.weight"][0]
        return positions

    def _layer(self, hidden: str, place: str) -> str:
        add = self._graph.apply
        attended = self._product(self._attention(hidden, f"{place}.attention.self"), f"{place}.attention.output.dense")
        hidden = self._normalised(add("Add", attended, hidden), f"{place}.attention.output.LayerNorm")
        # The tanh form of GELU is off by 0.0005 at most, less than a step of eight bits, and cheaper.
        inner = add("FastGelu", self._product(hidden, f"{place}.intermediate.dense"), domain=MICROSOFT)
        return self._normalised(add("Add", self._product(inner, f"{place}.output.dense"), hidden), f"{place}.output.LayerNorm")

    def _attention(self, hidden: str, place: str) -> str:
        """Softmax of queries and keys, times values; in floats. FusedMatMul reads (tokens, heads, size) as heads of matrices, uncopied."""
        add = self._graph.apply
        quantised = self._graph.apply_for(3, "DynamicQuantizeLinear", hidden)
        queries, keys, values = (self._head_rows(quantised, f"{place}.{part}") for part in ("query", "key", "value"))
        across = {"transBatchA": 1, "transBatchB": 1, "transB": 1}
        scores = add("FusedMatMul", queries, keys, domain=MICROSOFT, alpha=_HEAD_SIZE**-0.5, **across)
        heads = add("FusedMatMul", add("Softmax", scores, axis=-1), values, domain=MICROSOFT, transBatchB=1)
        return add("Reshape", add("Transpose", heads, perm=[1, 0, 2]), self._whole(-1, _HIDDEN))

    def _head_rows(self, quantised: list[str], place: str) -> str:
        """A product of activations that are in eight bits already, cut into heads: (tokens, heads, size)."""
        activations, scale, zero = quantised
        weights, scales, bias = self._linear(place)
        product = self._graph.apply("MatMulIntegerToFloat", activations, weights, scale, scales, zero, "", bias, domain=MICROSOFT)
        return self._graph.apply("Reshape", product, self._whole(-1, _HEADS, _HEAD_SIZE))

    def _product(self, activations: str, place: str) -> str:
        weights, scales, bias = self._linear(place)
        return self._graph.apply("DynamicQuantizeMatMul", activations, weights, scales, "", bias, domain=MICROSOFT)

    def _linear(self, place: str) -> list[str]:
        """Weights in int8 of shape (in, out), a scale per output, a bias per output."""
        name = self._weights[place]
        values = (self._found[f"{name}_q"], self._found[f"{name}_scale"][0], self._found[f"{place}.bias"])
        return [self._graph.constant(value) for value in values]

    def _normalised(self, rows: str, place: str) -> str:
        weight, bias = (self._graph.constant(self._found[f"{place}.{part}"]) for part in ("weight", "bias"))
        return self._graph.apply("LayerNormalization", rows, weight, bias, axis=-1, epsilon=_EPSILON)

    def _whole(self, *numbers: int) -> str:
        return self._graph.constant(np.array(numbers, dtype=np.int64))
