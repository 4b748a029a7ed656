"""What can be named to be replayed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from shadowproxy.journal.importers.formats import FORMATS, format_of
from shadowproxy.journal.reader import read
from shadowproxy.replay.catalogue import Choice, catalogue_of
from tests.replay.arms import Arm
from tests.replay.captures import capture, captured, configured, exchange, question, run

SAMPLES = Path(__file__).parents[1] / "journal" / "samples"


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", sorted(each.name for each in SAMPLES.iterdir() if each.name != "batch_results.jsonl"))
def test_captures_of_every_format_are_asked_again(tmp_path: Path, name: str) -> None:
    """An arm that knows no path refuses each request: it is asked all the same."""
    with Anything() as arm:
        code = run("replay", SAMPLES / name, "-c", configured(tmp_path, arm.url, primary={"url": arm.url}), "--work", "w")
        assert code in (0, 3, 4)
        assert arm.targets, f"{format_of(str(SAMPLES / name))}: nothing was asked"
        place = str(tmp_path / "w" / "source")
        wanted = catalogue_of(place, Choice(), on_damage=lambda _: None, on_record=lambda _: None)
        assert arm.by_arm["v2"] == len(wanted)


def test_every_format_has_a_sample() -> None:
    assert {format_of(str(each)) for each in SAMPLES.iterdir()} == set(FORMATS)


class Anything(Arm):
    """Answers any path with an error."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.by_arm: Counter[str] = Counter()

    def routes(self, application: web.Application) -> None:
        application.router.add_route("*", "/{tail:.*}", self._any)

    async def _any(self, request: web.Request) -> web.Response:
        self.targets.append(request.path)
        self.by_arm[request.headers["x-shadowproxy-arm"]] += 1
        return web.json_response({"error": {"message": "never heard of it"}}, status=404)


def test_a_plain_file_of_records_is_a_journal(tmp_path: Path, arm: Arm) -> None:
    place = captured(tmp_path / "j", 7)
    with (tmp_path / "records.jsonl").open("wb") as file:
        file.writelines(msgspec.json.encode(record) + b"\n" for record in read(str(place)))
    run("replay", tmp_path / "records.jsonl", "-c", configured(tmp_path, arm.url), "--work", "w")
    assert set(arm.questions) == {question(number) for number in range(7)}
    assert not (tmp_path / "w" / "source").exists(), "it is read where it is"


def test_a_url_is_read_where_it_is(tmp_path: Path, arm: Arm) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    place = captured(tmp_path / "j", 7)
    run("replay", f"file://{place}", "-c", configured(tmp_path, arm.url))
    assert len(arm.asked) == 7


def test_a_request_without_a_recorded_answer_is_asked_of_the_primary(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"id": "a", "prompt": "First?", "answer": "one"}, {"id": "b", "prompt": "Second?"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Arm() as primary:
        run("replay", tmp_path / "p.jsonl", "-c", configured(tmp_path, arm.url, primary={"url": primary.url}))
        assert set(primary.questions) == {"Second?"}
    assert set(arm.questions) == {"First?", "Second?"}
    assert "the answers of primary to 1 of 2 requests are those of the capture" in capsys.readouterr().out


def test_damage_in_a_capture_is_told(tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    place = capture(tmp_path / "j", ((exchange(number, "x"), (), "") for number in range(20)), flush_records=10)
    (segment,) = place.iterdir()
    segment.write_bytes(segment.read_bytes()[:40] + b"spoilt" + segment.read_bytes()[46:])
    run("replay", place, "-c", configured(tmp_path, arm.url))
    assert len(arm.asked) == 10
    assert "the capture has 1 damaged places" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["nowhere", "empty", "notes.txt"])
def test_what_is_no_capture_is_named(tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("buy milk\n")
    assert run("replay", tmp_path / source, "-c", configured(tmp_path)) == 2
    assert source in capsys.readouterr().err
