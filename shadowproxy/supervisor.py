"""The parent of all processes: binds the ports, starts gateway workers and the shadow process, restarts what dies, adds up their counts.

It owns what must survive a shadow process: the counts so far, the frozen TTFT references, the verdict. It is not on the client's path.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from shadowproxy import control
from shadowproxy.admin.app import Health
from shadowproxy.config import Config
from shadowproxy.control import Channel, Hello, Listening, PairsReply, PairsRequest, Ready, Reference, Report
from shadowproxy.counts import (
    LLM_JUDGE_COST,
    LLM_JUDGE_TOKENS,
    PROCESS_STARTS,
    RELOADS,
    SPENT_COST,
    SPENT_TOKENS,
    STEP_FAILURES,
    Counts,
    Totals,
)
from shadowproxy.errors import ConfigError, ShadowproxyError, StartError
from shadowproxy.judging import Judge
from shadowproxy.promote.phases import Order
from shadowproxy.promote.steering import Steering
from shadowproxy.sockets import address_of, bind
from shadowproxy.tasks import Guard, Tasks
from shadowproxy.watching import VerdictWatcher

_log = logging.getLogger(__name__)

_RESTART_FIRST_S = 0.1  # a crash costs at most this before the new process is started
_RESTART_MOST_S = 5.0  # a process that crashes again and again must not eat a core
_HEALTHY_AFTER_S = 10.0
_HUNG_S = 30.0  # children report five times a second; a long stall of the machine is not yet a hang
_PAIRS_TIMEOUT_S = 5.0
_LOOK_S = 0.5  # for a deleted socket file: a child that starts needs it, and a client may wait for that child
_TRIAL_S = 60.0  # a large model takes its time to load
_ADOPT_S = 5.0
_RETIRE_S = 5.0
_LAST_WORDS_S = 1.0

#: What is bound, or held open, for the life of the process.
_FIXED = ("listen", "listen_mirrored", "workers", "judge", "admin", "tls", "log")


@dataclass(slots=True)
class Child:
    """One child process through all its boots."""

    role: str
    name: str
    spec: dict[str, object]
    fds: tuple[int, ...] = ()
    process: asyncio.subprocess.Process | None = None
    channel: Channel | None = None
    was_ever_ready: bool = False
    is_ready: bool = False
    is_retired: bool = False
    boot: str = ""
    heard_at: float = 0.0
    adopted: asyncio.Future[str] | None = None


@dataclass(slots=True)
class _Asked:
    """Requests to the shadow process that wait for their answer."""

    ids: itertools.count[int] = field(default_factory=itertools.count)
    waiting: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)


class Supervisor:
    """Runs until :meth:`stop` is called or a child cannot start. Implements the admin surface's state."""

    def __init__(self, config: Config, tasks: Tasks, read_config: Callable[[], Config], watcher: VerdictWatcher) -> None:
        """``read_config`` gives the configuration as it stands now, for a reload; it raises :class:`ConfigError`. ``watcher`` sees every
        verdict."""
        self._config = config
        self._read_config = read_config
        self._boots = itertools.count(1)
        self._generation = 0
        self._is_reloading = False
        self._is_mirroring = True
        self._tasks = tasks
        self._run_dir = Path(tempfile.mkdtemp(prefix="shadowproxy-"))
        self._sockets: list[socket.socket] = []
        self._mirrored_sockets: list[socket.socket] = []
        self._children: list[Child] = []
        self._trials: list[Child] = []
        self._listening: list[str] = []  # a boot stands here once per line: a broken one may end after its successor began
        self._references: dict[tuple[str, str, str], Reference] = {}
        self._asked = _Asked()
        self._own = Counts()
        self._guard = Guard(lambda step: self._own.add(STEP_FAILURES, step))
        self._is_stopping = False
        self._stopped = asyncio.Event()
        self._failure: StartError | None = None
        control_path = self._run_dir / "control.sock"
        self._control = Listening(control_path, lambda: control.listen(control_path, self._serve_child))
        self.totals = Totals()
        self.judge = Judge(config, self.totals)
        self._watcher = watcher
        self._steering: Steering | None = None
        self.boot = secrets.token_hex(8)
        self.address = ""

    def steer(self, steering: Steering) -> None:
        """Who moves traffic by our verdicts; nobody does where another process judges."""
        self._steering = steering

    # --- admin state ------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Ready: every gateway worker serves. The shadow process is not asked: without it evidence is lost, never a reply."""
        reasons = [f"{child.name} is not serving" for child in self._children if child.role == "gateway" and not child.is_ready]
        if self._is_stopping:
            reasons.insert(0, "draining")
        notes = tuple(f"{child.name} is not running" for child in self._children if child.role == "shadow" and not child.is_ready)
        return Health(alive=True, ready=not reasons, reasons=(*reasons, *notes))

    def verdicts(self) -> tuple[Mapping[str, object], ...]:
        return self.judge.documents()

    def history(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        return self._watcher.history(limit, rollout)

    def promotions(self) -> Mapping[str, Mapping[str, object]]:
        return self._steering.standings() if self._steering is not None else {}

    async def order(self, candidate: str, order: Order) -> Mapping[str, object]:
        """See :meth:`shadowproxy.promote.steering.Steering.order`."""
        if self._steering is None:
            raise KeyError(candidate)
        return await self._steering.order(candidate, order)

    async def pairs(self, limit: int, rollout: str | None) -> tuple[Mapping[str, object], ...]:
        """Ask the shadow process for its latest pairs."""
        shadow = self._shadow()
        if shadow is None or shadow.channel is None:
            raise ShadowproxyError("the shadow process is not running; it is restarted within seconds")
        ask = next(self._asked.ids)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.waiting[ask] = future
        try:
            shadow.channel.send(PairsRequest(ask, limit, rollout))
            answer = await asyncio.wait_for(future, _PAIRS_TIMEOUT_S)
        except TimeoutError:
            raise ShadowproxyError(f"the shadow process did not answer within {_PAIRS_TIMEOUT_S:g} s; try again") from None
        finally:
            del self._asked.waiting[ask]
        return tuple(orjson.loads(answer))

    def set_mirroring(self, is_on: bool) -> None:
        """The kill switch by hand. Workers that start later are told, too."""
        self._is_mirroring = is_on
        for child in self._children:
            if child.role == "gateway" and child.channel is not None:
                child.channel.send(control.SetMirroring(is_on))

    # --- life cycle -------------------------------------------------------------------------------------------------

    async def start(self) -> bool:
        """Bind, start every child, and return True when all of them serve; False where a stop came first. Raises :class:`StartError`."""
        self._sockets = bind(self._config.listen, self._config.workers)
        self.address = address_of(self._sockets[0])
        if self._config.listen_mirrored is not None:
            self._mirrored_sockets = bind(self._config.listen_mirrored, self._config.workers)
        await self._control.start()
        if self._config.hands_over:
            self._children.append(Child("shadow", "shadow", self._spec("shadow", self._config)))
        for index in range(self._config.workers):
            fds, mirrored_fds = [
                [sockets[index % len(sockets)].fileno()] if sockets else [] for sockets in (self._sockets, self._mirrored_sockets)
            ]
            name = f"gateway-{index}"
            spec = {**self._spec(name, self._config), "fds": fds, "mirrored_fds": mirrored_fds}
            self._children.append(Child("gateway", name, spec, (*fds, *mirrored_fds)))
        for child in self._children:
            self._tasks.start(f"keep {child.name}", self._keep_running(child))
        self._tasks.start("judge", self._judge_forever())
        self._tasks.start("watch", self._watch_forever())
        self._tasks.start("stay reachable", self._stay_reachable())
        while not all(child.is_ready for child in self._children):
            if self._failure is not None:
                raise self._failure
            if self._stopped.is_set():
                return False
            await asyncio.sleep(0.01)
        return True

    def _spec(self, name: str, config: Config) -> dict[str, object]:
        """What a child is told. Each generation of the shadow process listens on a path of its own."""
        return {
            "name": name,
            "config": config.model_dump(mode="json"),
            "run_dir": str(self._run_dir),
            "supervisor": os.getpid(),
            "handover": str(self._run_dir / f"handover-{self._generation}.sock"),
        }

    def _shadow(self) -> Child | None:
        return next((child for child in self._children if child.role == "shadow" and not child.is_retired), None)

    # --- reload -----------------------------------------------------------------------------------------------------

    async def reload(self) -> str:
        """Go by the configuration as it stands now. Returns "" or why the old one was kept.

        The new shadow process starts beside the old one; workers switch when it is ready; then the old one finishes and ends. No
        connection is closed, and rollouts that did not change keep their evidence.
        """
        if self._is_reloading or self._is_stopping:
            return "busy with an earlier reload or with stopping"
        self._is_reloading = True
        try:
            problem = await self._try_reload()
        finally:
            self._is_reloading = False
        self._own.add(RELOADS, "refused" if problem else "done")
        self.totals.absorb("supervisor", self._own.take_changes())
        if problem:
            _log.error("reload refused, the old configuration stays: %s", problem)
        else:
            _log.info("configuration reloaded")
        return problem

    async def _try_reload(self) -> str:
        try:
            # In a thread: a prompt may come from a registry that takes its time, and children are watched from this loop.
            config = await asyncio.to_thread(self._read_config)
            course = self._steering.prepare(config.promotions) if self._steering is not None else {}
        except ConfigError as exc:
            return "; ".join(str(each) for each in exc.problems)
        except StartError as exc:
            return str(exc)
        fixed = [key for key in _FIXED if getattr(config, key) != getattr(self._config, key)]
        if fixed:
            return f"{', '.join(fixed)} cannot change while running; restart instead"
        self._generation += 1
        old, new = self._shadow(), None
        if config.hands_over:
            new = Child("shadow", "shadow", self._spec("shadow", config))
            if not await self._started(new):
                return "the new shadow process did not start; its message is in the log"
        problems = [await self._adopt(child, config) for child in self._children if child.role == "gateway"]
        problem = next((each for each in problems if each), "")
        if problem:
            if new is not None:
                self._trials.remove(new)
            await self._retire(new)
            for child in self._children:
                if child.role == "gateway":
                    await self._adopt(child, self._config, self._handover_of(old))
            return problem
        self._config = config
        self.judge.adopt(config)
        if new is not None:
            self._trials.remove(new)
            self._children.insert(0, new)
        await self._retire(old)
        if self._steering is not None:
            await self._steering.adopt(course)
        return ""

    async def _started(self, child: Child) -> bool:
        """Run a child on trial; True when it is ready."""
        self._trials.append(child)
        keeping = self._tasks.start(f"keep {child.name}", self._keep_running(child))
        deadline = time.monotonic() + _TRIAL_S
        while not child.is_ready and not keeping.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if not child.is_ready:
            self._trials.remove(child)
            await self._retire(child)
        return child.is_ready

    def _handover_of(self, shadow: Child | None) -> str:
        return str(shadow.spec["handover"]) if shadow else ""

    async def _adopt(self, child: Child, config: Config, handover: str | None = None) -> str:
        """Have one worker go by ``config``; its next boots do so anyway. Returns its problem, or ""."""
        spec = self._spec(child.name, config)
        if handover:
            spec["handover"] = handover
        if child.channel is None or not child.is_ready:
            child.spec = {**child.spec, **spec}
            return ""
        child.adopted = asyncio.get_running_loop().create_future()
        child.channel.send(control.Adopt(orjson.dumps(spec["config"]), str(spec["handover"])))
        try:
            problem = await asyncio.wait_for(child.adopted, _ADOPT_S)
        except TimeoutError:
            problem = f"{child.name} did not answer within {_ADOPT_S:g} s"
        if not problem:
            child.spec = {**child.spec, **spec}
        return problem

    async def _retire(self, child: Child | None) -> None:
        """End a child for good."""
        if child is None:
            return
        child.is_retired = True
        await self._end([child], _RETIRE_S)
        if child in self._children:
            self._children.remove(child)

    async def wait(self) -> None:
        """Until stopped. Raises what stopped it."""
        await self._stopped.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin to drain. Safe to call from a signal handler, and more than once."""
        if not self._is_stopping:
            self._is_stopping = True
            self._tasks.start("drain", self._drain())

    async def _drain(self) -> None:
        for sock in (*self._sockets, *self._mirrored_sockets):
            sock.close()  # or the kernel would go on to accept clients whom no worker will ever serve
        await self._end([child for child in self._children if child.role == "gateway"], self._config.limits.drain_s + 2)
        await self._end([child for child in self._children if child.role == "shadow"], 5)
        self._look()
        self._stopped.set()

    async def close(self) -> None:
        """Leave nothing behind: no child, no socket, no file."""
        self._is_stopping = True
        await self._end([*self._children, *self._trials], 2)
        self._control.close()
        for sock in (*self._sockets, *self._mirrored_sockets):
            sock.close()
        for address, sockets in ((self._config.listen, self._sockets), (self._config.listen_mirrored or "", self._mirrored_sockets)):
            if address.startswith("unix:") and sockets:
                Path(address[5:]).unlink(missing_ok=True)
        shutil.rmtree(self._run_dir, ignore_errors=True)

    async def _end(self, children: list[Child], within_s: float) -> None:
        """SIGTERM, wait, SIGKILL."""
        running = [child.process for child in children if child.process is not None and child.process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        if running:
            await asyncio.wait([asyncio.ensure_future(process.wait()) for process in running], timeout=within_s)
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()

    # --- children ---------------------------------------------------------------------------------------------------

    async def _keep_running(self, child: Child) -> None:
        delay = _RESTART_FIRST_S
        while not self._should_end(child):
            started = time.monotonic()
            code = await self._run_once(child)
            if self._should_end(child):
                return
            if code == control.EXIT_CANNOT_START and not child.was_ever_ready:
                if child in self._trials:
                    return
                self._failure = StartError(f"{child.name} cannot start; its message is above")
                self._stopped.set()
                return
            if time.monotonic() - started > _HEALTHY_AFTER_S:
                delay = _RESTART_FIRST_S
            _log.warning("%s ended with %s; restarting in %.1f s", child.name, _ending(code), delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RESTART_MOST_S)

    def _should_end(self, child: Child) -> bool:
        """Asked again after every wait: a stop may have come meanwhile."""
        return self._is_stopping or child.is_retired

    async def _run_once(self, child: Child) -> int:
        child.boot = f"{child.name}/{next(self._boots)}"
        self._own.add(PROCESS_STARTS, child.role)
        self.totals.absorb("supervisor", self._own.take_changes())
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"shadowproxy.processes.{child.role}",
                stdin=asyncio.subprocess.PIPE,
                pass_fds=child.fds,
                start_new_session=True,  # Ctrl-C is for us; we tell the children when to stop
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except OSError as exc:  # no memory, no processes left: that passes
            _log.error("cannot start %s: %s", child.name, exc)
            return 1
        child.process = process
        child.heard_at = time.monotonic()
        try:
            assert process.stdin is not None
            process.stdin.write(orjson.dumps({**child.spec, "boot": child.boot}))
            process.stdin.close()
            return await process.wait()
        finally:
            child.is_ready = False
            child.channel = None
            # What it had reported may still lie in the socket. Read that first: after its end nothing of this boot may count again.
            boot = child.boot
            deadline = time.monotonic() + _LAST_WORDS_S
            while boot in self._listening and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            child.boot = ""
            self.totals.end(boot)

    async def _serve_child(self, channel: Channel) -> None:
        """Read one child's messages until it is gone."""
        hello = await channel.receive()
        if not isinstance(hello, Hello):
            return
        child = next((child for child in (*self._children, *self._trials) if child.boot == hello.boot), None)
        if child is None:
            return
        child.channel = channel
        self._listening.append(hello.boot)
        try:
            await self._listen_to(child, hello.boot, channel)
        finally:
            self._listening.remove(hello.boot)

    async def _listen_to(self, child: Child, boot: str, channel: Channel) -> None:
        if child.role == "gateway":
            channel.send(control.SetMirroring(self._is_mirroring))
        if child.role == "shadow":
            for reference in self._references.values():
                channel.send(reference)
            for rollout in self.judge.rollouts:
                spent = [self.totals.value(each, rollout) for each in (SPENT_TOKENS, SPENT_COST, LLM_JUDGE_TOKENS, LLM_JUDGE_COST)]
                channel.send(control.Spent(rollout, spent[0], spent[1], int(spent[2]), spent[3]))
        while (message := await channel.receive()) is not None:
            child.heard_at = time.monotonic()
            if child.boot != boot:
                return  # what this boot had said was counted when it ended
            self._take(child, boot, message)

    def _take(self, child: Child, boot: str, message: control.Message) -> None:
        match message:
            case Report(counts):
                self.totals.absorb(boot, dict(counts))
            case Ready():
                child.is_ready = child.was_ever_ready = True
            case control.Adopted(problem):
                if child.adopted is not None and not child.adopted.done():
                    child.adopted.set_result(problem)
            case Reference(rollout, route, measure, _):
                self._references[rollout, route, measure] = message
            case PairsReply(ask, pairs):
                future = self._asked.waiting.get(ask)
                if future is not None and not future.done():
                    future.set_result(pairs)
            case _:
                _log.error("unexpected message %r from %s", message, child.name)

    async def _judge_forever(self) -> None:
        while True:
            await asyncio.sleep(self._config.verdict.interval_s)
            with self._guard("judge"):
                self._look()

    def _look(self) -> None:
        """Judge, and let the verdicts be seen."""
        self.judge.look()
        self._watcher.saw_all(self.judge.documents())
        self._watcher.report(self._own)
        self.totals.absorb("supervisor", self._own.take_changes())

    async def _watch_forever(self) -> None:
        """End children that have stopped reporting: hung, they hold memory and traffic and do no work; a new one does."""
        every_s = _HUNG_S / 10
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(every_s)
            now, last, looked_at = time.monotonic(), looked_at, time.monotonic()
            if now - last > 2 * every_s:
                # We were the ones who stood still (a frozen container, a migrated machine): their reports lie unread.
                for child in self._children:
                    child.heard_at = now
                continue
            for child in self._children:
                silent_s = time.monotonic() - child.heard_at
                if child.is_ready and silent_s > _HUNG_S and child.process is not None:
                    _log.error("%s has been silent for %.0f s; killing it", child.name, silent_s)
                    child.process.kill()

    async def _stay_reachable(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._control.look()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
