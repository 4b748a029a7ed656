"""The way to an arm: pauses that it asks for, rates, and the server that is both primary and control."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shadowproxy.replay import progress
from tests.replay.arms import Arm
from tests.replay.captures import captured, configured, question, run


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("told", ["0", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_pause_that_is_over_when_it_is_told_does_not_spend_the_tries(tmp_path: Path, arm: Arm, told: str) -> None:
    """A server whose clock goes behind ours was asked six times within milliseconds, and had failed."""
    arm.refuse = lambda _, asked: (429, {"retry-after": told}, "slow down") if asked == question(3) and arm.questions[asked] < 3 else None
    run("replay", captured(tmp_path / "j", 30), "-c", configured(tmp_path, arm.url), "--json")
    first, second, third = (each.at_s for each in arm.asked if each.question == question(3))
    assert second - first > 0.24
    assert third - second > 0.49


def test_a_rate_is_kept_after_a_pause(tmp_path: Path, arm: Arm) -> None:
    """Turns that were given out before the pause all came at its end."""
    arm.refuse = lambda number, _: (429, {"retry-after": "1"}, "slow down") if number == 1 else None
    run("replay", captured(tmp_path / "j", 14), "-c", configured(tmp_path, arm.url), "--rate", "v2=5")
    at_s = sorted(each.at_s for each in arm.asked)
    assert len(at_s) == 15
    assert max(sum(one <= other < one + 1 for other in at_s) for one in at_s) <= 9  # of 13 that wait


def test_primary_and_control_are_one_server(tmp_path: Path, arm: Arm) -> None:
    with Arm(delay_s=0.05) as primary:
        config = configured(tmp_path, arm.url, primary={"url": primary.url}, control={"percent": 100, "concurrency": 3})
        run("replay", captured(tmp_path / "j", 30), "-c", config, "--fresh")
        assert {each.arm for each in primary.asked} == {"primary", "control"}
        assert primary.most_at_once == 3


def test_a_pause_of_the_primary_is_one_of_its_control(tmp_path: Path, arm: Arm) -> None:
    with Arm(refuse=lambda number, _: (429, {"retry-after": "1"}, "slow down") if number == 1 else None) as primary:
        config = configured(tmp_path, arm.url, primary={"url": primary.url}, control={"percent": 100, "concurrency": 1})
        run("replay", captured(tmp_path / "j", 5), "-c", config, "--fresh")
        assert primary.asked[1].at_s - primary.asked[0].at_s > 0.99


def test_primary_and_control_share_a_rate(tmp_path: Path, arm: Arm) -> None:
    with Arm() as primary:
        config = configured(tmp_path, arm.url, primary={"url": primary.url}, control={"percent": 100})
        run("replay", captured(tmp_path / "j", 8), "-c", config, "--fresh", "--rate", "20")
        assert len(primary.asked) == 16
        assert primary.asked[-1].at_s - primary.asked[0].at_s >= 15 / 20 * 0.95


def test_who_asks_for_a_pause_is_told(
    tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_TOLD_PAUSE_S", 0.5)
    arm.refuse = lambda number, _: (429, {"retry-after": "2"}, "slow down") if number == 1 else None
    run("replay", captured(tmp_path / "j", 5), "-c", configured(tmp_path, arm.url))
    assert capsys.readouterr().err.count("v2 asked for a pause: it is asked again in ") == 1


def test_what_waits_for_its_lane_is_late(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    """A request is late when it is sent late, wherever it waited."""
    arm.delay_s = 0.3
    config = configured(tmp_path, "", candidates=[{"name": "v2", "url": arm.url, "concurrency": 1}])
    run("replay", captured(tmp_path / "j", 10), "-c", config, "--speed", "1")
    assert "requests went out to v2 up to " in capsys.readouterr().out


def test_what_goes_out_in_time_is_not_late(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    arm.delay_s = 0.3
    run("replay", captured(tmp_path / "j", 10), "-c", configured(tmp_path, arm.url), "--speed", "1", "--json")
    said = capsys.readouterr()
    assert json.loads(said.out)["candidate"] == "v2"
    assert "requests went out" not in said.out + said.err
