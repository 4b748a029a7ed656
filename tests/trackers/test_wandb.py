"""Runs of Weights & Biases, by the real client in offline mode; read back from what it would send."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shadowproxy.errors import StartError
from shadowproxy.trackers.destinations import destinations_of
from shadowproxy.trackers.rows import COLUMNS
from shadowproxy.trackers.tracking import Evaluation, Tracking, track
from shadowproxy.trackers.wandb_runs import WandbRuns
from tests.replay.arms import Arm
from tests.replay.captures import captured, configured, run
from tests.trackers.conftest import free_port
from tests.trackers.example import MAIL, PROMPT, SECRET, evaluation, pairs
from tests.trackers.refusing import refusing
from tests.trackers.wandb_file import Written

wandb = pytest.importorskip("wandb", reason="wandb is not installed")
service_process = importlib.import_module("wandb.sdk.lib.service.service_process")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")]


#: Processes of the client that this test has started.
_services: list[Any] = []


def end_services() -> None:
    """End them and wait for it, which the client itself does not: everything is on the disk from then on."""
    wandb.teardown()
    while _services:
        _services.pop().join()


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A client that has never been used on this machine. Its service ends with the test."""
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_SILENT", "true"), ("WANDB_ERROR_REPORTING", "false")):
        monkeypatch.setenv(name, value)
    for name, folder in (("WANDB_DIR", "runs"), ("WANDB_DATA_DIR", "data"), ("WANDB_CACHE_DIR", "cache"), ("WANDB_CONFIG_DIR", "config")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    begin = service_process.ServiceProcess.__init__

    def remembered(self: Any, **options: Any) -> None:
        begin(self, **options)
        _services.append(self)

    monkeypatch.setattr(service_process.ServiceProcess, "__init__", remembered)
    end_services()
    yield
    end_services()


def logged(place: str = "acme/triage", given: Evaluation | None = None, *, is_raw: bool = False) -> Written:
    (done,) = track(destinations_of([f"wandb:{place}"]), given or evaluation(), pairs(), is_raw=is_raw)
    assert not done.problem
    assert done.notes == ("offline: nothing was sent; wandb sync sends it",)
    return written(Path(done.where))


def written(folder: Path) -> Written:
    end_services()
    return Written(folder)


def test_run_has_everything_of_the_verdict() -> None:
    given = evaluation()
    found = logged(given=given)
    run = found.run
    assert (run.entity, run.project, run.display_name) == ("acme", "triage", "llama-33: rollback")
    assert (run.run_group, run.job_type, list(run.tags)) == ("llama-33-1f2e3d4c", "evaluation", ["rollback", "llama-33"])
    assert "Roll back" in run.notes
    assert found.exit_code == 0

    config = found.config
    assert config["gates"]["error"] == {"margin": 0.005}
    assert config["candidate"]["parameters"] == {"temperature": 0.2, "api-key": "[secret]", "stop": ["\n"]}
    assert config["evaluation"]["document_sha256"] == given.document["digest"]
    assert config["sources"]["candidate"] == {"uri": "new.jsonl", "sha256": "b" * 64, "rows": 604}
    assert config["command"] == "shadowproxy verdict"

    (error,) = (each for each in given.document["gates"] if (each["route"], each["gate"]) == ("chat", "error"))
    for values in (found.summary, found.history):
        assert values["verdict"] == -1
        assert values["gates/chat/error/upper"] == pytest.approx(error["upper"])
    assert found.summary["verdict_state"] == "rollback"
    assert found.summary["headline"].startswith("Roll back: ")


def test_pairs_are_a_table_and_the_report_a_page() -> None:
    found = logged()
    assert found.summary["pairs._type"] == "table-file"
    assert (found.summary["pairs.nrows"], found.summary["pairs.ncols"]) == (64, len(COLUMNS))
    assert found.summary["report._type"] == "html-file"
    (table,) = (name for name in found.artifacts if name.endswith("-pairs"))
    written = json.loads(found.file(table, "pairs.table.json"))
    assert written["columns"] == list(COLUMNS)
    assert written["data"][0][COLUMNS.index("severity")] == "major"


def test_evaluation_is_an_artifact_with_the_verdict_as_alias() -> None:
    found = logged()
    artifact = found.artifacts["evaluation-llama-33"]
    assert (artifact.type, set(artifact.aliases)) == ("evaluation", {"latest", "rollback"})
    assert {each.path for each in artifact.manifest.contents} == {"verdict.json", "report.html", "report.md", "pairs.jsonl"}
    assert json.loads(artifact.metadata)["pairs"] == 64
    assert json.loads(found.file("evaluation-llama-33", "verdict.json"))["state"] == "rollback"
    assert len(found.file("evaluation-llama-33", "pairs.jsonl").splitlines()) == 64


def test_prompt_is_a_versioned_artifact() -> None:
    found = logged(is_raw=True)
    artifact = found.artifacts["prompt-llama-33"]
    digest = json.loads(artifact.metadata)["sha256"]
    assert (artifact.type, set(artifact.aliases)) == ("prompt", {"latest", "triage-v7", f"sha256-{digest[:12]}"})
    assert found.file("prompt-llama-33", "prompt.txt") == PROMPT


def test_same_prompt_is_the_same_version() -> None:
    digests = {logged(given=evaluation(system=text, version="v")).artifacts["prompt-llama-33"].digest for text in ("a", "b", "a")}
    assert len(digests) == 2


def test_nothing_secret_or_personal_would_be_sent() -> None:
    found = logged()
    said = found.raw + b"".join(
        Path(entry.local_path).read_bytes() for artifact in found.artifacts.values() for entry in artifact.manifest.contents
    )
    assert b"[email]" in said
    for secret in (SECRET, MAIL, "billing@example.com", "primary.internal", "candidate.internal"):
        assert secret.encode() not in said


def test_nothing_of_the_machine_would_be_sent() -> None:
    """The client's own habits: host name, program, packages, Git, what is on the terminal, load of the processor."""
    found = logged()
    kinds = {each.WhichOneof("record_type") for each in found.records}
    assert kinds <= {"header", "run", "telemetry", "artifact", "files", "summary", "history", "exit", "final", "footer"}
    files = {item.path for each in found.records for item in each.files.files}
    assert all(path.startswith("media/") for path in files), files
    assert (found.run.host, found.run.git.commit) == ("shadowproxy", "")
    assert sys.executable.encode() not in found.raw


def test_run_is_one_that_the_client_would_send(tmp_path: Path) -> None:
    logged()
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", "--yes"]
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SILENT"}
    done = subprocess.run(command, capture_output=True, timeout=200, cwd=tmp_path / "runs", check=True, text=True, env=environment)
    (folder,) = (tmp_path / "runs" / "wandb").glob("offline-run-*")
    assert folder.name.rpartition("-")[2] in done.stdout + done.stderr


def test_replay_is_logged_with_its_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Arm() as arm:
        options = ("-c", configured(tmp_path, arm.url), "--json", "--work", tmp_path / "work", "--track", "wandb:replays")
        code = run("replay", captured(tmp_path / "journal", 40), *options)
    out, err = capsys.readouterr()
    document = json.loads(out)
    (where,) = re.findall(r"^wandb:replays: (/.*)$", err, re.MULTILINE)
    found = written(Path(where))
    assert code == {"promote": 0, "hold": 3, "rollback": 4}[document["state"]]
    assert found.config["evaluation"]["document_sha256"] == document["digest"]
    artifact = f"evaluation-{document['candidate']}"
    assert len(found.file(artifact, "pairs.jsonl").splitlines()) == 40
    assert found.config["command"].startswith("shadowproxy replay")


def test_project_is_that_of_the_environment_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "nightly")
    (done,) = track(destinations_of(["wandb"]), evaluation(), pairs(5))
    assert written(Path(done.where)).run.project == "nightly"


