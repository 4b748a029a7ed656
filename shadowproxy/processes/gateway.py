"""A gateway worker: the process that clients talk to. Started by the supervisor as ``python -m shadowproxy.processes.gateway``.

It imports what the production path needs and nothing else: no arrays, no comparator, no admin surface.
"""

from __future__ import annotations

import socket
from pathlib import Path

import orjson

from shadowproxy.child import Leash, Spec, main, spare_the_collector, unexpected
from shadowproxy.config import build
from shadowproxy.control import Adopt, Adopted, Message, SetMirroring
from shadowproxy.counts import Counts
from shadowproxy.errors import ShadowproxyError
from shadowproxy.gateway.gateway import Gateway
from shadowproxy.handover.socket import HandoverWriter
from shadowproxy.tasks import Tasks

#: How long a worker's first report of being ready waits for the hand-over, so that the first exchanges are not dropped. It serves
#: clients meanwhile, and without a shadow process it goes on after this.
_FIRST_LINE_S = 1.5

#: At the end, how long exchanges on their way to the shadow process may take to be written.
_FLUSH_S = 2.0


async def run_gateway(spec: Spec) -> None:
    """A gateway worker, until SIGTERM or until the supervisor is gone."""
    config = build(spec.config)
    tasks = Tasks()
    counts = Counts()
    leash = Leash("gateway", spec, counts, tasks)
    writer = HandoverWriter(Path(spec.handover), config.handover.buffer_bytes, tasks)
    gateway = Gateway(config, writer, tasks, spec.name)
    if config.hands_over:
        writer.start()
    await gateway.listen([socket.socket(fileno=fd) for fd in spec.fds], [socket.socket(fileno=fd) for fd in spec.mirrored_fds])
    tasks.start("sweep", gateway.sweep_forever())
    spare_the_collector()

    if config.hands_over:
        await writer.connected(_FIRST_LINE_S)

    def refresh() -> None:
        gateway.report(counts)

    def answer(message: Message) -> None:
        match message:
            case Adopt(text, handover):
                leash.send(Adopted(_adopt(gateway, writer, text, handover)))
            case SetMirroring(is_on):
                gateway.set_mirroring(is_on)
            case _:
                unexpected(message)

    await leash.hold(refresh, answer)
    await gateway.drain(config.limits.drain_s)
    await writer.close(_FLUSH_S)
    await leash.let_go(refresh)
    await tasks.close()


def _adopt(gateway: Gateway, writer: HandoverWriter, text: bytes, handover: str) -> str:
    """Have this worker go by another configuration. Returns what is in the way, or ""."""
    try:
        config = build(orjson.loads(text))
        gateway.adopt(config)
    except (ShadowproxyError, ValueError) as exc:
        return str(exc)
    if config.hands_over:
        writer.move(Path(handover), config.handover.buffer_bytes)
    return ""


if __name__ == "__main__":
    main(run_gateway)
