"""The load test of the journal runs and prints its table. How fast it is, is not asserted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="load tests pin processes to cores: Linux only")
def test_the_load_test_of_the_journal_runs() -> None:
    command = [sys.executable, "loadtest/journal.py", "--rounds", "1", "--records", "20"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    for row in ("0.5 KB", "4 KB", "100 events", "redacted", "as it was", "Offering a request"):
        assert row in done.stdout
