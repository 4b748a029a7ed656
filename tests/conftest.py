"""Every asynchronous test runs on the loop that production runs on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import uvloop

# As embed.loading does, for tests that import a backend by themselves.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
