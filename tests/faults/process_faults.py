"""What happens to our own processes and to what ties them together. Evidence may be lost, and is counted; a reply never is."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.faults.fault import Counted, Fault, Inject, Logged, Seen, Unharmed
from tests.faults.scene import ASKED, Metrics, Scene, received
from tests.serve.serving import Serving, eventually
from tests.serve.wire import ask, request

_PIDFD_GETFD = 438  # the same number on every architecture

#: A request and its reply of some kB: a hung reader's buffers fill within a second.
LONG = request("POST", b"x" * 4000, "x-echo-bytes: 8000")
#: A megabyte to work on per exchange.
HUGE = request("POST", b"{}", f"x-echo-bytes: {4 * 1024 * 1024}")

GONE = "the shadow process is gone; exchanges are dropped and counted until it is back"


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Hold a process for the time of the block, as a debugger, a frozen cgroup or an overloaded node does."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def counted(name: str, **labels: str) -> Callable[[Metrics], float]:
    return lambda metrics: metrics.value(f"shadowproxy_{name}", **labels)


async def grows(scene: Scene, count: Callable[[Metrics], float], by: float = 1) -> None:
    """Wait until a counter has grown."""
    before = count(await scene.metrics())
    await scene.until(lambda now: count(now) >= before + by)


SHADOW_STARTS = counted("process_starts_total", role="shadow")
WORKER_STARTS = counted("process_starts_total", role="gateway")


# --- shadow -----------------------------------------------------------------------------------------------------------------


async def _kill_shadow(scene: Scene) -> Sequence[Seen]:
    victim = scene.pid_of("shadow")
    assert _oom_score(victim) > max(_oom_score(pid) for pid in scene.serve.everyone() if pid != victim), "the kernel must take it first"
    async with scene.asking() as seen:
        before = SHADOW_STARTS(await scene.metrics())
        os.kill(victim, signal.SIGKILL)
        await scene.until(lambda now: SHADOW_STARTS(now) > before)
        await grows(scene, counted("received_total"), 20)
    return seen


def _oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score").read_text())


async def _hang_shadow(scene: Scene) -> Sequence[Seen]:
    expected = await ask(scene.primary_url, LONG)
    seen: list[Seen] = []
    full = counted("not_mirrored_total", reason="handover_full")
    before = full(await scene.metrics())
    with stopped(scene.pid_of("shadow")):
        while full(await scene.metrics()) < before + 20:
            seen += await asyncio.gather(*(scene.send(LONG, expected) for _ in range(20)))
            assert len(seen) < 5000
    return seen


async def _starve_shadow(scene: Scene) -> Sequence[Seen]:
    """A tenth of its processor for a second; then it catches up with everything that was handed over."""
    pid = scene.pid_of("shadow")
    received = counted("received_total")
    before = received(await scene.metrics())
    async with scene.asking(clients=1) as seen:
        for _ in range(10):
            with stopped(pid):
                await asyncio.sleep(0.09)
            await asyncio.sleep(0.01)
    await scene.until(lambda now: received(now) >= before + len(seen))
    return seen


async def _run_shadow_out_of_memory(scene: Scene) -> Sequence[Seen]:
    pid = scene.pid_of("shadow")
    expected = await ask(scene.primary_url, HUGE)
    virtual_bytes = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (virtual_bytes + 1024 * 1024, hard))
    seen: list[Seen] = []
    try:
        told = scene.log.count(GONE)
        while scene.log.count(GONE) == told:
            seen += await asyncio.gather(*(scene.send(HUGE, expected) for _ in range(4)))
            assert len(seen) < 100
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, before)
    return seen


# --- ties -------------------------------------------------------------------------------------------------------------------


def break_line(pid: int, path: Path) -> None:
    """Shut a process's connection to a Unix socket from outside, as if the line itself had broken."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    broken = 0
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if not str(link.readlink()).startswith("socket:"):
                continue
            fd = libc.syscall(_PIDFD_GETFD, pidfd, int(link.name), 0)
            assert fd >= 0, os.strerror(ctypes.get_errno())
            with socket.socket(fileno=fd) as line:
                if line.family == socket.AF_UNIX and _peer(line) == str(path):
                    line.shutdown(socket.SHUT_RDWR)
                    broken += 1
    finally:
        os.close(pidfd)
    assert broken, f"process {pid} has no connection to {path}"


def _peer(line: socket.socket) -> object:
    try:
        return line.getpeername()
    except OSError:
        return None  # it listens


async def _break_handover(scene: Scene) -> Sequence[Seen]:
    async with scene.asking() as seen:
        for pid in scene.serve.pids("gateway"):
            break_line(pid, scene.run_dir / "handover-0.sock")
        await grows(scene, counted("received_total"), 20)
    return seen


def breaking_control(role: str) -> Inject:
    """Break the line between the supervisor and one child, while clients ask."""

    async def inject(scene: Scene) -> Sequence[Seen]:
        pids = scene.serve.pids(role)
        async with scene.asking() as seen:
            break_line(pids[0], scene.run_dir / "control.sock")
            await grows(scene, counted("requests_total"), 50)
            await grows(scene, counted("received_total"), 50)
        assert scene.serve.pids(role) == pids, "it need not end for that"
        return seen

    return inject


async def _kill_worker(scene: Scene) -> Sequence[Seen]:
    expected = await ask(scene.primary_url, ASKED)
    os.kill(scene.pid_of("gateway"), signal.SIGKILL)
    return await asyncio.gather(*(scene.send(ASKED, expected) for _ in range(20)))


