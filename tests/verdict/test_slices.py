"""Labels of slices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.verdict.slices import MAX_LABELS, bounded, dimension_of, length_label, slice_label, yes_no


def test_labels_read_like_this() -> None:
    assert slice_label("language", "de") == "language=de"
    assert slice_label("tenant", "") == "tenant=none"
    assert yes_no("tools", is_so=True) == "tools=yes"
    assert yes_no("streamed", is_so=False) == "streamed=no"


@pytest.mark.parametrize(
    ("characters", "label"),
    [(0, "under_1k"), (999, "under_1k"), (1000, "1k_4k"), (63_999, "16k_64k"), (64_000, "from_64k"), (10**9, "from_64k")],
)
def test_lengths_of_prompts_are_told_apart_by_range(characters: int, label: str) -> None:
    assert length_label("prompt", characters) == f"prompt={label}"


@given(st.text())
def test_any_value_becomes_one_short_printable_label(value: str) -> None:
    label = slice_label("tenant", value)
    assert label.isprintable()
    assert len(label) <= len("tenant=") + 48
    assert dimension_of(label) == "tenant"


@given(st.lists(st.sampled_from([f"tenant={i}" for i in range(60)])))
def test_the_first_labels_are_kept_and_all_others_are_other(labels: list[str]) -> None:
    known: frozenset[str] = frozenset()
    shown = []
    for label in labels:
        found, known = bounded(label, known)
        shown.append(found)
    first = list(dict.fromkeys(labels))[:MAX_LABELS]
    assert shown == [label if label in first else "tenant=other" for label in labels]
    assert len(set(shown)) <= MAX_LABELS + 1
