"""Where an evaluation is logged, as it is written on the command line: ``mlflow``, ``mlflow:EXPERIMENT``, ``wandb:ENTITY/PROJECT``. PURE.

Servers and credentials are not part of it: each tool has its own environment for those.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from shadowproxy.errors import InputError

#: What Weights & Biases forbids in a name, and how long it may be.
_NOT_IN_PROJECT = frozenset("\\#?%:/")
_PROJECT_CHARACTERS = 128
#: MLflow's own limit.
_EXPERIMENT_CHARACTERS = 500


class Tool(StrEnum):
    """A tracker that is known."""

    MLFLOW = "mlflow"
    WANDB = "wandb"


@dataclass(frozen=True, slots=True)
class Destination:
    """``place`` is the experiment or project, ``owner`` the entity of a project; empty for what the tool's environment says."""

    tool: Tool
    place: str = ""
    owner: str = ""

    def __str__(self) -> str:
        place = f"{self.owner}/{self.place}" if self.owner else self.place
        return f"{self.tool.value}:{place}" if place else self.tool.value


def destinations_of(written: Iterable[str]) -> tuple[Destination, ...]:
    """Each as it is meant. Raises :class:`InputError` for what names no place, and for the same place twice."""
    found: list[Destination] = []
    for text in written:
        destination = _destination(text)
        if destination in found:
            raise InputError(f"--track {text}: stands there twice; name each place once")
        found.append(destination)
    return tuple(found)


def _destination(text: str) -> Destination:
    name, colon, place = text.partition(":")
    try:
        tool = Tool(name)
    except ValueError:
        raise InputError(
            f"--track {text}: is not known; write mlflow, mlflow:EXPERIMENT, wandb, wandb:PROJECT or wandb:ENTITY/PROJECT"
        ) from None
    if colon and not place.strip():
        raise InputError(f"--track {text}: has no name behind the colon; write one, or {name} alone")
    return _experiment(text, place) if tool is Tool.MLFLOW else _project(text, place)


def _experiment(text: str, place: str) -> Destination:
    if len(place) > _EXPERIMENT_CHARACTERS:
        raise InputError(
            f"--track {text[:40]}…: the name of an experiment has at most {_EXPERIMENT_CHARACTERS} characters; choose a shorter one"
        )
    return Destination(Tool.MLFLOW, place)


def _project(text: str, place: str) -> Destination:
    owner, slash, project = place.rpartition("/")
    if (slash and not (owner and project)) or len(project) > _PROJECT_CHARACTERS or _NOT_IN_PROJECT & {*owner, *project}:
        wanted = f"write wandb:PROJECT or wandb:ENTITY/PROJECT with names of at most {_PROJECT_CHARACTERS} characters, none of \\ # ? % :"
        raise InputError(f"--track {text}: is not a project; {wanted}")
    return Destination(Tool.WANDB, project, owner)
