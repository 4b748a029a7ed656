from __future__ import annotations

import pytest

from shadowproxy.testing.clock import ManualClock


def test_time_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(10.0)
    assert (clock.now(), clock.now()) == (10.0, 10.0)
    assert clock.advance(2.5) == 12.5
    assert clock() == clock.now() == 12.5


def test_clock_refuses_to_go_back() -> None:
    clock = ManualClock()
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
    assert clock.now() == 0.0