def test_disabled_client_says_that_nothing_was_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    (done,) = track(destinations_of(["wandb"]), evaluation(), pairs(5))
    assert done.notes == ("WANDB_MODE is disabled: nothing was logged",)


def test_missing_key_is_named_before_anything_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(StartError, match="no credentials; set WANDB_API_KEY"):
        Tracking(destinations_of(["wandb"]))


def test_server_that_is_not_there_is_named_before_anything_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "2")
    with pytest.raises(StartError, match=r"the server cannot be used .*WANDB_MODE=offline") as refused:
        Tracking(destinations_of(["wandb"]))
    assert "0123456789abcdef" not in str(refused.value)


def test_wrong_key_is_named_before_anything_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    with refusing(401) as address:
        monkeypatch.setenv("WANDB_BASE_URL", address)
        with pytest.raises(StartError, match=r"the server cannot be used .*set WANDB_API_KEY") as refused:
            Tracking(destinations_of(["wandb"]))
    assert "0123456789abcdef" not in str(refused.value)


def test_client_that_refuses_in_the_end_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise wandb.errors.CommError("permission denied")

    monkeypatch.setattr(wandb, "init", refuse)
    (done,) = track(destinations_of(["wandb"]), evaluation(), pairs(5))
    assert done.problem == "the evaluation was not logged (permission denied)"


def test_run_that_is_logged_in_part_is_not_a_good_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("too large")

    monkeypatch.setattr(WandbRuns, "_evaluation", refuse)
    (done,) = track(destinations_of(["wandb"]), evaluation(), pairs(5))
    assert "logged in part only" in done.problem
    (folder,) = (tmp_path / "runs" / "wandb").glob("offline-run-*")
    assert written(folder).exit_code == 1
