"""The journal of a process: nothing waits for it, what it cannot take is counted, what it wrote is read back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shadowproxy.config import Journal
from shadowproxy.counts import (
    JOURNAL_BYTES,
    JOURNAL_EXCHANGES,
    JOURNAL_RECORDS,
    JOURNAL_REDACTIONS,
    JOURNAL_SEGMENTS,
    JOURNAL_WAITING,
    METRICS,
    Counts,
)
from shadowproxy.errors import ConfigError, StartError
from shadowproxy.journal.reader import Damage, read
from shadowproxy.journal.segments import segments_in
from shadowproxy.journal.sink import JournalSink, NoSink
from shadowproxy.journal.writer import JournalWriter
from tests.journal.exchanges import all_arms, exchange


def _until(is_so: Callable[[], bool], within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, "did not come about in time"
        time.sleep(0.01)


def _journal(to: Path | str, **keys: object) -> Journal:
    return Journal.model_validate({"to": str(to), **keys})


def _counts(sink: JournalSink) -> Counts:
    counts = Counts()
    sink.report(counts)
    return counts


async def test_what_is_offered_is_read_back(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path), {"v2": "v2-1"})
    sink.start()
    for number in range(700):
        sink.offer(*all_arms(f"r-{number}"), session=f"s-{number % 3}")
    await sink.close(20)
    records = list(read(str(tmp_path)))
    assert [record.id for record in records] == [f"r-{number}" for number in range(700)]
    assert len({record.session for record in records}) == 3
    counts = _counts(sink)
    assert counts.get(JOURNAL_RECORDS, "written") == 700
    assert counts.get(JOURNAL_EXCHANGES) == 2100
    assert counts.get(JOURNAL_BYTES) == sum(path.stat().st_size for path in segments_in(tmp_path))
    assert counts.get(JOURNAL_WAITING) == 0


def test_a_record_does_not_wait_longer_than_told(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path, flush_s=0.05), {})
    sink.start()
    sink.offer(exchange(), ())
    _until(lambda: any(record.id == "r-1" for segment in segments_in(tmp_path) for record in read(str(segment))))
    sink.end(5)


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path, queue_records=3, max_record_bytes=2000), {})
    sink.offer(exchange("long", "x" * 3000), ())
    for number in range(5):
        sink.offer(exchange(f"r-{number}"), ())
    counts = _counts(sink)
    assert counts.get(JOURNAL_RECORDS, "too_large") == 1
    assert counts.get(JOURNAL_RECORDS, "queue_full") == 2
    assert counts.get(JOURNAL_WAITING) == 3
    sink.start()
    sink.end(10)
    assert [record.id for record in read(str(tmp_path))] == ["r-0", "r-1", "r-2"]


def test_bytes_that_wait_are_bounded(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path, queue_bytes=65536), {})
    for number in range(30):
        sink.offer(exchange(f"r-{number}", "x" * 10_000), ())
    assert _counts(sink).get(JOURNAL_WAITING) == 6
    sink.start()
    sink.end(10)


def test_offering_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr("shadowproxy.journal.segments._write_all", lambda *_: hangs.wait(30))
    sink = JournalSink(_journal(tmp_path, flush_records=1, queue_records=10), {})
    sink.start()
    for number in range(100):
        sink.offer(exchange(f"r-{number}"), ())
    assert _counts(sink).get(JOURNAL_RECORDS, "queue_full") >= 85
    hangs.set()
    sink.end(10)


def test_a_full_disk_costs_the_frame_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shadowproxy.journal import segments

    writer = JournalWriter(_journal(tmp_path, flush_records=2), {}, tmp_path)
    write_all = segments._write_all

    def half(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    for number in range(6):
        monkeypatch.setattr("shadowproxy.journal.segments._write_all", half if number in (2, 3) else write_all)
        writer.take(exchange(f"r-{number}"), ())
    writer.finish()
    damages: list[Damage] = []
    assert [record.id for record in read(str(tmp_path), on_damage=damages.append)] == ["r-0", "r-1", "r-4", "r-5"]
    assert damages == []
    assert writer.lost == {"write_failed": 2, "record_failed": 0}
    assert writer.written == 4
    assert writer.segments.opened == 2


def test_an_exchange_that_breaks_the_recorder_costs_itself(tmp_path: Path) -> None:
    writer = JournalWriter(_journal(tmp_path), {}, tmp_path)
    writer.take(None, ())  # type: ignore[arg-type]
    writer.take(exchange(), ())
    writer.finish()
    assert writer.lost["record_failed"] == 1
    assert [record.id for record in read(str(tmp_path))] == ["r-1"]


def test_segments_end_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    section = _journal(tmp_path, segment_bytes=65536, max_bytes=1024 * 1024, flush_records=1)
    writer = JournalWriter(section, {}, tmp_path)
    for number in range(120):
        writer.take(exchange(f"r-{number:03d}", os.urandom(12_000).hex()), ())
    writer.finish()
    ids = [record.id for record in read(str(tmp_path))]
    assert ids == [f"r-{number:03d}" for number in range(120 - len(ids), 120)]
    assert 0 < writer.segments.removed < writer.segments.opened
    assert sum(path.stat().st_size for path in segments_in(tmp_path)) <= 1024 * 1024


def test_segments_end_by_age(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path, segment_s=0.05, flush_s=0.01), {})
    sink.start()
    sink.offer(exchange("r-1"), ())
    _until(lambda: _counts(sink).get(JOURNAL_RECORDS, "written") == 1 and sink._writer.open_path() is None)
    sink.offer(exchange("r-2"), ())
    sink.end(5)
    assert len(segments_in(tmp_path)) == 2


def test_redactions_are_counted_by_kind(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path), {})
    sink.start()
    sink.offer(exchange(words="ada@example.com and bob@example.com"), ())
    sink.end(5)
    assert _counts(sink).get(JOURNAL_REDACTIONS, "email") == 2


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    writer = JournalWriter(_journal(tmp_path / "new"), {}, tmp_path / "new")
    writer.take(exchange(), ())
    writer.finish()
    assert {path.stat().st_mode & 0o777 for path in segments_in(tmp_path / "new")} == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("fsync", ["never", "segment", "frame"])
def test_the_disk_is_made_to_keep_it_as_often_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str) -> None:
    called: list[int] = []
    monkeypatch.setattr(os, "fsync", called.append)
    writer = JournalWriter(_journal(tmp_path, fsync=fsync, flush_records=1), {}, tmp_path)
    for _ in range(3):
        writer.take(exchange(), ())
    writer.finish()
    assert len(called) == {"never": 0, "segment": 1, "frame": 4}[fsync]


_WRITES = """
import sys, pathlib
from shadowproxy.config import Journal
from shadowproxy.journal.writer import JournalWriter
from tests.journal.exchanges import exchange
folder = pathlib.Path(sys.argv[1])
writer = JournalWriter(Journal(to=str(folder), flush_records=8, segment_bytes=65536), {}, folder)
number = 0
while True:
    writer.take(exchange(f"r-{number}", str(number) * 200), ())
    number += 1
    if not number % 8:
        print(number, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 40, 171])
