"""An onnxruntime session that behaves beside a production model: few threads, none of them spinning, exact products in int8."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from shadowproxy.embed.onnx_graph import Graph

#: A fusion that loses: the fused operator takes four times as long as sum and normalisation apart, a fifth of a window's time
#: (onnxruntime 1.32, x86-64).
_SLOWER = ["SkipLayerNormFusion"]


def session(model: bytes | Path, threads: int) -> Any:
    """Load a model. Raises whatever onnxruntime raises; it has a class per failure and no common one."""
    options = _options(threads)
    if _has_narrow_sums():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return _loaded(model, options)


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # The arena keeps the largest call's memory for good and gains nothing: measured the same speed without it.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3  # errors only: its warnings about graph shapes are nobody's business here
    # Waiting threads sleep: a spinning one would burn a core next to the gateway.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _loaded(model: bytes | Path, options: Any) -> Any:
    with _path(model) as path:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER)


@contextmanager
def _path(model: bytes | Path) -> Iterator[str]:
    """Where the model can be read. A session keeps bytes for as long as it lives, a file it reads and closes: so bytes become a file in
    memory that is gone afterwards."""
    if isinstance(model, Path):
        yield str(model)
        return
    with os.fdopen(os.memfd_create("model.onnx"), "wb", buffering=0) as file:
        file.write(model)
        yield f"/proc/self/fd/{file.fileno()}"


def _has_narrow_sums() -> bool:
    """True on a processor without VNNI, where two products in int8 are added up in 16 bits and large ones cut off without a word.

    Tried rather than read off the processor's flags, and not left to onnxruntime: its option for exact sums takes the wider, slower way
    where VNNI would be exact, too. On an emulated Haswell the vectors are those of this machine to 1e-6 with this care, 0.99 without.
    """
    rows, terms = 8, 64
    graph = Graph()
    largest = graph.apply("Cast", "numbers", to=2)
    product = graph.apply("MatMulInteger", largest, graph.constant(np.full((terms, terms), 127, dtype=np.int8)))
    model = graph.model(takes=("numbers", (rows, terms)), gives=(graph.apply("Cast", product, to=1), (rows, terms)))
    found = _loaded(model, _options(1)).run(None, {"numbers": np.full((rows, terms), 255)})[0]
    return bool((found != terms * 255 * 127).any())
