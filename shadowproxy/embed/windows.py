"""Long texts through a short-sighted model: cut into windows, embed each, pool. The arithmetic that every backend shares.

A sentence model sees a few hundred tokens and ignores the rest, and answers are usually longer. Here a text is cut at its token
boundaries into full windows plus a rest, each is embedded, and the mean weighted by token count, brought to length one, stands for the
text. The windows do not overlap: so every token has the same weight in the mean and is paid for once. They are not evened out either: a
sentence added at the end would then move every cut. Measured on 60 long answers, full windows keep a cosine of 0.999 with the answer that
has one sentence more (worst 0.991), evened ones 0.994 (worst 0.960).

``onnx`` and ``sentence_transformers`` bring the model; ``loading`` hands the embedder to ``service``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from shadowproxy.errors import ShadowproxyError

Vectors: TypeAlias = NDArray[np.float32]

#: Tokens embedded per text, in full windows: longer than nearly every answer, and one to five seconds of one core, by the model.
#: Without a bound a single runaway answer would hold up every other comparison.
MAX_TOKENS = 16 * 1024

#: Characters tokenized per text. Word pieces average four to five characters, so this is three times ``MAX_TOKENS``; it keeps a reply
#: of many megabytes, whose tokens take a hundred times its memory, from being tokenized only to be thrown away.
MAX_CHARACTERS = 16 * MAX_TOKENS

#: Pieces that stand for a text with more characters than that.
PIECES = 64

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Window(Generic[Content]):
    """One piece of a text that fits the model. ``tokens`` is its length and its weight, special tokens not counted."""

    content: Content
    tokens: int


class WindowModel(Protocol[Content]):
    """A model that embeds what fits its window."""

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def window_tokens(self) -> int:
        """Length of a full window, special tokens not counted."""

    @property
    def call_tokens(self) -> int:
        """Most padded tokens worth putting into one call; a single window may exceed it."""

    @property
    def is_batch_dependent(self) -> bool:
        """True where a window's vector changes with the windows that share its call: then each has a call of its own."""

    def windows(self, text: str) -> Sequence[Window[Content]]:
        """Cut one text. Nothing of it may be missing; a text without tokens has no windows."""

    def embed(self, windows: Sequence[Window[Content]]) -> Vectors:
        """One row of length one per window, from one call of the model."""


class WindowedEmbedder(Generic[Content]):
    """The :class:`~shadowproxy.embed.loading.Embedder` over any window model. For one thread at a time.

    ``windows_embedded`` counts windows given to the model; ``sampled_texts`` counts texts past ``MAX_TOKENS`` or
    ``MAX_CHARACTERS``, which evenly chosen pieces stand for.
    """

    def __init__(self, model: WindowModel[Content], *, batch: int) -> None:
        self._model = model
        self._batch = 1 if model.is_batch_dependent else batch
        self._most_windows = max(2, MAX_TOKENS // model.window_tokens)  # both ends of a text at least
        self.name = model.name
        self.dimensions = model.dimensions
        self.windows_embedded = 0
        self.sampled_texts = 0

    def __repr__(self) -> str:
        return f"<WindowedEmbedder {self.name} dimensions={self.dimensions} batch={self._batch}>"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Rows of length one, shape ``(len(texts), dimensions)``; a text without a single token has the zero vector.

        Raises :class:`ShadowproxyError` where the model returns something that is not a number.
        """
        cut = [self._windows(text) for text in texts]
        windows = [window for pieces in cut for window in pieces]
        rows = self._rows(windows)
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        start = 0
        for index, pieces in enumerate(cut):
            end = start + len(pieces)
            if pieces:
                vectors[index] = pooled(rows[start:end], [window.tokens for window in pieces])
            start = end
        return vectors

    def _windows(self, text: str) -> list[Window[Content]]:
        # Tokenizers refuse a lone surrogate, which JSON can carry: it becomes a replacement sign.
        sayable = text.encode("utf-8", "replace").decode("utf-8")
        shortened = shorten(sayable, MAX_CHARACTERS)
        windows = self._model.windows(shortened)
        if len(shortened) < len(sayable) or len(windows) > self._most_windows:
            self.sampled_texts += 1
        return [windows[index] for index in spread(len(windows), self._most_windows)]

    def _rows(self, windows: Sequence[Window[Content]]) -> Vectors:
        rows = np.empty((len(windows), self.dimensions), dtype=np.float32)
        for group in grouped([window.tokens for window in windows], batch=self._batch, call_tokens=self._model.call_tokens):
            rows[group] = self._model.embed([windows[index] for index in group])
        if not np.isfinite(rows).all():
            raise ShadowproxyError(f"the model {self.name} returned a vector with a value that is not a finite number")
        self.windows_embedded += len(windows)
        return rows


def cut_points(tokens: int, size: int) -> Iterator[tuple[int, int]]:
    """Bounds of full windows of ``size`` tokens plus a rest, without overlap."""
    for start in range(0, tokens, size):
        yield start, min(start + size, tokens)


def spread(count: int, at_most: int) -> list[int]:
    """All indices of ``count`` things, or ``at_most`` evenly chosen ones with both ends among them."""
    if count <= at_most:
        return list(range(count))
    return [round(index * (count - 1) / (at_most - 1)) for index in range(at_most)]


def shorten(text: str, characters: int) -> str:
    """``text``, or ``PIECES`` pieces cut from it at even distances that together have about ``characters``."""
    if len(text) <= characters:
        return text
    piece = characters // PIECES
    last = len(text) - piece
    starts = [round(index * last / (PIECES - 1)) for index in range(PIECES)]
    return " ".join(text[start : start + piece - 1] for start in starts[:-1]) + " " + text[last:]


def grouped(lengths: Sequence[int], *, batch: int, call_tokens: int) -> Iterator[list[int]]:
    """Indices of windows that share a call: like lengths together, at most ``batch`` and at most ``call_tokens`` with padding.

    Every index comes once; a window longer than ``call_tokens`` goes alone.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        padded = (len(group) + 1) * lengths[index]  # sorted by length: the newest is the longest
        if group and (len(group) == batch or padded > call_tokens):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def pooled(rows: Vectors, weights: Sequence[int]) -> Vectors:
    """Mean of ``rows`` weighted by token count, of length one (zero where the rows cancel out)."""
    mean: Vectors = unit(np.average(rows, axis=0, weights=weights)[np.newaxis])[0]
    return mean


def unit(rows: NDArray[Any]) -> Vectors:
    """Rows brought to length one; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Vectors = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
