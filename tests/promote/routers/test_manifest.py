"""Single values in a YAML text change, and not one other byte."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from shadowproxy.errors import RouterRefused
from shadowproxy.promote.routers.manifest import Manifest, Place
from tests.promote.worlds import MANIFEST

WEIGHT = Place("/spec/http/0/route/1/weight", "VirtualService", "chat")
VERSION = Place("/spec/prompt/version", "VirtualService")


def test_value_changes_and_nothing_else() -> None:
    changed = Manifest(MANIFEST).replaced({WEIGHT: "25", VERSION: "p-8"})
    assert changed == MANIFEST.replace('weight: "0"', 'weight: "25"').replace("'p-7'", "'p-8'")


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1), st.sampled_from(["'", '"', ""]))
@example("=", "")
@example("<<", "")
def test_any_text_comes_back_as_it_was_written(value: str, quote: str) -> None:
    text = f"a: 1 # über 🙂\nb:   {quote}old{quote}  # kept\nc: [x, y]\n"
    changed = Manifest(text).replaced({Place("/b"): value})
    assert yaml.safe_load(changed)["c"] == ["x", "y"]
    assert Manifest(changed).value(Place("/b")).text == value
    assert changed.startswith("a: 1 # über 🙂\nb:   ")
    assert changed.endswith("  # kept\nc: [x, y]\n")


@given(st.integers(0, 10**9))
def test_number_stays_a_number(weight: int) -> None:
    assert yaml.safe_load(Manifest("w: 7 # now\n").replaced({Place("/w"): str(weight)})) == {"w": weight}


def test_value_within_a_flow_and_behind_escaped_keys() -> None:
    text = 'metadata: {annotations: {a/b: "1", c~d: 2}, name: x}\n'
    assert Manifest(text).replaced({Place("/metadata/annotations/a~1b"): "9", Place("/metadata/annotations/c~0d"): "8"}) == (
        'metadata: {annotations: {a/b: "9", c~d: 8}, name: x}\n'
    )


@pytest.mark.parametrize(
    ("text", "place", "match"),
    [
        ("a: {b: 1}", Place("/a/c"), "no 'c'"),
        ("a: [1]", Place("/a/1"), "no '1'"),
        ("a: [1]", Place("/a/²"), "no '²'"),
        ("a: {b: 1}", Place("/a"), "no plain value"),
        ("a: |\n  text\n", Place("/a"), "no plain value"),
        ("a: &w 1\nb: 2", Place("/a"), "no plain value"),
        ("a: !!int 1", Place("/a"), "no plain value"),
        ("a:\n", Place("/a"), "no plain value"),
        ("x: &w 1\na: *w", Place("/a"), "shared through an anchor"),
        ("x: &w {a: 1}\ny: *w", Place("/y/a"), "shared through an anchor"),
        ("a: 1\n---\na: 2", Place("/a"), "has 2 of document"),
        ("kind: A\na: 1", Place("/a", "B"), "has 0 of B"),
        ("a: [", Place("/a"), "no YAML"),
        ("a: \ud800", Place("/a"), "no YAML"),
        ("a: \x00", Place("/a"), "no YAML"),
        ("[" * 1200, Place("/a"), "no YAML"),
        ("a: 1\n" * 50_000, Place("/a"), "more than"),
    ],
)
def test_what_cannot_be_replaced_alone_is_refused(text: str, place: Place, match: str) -> None:
    with pytest.raises(RouterRefused, match=match):
        Manifest(text).value(place)


def test_aliases_within_aliases_end() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)), "w: 5"]
    assert Manifest("\n".join(lines)).value(Place("/w")).text == "5"
