"""The load tests run, count and clean up. How fast anything is, is not asserted: that depends on the machine and its neighbours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = ("direct", "shadowproxy 100 %")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="load tests read /proc and pin processes to cores: Linux only")


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "loadtest/run.py"), "unary", "--rounds", "1", "--only", *ROWS, *arguments]


def running(words: str) -> list[int]:
    """Processes whose command line contains this."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in file.read_bytes():
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found


def test_unary_reports_every_round_with_its_copies(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = subprocess.run(command("--seconds", "1", "--json", str(report)), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    written = json.loads(report.read_text())
    assert written["scenario"] == "unary"
    assert written["skipped"] == {}
    assert {"python", "uvloop"} <= written["versions"].keys()
    assert f"generator: {written['generator']}" in done.stdout
    assert written["priority"] in {"SCHED_FIFO", "nice -20", "normal"}
    assert written["machine"]["cores"] >= 1
    rows = {row["peer"]: row["rounds"] for row in written["results"]}
    assert tuple(rows) == ROWS
    for name, rounds in rows.items():
        assert len(rounds) == 1
        assert rounds[0]["errors"] == 0
        assert rounds[0]["requests"] > 0
        assert rounds[0]["p50_ms"] <= rounds[0]["p99_ms"]
        assert name in done.stdout
    mirrored = rows["shadowproxy 100 %"][0]
    assert 0 < mirrored["copies"] <= mirrored["asked"]
    assert mirrored["copies_in_round"] <= mirrored["copies"]
    assert mirrored["cpu_s"] == pytest.approx(mirrored["cpu_s_gateway"] + mirrored["cpu_s_shadow"] + mirrored["cpu_s_supervisor"])


def heed_interrupts() -> None:
    """A shell that starts these tests in the background has interrupts ignored, and what is ignored is inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_ends_everything_it_started(tmp_path: Path) -> None:
    # The temporary folder stands in the command lines of the peers: what is left over is found by it.
    place = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command("--seconds", "60"), env=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as started:
        bound = threading.Timer(100, started.kill)
        bound.start()
        try:
            assert started.stderr is not None
            assert any(ROWS[1] in line for line in started.stderr)  # said before it starts: the worst moment to be interrupted
            started.send_signal(signal.SIGINT)
            started.stderr.read()
            assert started.wait() == 130
        finally:
            bound.cancel()
            started.kill()
    assert running(str(tmp_path)) == []
