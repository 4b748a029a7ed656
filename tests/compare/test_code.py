"""Whether code can be read, and that nobody's code can hurt the reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.code import MAX_CHARACTERS, fault
from shadowproxy.compare.markdown import Block


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "def f(x):\n    return x"),
        ("py", "..."),
        ("python3", "'\\d'"),
        ("python", "x is 1"),
        ("json", '{"a": [1, 2]}'),
    ],
)
def test_code_that_can_be_read_has_no_fault(language: str, code: str) -> None:
    assert fault(Block(language, code)) == ""


@pytest.mark.parametrize(
    ("language", "code", "why"),
    [
        ("python", "def f(x)\n    return x", "expected ':', line 1"),
        ("python", "x = [1, 2", "line 1"),
        ("python", "if x:\ny", "line 2"),
        ("python", "x = '\0'", "null bytes"),
        ("python", "x = '\ud800'", "surrogates not allowed"),
        ("python", "x = " + "9" * 5000, "integer"),
        ("json", '{"a": 1,}', "line 1"),
    ],
)
def test_a_fault_is_named(language: str, code: str, why: str) -> None:
    assert why in (fault(Block(language, code)) or "")


@pytest.mark.parametrize(
    "block", [Block("rust", "fn main( {"), Block("", "x = ["), Block("python", "  \n"), Block("python", "x\n" * MAX_CHARACTERS)]
)
def test_where_there_is_no_reader_nothing_is_said(block: Block) -> None:
    assert fault(block) is None


@pytest.mark.parametrize(
    "code",
    [
        "-" * MAX_CHARACTERS,
        "(" * MAX_CHARACTERS,
        "[" * 9000 + "]" * 9000,
        "{" * MAX_CHARACTERS,
        "a" + ".b" * 9000,
        "a" + "()" * 9000,
        "1" + "+1" * 9000,
        "1" + "**1" * 6000,
        "not " * 4999,
        "lambda:" * 2800,
        "x if y else " * 1600 + "1",
        "if 1: pass\n" + "elif 1: pass\n" * 1500,
        "f'" + "{1}" * 6000 + "'",
        "\n".join(" " * level + "if 1:" for level in range(190)),
        "x=" * 9000 + "1",
    ],
)
def test_nesting_never_exhausts_the_reader(code: str) -> None:
    assert len(code) <= MAX_CHARACTERS
    assert isinstance(fault(Block("python", code)), str | None)


@given(st.text(max_size=60))
def test_any_text_is_judged_without_an_exception(code: str) -> None:
    for language in ("python", "json"):
        assert isinstance(fault(Block(language, code)), str | None)
