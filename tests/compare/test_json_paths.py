"""The language of places in JSON values: what is written names one place, what is read may mean many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.json_paths import Path, places, written

PATHS = st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(0, 999), max_size=8).map(tuple)


def means(text: str, path: Path) -> bool:
    pattern = places(text)
    reached = pattern.start()
    for key in path:
        reached = pattern.after(reached, key)
    return pattern.is_here(reached)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "$"),
        (("items", 2, "price"), "$.items[2].price"),
        (("created-at",), "$.created-at"),
        (("a b", "", "0"), '$["a b"][""]["0"]'),
        (('say "hi"',), '$["say \\"hi\\""]'),
        (("straße",), "$.straße"),
    ],
)
def test_a_place_is_written_as_people_write_it(path: Path, text: str) -> None:
    assert written(path) == text


@given(PATHS)
def test_a_written_path_means_that_place(path: Path) -> None:
    normal = tuple(key if isinstance(key, int) else __import__("unicodedata").normalize("NFC", key) for key in path)
    assert means(written(normal), normal)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$", ()),
        ("$.items[*].price", ("items", 7, "price")),
        ("$.*", ("anything",)),
        ("$.**.id", ("id",)),
        ("$.**.id", ("a", 0, "b", "id")),
        ("**.id", ("a", "id")),
        ("**", ()),
        ("**", ("a", 3)),
        ("$.a.**", ("a",)),
        ("$.**.**.x", ("x",)),
        ("$.**.a.**.b", ("a", "a", "c", "b")),
        ("$.e\u0301", ("\u00e9",)),
    ],
)
def test_places_that_are_meant(text: str, path: Path) -> None:
    assert means(text, path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$", ("a",)),
        ("$.a", ()),
        ("$.a", ("a", "b")),
        ("$.a[*]", ("a", "b")),
        ("$.a.*", ("a", 0)),
        ("$.a[0]", ("a", 1)),
        ("$[0]", ("0",)),
        ("$.**.id", ("id", "x")),
        ("$.a.**", ("b", "a")),
    ],
)
def test_places_that_are_not_meant(text: str, path: Path) -> None:
    assert not means(text, path)


@pytest.mark.parametrize("text", ["", "a.b", "$.a b", "$a", "$.", "$..a", "$[x]", "$[-1]", '$["a]', '$["\\x"]', '$["\\ud800"]', "$.***"])
def test_what_is_no_path_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match=r"write \.name|begin with \$"):
        places(text)


def test_a_path_has_a_bounded_number_of_steps() -> None:
    with pytest.raises(ValueError, match="at most 32 steps"):
        places("$" + ".**" * 33)