def test_a_killed_writer_loses_nothing_that_it_had_written(tmp_path: Path, lines: int) -> None:
    command = [sys.executable, "-c", _WRITES, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        written = 0
        for _, line in zip(range(lines), writer.stdout, strict=False):
            written = int(line)
        writer.send_signal(signal.SIGKILL)
    damages: list[Damage] = []
    ids = [record.id for record in read(str(tmp_path), on_damage=damages.append)]
    assert written == lines * 8
    assert ids[:written] == [f"r-{number}" for number in range(written)]
    assert ids == [f"r-{number}" for number in range(len(ids))]
    assert all(damage.is_torn_end for damage in damages)


# --- what cannot begin ------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"cannot use .*file for the journal"):
        JournalSink(_journal(tmp_path / "file"), {})


def test_a_short_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_KEY", "short")
    with pytest.raises(ConfigError, match=r"journal\.redact\.key: has 5 bytes.*openssl"):
        JournalSink(_journal(tmp_path, redact={"key": {"env": "JOURNAL_KEY"}}), {})


def test_one_key_makes_the_same_pseudonyms_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_KEY", "0123456789abcdef0123456789abcdef")
    for name in ("a", "b"):
        writer = JournalWriter(_journal(tmp_path / name, redact={"key": {"env": "JOURNAL_KEY"}}), {}, tmp_path / name)
        writer.take(exchange(words="ada@example.com"), ())
        writer.finish()
    assert list(read(str(tmp_path / "a"))) == list(read(str(tmp_path / "b")))


def test_a_path_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"journal\.redact\.fields: .* is not a step of a path"):
        JournalSink(_journal(tmp_path, redact={"fields": ["$.a[x]"]}), {})


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"recipients": ["AGE-SECRET-KEY-1ABC"]}, "secret key"),
        ({"recipients": ["ssh-ed25519 AAAA"]}, "public keys of age"),
        ({"redact": {"fields": ["user"]}}, "is no path"),
        ({"redact": {"headers": ["x y"]}}, "no header"),
        ({"redact": {"bodies": False, "fields": ["$.a"]}}, "bodies are kept"),
        ({"to": "://x"}, "no place"),
        ({"max_bytes": 2**20}, "less than two segments"),
    ],
)
def test_what_makes_no_sense_is_refused(keys: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Journal.model_validate({"to": "/tmp/x", **keys})


async def test_without_a_journal_nothing_happens() -> None:
    sink = NoSink()
    sink.offer(exchange(), ())
    counts = Counts()
    sink.report(counts)
    await sink.close(0)
    assert counts.everything() == {}


def test_every_metric_is_reported_by_its_labels(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path), {})
    reported = {key[0]: len(key) - 1 for key in _counts(sink).everything()}
    labels = {metric.name: len(metric.labels) for metric in METRICS if "_journal_" in metric.name}
    assert reported.items() <= labels.items()
    assert labels.keys() - reported.keys() <= {JOURNAL_REDACTIONS.name, JOURNAL_BYTES.name, JOURNAL_EXCHANGES.name, JOURNAL_WAITING.name}
    assert JOURNAL_SEGMENTS.name in reported


async def test_a_journal_that_never_began_ends_at_once(tmp_path: Path) -> None:
    sink = JournalSink(_journal(tmp_path), {})
    sink.offer(exchange(), ())
    await sink.close(30)
    assert segments_in(tmp_path) == []
