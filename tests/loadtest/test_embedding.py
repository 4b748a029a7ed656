"""The comparison of embedders runs and reports; how fast either is, is not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="load tests read /proc and pin processes to cores: Linux only")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_embedding_reports_rates_starts_and_what_was_skipped(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    order = ["embedding", "--rounds", "1", "--tokens", "16", "300", "--pairs", "14", "--json", str(report)]
    done = subprocess.run([sys.executable, str(ROOT / "loadtest/run.py"), *order], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    written = json.loads(report.read_text())
    default = [row for row in written["results"] if row["peer"] == "default"]
    assert [row["tokens"] for row in default if "tokens" in row] == [16, 300]
    assert all(row["ratio"] == 1 for row in default if "tokens" in row)
    (start,) = (row["rounds"][0] for row in default if row.get("measure") == "start")
    assert 0 < start["resident_mb"] <= start["peak_mb"]
    peers = {row["peer"] for row in written["results"]} - {"default"}
    assert bool(peers) != ("sentence-transformers" in written["skipped"])
    assert any("rank_people" in row for row in default) != ("agreement" in written["skipped"])


def test_answers_have_exactly_the_tokens_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "loadtest")
    import embedding

    from shadowproxy.embed import onnx

    model = onnx.OnnxModel(onnx.packaged_files(), threads=1)
    one, two = embedding._answers(300, 2)
    assert [window.tokens for window in model.windows(one)] == [126, 126, 48]
    assert one != two
    assert embedding.spearman([1, 2, 2, 4], [10, 30, 30, 40]) == pytest.approx(1)
    assert embedding.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
