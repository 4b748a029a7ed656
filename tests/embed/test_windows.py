"""Cutting, grouping and pooling, with a model that is arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.embed.windows import (
    MAX_CHARACTERS,
    MAX_TOKENS,
    Vectors,
    Window,
    WindowedEmbedder,
    cut_points,
    grouped,
    pooled,
    shorten,
    spread,
    unit,
)
from shadowproxy.errors import ShadowproxyError


class LetterModel:
    """One token per letter, four to a window; a window's vector counts its letters."""

    name = "letters"
    dimensions = 26
    window_tokens = 4
    call_tokens = 8

    def __init__(self, *, is_batch_dependent: bool = False) -> None:
        self.is_batch_dependent = is_batch_dependent
        self.calls: list[list[str]] = []

    def windows(self, text: str) -> list[Window[str]]:
        letters = [letter for letter in text.lower() if "a" <= letter <= "z"]
        return [Window("".join(letters[start:end]), end - start) for start, end in cut_points(len(letters), 4)]

    def embed(self, windows: Sequence[Window[str]]) -> Vectors:
        self.calls.append([window.content for window in windows])
        rows = np.zeros((len(windows), 26))
        for row, window in zip(rows, windows, strict=True):
            for letter in window.content:
                row[ord(letter) - ord("a")] += 1
        return unit(rows)


def test_texts_share_calls_and_keep_their_rows() -> None:
    model = LetterModel()
    embedder = WindowedEmbedder(model, batch=8)
    together = embedder.encode(["abcdefgh", "x", "", "zz"])
    assert model.calls == [["x", "zz"], ["abcd", "efgh"]]
    assert embedder.windows_embedded == 4
    for row, text in zip(together, ["abcdefgh", "x", "", "zz"], strict=True):
        np.testing.assert_array_equal(row, embedder.encode([text])[0])


def test_rows_have_length_one_and_empty_texts_the_zero_vector() -> None:
    rows = WindowedEmbedder(LetterModel(), batch=8).encode(["abcdefghij", "", "123"])
    assert rows.dtype == np.float32
    assert rows.shape == (3, 26)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 0], atol=1e-6)


def test_no_texts_are_no_rows() -> None:
    assert WindowedEmbedder(LetterModel(), batch=8).encode([]).shape == (0, 26)


def test_every_window_of_a_text_counts_by_its_length() -> None:
    (row,) = WindowedEmbedder(LetterModel(), batch=8).encode(["aaaab"])
    np.testing.assert_allclose(row[:2], np.array([4, 1]) / np.sqrt(17), atol=1e-6)


def test_model_whose_windows_influence_each_other_gets_one_at_a_time() -> None:
    model = LetterModel(is_batch_dependent=True)
    WindowedEmbedder(model, batch=8).encode(["a", "b", "c"])
    assert model.calls == [["a"], ["b"], ["c"]]


def test_text_past_the_bound_is_sampled_evenly_and_counted() -> None:
    model = LetterModel()
    embedder = WindowedEmbedder(model, batch=8)
    most = MAX_TOKENS // model.window_tokens
    embedder.encode(["a" * MAX_TOKENS])
    assert (embedder.windows_embedded, embedder.sampled_texts) == (most, 0)
    # The last of many windows is the only one with a z: sampling keeps both ends.
    (row,) = embedder.encode(["a" * 8 * MAX_TOKENS + "z"])
    assert (embedder.windows_embedded, embedder.sampled_texts) == (2 * most, 1)
    assert row[25] > 0


def test_bound_leaves_both_ends_to_a_model_with_a_huge_window() -> None:
    class Huge(LetterModel):
        window_tokens = MAX_TOKENS

        def windows(self, text: str) -> list[Window[str]]:
            return [Window(letter, 1) for letter in text]

    (row,) = WindowedEmbedder(Huge(), batch=8).encode(["abc"])
    assert row[0] == row[2] > row[1] == 0


def test_text_too_long_to_tokenize_is_sampled_and_counted() -> None:
    embedder = WindowedEmbedder(LetterModel(), batch=8)
    (row,) = embedder.encode(["-" * MAX_CHARACTERS + "a"])
    assert embedder.sampled_texts == 1
    assert row[0] == 1.0


def test_lone_surrogate_from_json_does_not_stop_the_text() -> None:
    (row,) = WindowedEmbedder(LetterModel(), batch=8).encode(["a\ud800b"])
    assert row[0] == row[1] > 0


def test_vector_that_is_not_a_number_is_an_error() -> None:
    class Broken(LetterModel):
        def embed(self, windows: Sequence[Window[str]]) -> Vectors:
            return np.full((len(windows), 26), np.nan, dtype=np.float32)

    with pytest.raises(ShadowproxyError, match="finite"):
        WindowedEmbedder(Broken(), batch=8).encode(["a"])


@given(st.integers(0, 500), st.integers(1, 60))
def test_cuts_cover_every_token_once(tokens: int, size: int) -> None:
    cuts = list(cut_points(tokens, size))
    assert [token for start, end in cuts for token in range(start, end)] == list(range(tokens))
    assert all(1 <= end - start <= size for start, end in cuts)


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 16), st.integers(1, 400))
def test_groups_hold_every_window_once_within_both_bounds(lengths: list[int], batch: int, call_tokens: int) -> None:
    groups = list(grouped(lengths, batch=batch, call_tokens=call_tokens))
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) <= batch
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= call_tokens


@given(st.integers(0, 10_000), st.integers(2, 100))
def test_spread_keeps_order_and_both_ends(count: int, at_most: int) -> None:
    chosen = spread(count, at_most)
    assert len(chosen) == min(count, at_most)
    assert chosen == sorted(set(chosen))
    if count:
        assert (chosen[0], chosen[-1]) == (0, count - 1)


@given(st.integers(0, 5_000))
def test_shortened_text_keeps_both_ends(length: int) -> None:
    text = "".join(chr(0x4E00 + index) for index in range(length))
    short = shorten(text, 1000)
    assert len(short) <= 1000
    assert short[:5] == text[:5]
    assert short[-5:] == text[-5:]
    assert "".join(sorted(short.replace(" ", ""))) == short.replace(" ", "")


def test_windows_that_cancel_out_pool_to_zero() -> None:
    rows = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    np.testing.assert_array_equal(pooled(rows, [3, 3]), [0, 0])
