"""The machine under the tests: cores, processes with a bounded end, and what the kernel says they used."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "loadtest"
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[min(1, len(CORES) - 1)]
SHADOW_CORE = CORES[2] if len(CORES) > 2 else LOAD_CORE
_PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class LoadTestError(Exception):
    """A peer or a generator did not do its part; the message says which and why."""


def program(name: str) -> str | None:
    """Where a program is installed, looking beside this Python and in the system's places, too."""
    return shutil.which(name, path=_PLACES)


# --- processes ----------------------------------------------------------------------------------------------------------


@contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """What is started inside runs there from its first instruction, with every thread it makes."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


@contextmanager
def _delayed_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back while a process is being made: one that nobody holds yet could not be ended."""
    seen: list[int] = []
    own = {number: signal.signal(number, lambda number, _: seen.append(number)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)
    if seen:
        raise KeyboardInterrupt


def hurry(pid: int, rank: int = 1) -> str:
    """Let a process run before all others of its core but those of a higher rank, where we may; says what it got.

    For what is only there to measure, and for the primary, which in daily life has a machine of its own: neither shall wait behind the
    candidates and the shadow process that happen to share its core. It must not spin: what waits on its core would starve.
    """
    try:
        for thread in threads(pid):
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(rank))
    except PermissionError:
        pass
    else:
        return "SCHED_FIFO"
    try:
        os.setpriority(os.PRIO_PROCESS, pid, -20)
    except PermissionError:
        return "normal"
    return "nice -20"


def _hurry(started: subprocess.Popen[Any], rank: int = 1) -> None:
    try:
        hurry(started.pid, rank)
    except ProcessLookupError:
        return  # it has ended already; whoever waits for it will say so


def priority() -> str:
    """What :func:`hurry` gives here, tried on a process that does nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as tried:
        got = hurry(tried.pid)
        tried.kill()
    return got


@contextmanager
def process(
    arguments: Sequence[object], cores: Iterable[int], log: Path, *, end_within_s: float = 10, is_urgent: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run until the block ends. In a session of its own, so that Ctrl-C reaches us alone and we end it, by its id, in bounded time."""
    started: subprocess.Popen[bytes] | None = None
    try:
        with log.open("ab") as output, _delayed_interrupts(), on_cores(cores):
            started = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,  # not the checkout: `-m shadowproxy` must run what is installed, compiled or not
                start_new_session=True,
            )
        if is_urgent:
            _hurry(started)
        yield started
    finally:
        if started is not None:
            _end(started, end_within_s)


def _end(started: subprocess.Popen[bytes], within_s: float) -> None:
    family = descendants(started.pid)
    started.terminate()
    try:
        started.wait(within_s)
    except subprocess.TimeoutExpired:
        for pid in (*family, started.pid):
            _kill(pid)
        started.wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def generator(
    arguments: Sequence[object], cores: Iterable[int], within_s: float, order: str | None = None, *, is_urgent: bool = False
) -> str:
    """Run a load generator to its end and return what it printed."""
    name = Path(str(arguments[0])).name
    started: subprocess.Popen[str] | None = None
    try:
        with _delayed_interrupts(), on_cores(cores):
            started = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,
                text=True,
            )
        if is_urgent:
            _hurry(started, 2)  # before the servers: what measures the time shall not add to it
        out, err = started.communicate(order, timeout=within_s)
    except subprocess.TimeoutExpired as exc:
        raise LoadTestError(f"{name} did not end within {within_s:g} s") from exc
    finally:
        if started is not None and started.poll() is None:
            started.kill()
            started.wait()
    if started.returncode != 0:
        raise LoadTestError(f"{name} ended with {started.returncode}: {err.strip()[-400:]}")
    return out


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int, started: subprocess.Popen[bytes], log: Path, within_s: float = 30) -> None:
    """Until something listens. Raises :class:`LoadTestError` with the end of the log."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and started.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-600:] if log.exists() else ""
    raise LoadTestError(f"{log.stem} does not listen on port {port}: {tail.strip()}")


def descendants(pid: int) -> list[int]:
    """Children, their children and so on; empty once the process is gone."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            children = [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def move(pid: int, cores: Iterable[int]) -> None:
    """Pin a running process with all its threads."""
    for thread in threads(pid):
        os.sched_setaffinity(thread, cores)


def threads(pid: int) -> list[int]:
    return [int(task.name) for task in Path(f"/proc/{pid}/task").glob("*")]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


# --- what they use ------------------------------------------------------------------------------------------------------


def cpu_s(pids: Iterable[int]) -> float:
    """User and system seconds since their start. A process that is gone counts nothing."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def foreign_cpu_s() -> dict[int, float]:
    """CPU seconds of each process that is not ours. The machine's own sums in /proc/stat are sampled, and miss short bursts."""
    ours = {os.getpid(), *descendants(os.getpid())}
    pids = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()} - ours
    return {pid: cpu_s([pid]) for pid in pids}


def resident_mb(pids: Iterable[int]) -> float:
    """Resident memory, shared pages counted in each process."""
    return sum(_kilobytes(Path(f"/proc/{pid}/status"), "VmRSS") for pid in pids) / 1024


def proportional_mb(pids: Iterable[int]) -> float:
    """Resident memory, shared pages divided among those that share them."""
    return sum(_kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") for pid in pids) / 1024


def _kilobytes(file: Path, key: str) -> int:
    try:
        found = re.search(rf"^{key}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


# --- what it is ---------------------------------------------------------------------------------------------------------


def description() -> dict[str, object]:
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "architecture": platform.machine(),
        "cpu": cpu[1] if cpu else "unknown",
        "cores": len(CORES),
        "memory_gb": round(int(memory[1]) / 1024**2, 1) if memory else 0,
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "wrk": ("-v",),
    "nginx": ("-v",),
    "haproxy": ("-v",),
    "envoy": ("--version",),
}
_PACKAGES = ("llm-shadowproxy", "uvloop", "httptools", "aiohttp", "msgspec", "orjson", "onnxruntime", "litellm")


def versions() -> dict[str, str]:
    """Of everything that took part, or could have."""
    found = {"python": platform.python_version()}
    for name, arguments in _PROGRAMS.items():
        if path := program(name):
            said = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=20, check=False)
            number = re.search(r"\d+\.\d+(\.\d+)*", (said.stdout + said.stderr).replace(path, ""))
            found[name] = number[0] if number else "unknown"
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    said = subprocess.run(
        [sys.executable, "-m", "shadowproxy", "--version"],
        capture_output=True,
        text=True,
        cwd=tempfile.gettempdir(),
        timeout=60,
        check=False,
    )
    if how := re.search(r"data path (\w+)", said.stdout):
        found["data path"] = how[1]
    return found


def raise_file_limit() -> None:
    """Thousands of connections in one process: as many descriptors as the system lets us have. Children inherit it."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def stack_with_signals() -> ExitStack:
    """An exit stack that a SIGTERM unwinds, too, as Ctrl-C does."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    return ExitStack()
