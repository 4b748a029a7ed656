"""``shadowproxy plan``: how many pairs and how long a decision takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from shadowproxy.cli import main
from tests.offline.files import write

CONFIG = {"primary": {"url": "http://a:1"}, "control": {"percent": 100}, "candidates": [{"name": "v2", "url": "http://b:1"}]}


def planned(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str, **sections: Any) -> dict[str, dict[str, Any]]:
    config = write(tmp_path / "c.yaml", [{**CONFIG, "admin": {"listen": "127.0.0.1:9"}, **sections}])
    with pytest.raises(SystemExit) as end:
        main(["plan", "-c", str(config), "--json", *options])
    assert end.value.code == 0
    return {row["gate"]: row for row in orjson.loads(capsys.readouterr().out)}


def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What is said of options that cannot be."""
    with pytest.raises(SystemExit) as end:
        main(["plan", "-c", str(write(tmp_path / "c.yaml", [CONFIG])), *options])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def serve() -> Iterator[tuple[str, dict[str, Any]]]:
    """An admin surface that shows one verdict."""
    finding = {"gate": "similarity", "slice": "", "n": 400, "counts": {"0.00": 360, "+0.05": 20, "-0.05": 20}}
    verdict = {"pairs": 400, "pairs_per_s": 4.0, "gates": [finding]}

    class Surface(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = orjson.dumps({"verdicts": [verdict]})
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Surface)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", verdict
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_traffic_the_usual_noise_is_assumed_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = planned(tmp_path, capsys, "--rate", "2")
    assert all(row["is_assumed"] for row in rows.values())
    assert rows["similarity"]["promote"]["pairs"] == pytest.approx(375, rel=0.2), "what simulations of that spread needed"
    assert rows["similarity"]["promote"]["seconds"] == rows["similarity"]["promote"]["pairs"] / 2


def test_noise_and_rate_of_a_running_serve_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], serve: tuple[str, dict[str, Any]]
) -> None:
    row = planned(tmp_path, capsys, admin={"listen": serve[0]})["similarity"]
    assert not row["is_assumed"]
    assert row["pairs_per_s"] == 4.0
    assert row["promote"]["pairs"] < planned(tmp_path, capsys)["similarity"]["promote"]["pairs"], "it is quieter than usual"


def test_greater_loss_is_seen_sooner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, large = (planned(tmp_path, capsys, "--loss", f"error={loss}")["error"]["rollback"]["pairs"] for loss in (0.01, 0.1))
    assert large < small


def test_wider_margin_is_passed_sooner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = planned(tmp_path, capsys)["error"]["promote"]["pairs"]
    assert planned(tmp_path, capsys, gates={"error": {"margin": 0.02}})["error"]["promote"]["pairs"] < narrow


def test_table_says_what_a_promotion_waits_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path / "c.yaml", [{**CONFIG, "admin": {"listen": "127.0.0.1:9"}}])
    with pytest.raises(SystemExit):
        main(["plan", "-c", str(config)])
    shown = capsys.readouterr().out
    assert "A promotion waits for error" in shown
    assert "no serve answers at 127.0.0.1:9" in shown


def test_loss_of_a_gate_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--loss: speed is not a gate" in refused(tmp_path, capsys, "--loss", "speed=0.1")


def test_rollbacks_are_planned_without_a_control_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three margins of ``facts_absolute`` are 0.9, and usually there are only 0.85 to lose."""
    rows = planned(tmp_path, capsys, control=None)
    assert rows["facts_absolute"]["loss"] == pytest.approx(0.85)
    assert all(row["rollback"]["pairs"] for row in rows.values())


def test_a_loss_greater_than_everything_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(tmp_path, capsys, "--loss", "facts=0.9")
    assert "--loss: facts=0.9 is more than there is to lose; no candidate can be worse by more than 0.8 here" in said


def test_rollbacks_by_latency_take_their_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    busy, idle, single = (
        planned(tmp_path, capsys, "--rate", rate, units={"stall_s": stall_s})["ttft"]["rollback"]
        for rate, stall_s in (("20", 5), ("0.1", 5), ("20", 0))
    )
    assert busy["seconds"] == pytest.approx(busy["pairs"] * (5 + 1 / 20))
    assert idle["seconds"] == pytest.approx(idle["pairs"] * (5 + 10))
    assert single["seconds"] == pytest.approx(single["pairs"] / 20)
