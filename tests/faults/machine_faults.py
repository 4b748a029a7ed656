"""What happens to the machine and by the hand of its keepers: disks, descriptors, clocks, configuration, certificates."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import orjson

from tests.faults.certificates import certificate
from tests.faults.clock import shifted
from tests.faults.fault import Counted, Fault, Logged, Seen, Unharmed
from tests.faults.process_faults import SHADOW_STARTS, counted, stopped
from tests.faults.scene import ASKED, Scene, received
from tests.serve.serving import Serving, eventually
from tests.serve.wire import ask

HOUR_S = 3600


async def _kill_switch(scene: Scene) -> Sequence[Seen]:
    switch = Path(scene.config()["mirror"]["kill_switch_file"])
    refused = counted("not_mirrored_total", reason="kill_switch")
    before = refused(await scene.metrics())
    switch.touch()
    seen = []
    try:
        async with asyncio.timeout(30):
            while refused(await scene.metrics()) == before:
                seen.append(await scene.ask())
    finally:
        switch.unlink()
    return seen


async def _garbage_in_config(scene: Scene) -> Sequence[Seen]:
    file = scene.serve._config
    good = file.read_text()
    refused = counted("reloads_total", result="refused")
    before = refused(await scene.metrics())
    file.write_text("primary: [\x00not: yaml")
    try:
        assert scene.serve.process is not None
        scene.serve.process.send_signal(signal.SIGHUP)
        await scene.until(lambda now: refused(now) > before)
        return [await scene.ask()]
    finally:
        file.write_text(good)


async def _second_serve(scene: Scene, changes: dict[str, object]) -> Sequence[Seen]:
    """Start another, which must give up with an error; the one that runs goes on."""
    tree = {**scene.config(), "listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, **changes}
    other = Serving(tree, {})
    try:
        await other.launch()
        assert await other.exit_code(within_s=30) == 1
        assert "Traceback" not in other.log
        assert other.everyone() == []
        assert other.temp_files() == []
        scene.other_log = other.log
    finally:
        await other.clean_up()
    return [await scene.ask()]


async def _take_admin_port(scene: Scene) -> Sequence[Seen]:
    return await _second_serve(scene, {"admin": {"listen": scene.serve.admin}})


async def _miss_the_model(scene: Scene) -> Sequence[Seen]:
    return await _second_serve(scene, {"embed": {"model": "/no/such/model"}})


async def _take_descriptors(scene: Scene) -> Sequence[Seen]:
    """Lower the limit to what is open. Who has a connection is served; who comes is turned away, until there is room."""
    pid = scene.pid_of("gateway")
    expected = (await scene.ask()).expected
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.serve.port)
    try:
        writer.write(ASKED)
        seen = [await received(reader, expected)]
        opened = {int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()}
        first_free = next(number for number in range(len(opened) + 1) if number not in opened)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free, before[1]))
        turned_away = [await scene.send(ASKED, expected) for _ in range(3)]
        assert all(each.got is None and each.partial == b"" for each in turned_away), turned_away
        writer.write(ASKED)
        seen.append(await received(reader, expected))
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        writer.close()
    return [*seen, await scene.send(ASKED, expected)]


async def _fill_log_disk(scene: Scene) -> Sequence[Seen]:
    """The log goes to /dev/full all the time: every line fails. This one has something to say."""
    before = SHADOW_STARTS(await scene.metrics())
    os.kill(scene.pid_of("shadow"), signal.SIGKILL)
    await scene.until(lambda now: SHADOW_STARTS(now) > before)
    return [await scene.ask()]


async def _jam_log(scene: Scene) -> Sequence[Seen]:
    before = SHADOW_STARTS(await scene.metrics())
    scene.serve.jam()
    try:
        os.kill(scene.pid_of("shadow"), signal.SIGKILL)
        async with scene.asking() as seen:
            await scene.until(lambda now: SHADOW_STARTS(now) > before)
    finally:
        scene.serve.clear()
    return seen


async def _fill_run_disk(scene: Scene) -> Sequence[Seen]:
    """The old shadow process's socket file goes with it, and before the new one is there, somebody takes the room."""
    gone = counted("not_mirrored_total", reason="handover_gone")
    victim = scene.pid_of("shadow")
    (scene.run_dir / "handover-0.sock").unlink()
    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: not Path(f"/proc/{victim}").exists())
    with filled(scene.run_dir):
        async with scene.asking() as seen:
            # Ready, and still without its socket: the workers drop on.
            starts = SHADOW_STARTS(await scene.metrics())
            before = gone(await scene.metrics())
            await scene.until(lambda now: gone(now) > before + 20)
            assert SHADOW_STARTS(await scene.metrics()) <= starts + 1, "it need not end for that"
    return seen


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Take every file that the disk has room for."""
    with contextlib.suppress(OSError):
        for number in range(1000):
            (folder / f"crumb-{number}").touch()
    try:
        yield
    finally:
        for crumb in folder.glob("crumb-*"):
            crumb.unlink()


async def _jump_clock(scene: Scene) -> Sequence[Seen]:
    """An hour forward, then two back."""
    seen = [await scene.ask()]
    before = await _judgement(scene)
    for hours in (1, -1):
        with shifted(scene.serve.folder / "clock", hours * HOUR_S):
            seen += [await scene.ask() for _ in range(3)]
            async with asyncio.timeout(30):  # the machine has the wrong time indeed
                while abs(await _newest_pair_s(scene) - time.time() - hours * HOUR_S) > 60:
                    await asyncio.sleep(0.05)
            assert (after := await _judgement(scene)) == before, (before, after)
    metrics = await scene.metrics()
    for name in ("duration", "ttft"):
        for arm in ("primary", "candidate"):
            assert 0 <= metrics.value(f"shadowproxy_{name}_seconds_sum", arm=arm) < 60
    return seen


async def _newest_pair_s(scene: Scene) -> float:
    status, body = await scene.serve.get("/pairs?limit=1")
    assert status == 200
    pairs = orjson.loads(body)["pairs"]
    return float(pairs[0]["issued_at_s"]) if pairs else 0.0


async def _judgement(scene: Scene) -> tuple[object, ...]:
    """State and reasons of a verdict over all that was asked: the third that says the same, looks further apart than two verdicts are."""
    await scene.settled()
    seen: list[tuple[object, ...]] = []
    while len(seen) < 3 or len(set(seen[-3:])) > 1:
        verdict = await scene.serve.verdict()
        seen.append((verdict["state"], tuple(reason["code"] for reason in verdict["reasons"])))
        await asyncio.sleep(0.7)
    return seen[-1]


async def _raise_in_compare(scene: Scene) -> Sequence[Seen]:
    trouble = scene.serve.folder / "trouble"
    trouble.touch()
    try:
        failures = counted("step_failures_total", step="compare")
        before = failures(await scene.metrics())
        seen = [await scene.ask()]
        await scene.until(lambda now: failures(now) > before)
    finally:
        trouble.unlink()
    return seen


async def _hang_worker(scene: Scene) -> Sequence[Seen]:
    expected = await ask(scene.primary_url, ASKED)
    with stopped(scene.pid_of("gateway")):
        return [await scene.send(ASKED, expected)]  # waits in the backlog of the port for the successor


async def _half_a_certificate(scene: Scene) -> Sequence[Seen]:
    cert = Path(scene.config()["tls"]["cert_file"])
    good = cert.read_bytes()
    async with logging_once_more(scene, _STAYS):
        cert.write_bytes(good[: len(good) // 2])
    try:
        return [await scene.ask()]
    finally:
        async with logging_once_more(scene, _LOADED):
            cert.write_bytes(good)


async def _expired_certificate(scene: Scene) -> Sequence[Seen]:
    section = scene.config()["tls"]
    served = Path(section["cert_file"]), Path(section["key_file"])
    good = [path.read_bytes() for path in served]
    expired = [path.read_bytes() for path in certificate(served[0].parent, "expired", is_expired=True)]
    try:
        async with logging_once_more(scene, _STAYS):
            _replace(served, expired)
        return [await scene.ask()]
    finally:
        async with logging_once_more(scene, _LOADED):
            _replace(served, good)


def _replace(served: Sequence[Path], contents: Sequence[bytes]) -> None:
    for path, content in zip(served, contents, strict=True):
        path.write_bytes(content)


@contextlib.asynccontextmanager
async def logging_once_more(scene: Scene, line: str) -> AsyncIterator[None]:
    """Wait behind the block until this was logged again."""
    told = scene.log.count(line)
    yield
    async with asyncio.timeout(30):
        while scene.log.count(line) == told:
            await asyncio.sleep(0.05)


_LOADED = "certificate loaded anew from"
_STAYS = "the changed certificate does not load, the old one stays"


FAULTS = (
    Fault(
        "worker-hangs",
        "worker",
        "hangs; it is killed after 30 s without a report (2 s here)",
        Unharmed("who is connected to it waits, and is cut off when it is killed; who connects meanwhile waits for its successor"),
        Logged("has been silent for"),
        _hang_worker,
        "inside",
    ),
    Fault(
        "compare-raises",
        "shadow",
        "fails in a step after the copies (a bug); that pair is lost on our side and counts against nobody",
        Unharmed(),
        Counted("step_failures_total", step="compare"),
        _raise_in_compare,
        "inside",
        story=True,
    ),
    Fault(
        "clock-jumps",
        "machine",
        "the wall clock jumps an hour forward and two back; no duration and no verdict depends on it",
        Unharmed(),
        Counted("pairs_resolved_total", arm="candidate", outcome="ok"),
        _jump_clock,
        "inside",
        needs=("gcc",),
    ),
    Fault(
        "descriptors",
        "machine",
        "a worker has no file descriptor left",
        Unharmed("who is connected: none, while the pool has a connection to the primary (else a 502); who connects is cut off at once"),
        Counted("requests_total", route="echo", status="2xx"),
        _take_descriptors,
        "full-disks",
    ),
    Fault(
        "run-disk-full",
        "machine",
        "the disk of the temporary folder is full when the shadow process has to come back",
        Unharmed(),
        Counted("not_mirrored_total", reason="handover_gone"),
        _fill_run_disk,
        "full-disks",
        needs=("root", "mount"),
    ),
    Fault(
        "log-disk-full",
        "machine",
        "the disk of the log is full: lines are lost",
        Unharmed(),
        Counted("process_starts_total", role="shadow"),
        _fill_log_disk,
        "full-disks",
    ),
    Fault(
        "log-reader-stuck",
        "machine",
        "whoever reads the log through a pipe stops reading; lines that do not fit are dropped",
        Unharmed(),
        Counted("process_starts_total", role="shadow"),
        _jam_log,
        "inside",
    ),
    Fault(
        "kill-switch",
        "machine",
        "`mirror.kill_switch_file` appears",
        Unharmed(),
        Counted("not_mirrored_total", reason="kill_switch"),
        _kill_switch,
        "edges",
    ),
    Fault(
        "config-garbage",
        "machine",
        "the configuration is replaced by garbage, and SIGHUP sent; the old one stays",
        Unharmed(),
        Counted("reloads_total", result="refused"),
        _garbage_in_config,
        "edges",
    ),
    Fault(
        "admin-port-taken",
        "machine",
        "`admin.listen` is in use at the start of another `serve`, which gives up with exit code 1",
        Unharmed(),
        Logged("stop what listens there or choose another listen address"),
        _take_admin_port,
        "edges",
    ),
    Fault(
        "model-missing",
        "machine",
        "the embedding model is not there at the start of another `serve`, which gives up with exit code 1",
        Unharmed(),
        Logged("shadow cannot start; its message is above"),
        _miss_the_model,
        "edges",
    ),
    Fault(
        "certificate-half-written",
        "machine",
        "half of a renewed TLS certificate is written; the old one stays",
        Unharmed(),
        Logged(_STAYS),
        _half_a_certificate,
        "tls",
        needs=("openssl",),
    ),
    Fault(
        "certificate-expired",
        "machine",
        "an expired TLS certificate is put in place",
        Unharmed(),
        Logged(_STAYS),
        _expired_certificate,
        "tls",
        needs=("openssl",),
    ),
)
