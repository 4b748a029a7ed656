"""Tokenizers of the user's models, of whatever kind, read by the library ``tokenizers``. Needs the extra ``onnx-models``.

``onnx`` cuts the ids into windows. The packaged model does without the library: ``wordpiece``.
"""

from __future__ import annotations

from typing import Any

from shadowproxy.errors import StartError


def read(content: bytes) -> LibraryTokenizer:
    """The tokenizer that a ``tokenizer.json`` describes. Raises :class:`StartError` without the library, :class:`ValueError` where it
    refuses the file."""
    try:
        from tokenizers import Tokenizer
    except ImportError as exc:
        remedy = "pip install 'llm-shadowproxy[onnx-models]', or leave the key out for the packaged model"
        raise StartError(f"embed.model: {exc.name or exc} is not installed; {remedy}") from exc
    try:
        return LibraryTokenizer(Tokenizer.from_buffer(content))
    except Exception as exc:  # the library raises plain Exception
        raise ValueError(str(exc)) from exc


class LibraryTokenizer:
    """The tokenizer with its own truncation and padding switched off: cutting is ``onnx``'s business and padding depends on the call.

    Implements :class:`~shadowproxy.embed.onnx.Tokenizer`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        padding = tokenizer.padding or {}
        named = [tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>")]
        self.pad: int = next((number for number in (padding.get("pad_id"), *named) if number is not None), 0)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.before, self.after = self._special()

    def _special(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What this tokenizer puts around a text, read off a text."""
        around = self._tokenizer.encode("a")
        ordinary = [index for index, special in enumerate(around.special_tokens_mask) if not special]
        return tuple(around.ids[: ordinary[0]]), tuple(around.ids[ordinary[-1] + 1 :])

    def ids(self, text: str) -> list[int]:
        """Ids of the whole text, nothing put around it."""
        # encode, not encode_batch: the latter starts a thread per core and would take them from the production path.
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found
