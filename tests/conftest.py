"""Every asynchronous test runs on the loop that production runs on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import hypothesis
import pytest
import uvloop

from shadowproxy.compiled import is_compiled

# How fast a machine is says nothing about the code: no example fails for having taken long.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# As embed.loading does, for tests that import a backend by themselves.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiled calls within a module cannot be replaced from outside; the same source is tested interpreted."""
    if is_compiled():
        skip = pytest.mark.skip(reason="replaces a function inside a module that is compiled here")
        for item in items:
            if item.get_closest_marker("interpreted"):
                item.add_marker(skip)
