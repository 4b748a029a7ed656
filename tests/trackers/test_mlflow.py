"""Runs of MLflow, against its own server on SQLite; read back by REST, as nobody's client sees them."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from shadowproxy.cli import main
from shadowproxy.errors import StartError
from shadowproxy.trackers.destinations import Destination, Tool, destinations_of
from shadowproxy.trackers.rows import COLUMNS
from shadowproxy.trackers.tracking import Evaluation, Tracked, Tracking, track
from shadowproxy.verdict.document import verify
from tests.offline.files import answers, write
from tests.trackers.conftest import free_port
from tests.trackers.example import MAIL, PROMPT, SECRET, evaluation, pairs
from tests.trackers.refusing import refusing

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def _address(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)


class Rest:
    """The server's own interface."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(f"{self.address}/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query)}", timeout=30) as reply:
            return json.load(reply)

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.address}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def run(self, done: Tracked) -> dict[str, Any]:
        found: dict[str, Any] = self.get("runs/get", run_id=done.where.rpartition("/")[2])["run"]
        return found

    def file(self, run: dict[str, Any], path: str) -> str:
        query = urllib.parse.urlencode({"run_id": run["info"]["run_id"], "path": path})
        with urllib.request.urlopen(f"{self.address}/get-artifact?{query}", timeout=30) as reply:
            return str(reply.read().decode())


@pytest.fixture
def rest(mlflow_server: str) -> Rest:
    return Rest(mlflow_server)


def named(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in entries}


def logged(experiment: str, given: Evaluation | None = None, *, is_raw: bool = False) -> Tracked:
    (done,) = track(destinations_of([f"mlflow:{experiment}"]), given or evaluation(), pairs(), is_raw=is_raw)
    assert not done.problem
    return done


def test_run_has_everything_of_the_verdict(rest: Rest) -> None:
    given = evaluation()
    done = logged("whole", given)
    assert done.notes == ()
    run = rest.run(done)
    assert (run["info"]["status"], run["info"]["run_name"]) == ("FINISHED", "llama-33: rollback")
    assert done.where == f"{rest.address}/#/experiments/{run['info']['experiment_id']}/runs/{run['info']['run_id']}"

    tags = named(run["data"]["tags"])
    assert (tags["shadowproxy.verdict"], tags["shadowproxy.candidate"]) == ("rollback", "llama-33")
    assert tags["shadowproxy.document_sha256"] == given.document["digest"]
    assert tags["shadowproxy.prompt_version"] == "triage-v7"
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("shadowproxy verdict", "JOB")
    assert "Roll back" in tags["mlflow.note.content"]

    params = named(run["data"]["params"])
    assert (params["gates.error.margin"], params["verdict.min_pairs"]) == ("0.005", "100")
    assert (params["candidate.model"], params["candidate.parameters.temperature"]) == ("llama-3.3-70b", "0.2")
    assert params["candidate.parameters.stop"] == '["\\n"]'

    metrics = named(run["data"]["metrics"])
    assert (metrics["verdict"], metrics["evidence/pairs"]) == (-1, 3000)
    (error,) = (each for each in given.document["gates"] if (each["route"], each["gate"]) == ("chat", "error"))
    assert metrics["gates/chat/error/upper"] == pytest.approx(error["upper"])
    assert metrics["slices/language_de/facts/n"] > 0


def test_files_are_the_report_the_document_and_the_pairs(rest: Rest) -> None:
    run = rest.run(logged("files"))
    listed = {each["path"] for each in rest.get("artifacts/list", run_id=run["info"]["run_id"])["files"]}
    assert listed == {"report.html", "report.md", "verdict.json", "pairs.jsonl", "pairs.json", "prompt.txt"}
    assert rest.file(run, "report.html").startswith("<!doctype html>")
    assert "Roll back" in rest.file(run, "report.md")
    assert len(rest.file(run, "pairs.jsonl").splitlines()) == 64

    table = json.loads(rest.file(run, "pairs.json"))
    assert (table["columns"], len(table["data"])) == (list(COLUMNS), 64)
    weights = [cells[COLUMNS.index("weight")] for cells in table["data"]]
    assert weights == sorted(weights, reverse=True)
    assert json.loads(named(run["data"]["tags"])["mlflow.loggedArtifacts"]) == [{"path": "pairs.json", "type": "table"}]


