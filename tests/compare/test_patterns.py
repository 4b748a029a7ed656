"""Expressions from the configuration: noise is masked, and no text makes one take longer than its steps."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.patterns import BUILT_IN, MAX_CHARACTERS, MAX_STEPS, Effort, bounded, effort, masking


@pytest.mark.parametrize(
    ("name", "text", "masked"),
    [
        ("timestamp", "at 2024-05-01T10:20:30.123Z.", "at <timestamp>."),
        ("timestamp", "2024-05-01 10:20:30+02:00", "<timestamp>"),
        ("timestamp", "on 2024-05-01, 10:20", "on <timestamp>, 10:20"),
        ("timestamp", "12024-05-01", "12024-05-01"),
        ("uuid", "id 3f2b8c1e-9a4d-4c6e-8f00-1234567890ab!", "id <uuid>!"),
        ("hex_id", "commit deadbeefdeadbeef00", "commit <hex_id>"),
        ("hex_id", "facade", "facade"),
        ("number", "-1.5e3 of 20", "<number> of <number>"),
        ("number", "v1.2.3", "v<number>.<number>"),
        ("req_[A-Za-z0-9]{10,40}", "req_0123456789abc failed", "<pattern> failed"),
        ("(?:cat|dog)s?", "cats and dog", "<pattern> and <pattern>"),
    ],
)
def test_noise_becomes_a_constant(name: str, text: str, masked: str) -> None:
    assert masking(name)(text) == masked


@pytest.mark.parametrize(
    ("pattern", "ways", "steps"),
    [
        ("abc", 1, 3),
        ("[0-9]{1,64}x", 64, 128),
        ("[A-Z]{1,20}-[0-9]{1,20}", 400, 440),
        ("a|b|cd", 3, 4),
        ("x(?:ab){2}", 1, 5),
        ("a?b?", 4, 3),
        (r"\d{4}-\d{2}-\d{2}", 1, 10),
        ("[]+*]a", 1, 2),
        ("a{,5}b", 6, 11),
    ],
)
def test_steps_are_those_of_trying_every_way(pattern: str, ways: int, steps: int) -> None:
    assert effort(pattern) == Effort(ways, steps)


@pytest.mark.parametrize("pattern", ["(a+)+b", "[0-9]+x", "a*", "a{3,}", "a{,}", "(?:a|b)*c", ".*"])
def test_a_repeat_without_a_bound_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"write how often at most, such as \{1,40\}"):
        bounded(pattern)


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?<!a)b", "(?i)a", "(?P<n>a)", r"(a)\1", "a\\"])
def test_what_looks_around_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="write plain groups"):
        bounded(pattern)


@pytest.mark.parametrize(
    "pattern", ["(a{1,100}){1,100}b", "(?:){0,4000000000}x", "((a?){10}){10}b", "(?:a|a){20}b", "a{1001}", "((a{1,900}){900}){900}"]
)
def test_too_many_steps_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=f"more than {MAX_STEPS} steps.*narrower repeats"):
        bounded(pattern)


@pytest.mark.parametrize("pattern", ["(a", "a)", "[a", "a{3}{4}", "{2}", "?", "[[a]x"])
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"no regular expression.*timestamp, uuid, hex_id, number"):
        bounded(pattern)


@pytest.mark.parametrize("pattern", ["", "a?", "a|", "a{0,3}", "$"])
def test_what_fits_nothing_at_all_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="at least one character"):
        bounded(pattern)


def test_a_long_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="write at most 500"):
        bounded("a" * 501)


@given(st.text(st.sampled_from("ab()[]{}|?:*+\\^-,0123459.d"), max_size=25))
def test_every_text_is_refused_or_bounded(pattern: str) -> None:
    try:
        expression = bounded(pattern)
    except ValueError:
        return
    assert effort(pattern).steps <= MAX_STEPS
    assert isinstance(expression, re.Pattern)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("sign", ["0", "a", "-", "2024-", "0.", "1e"])
def test_bait_for_the_named_ones_takes_linear_time(name: str, sign: str) -> None:
    bait = sign * (4 * MAX_CHARACTERS // len(sign))
    assert len(masking(name)(bait)) >= len(bait) - MAX_CHARACTERS


def test_the_rest_of_a_very_long_text_stays_as_it_is() -> None:
    masked = masking("number")("7 " * MAX_CHARACTERS)
    assert masked.startswith("<number> <number>")
    assert masked.endswith("7 7 ")
