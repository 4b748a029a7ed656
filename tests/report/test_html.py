"""The page: complete, self-contained, and not to be steered by what it shows."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import product
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.exchange import Divergence, Severity
from shadowproxy.report.contents import contents
from shadowproxy.report.gathering import Gathering, gathered
from shadowproxy.report.html import page
from shadowproxy.report.pairs import ArmShown, Likeness, PairShown, excerpt
from shadowproxy.report.style import DARK, LIGHT
from shadowproxy.verdict.document import verify
from shadowproxy.verdict.schema import schema
from tests.report.example import document, example
from tests.report.golden import assert_golden

_VOID = {"meta", "br", "rect", "line", "circle", "path"}


class Page(HTMLParser):
    """What a browser would make of it: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("name", ["hold", "rollback", "promote"])
def test_example_documents_are_such_as_the_program_writes(name: str) -> None:
    assert verify(document(name))
    jsonschema_rs.validate(schema(), document(name))


def test_page_is_as_it_was_last_looked_at() -> None:
    assert_golden("rollback.html", page(example("rollback")))


@pytest.mark.parametrize(
    ("name", "says"), [("hold", "Hold: not shown"), ("rollback", "Roll back: the candidate"), ("promote", "Promote: every")]
)
def test_verdict_stands_on_top_in_words(name: str, says: str) -> None:
    shown = Page(page(example(name)))
    assert says in shown.text
    assert shown.open == []


def test_page_asks_nobody_and_runs_nothing() -> None:
    shown = Page(page(example()))
    assert not {tag for tag, _ in shown.elements} & {"script", "link", "img", "iframe", "object", "form", "base", "image", "use"}
    links = [attributes["href"] for _, attributes in shown.elements if "href" in attributes]
    assert links
    assert all(link is not None and link.startswith("#") for link in links)
    assert not [key for _, attributes in shown.elements for key in attributes if key.startswith("on") or key in ("src", "style")]


def test_links_lead_to_sections_and_ids_are_unique() -> None:
    shown = Page(page(example()))
    ids = [attributes["id"] for _, attributes in shown.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(link["href"])[1:] for link in shown.named("a")} <= set(ids)


def test_page_can_be_read_without_eyes() -> None:
    shown = Page(page(example()))
    assert shown.named("html") == [{"lang": "en"}]
    assert len(shown.named("h1")) == 1
    assert all(attributes.get("scope") in ("col", "row") for attributes in shown.named("th"))
    assert len(shown.named("caption")) == len(shown.named("table"))
    pictures = [attributes for attributes in shown.named("svg") if attributes.get("aria-hidden") != "true"]
    assert len(pictures) == len(shown.named("title")) - 1
    assert all(attributes["role"] == "img" for attributes in pictures)


def test_what_was_not_compared_is_said_with_its_reason() -> None:
    text = Page(page(example())).text
    for said in (
        "2 requests have no line of the candidate",
        "3 of 3,003",
        "by rule ignore $.id",
        "timeout: a missing answer counts",
        "no pair had anything of the kind",
    ):
        assert said in text


def test_words_that_differ_are_marked_on_either_side() -> None:
    html = page(example())
    assert "<del>13.9</del>" in html
    assert "<ins>139</ins>" in html


def test_document_alone_makes_a_page_too() -> None:
    shown = Page(page(contents(document("hold"), Gathering())))
    assert "Gates" in shown.text
    assert "Worst pairs" not in shown.text


def test_model_that_nobody_named_leaves_no_gap() -> None:
    """The primary's is known only where somebody said it; the head once read "(llama-3.3-70b against )"."""
    found = document("rollback")
    found["provenance"]["primary_model"] = ""
    assert "(llama-3.3-70b)" in page(contents(found, Gathering()))


def test_pairs_without_texts_are_shown_by_their_findings() -> None:
    pair = PairShown(
        "9", "", excerpt(""), ArmShown(), ArmShown(), Likeness(0.1, 0.9, {}, (Divergence("facts.name", Severity.MAJOR, "Rome", "Oslo"),))
    )
    text = Page(page(contents(document("hold"), gathered([pair])))).text
    assert "were not given" in text
    assert "Oslo" in text


HOSTILE = st.text(max_size=30) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</style><script>",
        "' onload='x",
        '"><svg onload=x>',
        "]]>",
        "<!--",
        "&lt;script&gt;",
        "\u202e\u2066",
        "\ud800",
        "\x00",
        "{{7*7}}",
    ]
)


@settings(max_examples=40)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_hostile_texts_change_no_element(one: str, two: str, three: str) -> None:
    def shown(first: str, second: str, third: str) -> list[str]:
        found = tuple(Divergence(first, Severity.MAJOR, second, third, path=first, why=second) for _ in range(2))
        arm, other = ArmShown(excerpt(f"x {second}"), first), ArmShown(excerpt(f"y {third}"), second)
        pair = PairShown(
            f"i{first}", f"r{second}", excerpt(f"q{third}"), arm, other, Likeness(0.1, 0.9, {first: 1.0}, found, {f"r{third}": 1})
        )
        verdict = {**document("hold"), "candidate": f"c{first}", "gates": [{**document("hold")["gates"][0], "route": f"r{one}"}]}
        html = Page(page(contents(verdict, gathered([pair]), [f"n{third}"], is_raw=True)))
        assert html.open == []
        return sorted({tag for tag, _ in html.elements})

    assert set(shown(one, two, three)) <= {
        *shown("plain", "text", "only"),
        "br",
        "del",
        "ins",
        "details",
        "summary",
        "div",
        "span",
        "p",
        "h4",
    }


def test_ten_megabytes_a_side_make_a_small_page() -> None:
    huge = excerpt("a<b " * 2_500_000)
    pairs = [
        PairShown(str(at), "r", huge, ArmShown(huge), ArmShown(excerpt("c&d " * 2_500_000)), Likeness(divergence=1.0)) for at in range(12)
    ]
    assert len(page(contents(document("hold"), gathered(pairs)))) < 2_000_000


# --- contrast -------------------------------------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, two: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


#: Every text colour and what it can stand on.
_PAIRS: list[tuple[str, str]] = [
    *product(("text", "quiet", "accent"), ("page", "card", "shade")),
    *product(("text",), ("gone", "come", "good-shade", "bad-shade")),
    *(("good", "card"), ("wait", "card"), ("bad", "card"), ("good", "good-shade"), ("wait", "wait-shade"), ("bad", "bad-shade")),
]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(palette: Any) -> None:
    assert {
        (ink, ground): round(_contrast(palette[ink], palette[ground]), 2)
        for ink, ground in _PAIRS
        if _contrast(palette[ink], palette[ground]) < 4.5
    } == {}
