"""``shadowproxy replay --engine ray``: shares of a replay as tasks of Ray, on this machine or on a cluster; merged as by ``replay merge``.

Ray places the tasks and starts one again whose worker died. What makes that safe is not Ray's: a share goes on from its work folder. Only
this module speaks to Ray, and only the command with that engine imports it.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from shadowproxy.config import Config, Journal
from shadowproxy.errors import InputError, StartError
from shadowproxy.journal.places import is_url
from shadowproxy.replay.command import Request, check, folder_for
from shadowproxy.replay.keeping import keyed
from shadowproxy.replay.merging import Merged, merge
from shadowproxy.replay.oversight import endings
from shadowproxy.replay.pace import ClosedLoop, Pace
from shadowproxy.replay.ray_board import Board, Picture
from shadowproxy.replay.ray_worker import ShareEnded, ShareTask, run_share
from shadowproxy.replay.sources import journal_of
from shadowproxy.replay.work import Share, held

#: How often a share is begun again because its worker died. One that dies every time does not die of chance.
_RETRIES = 3

#: How long shares that were told to stop may take: they wait for the answers that are on their way.
_STOP_S = 30.0

#: Between two looks at the board, and between two lines of a log.
_LOOK_S = 1.0
_LINE_S = 10.0

#: For Ray's store of objects on this machine, of which a replay uses next to nothing. Ray takes no less.
_STORE_BYTES = 80 * 1024 * 1024

_MARKED = "ray-run"


@dataclass(frozen=True, slots=True)
class Engine:
    """How it is divided and where it runs. ``address``: of a cluster, empty for a Ray of its own on this machine."""

    shards: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class RayFinished:
    """A run that is over. ``merged`` is None where it was stopped."""

    folder: Path
    merged: Merged | None = None


def replay_on_ray(request: Request, config: Config, engine: Engine, console: Console) -> RayFinished:
    """Run all shares and judge them as one. Raises as :func:`~shadowproxy.replay.command.replay` does; what was done until then is kept."""
    if request.share is not None:
        raise InputError(f"--shard {request.share}: the engine divides the requests itself; say --shards instead")
    check(request, config)
    ray = _ray()
    folder = folder_for(request).resolve()
    lock = held(folder)
    try:
        console.print(f"work folder {folder}: the same command goes on from what it holds", highlight=False, soft_wrap=True)
        return _RayReplay(ray, request, config, engine, folder, console).run()
    finally:
        os.close(lock)


def folders_of(folder: Path, shards: int) -> tuple[Path, ...]:
    """The work folder of each share."""
    return tuple(folder / f"shard-{index}-of-{shards}" for index in range(1, shards + 1))


def _ray() -> Any:
    """The library, told beforehand to report nothing to its makers."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        return importlib.import_module("ray")
    except ImportError as exc:
        raise StartError("--engine ray needs Ray; install shadowproxy with the extra: pip install 'llm-shadowproxy[ray]'") from exc