def test_table_is_one_that_mlflow_reads_as_its_own(rest: Rest) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    run = rest.run(logged("table"))
    table = mlflow.MlflowClient().load_table(run["info"]["experiment_id"], "pairs.json", run_ids=[run["info"]["run_id"]])
    assert (len(table), list(table.columns)) == (64, list(COLUMNS))


def test_document_still_has_its_seal_where_nothing_in_it_was_masked(rest: Rest) -> None:
    given = evaluation("hold")
    assert MAIL not in json.dumps(given.document)
    document = json.loads(rest.file(rest.run(logged("seal", given)), "verdict.json"))
    assert verify(document) is (document == given.document)
    raw = json.loads(rest.file(rest.run(logged("seal", evaluation(), is_raw=True)), "verdict.json"))
    assert verify(raw)


def test_nothing_secret_or_personal_reaches_the_server(rest: Rest) -> None:
    run = rest.run(logged("secrets"))
    listed = rest.get("artifacts/list", run_id=run["info"]["run_id"])["files"]
    said = json.dumps(run) + "".join(rest.file(run, each["path"]) for each in listed)
    models = rest.post("logged-models/search", {"experiment_ids": [run["info"]["experiment_id"]]})
    said += json.dumps(models)
    assert "[email]" in said
    for secret in (SECRET, MAIL, "billing@example.com", "primary.internal", "candidate.internal"):
        assert secret not in said


def test_model_versions_are_linked_and_an_unchanged_version_is_the_same_one(rest: Rest) -> None:
    first, second = (rest.run(logged("models")) for _ in range(2))
    models = rest.post("logged-models/search", {"experiment_ids": [first["info"]["experiment_id"]]})["models"]
    by_name = {each["info"]["name"]: each for each in models}
    assert sorted(by_name) == ["llama-3-1-70b", "llama-33"]
    candidate = by_name["llama-33"]["info"]["model_id"]
    for run in (first, second):
        assert candidate in {each["model_id"] for each in run["inputs"]["model_inputs"]}
    keys = {each["key"] for each in by_name["llama-33"]["data"]["metrics"]}
    assert "gates/chat/facts/upper" in keys
    assert "arms/primary/ttft_s_p50" not in keys


def test_another_prompt_is_another_version_of_the_model(rest: Rest) -> None:
    run = rest.run(logged("versions"))
    logged("versions", evaluation(system="You sort.", version="triage-v8"))
    models = rest.post("logged-models/search", {"experiment_ids": [run["info"]["experiment_id"]]})["models"]
    assert [each["info"]["name"] for each in models].count("llama-33") == 2


def test_files_of_the_arms_are_its_datasets(rest: Rest) -> None:
    inputs = rest.run(logged("datasets"))["inputs"]["dataset_inputs"]
    assert {each["dataset"]["name"] for each in inputs} == {"old.jsonl", "new.jsonl"}
    assert {each["dataset"]["digest"] for each in inputs} == {"a" * 36, "b" * 36}
    contexts = [named(each["tags"]) for each in inputs]
    assert {each["mlflow.data.context"] for each in contexts} == {"evaluation"}
    assert {each["shadowproxy.arm"] for each in contexts} == {"primary", "candidate"}


def test_prompt_of_the_registry_is_linked(rest: Rest) -> None:
    mlflow.MlflowClient().register_prompt(name="triage", template=PROMPT)
    given = evaluation(registry="prompts:/triage/1")
    assert given.settings.candidates[0].prompt is not None
    assert given.settings.candidates[0].prompt.system == PROMPT
    done = logged("prompts", given)
    assert done.notes == ()
    tags = named(rest.run(done)["data"]["tags"])
    assert json.loads(tags["mlflow.linkedPrompts"]) == [{"name": "triage", "version": "1"}]
    assert tags["shadowproxy.prompt_registry"] == "prompts:/triage/1"


