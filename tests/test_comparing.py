"""What comparators need, as the configuration says it: refused at start where it cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest

from shadowproxy.comparing import check, dialects_of, load_means
from shadowproxy.config import Config, build
from shadowproxy.errors import ConfigError, StartError


def config(**sections: Any) -> Config:
    return build({"primary": {"url": "http://a:1"}, **sections})


REFUSED = {
    "two actions": ({"rules": [{"path": "$.a", "ignore": True, "lower": True}]}, "compare.rules[0]", "is not one action"),
    "no such path": ({"rules": [{"path": "$.a", "lower": True}, {"path": "a b", "lower": True}]}, "compare.rules[1]", ""),
    "expression that explodes": ({"rules": [{"path": "text", "pattern": "(a+)+b"}]}, "compare.rules[0]", ""),
    "price with a star inside": ({"prices": {"models": [{"model": "a*b", "prompt": 1, "completion": 1}]}}, "compare.prices", "a*b"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_by_its_key(case: str) -> None:
    compare, key, words = REFUSED[case]
    with pytest.raises(ConfigError) as found:
        check(config(compare=compare))
    (problem,) = found.value.problems
    assert problem.key == key
    assert words in str(problem)
    assert problem.remedy


def test_bad_expression_of_a_dialect_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dialects\[0\]"):
        check(config(dialects=[{"path": "/ask", "text": "a[["}]))


def test_dialect_reads_what_it_says() -> None:
    assert dialects_of(config()) is None
    assert "for /ask" in repr(dialects_of(config(dialects=[{"path": "/ask", "text": "result.text"}])))


def test_extension_that_is_not_installed_is_refused_at_start() -> None:
    with pytest.raises(StartError, match="toxicity"):
        check(config(compare={"comparators": ["toxicity"]}))


def test_means_are_what_the_configuration_asks_for() -> None:
    prices = {"models": [{"model": "m*", "prompt": 1.0, "completion": 2.0}]}
    means = load_means(config(compare={"languages": False, "prices": prices}).compare)
    assert means.detector is None
    assert means.prices.of("m-large") is not None
    assert means.lexicon.meaning("large").senses
