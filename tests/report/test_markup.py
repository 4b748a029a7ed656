"""Text is escaped because it is text."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.report.characters import line, visible
from shadowproxy.report.markup import Markup, joined, table, tag, text

ANYTHING = st.text(alphabet=st.characters())


def test_markup_stays_and_text_is_escaped() -> None:
    assert tag("p", "a < b", tag("br"), None, "&") == "<p>a &lt; b<br/>&amp;</p>"


def test_attributes_are_escaped_named_and_left_out() -> None:
    made = tag("details", open=True, class_='"x"', aria_label=None, hidden=False, stroke_width=1.5, viewBox="0 0 1 1")
    assert made == '<details open="" class="&quot;x&quot;" stroke-width="1.5" viewBox="0 0 1 1"></details>'


@pytest.mark.parametrize("name", ["", "a b", "p>", "onclick=", "\n"])
def test_names_cannot_carry_markup(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        tag(name)
    with pytest.raises(ValueError, match="name"):
        tag("p", **{name: "x"})


def test_joining_plain_text_to_markup_makes_text_again() -> None:
    assert not isinstance(Markup("<b>") + "<i>", Markup)


def test_table_names_its_columns_and_rows() -> None:
    made = table("Cities", ("city", "people"), [("Rome", "3")], numbers=frozenset({1}))
    assert '<th scope="col" class="number">people</th>' in made
    assert '<th scope="row">Rome</th><td class="number">3</td>' in made
    assert table("Cities", ("city",), []) == ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.read = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.read += data


@given(ANYTHING)
def test_no_text_becomes_markup(value: str) -> None:
    reader = _Reader()
    reader.feed(tag("p", value, title=value))
    reader.close()
    assert reader.tags == ["p"]
    assert reader.read == visible(value)


@given(ANYTHING)
def test_whatever_is_shown_is_valid_xml_and_utf_8(value: str) -> None:
    assert ET.fromstring(tag("p", value, title=value).encode()).text in (visible(value), None)


@given(ANYTHING)
def test_what_steers_is_named(value: str) -> None:
    shown = visible(value)
    assert not any(sign in shown for sign in "\x00\x1b\u202e\u2066\x85\ud800")
    assert visible(shown) == shown


def test_ordinary_marks_and_joiners_stay() -> None:
    assert visible("می\u200cخواهم 👩\u200d🚀 \u200f") == "می\u200cخواهم 👩\u200d🚀 \u200f"
    assert visible("\u202eevil\r\nnext") == "⟨U+202E⟩evil\nnext"


def test_line_is_short_and_one() -> None:
    assert line("a\nb\t c", 80) == "a b c"
    assert line("x" * 10_000_000, 10) == "x" * 9 + "…"
    assert len(line(" " * 5_000 + "end", 10)) <= 10


def test_joined_children_may_be_nothing() -> None:
    assert joined(None, "a", text("<")) == "a&lt;"
