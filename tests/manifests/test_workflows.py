"""manifests/workflows: what Argo Workflows would take, and what its containers do, in the order in which it would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from shadowproxy import config
from tests.manifests.overlays import MANIFESTS, built, is_core, name_of, needs_kubectl, of_kind
from tests.manifests.schemas import needs_definitions, validator
from tests.replay.arms import Arm
from tests.replay.captures import PLAIN, captured
from tests.scripts import script

FOLDER = "workflows"
PROGRAM = Path(sys.executable).with_name("shadowproxy")
STEP_S = 150.0

Template = Mapping[str, Any]


def documents() -> list[Any]:
    return list(yaml.safe_load_all((MANIFESTS / FOLDER / "workflows.yaml").read_text(encoding="utf-8")))


def workflow_template() -> Any:
    return next(each for each in documents() if each["kind"] == "WorkflowTemplate")


def templates() -> dict[str, Template]:
    return {each["name"]: each for each in workflow_template()["spec"]["templates"]}


def steps() -> Iterator[tuple[str, Template]]:
    """Templates that run a container."""
    yield from ((name, each) for name, each in templates().items() if "container" in each)


# --- the objects ------------------------------------------------------------------------------------------------------------


def test_the_file_is_what_the_script_writes() -> None:
    pytest.importorskip("hera", reason="hera is not installed")
    assert script("workflows").main(["--check"]) == 0


@needs_kubectl
def test_kustomize_builds_it() -> None:
    assert {each["kind"] for each in built(FOLDER)} >= {"WorkflowTemplate", "CronWorkflow", "PersistentVolumeClaim", "Role", "ConfigMap"}
    assert all(each["metadata"]["namespace"] == "models" for each in built(FOLDER))


@needs_definitions
@needs_kubectl
def test_argo_takes_it() -> None:
    for each in built(FOLDER):
        if is_core(each):
            continue
        checked = validator("argoproj.io", "v1alpha1", each["kind"])
        assert checked is not None, name_of(each)
        assert [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in checked.iter_errors(each)] == []
    (wrong,) = of_kind(FOLDER, "WorkflowTemplate")
    assert not validator("argoproj.io", "v1alpha1", "WorkflowTemplate").is_valid({**wrong, "spec": {**wrong["spec"], "entrypont": "x"}})


@needs_kubectl
def test_kubernetes_takes_the_rest() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for each in built(FOLDER):
        if is_core(each):
            kubernetes_validate.validate(each, "1.31", strict=True)


@needs_kubectl
def test_what_is_named_is_there() -> None:
    spec = of_kind(FOLDER, "WorkflowTemplate")[0]["spec"]
    assert spec["serviceAccountName"] in {each["metadata"]["name"] for each in of_kind(FOLDER, "ServiceAccount")}
    arguments = {each["name"]: each["value"] for each in spec["arguments"]["parameters"]}
    assert arguments["config"] in {each["metadata"]["name"] for each in of_kind(FOLDER, "ConfigMap")}
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for _, each in steps()
        for volume in each.get("volumes", ())
        if "persistentVolumeClaim" in volume
    }
    ours = {each["metadata"]["name"] for each in of_kind(FOLDER, "PersistentVolumeClaim")}
    assert claims - ours == {"shadowproxy-journal"}, "the journal's volume is somebody's already"
    for each in of_kind(FOLDER, "CronWorkflow"):
        assert each["spec"]["workflowSpec"]["workflowTemplateRef"]["name"] == "shadowproxy-replay"


def test_the_configuration_loads() -> None:
    settings = config.parse((MANIFESTS / FOLDER / "shadowproxy.yaml").read_text(encoding="utf-8"))
    assert settings.candidates


def test_steps_have_no_privileges_and_bounded_memory() -> None:
    around = workflow_template()["spec"]["securityContext"]
    assert around["runAsNonRoot"] is True
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    for name, each in steps():
        container = each["container"]
        rights = container["securityContext"]
        assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False), name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name


def test_a_share_that_failed_is_tried_again_unless_its_input_is_wrong() -> None:
    retry = templates()["shard"]["retryStrategy"]
    assert (retry["retryPolicy"], retry["expression"]) == ("Always", "lastRetry.exitCode != '2'")
    assert "retryStrategy" not in templates()["gate"], "a verdict is not tried again until it pleases"


# --- what the containers do -------------------------------------------------------------------------------------------------


@dataclass
class Engine:
    """As much of Argo Workflows as these templates use: a DAG in its order, sequences, parameters in and out, volumes, exit codes.

    Volumes are folders: a path within a container is looked up by its mount, and paths in commands are replaced alike.
    """

    volumes: Mapping[str, Path]
    name: str = "replay-x7k2p"
    ran: list[tuple[str, int]] = field(default_factory=list)
    said: str = ""

    def run(self, entrypoint: str, arguments: Mapping[str, str]) -> dict[str, str] | None:
        """The outputs of the entry point, None where it failed."""
        template = templates()[entrypoint]
        given = self._inputs(template, arguments)
        if "container" in template:
            return self._step(template, given)
        found: dict[str, str] = {}
        done: set[str] = set()
        tasks = {each["name"]: each for each in template["dag"]["tasks"]}
        while waiting := [each for each in tasks.values() if each["name"] not in done]:
            task = next(each for each in waiting if not set(each.get("depends", "").split()) - done)
            for item in self._items(task, given):
                known = given | found | item
                passed = {each["name"]: _filled(each["value"], known) for each in task["arguments"]["parameters"]}
                outputs = self.run(task["template"], passed)
                if outputs is None:
                    return None
                found |= {f"tasks.{task['name']}.outputs.parameters.{name}": value for name, value in outputs.items()}
            done.add(task["name"])
        return {each["name"]: _filled(each["valueFrom"]["parameter"], found) for each in template["outputs"]["parameters"]}

    def _inputs(self, template: Template, arguments: Mapping[str, str]) -> dict[str, str]:
        known = {"workflow.name": self.name}
        found = {}
        for each in template["inputs"]["parameters"]:
            assert each["name"] in arguments or "value" in each, f"{template['name']}: nobody says {each['name']}"
            found[f"inputs.parameters.{each['name']}"] = arguments.get(each["name"], _filled(each.get("value", ""), known))
        return found

    def _items(self, task: Mapping[str, Any], known: Mapping[str, str]) -> list[dict[str, str]]:
        if "withSequence" not in task:
            return [{}]
        first, last = (int(_filled(task["withSequence"][end], known)) for end in ("start", "end"))
        return [{"item": str(number)} for number in range(first, last + 1)]

    def _step(self, template: Template, known: Mapping[str, str]) -> dict[str, str] | None:
        container = template["container"]
        mounts = {each["mountPath"]: self.volumes[each["name"]] for each in container.get("volumeMounts", ())}
        if "tmp" in {each["name"] for each in template.get("volumes", ())}:
            shutil.rmtree(self.volumes["tmp"], ignore_errors=True)  # an emptyDir lives as long as its pod
            self.volumes["tmp"].mkdir()
        here = lambda text: _located(_filled(text, known), mounts)  # noqa: E731
        command = [here(word) for word in (*container["command"], *container.get("args", ()))]
        environment = {each["name"]: here(each["value"]) for each in container.get("env", ())}
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=STEP_S, check=False)
        self.ran.append((template["name"], done.returncode))
        self.said = done.stdout + done.stderr
        if done.returncode:
            return None
        outputs = template.get("outputs", {})
        for each in outputs.get("artifacts", ()):
            assert Path(here(each["path"])).is_dir(), each
        return {each["name"]: Path(here(each["valueFrom"]["path"])).read_text() for each in outputs.get("parameters", ())}


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\{\{([^}]+)\}\}", lambda found: known[found[1]], text)


def _located(text: str, mounts: Mapping[str, Path]) -> str:
    """All at once: what stands in for one path may contain another."""
    known = {"/opt/shadowproxy/bin/shadowproxy": PROGRAM, **mounts}
    return re.sub(rf"(?<![\w/])({'|'.join(map(re.escape, known))})(?=[/ \n]|$)", lambda found: str(known[found[1]]), text)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    volumes = {name: tmp_path / "volumes" / name for name in ("config", "work", "tmp")}
    for folder in volumes.values():
        folder.mkdir(parents=True)
    return Engine({**volumes, "journal": captured(tmp_path / "volumes" / "journal", 120, control=True)})


@pytest.fixture
def arm() -> Iterator[Arm]:
    with Arm() as arm:
        yield arm


def arguments(engine: Engine, arm: Arm, **more: str) -> dict[str, str]:
    tree = {**PLAIN, "control": {"percent": 100}, "candidates": [{"name": "candidate", "url": arm.url}]}
    (engine.volumes["config"] / "shadowproxy.yaml").write_text(yaml.safe_dump(tree))
    given = {each["name"]: each["value"] for each in workflow_template()["spec"]["arguments"]["parameters"]}
    return given | {"shards": "2"} | more


def test_a_promotion_lets_what_follows_run(engine: Engine, arm: Arm) -> None:
    outputs = engine.run("replay", arguments(engine, arm))
    assert engine.ran == [("shard", 0)] * 2 + [("merge", 0), ("gate", 0)]
    assert outputs is not None
    assert outputs["verdict"] == "promote"
    assert outputs["report"].startswith("## ")
    assert len(arm.asked) == 120
    assert {path.name for path in (engine.volumes["tmp"] / "outcome").iterdir()} >= {
        "report.html",
        "report.md",
        "report.xml",
        "report.json",
    }


@pytest.mark.parametrize(("share_failed", "code", "verdict"), [(2, 4, "rollback"), (25, 3, "hold")])
def test_another_verdict_fails_the_workflow_and_says_why(engine: Engine, arm: Arm, share_failed: int, code: int, verdict: str) -> None:
    arm.refuse = lambda _, words: (500, {}, "no") if int(words.split()[-4]) % share_failed == 0 else None
    assert engine.run("replay", arguments(engine, arm)) is None
    assert engine.ran[-2:] == [("merge", 0), ("gate", code)]
    assert engine.said.startswith(f"candidate: {verdict}\n- error: candidate fails ")


def test_texts_are_nobodys_shell(engine: Engine, tmp_path: Path) -> None:
    known = {"image": "i", "code": "4", "reasons": f"$(touch {tmp_path}/made)\"; `touch {tmp_path}/made` '\n- more"}
    assert engine.run("gate", known) is None
    assert engine.ran == [("gate", 4)]
    assert engine.said == known["reasons"] + "\n"
    assert not (tmp_path / "made").exists()


def test_one_shard_is_a_shard(engine: Engine, arm: Arm) -> None:
    arm.refuse = lambda number, _: (500, {}, "no") if number % 2 else None
    assert engine.run("replay", arguments(engine, arm, shards="1")) is None
    assert engine.ran == [("shard", 0), ("merge", 0), ("gate", 4)]


def test_a_second_workflow_with_the_same_run_asks_nothing_twice(engine: Engine, arm: Arm) -> None:
    first = engine.run("replay", arguments(engine, arm, run="release-7"))
    again = engine.run("replay", arguments(engine, arm, run="release-7"))
    assert len(arm.asked) == 120
    assert first is not None
    assert again is not None
    assert again["verdict"] == first["verdict"]


def test_a_merge_without_a_verdict_fails_with_its_own_code(engine: Engine, arm: Arm) -> None:
    assert engine.run("merge", arguments(engine, arm, run="never-run")) is None
    assert engine.ran == [("merge", 2)]
    assert "is no work folder of a replay" in engine.said


def test_tidying_takes_only_what_is_old(engine: Engine) -> None:
    for name in ("old", "new"):
        (engine.volumes["work"] / name / "shard-1-of-1").mkdir(parents=True)
    long_ago = engine.volumes["work"].stat().st_mtime - 9 * 24 * 3600
    os.utime(engine.volumes["work"] / "old", (long_ago, long_ago))
    engine.run("tidy", {"image": "i"})
    assert [path.name for path in engine.volumes["work"].iterdir()] == ["new"]


# --- docs/pipelines.md ------------------------------------------------------------------------------------------------------


def examples() -> list[Any]:
    text = (MANIFESTS.parent / "docs" / "pipelines.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


@needs_definitions
def test_the_example_that_goes_on_after_a_promotion_is_taken_and_says_all_that_is_asked() -> None:
    workflow = next(each for each in examples() if each.get("kind") == "Workflow")
    like = {**workflow, "kind": "WorkflowTemplate"}  # their specs are the same, and only this definition is at hand
    assert [error.message for error in validator("argoproj.io", "v1alpha1", "WorkflowTemplate").iter_errors(like)] == []
    task = workflow["spec"]["templates"][0]["dag"]["tasks"][0]
    asked = templates()[task["templateRef"]["template"]]["inputs"]["parameters"]
    assert {each["name"] for each in asked if "value" not in each} == {each["name"] for each in task["arguments"]["parameters"]}


@needs_kubectl
def test_the_patch_for_a_journal_at_a_url_builds(tmp_path: Path) -> None:
    patch = next(each for each in examples() if "patches" in each)
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copytree(MANIFESTS / FOLDER, tmp_path / FOLDER)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [f"../{FOLDER}"], **patch}))
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=STEP_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "shadowproxy-journal" not in done.stdout


def test_parameters_are_documented() -> None:
    text = (MANIFESTS.parent / "docs" / "pipelines.md").read_text(encoding="utf-8")
    argo = text.partition("## Argo Workflows")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", argo, re.MULTILINE)
    assert rows == [each["name"] for each in templates()["replay"]["inputs"]["parameters"]]
