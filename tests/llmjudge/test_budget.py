"""What may be asked: rate, tokens, money, shares, and who the judge must not be; when a question is asked again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.exchange import CONTROL, Usage
from shadowproxy.llmjudge.arms import ArmModel, address, arm_of, may_be_arm
from shadowproxy.llmjudge.budget import REQUESTS_PER_PAIR, Bucket, Budget, Ceilings, Prices, Spending
from shadowproxy.llmjudge.preference import ABSTENTIONS, Order
from shadowproxy.llmjudge.retrying import MOST_TRIES, delay_s
from shadowproxy.llmjudge.sampling import Shares, first_order

IDS = [f"request-{number}" for number in range(4000)]


@given(st.lists(st.floats(0, 30), max_size=60), st.floats(1, 600))
def test_no_span_of_time_sees_more_than_the_rate_and_one_burst(gaps_s: list[float], per_minute: float) -> None:
    budget = Budget(Bucket(per_minute, 0.0), Ceilings(), Spending(1))
    now_s, sent_at = 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if not budget.admit("r", now_s):
            sent_at.append(now_s)
    burst = max(per_minute / 6, REQUESTS_PER_PAIR)
    for first, since in enumerate(sent_at):
        for last, until in enumerate(sent_at[first:], start=first):
            assert REQUESTS_PER_PAIR * (last - first + 1) <= burst + (until - since) * per_minute / 60 + 1e-6


def test_retries_are_paid_with_later_pairs() -> None:
    bucket = Bucket(12, 0.0)
    budget = Budget(bucket, Ceilings(), Spending(1))
    assert budget.admit("r", 0.0) == ""
    budget.more_requests(1)
    assert budget.admit("r", 10.0) == "over_rate"
    assert budget.admit("r", 15.0) == ""
    assert repr(bucket) == "<Bucket 0 of 2>"


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=50), st.integers(0, 1000))
def test_ceiling_holds_whatever_is_under_way(pairs: list[tuple[int, bool]], ceiling: int) -> None:
    budget, most = Budget(Bucket(1e9, 0.0), Ceilings(tokens=ceiling), Spending(100)), 100
    spent, open_pairs = 0, []
    for tokens, ends_at_once in pairs:
        if budget.admit("r", 0.0) == "" and budget.reserve("r") == "":
            open_pairs.append(tokens)
        if ends_at_once and open_pairs:
            spent += open_pairs[0]
            budget.settle("r", Spending(open_pairs.pop(0)))
        assert budget.taken("r").tokens == spent + most * len(open_pairs)
        assert spent + sum(open_pairs) <= ceiling


def test_ceilings_name_what_is_spent_and_are_per_rollout() -> None:
    budget = Budget(Bucket(600, 0.0), Ceilings(tokens=100, cost=1.0), Spending(10, 0.6))
    assert budget.reserve("a") == ""
    assert budget.reserve("a") == budget.admit("a", 0.0) == "money_spent"
    assert budget.reserve("b") == ""
    budget.settle("b", Spending(95, 0.0))
    assert budget.reserve("b") == budget.admit("b", 0.0) == "tokens_spent"


def test_pairs_that_wait_are_not_on_the_bill() -> None:
    budget = Budget(Bucket(600, 0.0), Ceilings(tokens=100), Spending(60))
    assert [budget.admit("a", 0.0) for _ in range(3)] == ["", "", ""]
    assert budget.taken("a") == Spending()
    assert [budget.reserve("a") for _ in range(2)] == ["", "tokens_spent"]


def test_requests_that_were_not_sent_are_given_back_up_to_a_burst() -> None:
    bucket = Bucket(12, 0.0)
    budget = Budget(bucket, Ceilings(), Spending(1))
    assert budget.admit("r", 0.0) == ""
    budget.more_requests(-2)
    budget.more_requests(-2)
    assert repr(bucket) == "<Bucket 2 of 2>"


def test_what_an_earlier_process_spent_counts() -> None:
    budget = Budget(Bucket(600, 0.0), Ceilings(tokens=100), Spending(10))
    budget.restore("a", Spending(95, 2.0))
    assert budget.taken("a") == Spending(95, 2.0)
    assert budget.admit("a", 0.0) == "tokens_spent"


def test_prices_are_per_million_tokens() -> None:
    assert Prices(prompt=2.5, completion=10.0).of(Usage(1_000_000, 100_000)) == Spending(1_100_000, 3.5)


# --- shares ---------------------------------------------------------------------------------------------------------------


def test_shares_are_stable_and_as_configured() -> None:
    shares = Shares(pairs=0.25, controls=0.5)
    chosen = [each for each in IDS if shares.choose(each, "v2")]
    with_control = [each for each in IDS if shares.choose(each, CONTROL)]
    assert chosen == [each for each in IDS if shares.choose(each, "v3")], "all candidates of a request together"
    assert len(chosen) / len(IDS) == pytest.approx(0.25, abs=0.03)
    assert len(with_control) / len(chosen) == pytest.approx(0.5, abs=0.06)
    assert set(with_control) <= set(chosen)


def test_larger_share_keeps_what_a_smaller_one_chose() -> None:
    assert {each for each in IDS if Shares(0.1, 1).choose(each, "v2")} <= {each for each in IDS if Shares(0.2, 1).choose(each, "v2")}


def test_none_and_all() -> None:
    assert not any(Shares(0, 1).choose(each, "v2") for each in IDS)
    assert all(Shares(1, 1).choose(each, arm) for each in IDS for arm in ("v2", CONTROL))
    assert not any(Shares(1, 0).choose(each, CONTROL) for each in IDS)


def test_half_of_the_requests_begin_with_either_order() -> None:
    assert sum(first_order(each) is Order.PRIMARY_FIRST for each in IDS) / len(IDS) == pytest.approx(0.5, abs=0.04)


# --- arms -----------------------------------------------------------------------------------------------------------------

ARMS = (
    ArmModel("primary", "http://llm.prod:8000", None),
    ArmModel("v2", "https://api.example.com/v1", "big-2"),
    ArmModel("local", "http://127.0.0.1:8000", "small"),
)


@pytest.mark.parametrize(
    ("url", "model", "arm"),
    [
        ("https://api.example.com", "big-2", "v2"),
        ("https://API.example.com:443/other/path", "big-2", "v2"),
        ("https://api.example.com.", "big-2", "v2"),
        ("https://api.example.com", "judge", None),
        ("https://api.example.com:8443", "big-2", None),
        ("http://localhost:8000", "small", "local"),
        ("http://[::1]:8000", "small", "local"),
        ("http://llm.prod:8000", "anything", None),
    ],
)
def test_judge_that_is_an_arm_is_named(url: str, model: str, arm: str | None) -> None:
    assert arm_of(url, model, ARMS) == arm


def test_arm_that_takes_any_model_has_to_be_looked_at_per_request() -> None:
    assert may_be_arm("http://llm.prod:8000/v1", ARMS)
    assert not may_be_arm("https://api.example.com", ARMS)


def test_unix_sockets_are_told_apart_by_path() -> None:
    assert address("unix:/run/a.sock") != address("unix:/run/b.sock")


# --- asking again ---------------------------------------------------------------------------------------------------------


@given(st.integers(100, 599), st.integers(1, 5), st.binary(max_size=40) | st.none(), st.floats(0, 2e9), st.floats(0, 0.999))
def test_delay_is_finite_and_not_negative(status: int, tries: int, header: bytes | None, now_s: float, u: float) -> None:
    found = delay_s(status, tries, header, now_s, u)
    assert found is None or 0 <= found < float("inf")
    assert found is None or tries < MOST_TRIES


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        (b"3", 3.0),
        (b" 0.5 ", 0.5),
        (b"-1", 0.0),
        (b"Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"soon", 0.5),
        (b"nan", 0.5),
        (b"inf", 0.5),
        (None, 0.5),
    ],
)
def test_retry_after_is_kept_in_both_forms(header: bytes | None, expected_s: float) -> None:
    assert delay_s(429, 1, header, 60.0, 0.5) == expected_s


def test_tries_without_retry_after_wait_longer_each_time() -> None:
    assert [delay_s(503, tries, None, 0.0, 0.5) for tries in (1, 2, 3)] == [0.5, 1.0, None]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 501])
def test_lasting_statuses_are_not_tried_again(status: int) -> None:
    assert delay_s(status, 1, b"0", 0.0, 0.0) is None


def test_reasons_of_the_budget_are_listed() -> None:
    assert {"tokens_spent", "money_spent", "over_rate"} <= ABSTENTIONS.keys()
