"""The outcome as small files, a value in each: what engines of pipelines (Argo Workflows, Tekton) read output parameters from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shadowproxy.errors import InputError

#: Of several candidates the worst decides.
_RANKS = ("promote", "hold", "rollback")

#: Engines bound what a parameter may hold, and Kubernetes what all of an object may.
_MOST_REASONS = 12


def outputs_of(documents: Sequence[Mapping[str, Any]], code: int) -> dict[str, str]:
    """File name → what it says: ``verdict``, ``exit-code``, and ``reasons``, a line for each."""
    verdict = max((str(each["state"]) for each in documents), key=_RANKS.index)
    return {"verdict": verdict, "exit-code": str(code), "reasons": "\n".join(_reasons(documents))}


def _reasons(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for document in documents:
        texts = [str(reason["text"]) for reason in document["reasons"]]
        more = [f"and {len(texts) - _MOST_REASONS} more reasons"] if len(texts) > _MOST_REASONS else []
        lines += [f"{document['candidate']}: {document['state']}", *(f"- {text}" for text in (*texts[:_MOST_REASONS], *more))]
    return lines


def write_outputs(folder: Path, outputs: Mapping[str, str]) -> None:
    """Without a line's end: some engines take a value as it is. Raises :class:`InputError` where the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in outputs.items():
            (folder / name).write_text(value, encoding="utf-8")
    except OSError as exc:
        raise InputError(f"--outputs {folder}: cannot be written ({exc.strerror}); name another folder") from exc
