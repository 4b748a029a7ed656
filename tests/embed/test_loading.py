"""Which backend the configuration gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from shadowproxy.config import Embed
from shadowproxy.embed.loading import load


def test_none_is_no_embedder() -> None:
    assert load(Embed(backend="none")) is None


def test_default_is_the_packaged_model() -> None:
    embedder = load(Embed())
    assert embedder is not None
    assert embedder.name == "onnx:all-MiniLM-L6-v2-w8a8"


def test_process_without_embeddings_does_not_carry_the_runtime() -> None:
    code = (
        "import sys; from shadowproxy.config import Embed; from shadowproxy.embed.loading import load; "
        "load(Embed(backend='none')); print('onnxruntime' in sys.modules or 'tokenizers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_is_told_to_the_makers_of_the_runtime(tmp_path: Path) -> None:
    """onnxruntime reports its use unless it is told not to before it is imported; its first trace is a file in the temporary folder."""
    script = "from shadowproxy.config import Embed; from shadowproxy.embed.loading import load; load(Embed()).encode(['x'])"
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)})
    assert sorted(path.name for path in tmp_path.rglob("*")) == []
