"""What Prometheus is asked: by boot, without functions that guess, and only for what is named."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.counts import PAIRS_ISSUED
from shadowproxy.sources.promql import LIVE, NOW, OLDEST, PART, TARGETS, one_of, question
from shadowproxy.sources.reading import EVIDENCE

ROLLOUTS = ("v2-0123456789ab", "v3-ba9876543210")


def parts(query: str) -> list[str]:
    return re.findall(rf'"{PART}", "([^"]+)", "", ""\)', query)


@pytest.mark.parametrize("is_first", [True, False])
def test_one_question_asks_for_every_count_by_its_boot(is_first: bool) -> None:
    query = question(ROLLOUTS, 3600, ("a:1",), is_first)
    asked = {NOW, LIVE, TARGETS, *EVIDENCE} | ({OLDEST} if is_first else set())
    assert sorted(parts(query)) == sorted(asked)
    for metric in EVIDENCE.values():
        assert re.search(rf"(max|min) by \({', '.join(metric.exported_labels)}\) \([a-z_]*\(?{metric.name}", query), metric.name


def test_no_function_that_extrapolates() -> None:
    query = question(ROLLOUTS, 3600, (), True)
    assert not re.search(r"\b(increase|rate|irate|delta|avg|avg_over_time)\b", query)


def test_later_looks_ask_only_for_what_is_new() -> None:
    assert "[600s]" in question(ROLLOUTS, 600, (), False)
    assert "[2400s]" in question(ROLLOUTS, 600, (), True), "the beginning may lie before the window"
    assert "[2400s]" not in question(ROLLOUTS, 600, (), False)


def test_process_that_counted_is_known_before_it_says_when_it_began() -> None:
    """It says so at its next look at its own verdict, and may be killed before that: its counts were scraped, and it must be missed."""
    query = question(ROLLOUTS, 3600, (), False)
    issued = f"{PAIRS_ISSUED.name}{{rollout=~{one_of(ROLLOUTS)}}}"
    assert f"group by (boot) ({issued})" in query
    assert f"up and on (job, instance) group by (job, instance) (max_over_time({issued}[3600s]))" in query


def test_counts_without_a_rollout_are_those_of_our_boots() -> None:
    unscoped = [metric for metric in EVIDENCE.values() if "rollout" not in metric.labels]
    query = question(ROLLOUTS, 3600, (), False)
    for metric in unscoped:
        assert f"{metric.name}[3600s]) and on (boot)" in query


def _as_go_reads_it(quoted: str) -> str:
    """The text behind a double-quoted Go string with the escapes that we use."""
    assert quoted[0] == quoted[-1] == '"'
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), quoted[1:-1], flags=re.DOTALL)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20), min_size=1, max_size=5),
    st.text(max_size=20),
)
def test_selector_matches_what_it_names_and_nothing_else(values: list[str], other: str) -> None:
    pattern = re.compile(_as_go_reads_it(one_of(values)))
    assert all(pattern.fullmatch(value) for value in values)
    assert bool(pattern.fullmatch(other)) == (other in values)
