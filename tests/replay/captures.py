"""Journals to replay, configurations to replay them with, and the command as a test runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from shadowproxy.cli import main
from shadowproxy.config import Journal
from shadowproxy.exchange import CONTROL, PRIMARY, Exchange, Outcome, Reply, Request
from shadowproxy.journal.writer import JournalWriter
from tests.replay.arms import body_of, says

JSON = ((b"content-type", b"application/json"),)

#: No embedder and no latency: what is left is a function of the answers.
PLAIN: Mapping[str, Any] = {
    "embed": {"backend": "none"},
    "compare": {"languages": False},
    "gates": {"ttft": {"enabled": False}, "error": {"margin": 0.1}, "refusal": {"enabled": False}, "facts": {"enabled": False}},
    "verdict": {"min_pairs": 20},
}


def question(number: int) -> str:
    return f"How many people live in district {number} of the city?"


def request(words: str, **fields: Any) -> Request:
    body = {"model": "old", "messages": [{"role": "user", "content": words}], **fields}
    return Request("POST", "/v1/chat/completions", JSON, json.dumps(body).encode())


def exchange(number: int, text: str, arm: str = PRIMARY, *, at_s: float | None = None, words: str = "", **fields: Any) -> Exchange:
    """One arm's answer to request ``number``."""
    return Exchange(
        f"r-{number}",
        arm,
        "chat",
        request(words or question(number), **fields),
        Reply(200, JSON, ((0.01, body_of(text)),)),
        Outcome.OK,
        1_700_000_000.0 + (number * 0.01 if at_s is None else at_s),
        0.012,
    )


def capture(folder: Path, exchanges: Iterable[tuple[Exchange, tuple[Exchange, ...], str]], flush_records: int = 256, **redact: Any) -> Path:
    """A journal of these requests: the primary's exchange, those of the others, the session."""
    tree = {"to": str(folder), "flush_records": flush_records, "redact": {"bodies": False, **redact}}
    section = Journal.model_validate(tree)
    writer = JournalWriter(section, {}, folder)
    for primary, others, session in exchanges:
        writer.take(primary, others, session)
    writer.finish()
    return folder


def captured(
    folder: Path, count: int, *, control: bool = False, candidate: Callable[[int], str] | None = None, per_session: int = 1
) -> Path:
    """``count`` requests, answered by the primary, and by others where asked for."""

    def all_of() -> Iterable[tuple[Exchange, tuple[Exchange, ...], str]]:
        for number in range(count):
            others = []
            if control:
                others.append(exchange(number, says(question(number)), CONTROL))
            if candidate is not None:
                others.append(exchange(number, candidate(number), "v2"))
            session = f"s-{number // per_session}" if per_session > 1 else ""
            yield exchange(number, says(question(number))), tuple(others), session

    return capture(folder, all_of())


def configured(folder: Path, url: str = "", *, name: str = "config.yaml", **tree: Any) -> Path:
    """A configuration with the candidate ``v2`` at ``url``."""
    path = folder / name
    candidates = [{"name": "v2", "url": url or "http://127.0.0.1:9"}]
    path.write_text(yaml.safe_dump({**PLAIN, "candidates": candidates, **tree}))
    return path


def run(*arguments: object) -> int:
    """The command in this process, which also compares; its exit code."""
    written = [str(each) for each in arguments]
    alone = ["--workers", "0"] if written[0] == "replay" and written[1] != "merge" and "--workers" not in written else []
    try:
        main([*written, *alone])
    except SystemExit as exc:
        return int(exc.code or 0)
    raise AssertionError("the command did not end by an exit code")


def _heed_hangups() -> None:
    """As a shell starts a program, whoever started the tests: nohup leaves SIGHUP ignored, and so would the program."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def started(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """The command as a process."""
    command = [sys.executable, "-m", "shadowproxy", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_hangups)


#: What differs between two looks at the same evidence.
_OF_ITS_TIME = ("decided_at_s", "started_at_s", "digest", "age_s", "pairs_per_s")


def timeless(document: Any) -> Any:
    """A verdict without what tells when it was made."""
    if isinstance(document, dict):
        return {key: timeless(value) for key, value in document.items() if key not in _OF_ITS_TIME}
    return [timeless(each) for each in document] if isinstance(document, list) else document
