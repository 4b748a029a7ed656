"""Which language an answer is in: scripts that settle it, a detector for the rest, and silence where neither can tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.language import compare_language, language_of
from shadowproxy.exchange import Severity

ENGLISH = "The tower was finished in 1889 and is still the most visited monument of the city."
GERMAN = "Der Turm wurde 1889 fertig und ist noch immer das meistbesuchte Denkmal der Stadt."


def sure(label: str, probability: float = 0.99):
    return lambda text: (label, probability)


def by_article(text: str) -> tuple[str, float]:
    return ("de" if "Der" in text else "en"), 0.99


def never(text: str) -> tuple[str, float]:
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("東京は日本の首都です。", "ja"),
        ("东京是日本的首都。", "zh"),
        ("서울은 한국의 수도입니다.", "ko"),
        ("กรุงเทพเป็นเมืองหลวง", "th"),
        ("Η Αθήνα είναι η πρωτεύουσα.", "el"),
        ("Docker 是一种容器化平台，可以打包应用程序", "zh"),
    ],
)
def test_a_script_of_one_language_settles_it(text: str, language: str) -> None:
    assert language_of(text, never) == language


def test_a_foreign_name_does_not_settle_it() -> None:
    assert language_of(ENGLISH + " (東京タワー)", sure("en")) == "en"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris.",
        "42",
        "x = {i: f(i) for i in range(10)}; print(x[3] + x[4], sep='')  # ok" * 3,
        '{"name": "weather", "arguments": {"city": "Paris", "unit": "C"}, "id": 3}',
        "```python\nfor line in lines: print(line.strip().lower(), end=None)\n```",
        "https://example.com/a/very/long/path/that/looks/like/many/words/in/a/row",
    ],
)
def test_short_texts_and_code_have_no_language(text: str) -> None:
    assert language_of(text, never) is None


def test_an_unsure_detector_is_not_believed() -> None:
    assert language_of(ENGLISH, sure("en", 0.5)) is None


def test_labels_without_a_code_of_two_letters_are_none() -> None:
    assert language_of(ENGLISH, sure("zxx")) is None


def test_near_variants_are_one_language() -> None:
    assert language_of(ENGLISH, sure("nn")) == language_of(ENGLISH, sure("nb")) == "no"


def test_another_language_is_major() -> None:
    found = compare_language(ENGLISH, GERMAN, by_article)
    assert found.score == 1.0
    [changed] = found.divergences
    assert (changed.kind, changed.severity) == ("language.changed", Severity.MAJOR)
    assert changed.primary.startswith("en: ")
    assert changed.other.startswith("de: ")


def test_one_language_scores_zero_and_doubt_abstains() -> None:
    assert compare_language(ENGLISH, ENGLISH, by_article).score == 0.0
    assert compare_language(ENGLISH, "Ja.", by_article).score is None


@given(st.text())
def test_any_text_is_two_letters_or_none(text: str) -> None:
    found = language_of(text, sure("en"))
    assert found is None or len(found) == 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["`a" * 5_000_000, "```" + "a`" * 5_000_000, "<a" * 5_000_000, "\ud800" * 10_000_000, "ab://" * 2_000_000])
def test_ten_megabytes_of_bait_cost_little(text: str) -> None:
    assert language_of(text, sure("en")) in ("en", None)
