"""Names as each tool allows them, made of the parts of ours. PURE.

Parts are what a configuration or a client chose (routes, slices, kinds), so that any character may be in them. What a tool does not
allow becomes ``_``. Names that come out alike are numbered, so that no value is lost under another's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

#: MLflow: letters, digits, ``_ - . :``, space and ``/``, which makes folders. No colon on Windows, so that none is used here.
_NOT_MLFLOW = re.compile(r"[^A-Za-z0-9_.\- ]")
#: MLflow's limit; its servers' databases have columns of this width.
MLFLOW_CHARACTERS = 250

#: Weights & Biases: letters, digits and ``_``, or expressions on the page cannot name it; ``/`` makes a section of the page.
_NOT_WANDB = re.compile(r"[^A-Za-z0-9_]")
#: Names that begin with it are the tool's own.
_WANDB_OWN = "_"

#: Weights & Biases: names of artifacts, and their aliases.
_NOT_ARTIFACT = re.compile(r"[^A-Za-z0-9_.\-]")
ARTIFACT_CHARACTERS = 128


def mlflow_names(paths: Iterable[Sequence[str]], between: str = "/") -> list[str]:
    """Names of metrics (``between`` is a slash) or parameters (a dot), in the order of ``paths``."""
    return _distinct(between.join(_mlflow_part(part) for part in path)[: MLFLOW_CHARACTERS - 8] for path in paths)


def _mlflow_part(part: str) -> str:
    """A part that is no ``.`` or ``..``: MLflow takes names for paths, and refuses those that lead elsewhere."""
    plain = _NOT_MLFLOW.sub("_", part)
    return plain if plain.strip(". ") else f"_{plain.replace('.', '_').strip()}"


def wandb_names(paths: Iterable[Sequence[str]]) -> list[str]:
    """Names of metrics, in the order of ``paths``."""
    return _distinct("/".join(_wandb_part(part) for part in path) for path in paths)


def _wandb_part(part: str) -> str:
    plain = _NOT_WANDB.sub("_", part)
    return plain if plain and not plain.startswith(_WANDB_OWN) and not plain[0].isdigit() else f"n{plain}"


def artifact_name(text: str) -> str:
    """The name of an artifact of Weights & Biases, or an alias of one."""
    return _NOT_ARTIFACT.sub("-", text)[:ARTIFACT_CHARACTERS] or "unnamed"


def _distinct(names: Iterable[str]) -> list[str]:
    """Each as it is, or with the first number behind it that nobody has yet."""
    taken: set[str] = set()
    distinct = []
    for name in names:
        numbered = next(each for each in _numbered(name) if each not in taken)
        taken.add(numbered)
        distinct.append(numbered)
    return distinct


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))