def test_version_that_holds_another_text_is_not_linked(rest: Rest) -> None:
    """The text was changed on the way, or the registry is another one: a link would claim what was not sent."""
    mlflow.MlflowClient().register_prompt(name="other", template="Something else.")
    done = logged("mismatch", evaluation(registry="prompts:/other/1", system=PROMPT, version="other/1"))
    assert done.notes == ("prompt: not linked (prompts:/other/1 does not hold the text that was judged)",)
    assert "mlflow.linkedPrompts" not in named(rest.run(done)["data"]["tags"])


def test_experiment_is_that_of_the_environment_unless_named(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "from the environment")
    (done,) = track([Destination(Tool.MLFLOW)], evaluation(), pairs(5))
    experiment = rest.get("experiments/get", experiment_id=rest.run(done)["info"]["experiment_id"])["experiment"]
    assert experiment["name"] == "from the environment"


def test_deleted_experiment_is_refused_before_anything_is_evaluated(rest: Rest) -> None:
    made = rest.post("experiments/create", {"name": "gone"})["experiment_id"]
    rest.post("experiments/delete", {"experiment_id": made})
    with pytest.raises(StartError, match="'gone' is deleted; restore it"):
        Tracking(destinations_of(["mlflow:gone"]))


def test_server_that_is_not_there_is_named_before_anything_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:{SECRET}@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StartError, match=r"no tracking server that can be used.*set MLFLOW_TRACKING_URI") as refused:
        Tracking(destinations_of(["mlflow"]))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("status", [401, 403])
def test_server_that_knows_nobody_is_named_before_anything_is_evaluated(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing(status) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(StartError, match=r"who are you\?.*MLFLOW_TRACKING_TOKEN"):
            Tracking(destinations_of(["mlflow"]))


def judged(tmp_path: Path, *options: str, count: int = 600) -> int:
    tree = [{"gates": {"error": {"margin": 0.02}, "similarity": {"enabled": False}}, "verdict": {"min_pairs": 50}}]
    arguments = ["verdict", "--embedder", "none", "-c", str(write(tmp_path / "c.yaml", tree)), *options]
    for arm in ("primary", "candidate", "control"):
        arguments += [f"--{arm}", str(write(tmp_path / f"{arm}.jsonl", answers(count)))]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_command_logs_and_keeps_its_output_clean(tmp_path: Path, rest: Rest, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(tmp_path, "--json", "--track", "mlflow:command") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    (line,) = [each for each in err.splitlines() if each.startswith("mlflow:command: ")]
    run = rest.run(Tracked(Destination(Tool.MLFLOW), line.rpartition(" ")[2]))
    assert named(run["data"]["tags"])["shadowproxy.document_sha256"] == document["digest"]
    inputs = run["inputs"]["dataset_inputs"]
    assert {each["dataset"]["name"] for each in inputs} == {"primary.jsonl", "candidate.jsonl", "control.jsonl"}
    assert json.loads(inputs[0]["dataset"]["profile"]) == {"num_rows": 600}


class Vanishing:
    """The client of a server that is gone once the evaluation is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError("connection refused")

        monkeypatch.setattr(mlflow.MlflowClient, "log_batch", refuse)


@pytest.mark.parametrize(("count", "code"), [(600, 1), (20, 3)])
def test_upload_that_fails_loses_no_verdict(
    count: int, code: int, tmp_path: Path, rest: Rest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Vanishing(monkeypatch)
    assert judged(tmp_path, "--json", "--track", "mlflow:fails", count=count) == code
    out, err = capsys.readouterr()
    assert json.loads(out)["state"] == ("promote" if code == 1 else "hold")
    assert "mlflow:fails: the evaluation was not logged (connection refused)" in err
    experiment = rest.get("experiments/get-by-name", experiment_name="fails")["experiment"]["experiment_id"]
    runs = rest.post("runs/search", {"experiment_ids": [experiment], "filter": "attributes.status != 'FAILED'"})
    assert runs.get("runs", []) == [], "no run looks as if it still went on"
