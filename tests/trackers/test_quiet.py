"""The clients report to nobody but whom they were sent to. In processes of their own: both look once, when they are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Where a client sees one of these it takes the run for a test, and is quiet anyway.
_HUSHING = ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "WANDB_ERROR_REPORTING")


def said_by(code: str, folder: Path, **environment: str) -> list[str]:
    outside = {name: value for name, value in os.environ.items() if name not in _HUSHING}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=outside | environment, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


MLFLOW = """
from shadowproxy.trackers.destinations import destinations_of
from shadowproxy.trackers.tracking import Tracking
Tracking(destinations_of(["mlflow"]))
from mlflow.telemetry import client, utils
print(utils._IS_IN_CI_ENV_OR_TESTING, utils.is_telemetry_disabled(), client.get_telemetry_client())
"""


def test_mlflow_reports_no_use(tmp_path: Path) -> None:
    pytest.importorskip("mlflow.telemetry", reason="mlflow is not installed")
    (tmp_path / "runs").mkdir()
    (line,) = said_by(MLFLOW, tmp_path, MLFLOW_TRACKING_URI=(tmp_path / "runs").as_uri(), MLFLOW_ALLOW_FILE_STORE="true")
    assert line == "False True None", "not taken for a test, and quiet all the same"


WANDB = """
import os
from pathlib import Path
from shadowproxy.trackers.destinations import destinations_of
from shadowproxy.trackers.tracking import Tracking
(tracker,) = Tracking(destinations_of(["wandb"]))._trackers.values()
import wandb
run = wandb.init(settings=wandb.Settings(console="off"))
for process in Path("/proc").glob("[0-9]*/cmdline"):
    try:
        words = process.read_bytes().split(b"\\0")
        parent = int(process.with_name("stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        continue
    if words[0].endswith(b"wandb-core") and parent == os.getpid():
        print(b" ".join(words).decode())
run.finish()
"""


def test_wandb_reports_no_crash(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    (line,) = said_by(WANDB, tmp_path, WANDB_MODE="offline", WANDB_DATA_DIR=str(tmp_path), WANDB_DIR=str(tmp_path))
    assert "--no-observability" in line


def test_wandb_would_report_crashes_if_we_did_not_ask_it_not_to(tmp_path: Path) -> None:
    """What the test above looks at is what the client's switch moves."""
    pytest.importorskip("wandb", reason="wandb is not installed")
    switched_on = {"WANDB_ERROR_REPORTING": "true", "WANDB_DATA_DIR": str(tmp_path), "WANDB_DIR": str(tmp_path)}
    (line,) = said_by(WANDB, tmp_path, WANDB_MODE="offline", **switched_on)
    assert "--no-observability" not in line
