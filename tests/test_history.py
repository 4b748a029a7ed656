"""What verdicts have been: bounded, in order, and in a file that survives whatever stops the writing."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowproxy.config import HistoryKept
from shadowproxy.errors import StartError
from shadowproxy.history import Entry, History, append, compact

R = "v2-0123456789ab"


def entry(number: int, kind: str = "change", rollout: str = R, state: str = "hold", **verdict: Any) -> Entry:
    return Entry(float(number), kind, rollout, rollout.partition("-")[0], state, None, {"pairs": number, **verdict})  # type: ignore[arg-type]


def kept(**section: Any) -> History:
    return History(HistoryKept.model_validate(section))


def times(history: History, limit: int = 100, asked: str | None = None) -> list[float]:
    return [each["at_s"] for each in history.latest(limit, asked)]


def written(path: Path, *entries: Entry) -> None:
    history = kept(file=path)
    for each in entries:
        history.add(each)
    history.close()


# --- in memory ------------------------------------------------------------------------------------------------------------


def test_latest_are_newest_first_whatever_their_kind() -> None:
    history = kept()
    for number, kind in enumerate(("change", "sample", "sample", "change", "sample")):
        history.add(entry(number, kind))
    assert times(history) == [4, 3, 2, 1, 0]
    assert times(history, 2) == [4, 3]


def test_one_rollout_by_its_id_or_its_candidate() -> None:
    history = kept()
    for number, rollout in enumerate((R, "v3-ba9876543210", R)):
        history.add(entry(number, rollout=rollout))
    assert times(history, asked=R) == times(history, asked="v2") == [2, 0]
    assert times(history, asked="v3") == [1]
    assert times(history, asked="v4") == []


def test_samples_go_before_changes_and_old_before_new() -> None:
    history = kept(entries=3)
    for number, kind in enumerate(("change", "sample", "change", "sample")):
        history.add(entry(number, kind))
    assert times(history) == [3, 2, 0]
    history.add(entry(4))
    assert times(history) == [4, 2, 0]
    history.add(entry(5))
    assert times(history) == [5, 4, 2]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("change", "sample")), st.integers(0, 40_000)), max_size=30))
def test_bounds_hold_and_the_newest_stays(sizes: list[tuple[str, int]]) -> None:
    history = kept(entries=8, max_bytes=65536)
    for number, (kind, size) in enumerate(sizes):
        history.add(entry(number, kind, text="x" * size))
        shown = history.latest(100)
        assert len(shown) == len(history) <= 8
        assert len(shown) == 1 or sum(len(orjson.dumps(each)) for each in shown) <= 65536
        if kind == "change":
            assert shown[0]["at_s"] == number


def test_last_state_is_that_of_the_latest_entry() -> None:
    history = kept(entries=1)
    assert history.last_state(R) is None
    history.add(entry(1, state="promote"))
    history.add(entry(2, rollout="v3-ba9876543210", state="rollback"))
    assert (history.last_state(R), history.last_state("v3-ba9876543210")) == ("promote", "rollback")


def test_sample_keeps_plain_values_whatever_they_are_called() -> None:
    document = {
        "state": "hold",
        "pairs": 3,
        "digest": None,
        "gates": [{"n": 1}],
        "rules": {"a": 1},
        "reasons": (),
        "rate": 0.5,
        "is_new": True,
    }
    assert compact(document) == {"state": "hold", "pairs": 3, "digest": None, "rate": 0.5, "is_new": True}


# --- in a file ------------------------------------------------------------------------------------------------------------


def test_next_process_begins_with_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "history.jsonl"
    written(path, entry(1), entry(2, state="promote"))
    again = kept(file=path)
    assert times(again) == [2, 1]
    assert again.last_state(R) == "promote"
    again.add(entry(3))
    again.close()
    assert times(kept(file=path)) == [3, 2, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(cut=st.integers(1, 400))
@settings(deadline=None, max_examples=30)
def test_torn_last_line_costs_itself_only(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "history.jsonl"
    written(path, *(entry(number) for number in range(5)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    left = sum(each == before for each, before in zip(whole[:-cut].split(b"\n"), whole.split(b"\n"), strict=False) if each)
    written(path, entry(99))
    found = times(kept(file=path))
    assert found[0] == 99
    complete = [float(number) for number in range(left)]
    assert found[1:] == complete[::-1]


@pytest.mark.parametrize(
    "line", [b"not json", b"[]", b"{}", b"\xff\xfe", b'{"at_s": "soon"}', b'{"at_s":1,"kind":"odd","rollout":"r","candidate":"c"}']
)
def test_line_that_is_no_entry_is_left_out(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "history.jsonl"
    written(path, entry(1))
    append(path, line)
    written(path, entry(2))
    assert times(kept(file=path)) == [2, 1]


def test_file_is_cut_to_its_newer_part_before_it_is_twice_its_bound_and_one_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = kept(file=path, max_bytes=65536)
    for number in range(60):
        history.add(entry(number, text="x" * 5000))
    history.close()
    assert path.stat().st_size <= 2 * 65536 + 6000
    assert not path.with_name("history.jsonl.new").exists()
    found = times(kept(file=path, max_bytes=65536))
    assert found == [float(number) for number in range(59, 59 - len(found), -1)]
    assert len(found) >= 10


def test_file_longer_than_the_bound_is_read_from_a_line_s_beginning(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    for number in range(100):
        append(path, orjson.dumps({**_as_dict(entry(number, text="x" * 1000))}))
    found = times(kept(file=path, max_bytes=65536), limit=1000)
    assert found == [float(number) for number in range(99, 99 - len(found), -1)]
    assert 50 <= len(found) <= 65


def _as_dict(each: Entry) -> dict[str, Any]:
    return {name: getattr(each, name) for name in each.__struct_fields__}


def test_file_that_cannot_be_used_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"for the history of verdicts: Is a directory; choose a judge\.history\.file"):
        kept(file=tmp_path)


def test_disk_that_takes_no_more_costs_lines_that_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "history.jsonl"
    history = kept(file=path)
    path.unlink()
    path.mkdir()  # nothing can be appended to that
    for number in range(3):
        history.add(entry(number))
    history.close()
    assert history.lost_lines == 3
    assert times(history) == [2, 1, 0]
    assert len(caplog.records) == 1, "told once, not per line"