async def _delete_sockets_and_kill(scene: Scene) -> Sequence[Seen]:
    """What a cleaner of temporary folders does, and then every child needs the sockets."""
    for path in scene.run_dir.iterdir():
        path.unlink()
    starts = SHADOW_STARTS(await scene.metrics()), WORKER_STARTS(await scene.metrics())
    for role in ("shadow", "gateway"):
        os.kill(scene.pid_of(role), signal.SIGKILL)
    await scene.until(lambda now: SHADOW_STARTS(now) > starts[0] and WORKER_STARTS(now) > starts[1])
    return [await scene.ask()]


async def _delete_handover_and_kill_worker(scene: Scene) -> Sequence[Seen]:
    (scene.run_dir / "handover-0.sock").unlink()
    for pid in scene.serve.pids("gateway"):
        os.kill(pid, signal.SIGKILL)
    return [await scene.ask(), await scene.ask()]


def writing(name: str) -> Inject:
    """Somebody on this machine writes garbage into one of our sockets."""

    async def inject(scene: Scene) -> Sequence[Seen]:
        _, writer = await asyncio.open_unix_connection(str(scene.run_dir / name))
        writer.write(b"\xff" * 64)
        await writer.drain()
        writer.close()
        return [await scene.ask()]

    return inject


async def _stop_supervisor(scene: Scene) -> Sequence[Seen]:
    assert scene.serve.process is not None
    with stopped(scene.serve.process.pid):
        async with scene.asking() as seen:
            await asyncio.sleep(1)
    return seen


async def _kill_supervisor(scene: Scene) -> Sequence[Seen]:
    """Of another serve, started for this: whoever runs it has to start it anew."""
    other = Serving(scene.config(), {})
    asked = request("POST", b"{}", "x-echo: sse", "x-echo-events: 20", "x-echo-interval-ms: 50")
    expected = await ask(scene.primary_url, asked)
    try:
        await other.start()
        assert other.process is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", other.port)
        writer.write(asked)
        other.process.kill()
        seen = await received(reader, expected)
        writer.close()
        await eventually(lambda: not other.everyone() and not other.temp_files())
        assert "Traceback" not in other.log
        scene.other_log = other.log
    finally:
        await other.clean_up()
    return [seen]


FAULTS = (
    Fault(
        "shadow-killed",
        "shadow",
        "is killed, by the kernel when memory runs out, say, which takes it before any worker; it is started anew at once",
        Unharmed(),
        Counted("process_starts_total", role="shadow"),
        _kill_shadow,
        "processes",
    ),
    Fault(
        "shadow-hangs",
        "shadow",
        "hangs; the hand-over fills to `handover.buffer_bytes`, then exchanges are dropped",
        Unharmed(),
        Counted("not_mirrored_total", reason="handover_full"),
        _hang_shadow,
        "processes",
    ),
    Fault(
        "shadow-starved",
        "shadow",
        "gets a tenth of a processor for a while; what was handed over is judged later, and nothing is lost",
        Unharmed(),
        Counted("received_total"),
        _starve_shadow,
        "processes",
    ),
    Fault(
        "shadow-out-of-memory",
        "shadow",
        "gets no more memory from the system; it drops the line that brought too much, and the worker connects again",
        Unharmed(),
        Logged(GONE),
        _run_shadow_out_of_memory,
        "processes",
        story=True,
    ),
    Fault(
        "handover-broken",
        "shadow",
        "loses the lines from the workers; they connect again",
        Unharmed(),
        Logged(GONE),
        _break_handover,
        "processes",
    ),
    Fault(
        "handover-garbage",
        "shadow",
        "gets garbage through its socket",
        Unharmed(),
        Counted("step_failures_total", step="hand-over"),
        writing("handover-0.sock"),
        "processes",
        story=True,
    ),
    Fault(
        "handover-deleted",
        "shadow",
        "its socket's file is deleted, and every worker is killed",
        Unharmed(),
        Counted("process_starts_total", role="gateway"),
        _delete_handover_and_kill_worker,
        "processes",
    ),
    Fault(
        "shadow-control-broken",
        "shadow",
        "its line to the supervisor breaks; it connects again",
        Unharmed(),
        Logged("the line to the supervisor broke; connecting anew"),
        breaking_control("shadow"),
        "processes",
    ),
    Fault(
        "worker-killed",
        "worker",
        "one of two is killed",
        Unharmed("connections to that worker are cut; for others: none, and who connects meanwhile waits for its successor"),
        Counted("process_starts_total", role="gateway"),
        _kill_worker,
        "processes",
    ),
    Fault(
        "worker-control-broken",
        "worker",
        "its line to the supervisor breaks; it connects again, and no count is lost",
        Unharmed(),
        Logged("the line to the supervisor broke; connecting anew"),
        breaking_control("gateway"),
        "processes",
    ),
    Fault(
        "supervisor-hangs",
        "supervisor",
        "hangs; counts wait for it",
        Unharmed(),
        Counted("requests_total", route="echo", status="2xx"),
        _stop_supervisor,
        "processes",
    ),
    Fault(
        "supervisor-killed",
        "supervisor",
        "is killed; workers and shadow process end by themselves, and leave nothing",
        Unharmed("replies on their way are finished; then connections are refused until `serve` is started anew"),
        Logged("the supervisor is gone; ending"),
        _kill_supervisor,
        "processes",
    ),
    Fault(
        "control-garbage",
        "supervisor",
        "somebody writes garbage into its control socket",
        Unharmed(),
        Logged("control connection dropped: a control message announces"),
        writing("control.sock"),
        "processes",
    ),
    Fault(
        "sockets-deleted",
        "supervisor",
        "all its sockets' files are deleted, and children are killed that need them to come back",
        Unharmed(),
        Counted("process_starts_total", role="gateway"),
        _delete_sockets_and_kill,
        "processes",
    ),
)
