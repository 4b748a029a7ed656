"""An evaluation as a run of MLflow. The shell: ``record`` says what is logged, ``names`` how it is spelled, this sends it.

Server and credentials are those of MLflow's own environment (``MLFLOW_TRACKING_URI``, ``MLFLOW_TRACKING_TOKEN`` …). Imported only where a
run is asked for; the small client (mlflow-skinny) is enough, so that nothing here needs pandas.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shadowproxy.errors import NotTracked, StartError
from shadowproxy.prompt_registry import CLIENT_ENVIRONMENT, impatient, said
from shadowproxy.trackers.destinations import Destination
from shadowproxy.trackers.handed import Begun, Files
from shadowproxy.trackers.names import mlflow_names
from shadowproxy.trackers.pair_file import PairFile
from shadowproxy.trackers.record import PromptUsed, Record, Source, Version
from shadowproxy.trackers.rows import COLUMNS
from shadowproxy.trackers.settings import sha256_of

#: Where neither the command line nor MLFLOW_EXPERIMENT_NAME names an experiment.
DEFAULT_EXPERIMENT = "shadowproxy"

#: The file that the page of a run shows as a table. Its form is that of ``mlflow.log_table``.
TABLE = "pairs.json"

#: What a server takes in one call, and of one value; it refuses more.
_METRICS_A_CALL = 1_000
_PARAMS_A_CALL = 100
_PARAM_CHARACTERS = 6_000
#: Of a tag; servers before 2.21 take no more than this.
_TAG_CHARACTERS = 5_000
_DIGEST_CHARACTERS = 36
_DATASET_CHARACTERS = 500

#: What a name of a model may not hold, in MLflow 3.
_NOT_IN_MODEL = str.maketrans(dict.fromkeys("/:.%\"'", "-"))


class MlflowRuns:
    """One experiment. Raises :class:`StartError` where it cannot be written to."""

    def __init__(self, destination: Destination) -> None:
        for name, value in CLIENT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow
        except ImportError as exc:
            raise StartError(f"{destination}: {exc.name or exc} is not installed; pip install 'llm-shadowproxy[mlflow]'") from exc
        self._mlflow: Any = mlflow
        try:
            with impatient():
                self._client: Any = mlflow.MlflowClient()
                self._experiment = self._experiment_id(destination)
        except StartError:
            raise
        except Exception as exc:
            remedy = (
                "set MLFLOW_TRACKING_URI to a server that runs, and MLFLOW_TRACKING_TOKEN or _USERNAME and _PASSWORD where it asks for them"
            )
            raise StartError(f"{destination}: no tracking server that can be used ({said(exc)}); {remedy}") from exc

    def _experiment_id(self, destination: Destination) -> str:
        """The experiment's, made where there is none: whoever may not make one learns it before the evaluation."""
        if not destination.place and (given := os.environ.get("MLFLOW_EXPERIMENT_ID")):
            return str(self._client.get_experiment(given).experiment_id)
        name = destination.place or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return str(self._client.create_experiment(name))
        if found.lifecycle_stage != "active":
            raise StartError(f"{destination}: experiment {name!r} is deleted; restore it (mlflow experiments restore) or name another")
        return str(found.experiment_id)

    def log(self, record: Record, files: Files, begun: Begun) -> tuple[str, tuple[str, ...]]:
        """One finished run. What a server older than MLflow 3 has no place for (models, prompts) is left out with a note."""
        run_id = ""
        try:
            tags = {**tags_of(record), "mlflow.user": _user(), "mlflow.source.name": begun.command, "mlflow.source.type": "JOB"}
            run_id = self._client.create_run(self._experiment, int(begun.at_s * 1000), tags, record.title).info.run_id
            notes = self._filled(run_id, record, files)
            self._client.set_terminated(run_id, "FINISHED")
        except Exception as exc:
            self._abandon(run_id)
            raise NotTracked(f"the evaluation was not logged ({said(exc)})") from exc
        return self._address(run_id), notes

    def _filled(self, run_id: str, record: Record, files: Files) -> tuple[str, ...]:
        notes: list[str] = []
        models = self._optional("models", lambda: self._models(run_id, record.versions), notes) or {}
        self._log_numbers(run_id, record, models)
        self._log_files(run_id, record, files)
        self._optional("inputs", lambda: self._log_inputs(run_id, record, models), notes)
        if record.prompt is not None and record.prompt.registry:
            self._optional("prompt", lambda: self._link_prompt(run_id, record.prompt, models), notes)
        return tuple(notes)

    def _log_numbers(self, run_id: str, record: Record, models: Mapping[str, str]) -> None:
        from mlflow.entities import Metric, Param

        now_ms = int(time.time() * 1000)
        names = mlflow_names(each.path for each in record.metrics)
        metrics = [
            Metric(name, float(each.value), now_ms, 0, model_id=models.get(each.arm))
            for name, each in zip(names, record.metrics, strict=True)
        ]
        params = [Param(name, value) for name, value in params_of(record).items()]
        for part in _parts(metrics, _METRICS_A_CALL):
            self._client.log_batch(run_id, metrics=part)
        for part in _parts(params, _PARAMS_A_CALL):
            self._client.log_batch(run_id, params=part)

    def _log_files(self, run_id: str, record: Record, files: Files) -> None:
        for path in (files.html, files.markdown, files.document, files.pairs.path, _table(files)):
            self._client.log_artifact(run_id, str(path))
        if record.prompt is not None:
            self._client.log_text(run_id, record.prompt.text, "prompt.txt")
        self._client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps([{"path": TABLE, "type": "table"}]))

    def _models(self, run_id: str, versions: Sequence[Version]) -> dict[str, str]:
        """Arm → id of its model in MLflow: one for each version, made where it is new."""
        return {each.arm: self._model(run_id, each) for each in versions}

    def _model(self, run_id: str, version: Version) -> str:
        params = {name: value[:_PARAM_CHARACTERS] for name, value in flat(version.settings).items()}
        if version.model:
            params["model"] = version.model
        digest = sha256_of(json.dumps(params, sort_keys=True))[:_DIGEST_CHARACTERS]
        name = version.name.translate(_NOT_IN_MODEL)
        wanted = f"name = '{name}' AND tags.`shadowproxy.version` = '{digest}'"
        known = self._client.search_logged_models([self._experiment], filter_string=wanted, max_results=1)
        if known:
            return str(known[0].model_id)
        tags = {"mlflow.model.isExternal": "true", "shadowproxy.version": digest, "shadowproxy.arm": version.arm}
        made = self._mlflow.initialize_logged_model(
            name=name, source_run_id=run_id, tags=tags, params=params, model_type="llm", experiment_id=self._experiment
        )
        return str(self._client.finalize_logged_model(made.model_id, "READY").model_id)

    def _log_inputs(self, run_id: str, record: Record, models: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput

        datasets = []
        for source in record.sources:
            tags = [InputTag("mlflow.data.context", "evaluation"), InputTag("shadowproxy.arm", source.arm)]
            datasets.append(DatasetInput(Dataset(**dataset_of(source)), tags))
        self._client.log_inputs(run_id, datasets, [LoggedModelInput(model_id) for model_id in models.values()])

    def _link_prompt(self, run_id: str, prompt: PromptUsed | None, models: Mapping[str, str]) -> None:
        """Link the version of the registry, once it is seen to hold the text that was sent."""
        assert prompt is not None
        name, _, version = prompt.registry.removeprefix("prompts:/").rpartition("/")
        found = self._client.get_prompt_version(name, version)
        if found is None or sha256_of(_said_by(found.template)) != prompt.sha256:
            raise ValueError(f"{prompt.registry} does not hold the text that was judged")
        self._client.link_prompt_version_to_run(run_id, found)
        for arm, model_id in models.items():
            if arm == "candidate":
                self._client.link_prompt_version_to_model(name, version, model_id)

    def _optional(self, what: str, do: Callable[[], Any], notes: list[str]) -> Any:
        """A part that older servers do not have: what they say to it is a note, and the rest is logged."""
        try:
            return do()
        except Exception as exc:  # noqa: BLE001 - whatever a server or client of another version says
            notes.append(f"{what}: not linked ({said(exc)})")
            return None

    def _abandon(self, run_id: str) -> None:
        """A run that is half there must not look like one that still goes on."""
        if not run_id:
            return
        try:
            with impatient():
                self._client.set_terminated(run_id, "FAILED")
        except Exception:  # noqa: BLE001, S110 - the server that refused the run refuses this; the first refusal is what is told
            pass

    def _address(self, run_id: str) -> str:
        uri = str(self._mlflow.get_tracking_uri())
        shown = said(ValueError(uri)).rstrip("/")
        return f"{shown}/#/experiments/{self._experiment}/runs/{run_id}" if uri.startswith("http") else f"run {run_id} in {shown}"


# --- decisions, without a client ----------------------------------------------------------------------------------------------


def tags_of(record: Record) -> dict[str, str]:
    """Ours under ``shadowproxy.``, and the note that MLflow shows as the run's description."""
    ours = {f"shadowproxy.{name}": value[:_TAG_CHARACTERS] for name, value in record.identity.items()}
    return {**ours, "mlflow.note.content": record.note}


def params_of(record: Record) -> dict[str, str]:
    """Settings by dotted name, each at most as long as a server takes."""
    return {name: value[:_PARAM_CHARACTERS] for name, value in flat(record.settings).items()}


def flat(tree: Mapping[str, Any]) -> dict[str, str]:
    """A tree of settings as dotted names and texts; lists as JSON, what is not set left out."""
    leaves = list(_leaves(tree, ()))
    return dict(zip(mlflow_names((path for path, _ in leaves), "."), (_as_text(value) for _, value in leaves), strict=True))


def dataset_of(source: Source) -> dict[str, str]:
    """A source as a dataset of MLflow: by the last part of its name, with what is known of what is in it."""
    kind, is_url, _ = source.uri.partition("://")
    known = {
        "name": (Path(source.uri).name or source.uri)[:_DATASET_CHARACTERS],
        "digest": source.sha256[:_DIGEST_CHARACTERS] or "unknown",
        "source_type": kind if is_url else "local",
        "source": json.dumps({"uri": source.uri}),
    }
    return known if source.rows is None else {**known, "profile": json.dumps({"num_rows": source.rows})}


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, str(name)))
        elif value is not None and value != [] and value != "":
            yield (*above, str(name)), value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _said_by(template: Any) -> str:
    text = template if isinstance(template, str) else str(template[0].get("content", ""))
    return text.strip("\n")


def _table(files: Files) -> Path:
    """The heaviest pairs as ``mlflow.log_table`` writes them, row by row: that one would need pandas, and all rows in memory."""
    path = files.folder / TABLE
    write_table(files.pairs, path)
    return path


def write_table(pairs: PairFile, path: Path) -> None:
    """``{"columns": […], "data": [[…], …]}``."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"columns": {json.dumps(COLUMNS)}, "data": [')
        for at, cells in enumerate(pairs.table()):
            file.write(("," if at else "") + json.dumps(cells))
        file.write("]}")


def _user() -> str:
    """Who MLflow says ran it; a container has users without a name."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
