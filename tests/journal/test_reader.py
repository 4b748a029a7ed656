"""Journals read back: from a folder, a file or a URL, past damage, sealed or not."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import msgspec
import pytest

from shadowproxy.config import Journal
from shadowproxy.errors import InputError, StartError
from shadowproxy.journal.reader import Damage, read, segments_at
from shadowproxy.journal.recording import Recorder
from shadowproxy.journal.records import Record
from shadowproxy.journal.sealing import sealer, unsealer
from shadowproxy.journal.segments import segments_in
from shadowproxy.journal.shipping import spool_for
from shadowproxy.journal.sink import JournalSink
from shadowproxy.journal.writer import JournalWriter
from shadowproxy.redaction.pseudonyms import Pseudonyms
from tests.journal.exchanges import exchange
from tests.journal.test_sink import _until


def _write(folder: Path, count: int, first: int = 0, **keys: object) -> None:
    section = Journal.model_validate({"to": str(folder), "flush_records": 4, **keys})
    writer = JournalWriter(section, {}, folder)
    for number in range(first, first + count):
        writer.take(exchange(f"r-{number}"), ())
    writer.finish()


def _ids(place: object, damages: list[Damage] | None = None) -> list[str]:
    return [record.id for record in read(str(place), on_damage=(damages if damages is not None else []).append)]


def test_a_folder_is_read_in_the_order_of_its_segments(tmp_path: Path) -> None:
    for first in (0, 10, 20):
        _write(tmp_path, 10, first)
    assert _ids(tmp_path) == [f"r-{number}" for number in range(30)]
    assert len(segments_at(str(tmp_path))) == 3


def test_a_damaged_middle_is_named_by_segment_and_offset(tmp_path: Path) -> None:
    _write(tmp_path, 12)
    (segment,) = segments_in(tmp_path)
    data = bytearray(segment.read_bytes())
    offset = data.find(b"SPJ1", 100) - 8
    data[offset + 60] ^= 1
    segment.write_bytes(data)
    damages: list[Damage] = []
    assert _ids(tmp_path, damages) == [f"r-{number}" for number in (0, 1, 2, 3, 8, 9, 10, 11)]
    assert [(damage.segment, damage.offset, damage.is_torn_end) for damage in damages] == [(str(segment), offset, False)]
    assert "damaged frame of 4 records" in str(damages[0])


def test_damage_is_logged_and_a_torn_end_is_only_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(tmp_path, 8)
    (segment,) = segments_in(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-3])
    with caplog.at_level(logging.INFO):
        assert [record.id for record in read(str(tmp_path))] == [f"r-{number}" for number in range(4)]
    assert [(entry.levelno, "ends within a frame of 4 records" in entry.getMessage()) for entry in caplog.records] == [(logging.INFO, True)]


def test_plain_lines_are_read_too(tmp_path: Path) -> None:
    recorder = Recorder(Pseudonyms(b"k" * 32), None)
    lines = [msgspec.json.encode(recorder.record(exchange(f"r-{number}"))) for number in range(3)]
    (tmp_path / "cut.jsonl").write_bytes(b"\n".join([*lines, b"[]", b"", lines[0][:-9]]))
    damages: list[Damage] = []
    assert _ids(tmp_path / "cut.jsonl", damages) == ["r-0", "r-1", "r-2"]
    assert [damage.is_torn_end for damage in damages] == [False, True]
    (tmp_path / "cut.jsonl").write_bytes(lines[0])
    assert _ids(tmp_path) == ["r-0"]


def test_a_record_of_a_later_version_is_not_misread(tmp_path: Path) -> None:
    record = msgspec.structs.replace(Recorder(Pseudonyms(b"k" * 32), None).record(exchange()), v=2)
    (tmp_path / "later.jsonl").write_bytes(msgspec.json.encode(record) + b"\n")
    damages: list[Damage] = []
    assert _ids(tmp_path, damages) == []
    assert "version 2; this program knows 1" in damages[0].problem


def test_a_place_without_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no segment"):
        list(read(str(tmp_path)))
    with pytest.raises(InputError, match="cannot be read"):
        list(read(str(tmp_path / "nowhere")))


# --- sealed -----------------------------------------------------------------------------------------------------------------


def test_a_sealed_journal_opens_with_its_identity_alone(tmp_path: Path) -> None:
    x25519 = pytest.importorskip("pyrage", reason="pyrage is not installed").x25519
    owner, stranger = x25519.Identity.generate(), x25519.Identity.generate()
    for name, identity in (("owner", owner), ("stranger", stranger)):
        (tmp_path / name).write_text(f"# created: today\n{identity}\n")
    _write(tmp_path / "j", 8, recipients=[str(owner.to_public())])
    (segment,) = segments_in(tmp_path / "j")
    assert b"r-0" not in segment.read_bytes()
    damages: list[Damage] = []
    assert len(list(read(str(segment), unseal=unsealer([tmp_path / "stranger", tmp_path / "owner"])))) == 8
    assert list(read(str(segment), unseal=unsealer([tmp_path / "stranger"]), on_damage=damages.append)) == []
    assert list(read(str(segment), on_damage=damages.append)) == []
    assert ["cannot be opened" in damage.problem or "--identity" in damage.problem for damage in damages] == [True] * 4


def test_a_torn_end_of_a_sealed_journal_costs_its_frame(tmp_path: Path) -> None:
    x25519 = pytest.importorskip("pyrage", reason="pyrage is not installed").x25519
    owner = x25519.Identity.generate()
    (tmp_path / "owner").write_text(str(owner))
    _write(tmp_path / "j", 8, recipients=[str(owner.to_public())])
    (segment,) = segments_in(tmp_path / "j")
    segment.write_bytes(segment.read_bytes()[:-1])
    assert len(list(read(str(segment), unseal=unsealer([tmp_path / "owner"])))) == 4


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyrage", reason="pyrage is not installed")
    (tmp_path / "key").write_text("not a key")
    with pytest.raises(InputError, match="holds no identity of age"):
        unsealer([tmp_path / "key"])
    with pytest.raises(InputError, match="cannot be read"):
        unsealer([tmp_path / "nowhere"])
    with pytest.raises(StartError, match=r"journal\.recipients"):
        sealer(["age1nonsense"])
    assert unsealer([]) is None


# --- URLs -------------------------------------------------------------------------------------------------------------------

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


def _memory() -> str:
    return f"memory://{uuid.uuid4().hex}/journal"


@pytest.mark.parametrize("scheme", ["memory", "file"])
async def test_finished_segments_are_delivered_to_a_url(tmp_path: Path, scheme: str) -> None:
    url = _memory() if scheme == "memory" else f"file://{tmp_path}/there"
    section = Journal.model_validate({"to": url, "spool": str(tmp_path / "spool"), "flush_records": 2, "segment_bytes": 65536})
    sink = JournalSink(section, {})
    sink.start()
    for number in range(20):
        sink.offer(exchange(f"r-{number}"), ())
    await sink.close(20)
    assert _ids(url) == [f"r-{number}" for number in range(20)]
    assert segments_in(tmp_path / "spool") == []
    (segment,) = segments_at(url)
    assert _ids(segment) == _ids(url)


def test_what_a_crash_left_in_the_spool_is_delivered_at_the_next_start(tmp_path: Path) -> None:
    url = _memory()
    _write(tmp_path, 6)
    sink = JournalSink(Journal(to=url, spool=tmp_path), {})
    sink.start()
    _until(lambda: segments_in(tmp_path) == [])
    sink.end(10)
    assert _ids(url) == [f"r-{number}" for number in range(6)]


def test_what_cannot_be_delivered_stays_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = _memory()
    memory = type(fsspec.filesystem("memory"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("the bucket is not yours")

    with monkeypatch.context() as patched:
        patched.setattr(memory, "put_file", refuse)
        sink = JournalSink(Journal(to=url, spool=tmp_path), {})
        sink.start()
        sink.offer(exchange(), ())
        sink.end(10)
    assert len(segments_in(tmp_path)) == 1
    assert sink._shipper is not None
    assert (sink._shipper.shipped, sink._shipper.failed > 0) == (0, True)


def test_the_oldest_at_a_url_go_first(tmp_path: Path) -> None:
    url = _memory()
    for first in range(0, 40, 10):
        _write(tmp_path / "old", 10, first)
    size = sum(path.stat().st_size for path in segments_in(tmp_path / "old"))
    section = Journal(to=url, spool=tmp_path / "old").model_copy(update={"max_bytes": size * 6 // 10})
    sink = JournalSink(section, {})
    sink.start()
    _until(lambda: segments_in(tmp_path / "old") == [])
    sink.end(10)
    assert _ids(url) == [f"r-{number}" for number in range(20, 40)]
    assert sink._shipper is not None
    assert sink._shipper.removed == 2


def test_a_url_has_a_spool_of_its_own() -> None:
    assert spool_for("s3://a/b") == spool_for("s3://a/b") != spool_for("s3://a/c")


def test_a_store_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nosuchstore://bucket: .*pip install"):
        JournalSink(Journal(to="nosuchstore://bucket", spool=tmp_path), {})


def test_records_of_a_url_are_records(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    (record,) = read(f"file://{tmp_path}")
    assert isinstance(record, Record)
