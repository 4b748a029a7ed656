"""The other backend: any sentence-transformers model, by directory or by name. Needs the extra; carries torch, so it is not the default.

Its windows are pieces of text rather than token ids: so the model's own tokenizer, prompts and pooling stay in charge of what they
mean. Cutting, sampling and pooling over windows are those of ``windows``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from shadowproxy.embed.windows import Vectors, Window, WindowedEmbedder, cut_points, unit
from shadowproxy.errors import StartError

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
#: Length of a window where a model states none: what BERT-like encoders take.
DEFAULT_MAX_TOKENS = 512


def load(model: str | None, *, batch: int, threads: int) -> WindowedEmbedder[str]:
    """The model by directory or name. Raises :class:`StartError` that says what is missing and the remedy."""
    name = model or DEFAULT_MODEL
    try:
        import sentence_transformers
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError as exc:
        remedy = "pip install 'llm-shadowproxy[sentence-transformers]'"
        raise StartError(f"embed.backend sentence-transformers: {exc.name or exc} is not installed; {remedy}") from exc
    torch.set_num_threads(threads)
    try:
        loaded = sentence_transformers.SentenceTransformer(name)
        return WindowedEmbedder(TextModel(name, loaded), batch=batch)
    except Exception as exc:  # its loaders raise whatever hub, torch and tokenizer raise
        remedy = "give the directory of a model, or a name that can be downloaded"
        raise StartError(f"embed.model: {name} cannot be loaded ({exc}); {remedy}") from exc


class TextModel:
    """A loaded sentence-transformers model. Implements :class:`~shadowproxy.embed.windows.WindowModel` over pieces of text."""

    is_batch_dependent = False

    def __init__(self, name: str, model: Any) -> None:
        self.name = f"sentence-transformers:{name}"
        self._model = model
        self._tokenizer = model.tokenizer
        # Special tokens and the prompt that some models put before every text take their share of the window.
        prompt = (model.prompts or {}).get(model.default_prompt_name or "", "")
        taken = len(self._tokenizer("")["input_ids"]) + len(self._spans(prompt))
        self.window_tokens = int(model.get_max_seq_length() or DEFAULT_MAX_TOKENS) - taken
        self.call_tokens = self.window_tokens  # the reason is the same as for onnx
        self.dimensions = self._encode(["a"]).shape[1]

    def __repr__(self) -> str:
        return f"<TextModel {self.name} dimensions={self.dimensions} window={self.window_tokens}>"

    def windows(self, text: str) -> list[Window[str]]:
        """Pieces of ``text`` cut where tokens begin."""
        return list(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[Window[str]]:
        spans = self._spans(text)
        if 0 < len(spans) <= self.window_tokens:
            yield Window(text, len(spans))
            return
        for first, end in cut_points(len(spans), self.window_tokens):
            piece = text[spans[first][0] : spans[end - 1][1]]
            # A piece that begins inside a word can need more tokens than it had within the text. Then it is cut again, because
            # the model would drop the surplus without a word. A piece that does not get shorter is left as it is.
            yield from self._pieces(piece) if len(piece) < len(text) else [Window(piece, end - first)]

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in ``text``."""
        found = self._tokenizer(text, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False)
        return [(start, end) for start, end in found["offset_mapping"] if end > start]

    def embed(self, windows: Sequence[Window[str]]) -> Vectors:
        """One call of the model."""
        return unit(self._encode([window.content for window in windows]))

    def _encode(self, texts: list[str]) -> Vectors:
        rows = self._model.encode(texts, batch_size=len(texts), convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(rows, dtype=np.float32)
