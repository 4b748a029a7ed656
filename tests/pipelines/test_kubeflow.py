"""pipelines/kubeflow.py: compiles, and run by kfp's own local runner gives the verdict of one process.

kfp asks for another protobuf than the rest of this environment has, so it gets one of its own: what it lacks there, it finds here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.replay.arms import Arm
from tests.replay.captures import PLAIN, captured, run, timeless

PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "kubeflow.py"
DOCKERFILE = PIPELINE.with_name("Dockerfile")
INSTALL_S, RUN_S = 240.0, 150.0

#: Runs the pipeline as ``kfp.local`` does it, and writes what came out of it: standard output is shared with the steps.
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import kubeflow
from kfp import local
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root="out", raise_on_error=False)
task = kubeflow.replay(**json.loads(sys.argv[2]))
open("outputs.json", "w").write(json.dumps(task.outputs))
"""


def version_of_kfp() -> str:
    """As the image of the steps has it."""
    return next(word for word in DOCKERFILE.read_text().split() if word.startswith("kfp=="))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has kfp, and behind it everything that this one has. Skips where pip cannot install it."""
    folder = tmp_path_factory.mktemp("kfp") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=INSTALL_S)
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", version_of_kfp()]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip does not get {version_of_kfp()} in time")
    if installed.returncode:
        pytest.skip(f"pip cannot install {version_of_kfp()}: {installed.stderr.strip()[-200:]}")
    own = next((folder / "lib").glob("python3*")) / "site-packages"
    here = [sysconfig.get_paths()["purelib"], str(PIPELINE.parents[1])]
    (own / "behind.pth").write_text("".join(f"{path}\n" for path in here))
    return folder / "bin" / "python"


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


def settings(arm: Arm) -> str:
    return yaml.safe_dump({**PLAIN, "control": {"percent": 100}, "candidates": [{"name": "v2", "url": arm.url}]})


def run_locally(python: Path, folder: Path, **arguments: Any) -> tuple[dict[str, Any], str]:
    """Outputs of the pipeline, and everything that was said."""
    command = [python, "-W", "ignore", "-c", DRIVER, PIPELINE.parent, json.dumps(arguments)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stdout
    outputs: dict[str, Any] = json.loads((folder / "outputs.json").read_text())
    return outputs, done.stdout


def artifact(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f"out/*/merge-shares/{name}")
    return found


@pytest.mark.timeout(INSTALL_S + RUN_S)
def test_it_compiles(python: Path, tmp_path: Path) -> None:
    subprocess.run([python, PIPELINE, "pipeline.yaml"], cwd=tmp_path, check=True, timeout=RUN_S)
    spec = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    assert set(spec["root"]["inputDefinitions"]["parameters"]) == {"source", "config", "shards"}
    executors = spec["deploymentSpec"]["executors"].values()
    assert {each["container"]["image"] for each in executors} == {"shadowproxy-kfp:0.1.0"}
    assert not any("pip install" in str(each) for each in executors), "steps bring nothing from the network"
    share = next(
        each for each in executors if "shadowproxy" in str(each["container"]["command"]) and "--shard" in str(each["container"]["command"])
    )
    assert share["container"]["resources"]["resourceMemoryLimit"] == "2Gi"


@pytest.mark.timeout(INSTALL_S + RUN_S)
def test_run_locally_it_says_what_one_process_says(python: Path, tmp_path: Path, arm: Arm, capsys: pytest.CaptureFixture[str]) -> None:
    source, config = captured(tmp_path / "j", 120, control=True), tmp_path / "config.yaml"
    config.write_text(settings(arm))
    outputs, said = run_locally(python, tmp_path, source=str(source), config=settings(arm), shards=3)
    assert outputs["verdict"] == "promote", said
    assert len(arm.asked) == 120
    assert run("replay", source, "-c", config, "--work", tmp_path / "alone", "--json") == 0
    whole = timeless(json.loads(capsys.readouterr().out))
    assert timeless(json.loads(artifact(tmp_path, "document").read_bytes())) == whole
    assert artifact(tmp_path, "page").read_text().startswith("<!doctype html>")
    assert artifact(tmp_path, "summary").read_text().startswith("## ")
    assert artifact(tmp_path, "junit").read_text().startswith("<?xml")
    (logged,) = tmp_path.glob("out/*/merge-shares/executor_output.json")
    metrics = json.loads(logged.read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert metrics["pairs"] == 120
    assert metrics["chat error"] == 0.0


@pytest.mark.timeout(INSTALL_S + RUN_S)
def test_another_verdict_fails_the_gate_with_its_reasons(python: Path, tmp_path: Path, arm: Arm) -> None:
    arm.refuse = lambda number, _: (500, {}, "no") if number % 2 else None
    _, said = run_locally(python, tmp_path, source=str(captured(tmp_path / "j", 60, control=True)), config=settings(arm), shards=1)
    assert "v2: rollback" in said
    assert "gate" in said.rpartition("Inner task failed")[2]
    assert artifact(tmp_path, "page").exists(), "reports are there whatever the verdict is"
