"""The Dockerfile: by hadolint's rules, and by what the manifests expect of the image."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.manifests.overlays import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = [line.split(maxsplit=1) for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("path", ["Dockerfile", "pipelines/Dockerfile"])
def test_hadolint_finds_nothing(path: str) -> None:
    program = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint is not here")
    done = subprocess.run([program, str(ROOT / path)], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_last_stage_builds_nothing_and_is_nobody() -> None:
    last = max(index for index, (word, _) in enumerate(STEPS) if word == "FROM")
    stage = STEPS[last:]
    assert stage[0][1].endswith("-slim-bookworm")
    assert "RUN" not in [word for word, _ in stage]
    assert ["USER", "65532:65532"] in stage


def test_the_image_of_pipelines_is_built_on_this_one() -> None:
    tag = next(each["newTag"] for each in yaml.safe_load((ROOT / "manifests" / "base" / "kustomization.yaml").read_text())["images"])
    assert f"FROM shadowproxy:{tag}\n" in (ROOT / "pipelines" / "Dockerfile").read_text(encoding="utf-8")


def test_arguments_of_the_manifests_follow_the_entry_point() -> None:
    assert ["ENTRYPOINT", '["/opt/shadowproxy/bin/shadowproxy"]'] in STEPS


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    copied = {each for word, rest in STEPS if word == "COPY" and "--from" not in rest for each in rest.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / each).exists() for each in copied)


def test_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    asked = TEXT.partition('".[')[2].partition("]")[0].split(",")
    assert asked[0]
    assert set(asked) <= set(extras)