class _RayReplay:
    """One run of the command."""

    def __init__(self, ray: Any, request: Request, config: Config, engine: Engine, folder: Path, console: Console) -> None:
        self._ray = ray
        self._request = request
        self._config = config
        self._engine = engine
        self._folder = folder
        self._console = console

    def run(self) -> RayFinished:
        section = self._config.journal or Journal(to=str(self._folder))
        section = section.model_copy(update={"redact": keyed(section.redact, self._folder)})
        source, notes = self._source(section)
        tasks = self._tasks(source, self._config.model_copy(update={"journal": section}))
        with _ray_there(self._ray, self._engine.address), _stop_signals() as stop:
            ended = self._ended(tasks, stop)
        if failed := next((each for each in ended if each.failure), None):
            said = f"share {failed.index}/{self._engine.shards} on {failed.node}: {failed.failure}"
            raise InputError(said) if failed.is_input else StartError(said)
        if len(ended) < len(tasks) or any(each.is_stopped for each in ended):
            return RayFinished(self._folder)
        merged = merge(folders_of(self._folder, self._engine.shards), self._config, self._request.identities)
        return RayFinished(self._folder, replace(merged, notes=(*notes, *merged.notes)))

    # --- before ---------------------------------------------------------------------------------------------------------

    def _source(self, section: Journal) -> tuple[str, tuple[str, ...]]:
        """A journal that all shares read, and what is to be said of how it was come by. A capture in another format is imported once:
        each share for itself would redact it under a key of its own, and no two would have the same requests."""
        with self._console.status("reading the capture"):
            found = journal_of(self._request.source, section, self._folder / "source", self._request.format)
        return found.place if is_url(found.place) else str(Path(found.place).resolve()), found.notes

    def _tasks(self, source: str, config: Config) -> list[ShareTask]:
        request, shards = self._request, self._engine.shards
        mark = secrets.token_hex(8)
        marked = self._folder / _MARKED
        marked.write_text(mark, encoding="ascii")
        tree = config.model_dump(mode="json")
        shares = [Share(index, shards) for index in range(1, shards + 1)]
        return [
            ShareTask(
                replace(
                    request,
                    source=source,
                    format="",
                    pace=divided_pace(request.pace, shards),
                    rates=divided_rates(request.rates, shards),
                    share=share,
                    work=folder,
                    workers=0,
                    identities=tuple(each.resolve() for each in request.identities),
                ),
                share,
                tree,
                marked,
                mark,
            )
            for share, folder in zip(shares, folders_of(self._folder, shards), strict=True)
        ]

    # --- the run --------------------------------------------------------------------------------------------------------

    def _ended(self, tasks: Sequence[ShareTask], stop: threading.Event) -> list[ShareEnded]:
        """What became of the shares; of those that would not stop nothing."""
        ray = self._ray
        board = ray.remote(num_cpus=0)(Board).remote()
        calls = RayBoard(ray, board)
        run = ray.remote(num_cpus=1, max_retries=_RETRIES)(run_share)
        waiting = {run.options(name=f"replay {task.share}").remote(task, calls): task.share for task in tasks}
        ended: list[ShareEnded] = []
        stopped_s = 0.0
        with self._console.status("waiting for Ray") as status:
            lines = _Lines(self._console, len(tasks))
            while waiting and not (stopped_s and time.monotonic() - stopped_s > _STOP_S):
                done, _ = ray.wait(list(waiting), timeout=_LOOK_S)
                for reference in done:
                    ended.append(_result(ray, reference, waiting.pop(reference)))
                    if ended[-1].failure:
                        stop.set()
                if stop.is_set() and not stopped_s:
                    stopped_s = time.monotonic()
                    calls.ask("stop")
                status.update(lines.show(calls.ask("look")))
        for reference in waiting:
            ray.cancel(reference, force=True)
        return ended


def _result(ray: Any, reference: Any, share: Share) -> ShareEnded:
    try:
        ended: ShareEnded = ray.get(reference)
    except ray.exceptions.RayError as exc:
        # What is said first is what happened; Ray's own text goes on about how to look for the reason.
        why = str(exc).strip().partition("\n")[0] or type(exc).__name__
        return ShareEnded(share.index, "Ray", failure=f"{why}; what was kept stays, the same command goes on from there")
    return ended


class RayBoard:
    """:class:`~shadowproxy.replay.ray_worker.BoardCalls` over an actor. Travels to workers."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._actor = actor
        self._ray = ray

    def __reduce__(self) -> tuple[Any, ...]:
        return _board_there, (self._actor,)

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._ray.get(getattr(self._actor, method).remote(*arguments, **named))

    async def ask_soon(self, method: str, *arguments: Any) -> Any:
        return await getattr(self._actor, method).remote(*arguments)


def _board_there(actor: Any) -> RayBoard:
    return RayBoard(_ray(), actor)


class _Lines:
    """The same line for a person at a terminal, always, and for a log, now and then."""

    def __init__(self, console: Console, shards: int) -> None:
        self._console = console
        self._shards = shards
        self._began_s = self._told_s = time.monotonic()

    def show(self, picture: Picture) -> str:
        now_s = time.monotonic()
        line = picture.line(self._shards, now_s - self._began_s)
        if not self._console.is_terminal and now_s - self._told_s >= _LINE_S:
            self._told_s = now_s
            self._console.print(line, highlight=False, soft_wrap=True)
        return line


@contextmanager
def _ray_there(ray: Any, address: str) -> Iterator[None]:
    """Connected to the cluster, or a Ray on this machine for as long as it takes. Its dashboard stays off, and what it prints goes to
    standard error: standard output is the verdict's."""
    own: dict[str, Any] = {} if address else {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    with redirect_stdout(sys.stderr):
        _connect(ray, address, own)
        try:
            yield
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str, own: Mapping[str, Any]) -> None:
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as exc:
        raise StartError(f"Ray at {address or 'this machine'}: {exc}; name a cluster that runs with --ray-address") from exc


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """SIGINT, SIGTERM and SIGHUP set it. A second one ends this process as it would any other."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in endings()}

    def stopped(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)

    for number in before:
        signal.signal(number, stopped)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- what each share gets of what was asked for -----------------------------------------------------------------------------


def divided_rates(rates: Mapping[str, float], shards: int) -> dict[str, float]:
    """All shares together keep the rate."""
    return {arm: rate / shards for arm, rate in rates.items()}


def divided_pace(pace: Pace, shards: int) -> Pace:
    """All shares together have so many requests in flight, each at least one. At a given pace each keeps the distances of its own."""
    return ClosedLoop(max(1, pace.concurrency // shards)) if isinstance(pace, ClosedLoop) else pace
