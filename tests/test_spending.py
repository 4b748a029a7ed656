"""What copies cost, and that no more are sent past the ceiling."""

from __future__ import annotations

import pytest

from shadowproxy.exchange import Comparison, Exchange, Outcome, Reply, Request, Side, Timing
from shadowproxy.spending import Bill, Ceiling, Purse, bill_of

REQUEST = Request("POST", "/v1/chat/completions", (), b"x" * 400)
TIMING = Timing(None, None, 0.1)


def exchange(outcome: Outcome = Outcome.OK, reply_bytes: int = 80) -> Exchange:
    reply = Reply(200, (), ((0.1, b"y" * reply_bytes),)) if reply_bytes else None
    return Exchange("id", "v2", "chat", REQUEST, reply, outcome, 0.0, 0.1)


def comparison(side: Side) -> Comparison:
    return Comparison("v2", Outcome.OK, None, False, False, TIMING, TIMING, side=side)


def test_what_is_reported_is_billed() -> None:
    side = Side(prompt_tokens=10, completion_tokens=5, cost=0.25)
    assert bill_of(exchange(), comparison(side), (1.0, 1.0)) == Bill(15, 0.25)


def test_what_is_not_reported_is_billed_by_length_at_the_highest_price() -> None:
    assert bill_of(exchange(), comparison(Side()), (2.0, 5.0)) == Bill(120, pytest.approx((100 * 2 + 20 * 5) / 1e6))


def test_an_answer_that_nobody_read_is_billed_by_length_too() -> None:
    assert bill_of(exchange(Outcome.TIMEOUT, 0), None, (0.0, 0.0)) == Bill(100, 0.0), "what was asked is paid, answered or not"


@pytest.mark.parametrize("outcome", [Outcome.CONNECT_FAILED, Outcome.DROPPED_CANDIDATE, Outcome.DROPPED_LOCAL])
def test_what_was_never_sent_costs_nothing(outcome: Outcome) -> None:
    assert bill_of(exchange(outcome, 0), None, (9.0, 9.0)) == Bill()


def test_without_a_ceiling_there_is_always_room() -> None:
    purse = Purse(Ceiling())
    purse.restore(Bill(1e12, 1e9))
    assert purse.has_room()


def test_what_is_on_its_way_counts_at_the_mean_of_what_was() -> None:
    purse = Purse(Ceiling(tokens=100))
    purse.take()
    purse.pay(Bill(30))
    for _ in range(2):
        assert purse.has_room()
        purse.take()
    assert purse.has_room(), "30 spent and 60 on their way"
    purse.take()
    assert not purse.has_room(), "30 spent and 90 on their way"
    purse.pay(Bill())
    assert purse.has_room(), "one came back and had cost nothing"


def test_either_bound_stops() -> None:
    for bill in (Bill(tokens=50), Bill(cost=2.0)):
        purse = Purse(Ceiling(tokens=50, cost=2.0))
        purse.take()
        purse.pay(bill)
        assert not purse.has_room()
