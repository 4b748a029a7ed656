"""An evaluation as a run of Weights & Biases. The shell: ``record`` says what is logged, ``names`` how it is spelled, this hands it over.

Server, credentials and mode are those of the client's own environment (``WANDB_API_KEY``, ``WANDB_BASE_URL``, ``WANDB_MODE``,
``WANDB_DIR`` …). Imported only where a run is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from shadowproxy.errors import NotTracked, StartError
from shadowproxy.prompt_registry import said
from shadowproxy.trackers.destinations import Destination
from shadowproxy.trackers.handed import Begun, Files
from shadowproxy.trackers.names import artifact_name, wandb_names
from shadowproxy.trackers.record import PromptUsed, Record
from shadowproxy.trackers.rows import COLUMNS

#: Where neither the command line nor WANDB_PROJECT names a project.
DEFAULT_PROJECT = "shadowproxy"

#: What the client would do unasked: report its own crashes and use to its makers, and talk on the terminal. What the user has set stays.
_ENVIRONMENT: Mapping[str, str] = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}

#: What of the machine the client would send beside the evaluation, each switched off: nothing is sent that docs/trackers.md does not list.
_NOTHING_ELSE: Mapping[str, object] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "host": "shadowproxy",
}

#: Seconds for the upload at the end. Its own default is to wait for ever; what did not get through is on the disk, for ``wandb sync``.
_FINISH_S = 900.0

_TAG_CHARACTERS = 64


class WandbRuns:
    """One project. Raises :class:`StartError` where it cannot be written to."""

    def __init__(self, destination: Destination) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import wandb
        except ImportError as exc:
            raise StartError(f"{destination}: {exc.name or exc} is not installed; pip install 'llm-shadowproxy[wandb]'") from exc
        self._wandb: Any = wandb
        self._destination = destination
        if wandb.setup().settings.mode in ("online", "shared", "run"):
            self._sign_in()

    def _sign_in(self) -> None:
        remedy = "set WANDB_API_KEY (and WANDB_BASE_URL for a server of your own), or WANDB_MODE=offline and wandb sync later"
        try:
            is_known = self._wandb.login(prompt=False, verify=True)
        except Exception as exc:
            raise StartError(f"{self._destination}: the server cannot be used ({said(exc)}); {remedy}") from exc
        if not is_known:
            raise StartError(f"{self._destination}: no credentials; {remedy}")

    def log(self, record: Record, files: Files, begun: Begun) -> tuple[str, tuple[str, ...]]:
        """One finished run. In offline mode ``where`` is the folder that ``wandb sync`` takes."""
        try:
            run = self._begun(record, begun)
        except Exception as exc:
            raise NotTracked(f"the evaluation was not logged ({said(exc)})") from exc
        where = str(run.url or run.dir.removesuffix("/files"))
        try:
            self._fill(run, record, files)
        except Exception as exc:
            with suppress(Exception):  # the first refusal is what is told
                run.finish(exit_code=1)
            raise NotTracked(f"the evaluation was logged in part only, as {where} ({said(exc)})") from exc
        try:
            run.finish()
        except Exception as exc:
            raise NotTracked(f"the evaluation waits in {run.dir} ({said(exc)}); wandb sync sends it") from exc
        return where, _about_mode(run)

    def _begun(self, record: Record, begun: Begun) -> Any:
        settings = self._wandb.Settings(**_NOTHING_ELSE, finish_timeout=_FINISH_S, finish_timeout_raises=True)
        return self._wandb.init(
            entity=self._destination.owner or None,
            project=self._destination.place or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
            name=record.title,
            group=record.rollout,
            job_type="evaluation",
            tags=[record.state, record.candidate[:_TAG_CHARACTERS]],
            notes=record.note,
            config={**config_of(record), "command": begun.command},
            reinit="create_new",
            settings=settings,
        )

    def _fill(self, run: Any, record: Record, files: Files) -> None:
        table = self._wandb.Table(columns=list(COLUMNS), data=list(files.pairs.table()))
        report = self._wandb.Html(str(files.html), inject=False)
        run.log({**metrics_of(record), "pairs": table, "report": report})
        run.summary.update({"verdict_state": record.state, "headline": record.headline})
        run.log_artifact(self._evaluation(record, files), aliases=["latest", record.state])
        if record.prompt is not None:
            run.log_artifact(self._prompt(record, record.prompt), aliases=_aliases(record.prompt))

    def _evaluation(self, record: Record, files: Files) -> Any:
        artifact = self._wandb.Artifact(
            artifact_name(f"evaluation-{record.candidate}"),
            type="evaluation",
            description=record.headline,
            metadata={**record.identity, "pairs": files.pairs.pairs},
        )
        for path in (files.document, files.html, files.markdown, files.pairs.path):
            artifact.add_file(str(path), name=path.name)
        return artifact

    def _prompt(self, record: Record, prompt: PromptUsed) -> Any:
        """The same text is the same version there: artifacts are told apart by what is in them."""
        about = {"version": prompt.version, "sha256": prompt.sha256, "registry": prompt.registry}
        artifact = self._wandb.Artifact(artifact_name(f"prompt-{record.candidate}"), type="prompt", metadata=about)
        with artifact.new_file("prompt.txt", mode="w", encoding="utf-8") as file:
            file.write(prompt.text)
        return artifact


# --- decisions, without a client ----------------------------------------------------------------------------------------------


def metrics_of(record: Record) -> dict[str, float]:
    """By the names that the page's expressions can say."""
    return dict(zip(wandb_names(each.path for each in record.metrics), (each.value for each in record.metrics), strict=True))


def config_of(record: Record) -> dict[str, Any]:
    """The settings as they are, a tree; who and what under ``evaluation``; where the answers came from under ``sources``."""
    sources = {each.arm: {"uri": each.uri, "sha256": each.sha256, "rows": each.rows} for each in record.sources}
    return {**record.settings, "evaluation": dict(record.identity), **({"sources": sources} if sources else {})}


def _aliases(prompt: PromptUsed) -> list[str]:
    named = [artifact_name(prompt.version)] if prompt.version else []
    return ["latest", *named, f"sha256-{prompt.sha256[:12]}"]


def _about_mode(run: Any) -> tuple[str, ...]:
    if run.settings.mode == "disabled":
        return ("WANDB_MODE is disabled: nothing was logged",)
    return ("offline: nothing was sent; wandb sync sends it",) if run.offline else ()
