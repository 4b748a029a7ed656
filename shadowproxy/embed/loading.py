"""Which embedder the configuration asks for. ``service`` runs what is loaded here; ``compare`` gets the vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from shadowproxy.config import Embed
from shadowproxy.embed.windows import Vectors


class Embedder(Protocol):
    """Texts to vectors, synchronously and on the calling thread; for one thread at a time."""

    name: str
    """Backend and model, for logs and reports."""
    dimensions: int
    windows_embedded: int
    """Windows given to the model so far."""
    sampled_texts: int
    """Texts so far that were too long to be read whole; evenly chosen pieces stand for them."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Rows of length one in float32, shape ``(len(texts), dimensions)``. An empty text has the zero vector."""


def load(section: Embed) -> Embedder | None:
    """The embedder of ``section``, loaded and tried once; None for backend ``none``.

    Raises :class:`~shadowproxy.errors.StartError` that names what is missing and the remedy. Each backend is imported only where
    it is chosen, so that a process without embeddings does not carry its memory.
    """
    if section.backend == "none":
        return None
    # Both libraries tell their makers about their use unless told not to, before they are imported. Beside a production model nothing
    # may leave the pod unasked.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if section.backend == "onnx":
        from shadowproxy.embed import onnx

        return onnx.load(section.model, batch=section.batch, threads=section.threads)
    from shadowproxy.embed import sentence_transformers

    return sentence_transformers.load(section.model, batch=section.batch, threads=section.threads)
