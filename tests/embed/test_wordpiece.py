"""Our word pieces against the library whose ids the packaged model was trained with."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.embed import onnx, wordpiece
from shadowproxy.embed.wordpiece import WordPieces

tokenizers = pytest.importorskip("tokenizers")

CONTENT = onnx.packaged_files().tokenizer.read_bytes()
PIECES = wordpiece.read(CONTENT)
LIBRARY = tokenizers.Tokenizer.from_buffer(CONTENT)
LIBRARY.no_truncation()
LIBRARY.no_padding()


def by_library(text: str) -> list[int]:
    found: list[int] = LIBRARY.encode(text, add_special_tokens=False).ids
    return found


def is_read_alike(character: str) -> bool:
    return PIECES.ids(f"a{character}b") == by_library(f"a{character}b")


TEXTS = [
    "",
    " \t\r\n\u00a0\u3000\u2028\x0b\x1c\x85",
    "The quick brown fox doesn't jump over 1,234.56 lazy dogs -- does it?",
    "Unbelievably antidisestablishmentarianistic, pneumonoultramicroscopicsilicovolcanoconiosis!",
    "def __init__(self, x_1: int) -> None:\n\treturn f'{x_1!r}' if x_1 & ~0x7f else `$HOME`^2 @ 3 | #4",
    "Crème brûlée, naïve façade, Ångström; cre\u0300me bru\u0302le\u0301e; Tiếng Việt; Škoda Łódź Øresund",
    "ΟΔΥΣΣΕΥΣ ΣΑΣ, ὈΔΥΣΣΕΎΣ; İstanbul ISPARTA ığdır; STRASSE Straße ẞ; ǅ ﬁ ﬀ Ⅷ ½ ①",
    "Съешь ещё этих мягких французских булок, Ёж; Їжак; Ћирилица",
    "日本語のテキスト、漢字とカタカナ。ガギグ ｶﾞ 中文标点：「你好」！ 㐀 𠀀 豈 \U0002b820 \U0002b920",
    "한국어 텍스트 각 힣 \u1112\u1161\u11ab",
    "مرحبا بالعالم، كيف حالك؟ שָׁלוֹם עוֹלָם हिन्दी में पाठ। বাংলা தமிழ் ภาษาไทย ქართული ԱՐԵՎ አማርኛ",
    "👍🏽 👨‍👩‍👧‍👦 🇩🇪 ☕️ 1️⃣ → ∑ ≤ € £ ¥ © ™ § ¶ † • … “quoted” ‘single’ «guillemets»",
    "zero\u200bwidth\u200djoiner\ufeff soft\u00adhyphen \u202eright to left\u202c nul\x00bell\x07 replaced\ufffd private\ue000 \U000f0000",
    "a" * 100 + " " + "a" * 101 + " " + "é" * 100 + " " + "\u00c5" * 101 + " " + "1" * 300,
    "Z\u0301\u0323\u0302a\u0328\u0301l\u0323\u0301go\u0489",
    "[CLS] a [SEP]b[MASK][PAD] [UNK] [cls] [ SEP ] [[SEP]] [SE[SEP]P]",
    "\U0001d400\U0001d7d8 \u1e9e \u037e \u1fef \u212b \u2126 \u0345",
]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_the_library(text: str) -> None:
    assert PIECES.ids(text) == by_library(text)


def test_every_character_but_the_newest_is_read_as_the_library_does() -> None:
    """Python knows later marks and signs than Unicode 8, the library does not. Neither reads a text that the model knows differently."""
    planes = (chr(code) for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200)))
    apart = {character for character in planes if not is_read_alike(character)}
    assert len(apart) < 800
    assert {unicodedata.category(character)[0] for character in apart} <= {"M", "P", "C", "S"}
    assert apart.isdisjoint("".join(json.loads(CONTENT)["model"]["vocab"]))


@given(st.text())
def test_any_text_has_the_ids_of_the_library(text: str) -> None:
    known = "".join(character for character in text.encode("utf-8", "replace").decode() if is_read_alike(character))
    assert PIECES.ids(known) == by_library(known)


PARTS = [
    "un",
    "believ",
    "able",
    "Re",
    "É",
    "\u0301",
    "\u0323",
    "Σ",
    "中",
    "\u200d",
    " ",
    "\n",
    "_",
    "'",
    "$",
    "[SEP]",
    "[",
    "]",
    "##",
    "x" * 60,
    "7",
    "ß",
]


@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join))
def test_parts_in_any_order_have_the_ids_of_the_library(text: str) -> None:
    assert PIECES.ids(text) == by_library(text)


@given(st.text())
def test_lone_surrogates_do_not_raise(text: str) -> None:
    assert PIECES.ids(f"a \ud800 {text}")[0] == PIECES.ids("a")[0]


def test_special_tokens_are_those_of_the_library() -> None:
    around = LIBRARY.encode("a").ids
    assert [*PIECES.before, *PIECES.ids("a"), *PIECES.after] == around
    assert PIECES.pad == LIBRARY.token_to_id("[PAD]")


def test_what_is_remembered_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "_MOST_REMEMBERED", 5)
    forgetful = wordpiece.read(CONTENT)
    for text in [*TEXTS, *TEXTS]:
        assert forgetful.ids(text) == PIECES.ids(text)
        assert most_remembered(forgetful) <= 5


def test_endless_words_are_not_remembered() -> None:
    pieces = wordpiece.read(CONTENT)
    assert pieces.ids(" ".join(letter * 10_000 for letter in "abc")) == [LIBRARY.token_to_id("[UNK]")] * 3
    assert not pieces._words


def most_remembered(pieces: WordPieces) -> int:
    return max(len(pieces._words), len(pieces._characters))


# --- what is refused ----------------------------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    stored = json.loads(CONTENT)
    change(stored)
    return json.dumps(stored).encode()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: file["normalizer"].update(type="NFC"), r"'NFC' - at `\$\.normalizer\.type`"),
        (lambda file: file["normalizer"].update(lowercase=False), "its normalizer is .*lowercase=False"),
        (lambda file: file["normalizer"].update(strip_accents=False), "its normalizer is .*strip_accents=False"),
        (lambda file: file.update(normalizer=None), r"\$\.normalizer"),
        (lambda file: file["pre_tokenizer"].update(type="ByteLevel"), r"\$\.pre_tokenizer"),
        (lambda file: file["model"].update(type="BPE"), r"\$\.model"),
        (lambda file: file["model"]["vocab"].update(word="one"), r"\$\.model\.vocab"),
        (lambda file: file["model"].update(unk_token="<unk>"), "its added tokens are others: no <unk>"),
        (lambda file: file["post_processor"]["single"].pop(), r"it makes \[CLS\] A of a text"),
        (lambda file: file["added_tokens"].pop(2), r"no \[CLS\]"),
        (lambda file: file["added_tokens"][1].update(lstrip=True), r"its added tokens are others: \[UNK\]"),
        (lambda file: file.pop("model"), "model"),
    ],
)
def test_another_kind_is_refused_by_name(change: Callable[[dict[str, Any]], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        wordpiece.read(changed(change))


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b"{}"])
def test_file_that_is_no_tokenizer_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        wordpiece.read(content)


def test_other_settings_of_the_vocabulary_are_followed() -> None:
    content = changed(lambda file: file["model"].update(max_input_chars_per_word=4))
    assert wordpiece.read(content).ids("word words") == tokenizers.Tokenizer.from_buffer(content).encode("word words").ids[1:3]
