"""A detector's sign is necessary: nothing that the detector would find is without it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.redaction.detectors import DETECTORS, Detector, find
from shadowproxy.redaction.signs import Seen
from tests.redaction.pieces import PIECES
from tests.redaction.test_masking import KEPT, MASKED

_PIECES = st.sampled_from(PIECES)


def _finds(detector: Detector, text: str) -> bool:
    return any(detector.measure(match["it"]) for match in detector.pattern.finditer(text))


@pytest.mark.parametrize("name", [*MASKED, *KEPT])
def test_what_is_found_has_its_sign(name: str) -> None:
    text = MASKED[name][0] if name in MASKED else KEPT[name]
    for detector in DETECTORS:
        assert detector.sign(Seen(text)) or not _finds(detector, text), detector.kind


@given(st.lists(_PIECES, max_size=12), st.sampled_from(["", " "]))
def test_no_sign_means_no_find(pieces: list[str], gap: str) -> None:
    text = gap.join(pieces)
    for detector in DETECTORS:
        assert detector.sign(Seen(text)) or not _finds(detector, text), detector.kind


def test_two_gaps_behind_a_bracket_are_still_a_phone() -> None:
    """The sign once allowed fewer gaps than the pattern, and "(555)  123-4567" went by."""
    text = "(555)  123-4567"
    assert [each.kind for each in find(text)] == ["phone"]


def test_plain_prose_and_an_ordinary_reply_show_no_sign() -> None:
    reply = (
        '{"id":"chatcmpl-9abcDEF123","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,'
        '"message":{"role":"assistant","content":"A node that overflows is split at its median key, in 3 steps."},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":123,"completion_tokens":245,"total_tokens":368}}'
    )
    assert [detector.kind for detector in DETECTORS if detector.sign(Seen(reply))] == []
