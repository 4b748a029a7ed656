"""``shadowproxy journal …``, as people call it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import orjson
import pytest

from shadowproxy.config import Journal
from shadowproxy.errors import InputError
from shadowproxy.journal.commands import add_commands
from shadowproxy.journal.reader import read
from shadowproxy.journal.segments import segments_in
from shadowproxy.journal.writer import JournalWriter
from tests.journal.exchanges import all_arms, exchange
from tests.journal.test_importers import SAMPLES


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(["journal", *arguments])
    code: int = options.run(options)
    return code


@pytest.fixture
def journal(tmp_path: Path) -> str:
    folder = tmp_path / "journal"
    writer = JournalWriter(Journal(to=str(folder), flush_records=2), {"v2": "v2-1"}, folder)
    for number in range(4):
        writer.take(*all_arms(f"r-{number}"), session=f"s-{number % 2}")
    writer.take(exchange("r-9", "I am \N{SNOWMAN}"), ())
    writer.finish()
    return str(folder)


def test_show_prints_what_was_asked_and_answered(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", journal, "--id", "r-0") == 0
    shown = capsys.readouterr().out
    for part in ("r-0 · chat", "hello", "hi there", "v2 · v2-1 · timeout", "no complete reply"):
        assert part in shown
    assert "r-1" not in shown


def test_show_cuts_long_texts(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", journal, "--id", "r-0", "--chars", "2") == 0
    assert "he … (3 more characters)" in capsys.readouterr().out


def test_show_prints_whole_records_for_other_programs(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", journal, "--json", "--arm", "v2", "--route", "chat", "-n", "3") == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["r-0", "r-1", "r-2"]


def test_stats_counts(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("stats", journal) == 0
    stats = json.loads(capsys.readouterr().out)
    assert stats["records"] == 5
    assert stats["exchanges"] == 13
    assert stats["sessions"] == 2
    assert stats["outcomes"] == {"primary": {"ok": 5}, "control": {"ok": 4}, "v2": {"timeout": 4}}
    assert stats["rollouts"] == {"v2-1": 4}
    assert (stats["segments"], stats["torn_ends"], stats["damaged_places"]) == (1, 0, 0)


def test_damage_is_named_and_told_by_the_exit_code(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    (segment,) = segments_in(Path(journal))
    data = bytearray(segment.read_bytes())
    data[50] ^= 1
    segment.write_bytes(data)
    assert _run("stats", journal) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["records"] == 3
    assert f"{segment}, byte 0: holds a damaged frame of 2 records" in printed.err


def test_export_writes_lines_that_are_a_journal(journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("export", journal, "--jsonl", str(tmp_path / "out.jsonl")) == 0
    assert capsys.readouterr().out.endswith("out.jsonl: 5 records\n")
    assert list(read(str(tmp_path / "out.jsonl"))) == list(read(journal))


def test_export_writes_parquet(journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    assert _run("export", journal, "--parquet", str(tmp_path / "out.parquet")) == 0
    assert capsys.readouterr().out.endswith("out.parquet: 13 exchanges\n")
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert len(rows) == 13
    first = rows[0]
    assert (first["id"], first["arm"], first["status"], first["outcome"]) == ("r-0", "primary", 200, "ok")
    assert first["first_byte_s"] == 0.25
    assert first["issued_at"].timestamp() == 1_700_000_000.5
    assert json.loads(first["reply_body"])["choices"][0]["message"]["content"] == "hi"
    assert rows[2]["rollout"] == "v2-1"
    assert rows[2]["status"] is None


def test_import_writes_a_journal_redacted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.jsonl").write_bytes(orjson.dumps({"prompt": "write to ada@example.com", "answer": "done"}))
    assert _run("import", str(tmp_path / "p.jsonl"), "--to", str(tmp_path / "j")) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'j'}: 1 exchanges from prompts\n"
    (record,) = read(str(tmp_path / "j"))
    assert record.source == "prompts"
    assert "ada@" not in record.body.text


def test_import_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(SAMPLES / name) for name in ("batch_requests.jsonl", "batch_results.jsonl")]
    assert _run("import", *files, "--to", str(tmp_path / "j")) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'j'}: 4 exchanges from openai-batch, 1 of them without an answer\n"
    assert "left out, no custom_id: 1 (batch_requests.jsonl, line 6)" in printed.err
    assert [record.id for record in read(str(tmp_path / "j"))] == ["q-1", "q-2", "q-3", "q-4"]


def test_import_goes_into_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="import into a folder"):
        _run("import", str(SAMPLES / "prompts.jsonl"), "--to", "s3://bucket/x")


@pytest.mark.parametrize("file", sorted(path.name for path in SAMPLES.iterdir() if path.name != "batch_results.jsonl"))
def test_every_sample_becomes_a_journal(file: str, tmp_path: Path) -> None:
    _run("import", str(SAMPLES / file), "--to", str(tmp_path / "j"))
    records = list(read(str(tmp_path / "j")))
    assert records
    assert all(record.exchanges()[0].id == record.id for record in records)
