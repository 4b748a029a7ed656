"""The shell scripts behind ``make test``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

#: Passes from its second run on.
HICCUP = """
import pathlib
def test_hiccup():
    mark = pathlib.Path(__file__).with_name("mark-{number}")
    was_here = mark.exists()
    mark.touch()
    assert was_here
"""
SOUND, BROKEN = "def test_sound(): pass\n", "def test_broken(): assert False\n"


def run(folder: Path, *tests: str, second_look: str = "yes", arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """What ``scripts/pytest.sh`` makes of these test files."""
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for number, text in enumerate(tests):
        (folder / f"test_{number}.py").write_text(text.replace("{number}", str(number)), encoding="utf-8")
    outer = ("PYTEST", "SECOND_LOOK", "COV_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    command = ["sh", str(ROOT / "scripts" / "pytest.sh"), str(BIN), "-q", *arguments, str(folder)]
    return subprocess.run(
        command, cwd=folder, env={**env, "SECOND_LOOK": second_look}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_a_hiccup_is_named_and_passes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run(tmp_path, SOUND, HICCUP, arguments=arguments)
    assert ran.returncode == 0
    assert "1 failed, 1 passed" in ran.stdout
    assert '"test_1.py::test_hiccup": true' in ran.stdout
    assert ran.stdout.rstrip().splitlines()[-1].startswith("1 passed"), "only what failed is run again"
    assert "bringing up nodes" not in ran.stdout.partition("once more by themselves")[2]


def test_a_fault_fails(tmp_path: Path) -> None:
    assert run(tmp_path, SOUND, HICCUP, BROKEN).returncode == 1


def test_many_failures_are_no_hiccups(tmp_path: Path) -> None:
    assert run(tmp_path, *[HICCUP] * 4).returncode == 1
    assert run(tmp_path, *[HICCUP] * 4).returncode == 0, "it would have passed"


def test_what_was_not_run_has_not_passed(tmp_path: Path) -> None:
    assert run(tmp_path, HICCUP, BROKEN, arguments=("-x",)).returncode == 1


def test_what_is_no_failed_test_gets_no_second_look(tmp_path: Path) -> None:
    assert run(tmp_path, "import nothing_of_that_name\n").returncode == 2
    assert run(tmp_path, "").returncode == 5


def test_nobody_looks_twice_unasked(tmp_path: Path) -> None:
    assert run(tmp_path, HICCUP, second_look="").returncode == 1
