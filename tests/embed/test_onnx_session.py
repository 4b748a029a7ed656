"""How models are run: exact products whatever the processor, and nothing kept that was only needed to load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from shadowproxy.embed import onnx, onnx_session
from shadowproxy.embed.onnx_graph import Graph

TEXTS = ["Paris is the capital of France.", "Fry the onions in butter until they are golden, then add the rice."]


def test_processor_with_narrow_sums_gets_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wider way is slower, and the only exact one there; where VNNI is, both are exact."""
    usual = onnx.load(None, batch=8, threads=1).encode(TEXTS)
    monkeypatch.setattr(onnx_session, "_has_narrow_sums", lambda: True)
    np.testing.assert_allclose(onnx.load(None, batch=8, threads=1).encode(TEXTS), usual, atol=1e-5)


def test_what_the_processor_does_is_tried() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    if "vnni" not in flags:
        pytest.skip("a processor without VNNI: whether its sums are narrow depends on its make")
    assert not onnx_session._has_narrow_sums()


def doubling() -> bytes:
    graph = Graph()
    numbers = graph.apply("Cast", "numbers", to=1)
    return graph.model(takes=("numbers", ("any",)), gives=(graph.apply("Add", numbers, numbers), ("any",)))


def test_model_in_memory_and_model_on_disk_are_one(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(doubling())
    for model in (doubling(), tmp_path / "model.onnx"):
        (found,) = onnx_session.session(model, 1).run(None, {"numbers": np.array([1, 2])})
        np.testing.assert_array_equal(found, [2, 4])


def open_files() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder is gone by now
            yield str(link.readlink())


def test_bytes_of_the_model_are_let_go() -> None:
    """Given bytes, a session keeps them as long as it lives: 23 MB of every shadow process."""
    session = onnx_session.session(doubling(), 1)
    assert session._model_bytes is None
    assert "memfd:model.onnx" not in Path("/proc/self/maps").read_text()
    assert not any("memfd:model.onnx" in target for target in open_files())
