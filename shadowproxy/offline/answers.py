"""Files of recorded answers, one arm each, joined by id: what ``shadowproxy verdict`` judges.

A line is ``{"id", "prompt" or "request", "answer" or "reply", "latency_s"?, "ttft_s"?, "usage"?, "error"?, "session"?, "route"?}``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadowproxy.errors import InputError
from shadowproxy.exchange import CONTROL, PRIMARY, Asked, Request, Usage
from shadowproxy.offline.comparing import Pair
from shadowproxy.offline.given import FieldProblem, Times, asked_of, given
from shadowproxy.offline.lines import BadLine, read

#: Problems that are named before the rest is only counted.
_NAMED = 20
#: Route of a line that names none.
ROUTE = "recorded"

_MAX_ROUTE_CHARACTERS = 63


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of one arm. ``answer`` is as it was written; what it says is read when it is joined."""

    id: str | int
    answer: object
    asked: object
    times: Times
    session: str
    route: str


@dataclass(frozen=True, slots=True)
class Joined:
    """One request's answers: the pair for the comparator, and what the evidence needs besides."""

    pair: Pair
    request: Request
    route: str
    session: str


@dataclass(frozen=True, slots=True)
class Files:
    """The recorded answers of the arms, by id. ``unanswered`` and ``unasked`` count ids that only one of primary and candidate has."""

    primary: Mapping[str, Recorded]
    candidate: Mapping[str, Recorded]
    control: Mapping[str, Recorded] | None

    @property
    def unanswered(self) -> int:
        """Requests that the candidate has no line for: they count as its failures."""
        return len(self.primary.keys() - self.candidate.keys())

    @property
    def unasked(self) -> int:
        """Lines of the candidate that belong to no request of the primary: there is nothing to compare them with."""
        return len(self.candidate.keys() - self.primary.keys())


def load(primary: Path, candidate: Path, control: Path | None) -> Files:
    """Read the files. Raises :class:`InputError` that names every mistake by line and column (the first few of many)."""
    files = Files(_read(primary), _read(candidate), _read(control) if control is not None else None)
    if not files.primary:
        raise InputError(f"{primary}: holds no answers; write one JSON object a line")
    if not files.primary.keys() & files.candidate.keys():
        raise InputError(f"{candidate}: has no id that is in {primary}; answers to one request carry the same id in both files")
    return files


def _read(path: Path) -> dict[str, Recorded]:
    found: dict[str, Recorded] = {}
    problems: list[str] = []
    for line in read(path):
        if isinstance(line, BadLine):
            problems.append(f"{path}: {line}")
            continue
        try:
            recorded = _recorded(line.fields)
        except FieldProblem as exc:
            problems.append(f"{path}: line {line.number}: {exc}")
            continue
        if (key := repr(recorded.id)) in found:
            problems.append(f"{path}: line {line.number}: id {recorded.id!r} stands here a second time; give each request its own")
        found[key] = recorded
    if problems:
        more = f"\n… and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise InputError("\n".join(problems[:_NAMED]) + more)
    return found


def _recorded(fields: Mapping[str, Any]) -> Recorded:
    id_ = fields.get("id")
    if isinstance(id_, bool) or not isinstance(id_, str | int):
        raise FieldProblem("id", "is missing, or neither text nor a whole number")
    return Recorded(
        id=id_,
        answer=_answer(fields),
        asked=fields.get("request", fields.get("prompt")),
        times=Times(_seconds(fields, "latency_s"), _seconds(fields, "ttft_s"), _usage(fields.get("usage"))),
        session=_text(fields, "session"),
        route=_text(fields, "route")[:_MAX_ROUTE_CHARACTERS] or ROUTE,
    )


def _answer(fields: Mapping[str, Any]) -> object:
    error = fields.get("error")
    if error is not None and error is not False:
        return {"error": error if not isinstance(error, bool) else "failed"}
    for name in ("answer", "reply"):
        if name in fields:
            return fields[name]
    raise FieldProblem("answer", 'is missing; write "answer" or "reply", or "error" where none came')


def _seconds(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise FieldProblem(name, f"is {value!r}; write seconds, a number from 0 up")
    return float(value)


def _usage(value: object) -> Usage | None:
    """Token counts, in OpenAI's words or in Anthropic's."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise FieldProblem("usage", 'is no object; write {"prompt_tokens": …, "completion_tokens": …}')
    prompt = value.get("prompt_tokens", value.get("input_tokens", 0))
    completion = value.get("completion_tokens", value.get("output_tokens"))
    if completion is None:
        return None
    for name, count in (("prompt_tokens", prompt), ("completion_tokens", completion)):
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**63:
            raise FieldProblem(f"usage.{name}", f"is {count!r}; write a whole number from 0 up")
    return Usage(int(prompt or 0), int(completion))


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise FieldProblem(name, "is neither text nor a number")
    return str(value)


def joined(files: Files) -> Iterator[Joined]:
    """Every request of the primary, in its file's order, with what the other arms have of it. Raises :class:`InputError`."""
    for key, primary in files.primary.items():
        candidate = files.candidate.get(key)
        control = files.control.get(key) if files.control is not None else None
        try:
            yield _joined(primary, candidate, control)
        except FieldProblem as exc:
            raise InputError(f"id {primary.id!r}: {exc}") from exc


def _joined(primary: Recorded, candidate: Recorded | None, control: Recorded | None) -> Joined:
    wanted = primary.asked if primary.asked is not None else candidate.asked if candidate is not None else None
    request, asked = asked_of(wanted)
    session = primary.session or asked.session

    def side(recorded: Recorded | None, arm: str) -> Any:
        answer, times = (recorded.answer, recorded.times) if recorded is not None else (None, Times())
        return given(answer, request, id_=str(primary.id), arm=arm, route=primary.route, field=f"{arm} answer", times=times)

    pair = Pair(
        primary.id, asked, side(primary, PRIMARY), side(candidate, "candidate"), side(control, CONTROL) if control is not None else None
    )
    return Joined(pair, request, primary.route, session)


def is_asked(asked: Asked, request: Request) -> bool:
    """True where a line says what was asked: only then can a repeated prompt be told."""
    return bool(asked.prompt or request.body)
