"""The packaged model's tokenizer: BERT's word pieces (Devlin et al. 2019), with vocabulary and settings from its ``tokenizer.json``.

The library ``tokenizers`` reads tokenizers of every kind and brings 42 MB along; the packaged model has this one kind. The ids are the
library's, save in words with one of some 500 rare characters: its tables of marks and punctuation end with Unicode 8 (2015), here they
are Python's. ``onnx`` cuts the ids into windows; ``library_tokenizer`` is for models of the user's own.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

#: Characters, and words, whose reading is remembered: what answers use day by day, in 6 MB. Text of ever new words costs time, not memory.
_MOST_REMEMBERED = 20_000

#: Each is a word of its own. The one range that looks wrong begins 256 later than in BERT, as it does in the library.
_IDEOGRAPHS = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f]"
)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Normalizer(msgspec.Struct, frozen=True, tag="BertNormalizer"):
    clean_text: bool
    handle_chinese_chars: bool
    strip_accents: bool | None
    """None: where ``lowercase`` is set."""
    lowercase: bool


class _PreTokenizer(msgspec.Struct, frozen=True, tag="BertPreTokenizer"):
    """Has no settings."""


class _Named(msgspec.Struct, frozen=True):
    id: str


class _Template(msgspec.Struct, frozen=True, tag="TemplateProcessing"):
    single: tuple[dict[str, _Named], ...]
    """What a text becomes: special tokens around ``A``, which is the text."""


class _Vocabulary(msgspec.Struct, frozen=True, tag="WordPiece"):
    vocab: dict[str, int]
    unk_token: str
    continuing_subword_prefix: str
    max_input_chars_per_word: int


class _Added(msgspec.Struct, frozen=True):
    """A token that is found in the text as it came, before anything else is done to it."""

    id: int
    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool


class _File(msgspec.Struct, frozen=True):
    """What a ``tokenizer.json`` says. Truncation and padding are left out: cutting and filling up are ``onnx``'s."""

    normalizer: _Normalizer
    pre_tokenizer: _PreTokenizer
    post_processor: _Template
    model: _Vocabulary
    added_tokens: tuple[_Added, ...]


_UNCASED = _Normalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)


def read(content: bytes) -> WordPieces:
    """The tokenizer that a ``tokenizer.json`` describes. Raises :class:`ValueError` where it is of another kind than BERT's uncased one."""
    file = msgspec.json.decode(content, type=_File)  # its errors are ValueErrors that name the place
    if file.normalizer != _UNCASED:
        raise ValueError(f"its normalizer is {file.normalizer}")
    around = [named.id for part in file.post_processor.single for named in part.values()]
    if around != ["[CLS]", "A", "[SEP]"]:
        raise ValueError(f"it makes {' '.join(around)} of a text")
    odd = [token.content for token in file.added_tokens if token.single_word or token.lstrip or token.rstrip or token.normalized]
    special = {token.content: token.id for token in file.added_tokens}
    missing = {"[CLS]", "[SEP]", "[PAD]", file.model.unk_token} - special.keys()
    if odd or missing:
        raise ValueError(f"its added tokens are others: {' '.join(odd) or 'no ' + ' '.join(sorted(missing))}")
    return WordPieces(file.model, special)


class WordPieces:
    """Texts to token ids, for one thread at a time. Implements :class:`~shadowproxy.embed.onnx.Tokenizer`."""

    def __init__(self, model: _Vocabulary, special: Mapping[str, int]) -> None:
        self.pad = special["[PAD]"]
        self.before: tuple[int, ...] = (special["[CLS]"],)
        self.after: tuple[int, ...] = (special["[SEP]"],)
        self._special = special
        self._special_in_text = re.compile(f"({'|'.join(map(re.escape, special))})")
        self._vocabulary = model.vocab
        self._inside = model.continuing_subword_prefix
        self._unknown = (special[model.unk_token],)
        self._longest_word = model.max_input_chars_per_word
        self._longest_piece = max(map(len, model.vocab))
        self._characters = _Remembered(_as_read)
        self._words = _Remembered(self._pieces)

    def ids(self, text: str) -> list[int]:
        """Ids of the whole text, nothing put around it."""
        found: list[int] = []
        for index, part in enumerate(self._special_in_text.split(text)):
            if index % 2:
                found.append(self._special[part])
            else:
                self._read(part, found)
        return found

    def _read(self, text: str, found: list[int]) -> None:
        """Adds the ids of text without special tokens. A word past the bound is unknown, and not looked up: it would be remembered."""
        words, longest = self._words, self._longest_word
        for word in text.translate(self._characters).split():
            found += words[word] if len(word) <= longest else self._unknown

    def _pieces(self, word: str) -> Sequence[int]:
        """The longest piece that the word begins with, and so on with the rest; where nothing fits, all of it is unknown."""
        pieces: list[int] = []
        start = 0
        while start < len(word):
            piece, start = self._piece(word, start)
            if piece is None:
                return self._unknown
            pieces.append(piece)
        return tuple(pieces)

    def _piece(self, word: str, start: int) -> tuple[int | None, int]:
        """The longest piece that begins at ``start``, and where it ends."""
        prefix = self._inside if start else ""
        for end in range(min(len(word), start + self._longest_piece), start, -1):
            piece = self._vocabulary.get(prefix + word[start:end])
            if piece is not None:
                return piece, end
        return None, start


class _Remembered(dict[_Key, _Value]):
    """What ``read`` makes of a key, asked once a key. Starts anew when full."""

    def __init__(self, read: Callable[[_Key], _Value]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, key: _Key) -> _Value:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        value = self[key] = self._read(key)
        return value


def _as_read(code: int) -> str:
    """What a character becomes: nothing, white space, or small letters without accents; with space around what is a word by itself.

    By single characters nothing is put into canonical order, which takes quadratic time in a run of marks. The order of what is left
    decides nothing: no piece contains such a character.
    """
    character = chr(code)
    category = unicodedata.category(character)
    if character in "\t\n\r" or category[0] == "Z":
        return " "
    if character == "\ufffd" or category in {"Cc", "Cf", "Co"}:
        return ""
    letters = "".join(each.lower() for each in unicodedata.normalize("NFD", character) if unicodedata.category(each) != "Mn")
    words = "".join(f" {each} " if _is_punctuation(each) else each for each in letters)
    return f" {words} " if _IDEOGRAPHS.match(character) else words


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] == "P"
