"""Comparators of other packages are found by their entry point, or the start fails with the remedy."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from shadowproxy.compare.custom import hear
from shadowproxy.compare.kinds import Found
from shadowproxy.errors import StartError
from shadowproxy.exchange import Answer, Asked, Choice, Divergence, Severity
from shadowproxy.extensions import load_comparators

_PAGE = (Path(__file__).resolve().parents[1] / "docs/comparators.md").read_text(encoding="utf-8")
#: The example of the documentation, and what else a package may hold.
MODULE = (
    next(block for block in re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL) if "class Politeness" in block)
    + """

tuned = Politeness()
nameless = object()


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no dictionary")
"""
)

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package that brings comparators, as pip would, for one test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def installed(package: str, **points: str) -> None:
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[shadowproxy.comparators]", *lines]), encoding="utf-8")
        (tmp_path / f"{package}.py").write_text(MODULE, encoding="utf-8")
        importlib.invalidate_caches()

    return installed


def answer(text: str) -> Answer:
    return Answer("chat", (Choice(text),))


@pytest.mark.parametrize("made", ["Politeness", "tuned"])
def test_an_installed_comparator_is_loaded_and_heard(install: Install, made: str) -> None:
    package = f"manners_{made.lower()}"
    install(package, politeness=f"{package}:{made}")
    (politeness,) = load_comparators(["politeness"])
    assert hear(politeness, answer("Please wait."), answer("Please hold."), Asked()).found == Found(0.0)
    lost = Divergence("custom.politeness", Severity.MINOR, "Please wait.", "Wait.", why="no please")
    assert hear(politeness, answer("Please wait."), answer("Wait."), Asked()).found == Found(1.0, (lost,))


def test_what_is_not_named_is_not_imported(install: Install) -> None:
    install("manners_unused", politeness="nowhere:Nothing")
    assert load_comparators([]) == ()


def test_a_missing_one_is_named_with_what_is_there_and_the_remedy(install: Install) -> None:
    with pytest.raises(StartError, match=r"'tone' is not installed \(none is installed\); install the package with entry point 'tone'"):
        load_comparators(["tone"])
    install("manners_there", politeness="manners_there:Politeness")
    with pytest.raises(StartError, match=r"'tone' is not installed \(installed are politeness\)"):
        load_comparators(["tone"])


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("politeness", "manners_bad:Nowhere", "cannot be loaded.*repair or uninstall its package"),
        ("politeness", "no_such_module:X", "cannot be loaded.*No module named"),
        ("politeness", "manners_bad:Broken", "cannot be loaded: no dictionary"),
        ("politeness", "manners_bad:nameless", "is none; it needs name = 'politeness' and compare"),
        ("tone", "manners_bad:Politeness", "is none; it needs name = 'tone'"),
        ("Loud.Tone", "manners_bad:Politeness", "is no name"),
    ],
)
def test_a_broken_one_is_named_with_the_remedy(install: Install, name: str, value: str, problem: str) -> None:
    install("manners_bad", **{name: value})
    with pytest.raises(StartError, match=problem):
        load_comparators([name])


def test_two_packages_of_one_name_are_refused(install: Install) -> None:
    install("manners_one", politeness="manners_one:Politeness")
    install("manners_two", politeness="manners_two:Politeness")
    with pytest.raises(StartError, match=r"several packages.*uninstall all but one"):
        load_comparators(["politeness"])
