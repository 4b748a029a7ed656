"""The alert rules, by Prometheus' own tool: they are well formed, and fire when they should and not before."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.overlays import MANIFESTS

CASES = Path(__file__).with_name("alerts.yaml")
RULES: dict[str, Any] = yaml.safe_load((MANIFESTS / "monitoring" / "prometheusrule.yaml").read_text(encoding="utf-8"))["spec"]

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rules as Prometheus reads them, and the cases beside them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    shutil.copy(CASES, tmp_path)
    return tmp_path


@needs_promtool
def test_rules_are_well_formed(folder: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", str(folder / "rules.yaml"))


@needs_promtool
def test_rules_fire_when_they_should_and_not_before(folder: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(folder / CASES.name))


def test_every_alert_has_a_case_and_words_for_people() -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} == set(re.findall(r"alertname: (\w+)", CASES.read_text(encoding="utf-8")))
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
