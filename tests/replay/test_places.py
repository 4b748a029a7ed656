"""Where a replay reads and writes, and what becomes of it where that fails."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shadowproxy.journal.reader import located, read
from shadowproxy.replay.cards import OPEN, Cards, Shelf
from tests.replay.arms import Arm
from tests.replay.captures import captured, configured, question, run


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_of(place: Path) -> str:
    """A journal as lines that anybody may edit."""
    return "".join(json.dumps(msgspec.to_builtins(each)) + "\n" for each in read(str(place)))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder and the URL at which it is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


@pytest.mark.parametrize("name", ["records.jsonl", "prompts.jsonl", "segment"])
def test_a_capture_lies_at_a_url(name: str, site: tuple[str, Path], tmp_path: Path, arm: Arm) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra fsspec)")
    url, folder = site
    place = captured(tmp_path / "journal", 25)
    if name == "records.jsonl":
        (folder / name).write_text(lines_of(place))
    elif name == "prompts.jsonl":
        prompts = ({"id": str(number), "prompt": question(number), "answer": "x"} for number in range(25))
        (folder / name).write_text("".join(json.dumps(each) + "\n" for each in prompts))
    else:
        (segment,) = place.iterdir()
        name = segment.rename(folder / segment.name).name
    assert run("replay", f"{url}/{name}", "-c", configured(tmp_path, arm.url)) in (0, 3, 4)
    assert sorted(arm.questions) == sorted(question(number) for number in range(25))


def test_a_journal_has_more_segments_than_a_process_may_have_files_open(tmp_path: Path) -> None:
    segments = [str(captured(tmp_path / f"journal-{number}", 1)) for number in range(3 * OPEN)]
    places = [next(Path(each).iterdir()) for each in segments]
    cards = Cards([str(each) for each in places])
    for number, place in enumerate(places):
        ((at, _),) = located(str(place), None, lambda _: None)
        cards.add(number, at)
    files = Path("/proc/self/fd")
    before = len(list(files.iterdir()))
    with Shelf(cards, None) as shelf:
        for _ in range(2):
            for number in range(len(cards)):
                assert b"How many people" in shelf.line(number)
                assert len(list(files.iterdir())) <= before + OPEN
    assert len(list(files.iterdir())) == before


def test_a_command_finds_its_folder_again_whatever_order_its_routes_come_in() -> None:
    written = (
        "from shadowproxy.replay.catalogue import Choice; from shadowproxy.replay.command import Request, folder_for; "
        "print(folder_for(Request('journal', choice=Choice(frozenset({'chat', 'messages', 'search'})))))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", written], env={**os.environ, "PYTHONHASHSEED": str(seed)}, check=True, capture_output=True, text=True
        ).stdout
        for seed in range(1, 5)
    }
    assert len(found) == 1
