"""Programs and web hooks of the operator's: what their answers and failures mean."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from shadowproxy.config import Tls
from shadowproxy.errors import RouterBusy, RouterConflict, RouterRefused
from shadowproxy.promote.routers.hook import Hook
from shadowproxy.promote.routers.percent import Ask
from shadowproxy.promote.routers.program import Program
from shadowproxy.services import Service

ASK = Ask(5, "7", "v2-0001", "v2", "")


def program(text: str, timeout_s: float = 10.0) -> Program:
    return Program((sys.executable, "-c", text), timeout_s)


@pytest.mark.parametrize(
    ("text", "expected", "match"),
    [
        ("import sys; sys.exit(75)", RouterBusy, "exit code 75"),
        ("import sys; sys.exit('the proxy is gone')", RouterRefused, "the proxy is gone"),
        ("import time; time.sleep(60)", RouterBusy, "took more than"),
        ("print('five')", RouterRefused, "does not say its share"),
        ("print('{\"percent\": 101}')", RouterRefused, "does not say its share"),
        ("print('{\"percent\": 1.5}')", RouterRefused, "does not say its share"),
    ],
)
async def test_what_a_program_says_and_how_it_ends(text: str, expected: type[Exception], match: str) -> None:
    with pytest.raises(expected, match=match):
        await program(text, timeout_s=0.5 if "sleep" in text else 10.0).ask()


async def test_program_that_is_not_there_is_refused() -> None:
    with pytest.raises(RouterRefused, match="cannot be run"):
        await Program(("/no/such/program",), 1.0).ask()


async def test_program_is_told_what_for(tmp_path: Path) -> None:
    told = tmp_path / "told"
    names = "'SHADOWPROXY_ROLLOUT', 'SHADOWPROXY_CANDIDATE', 'SHADOWPROXY_VERSION'"
    await program(f"import os, sys; open({str(told)!r}, 'w').write(' '.join(sys.argv[1:] + [os.environ[k] for k in ({names})]))").tell(ASK)
    assert told.read_text() == "set 5 v2-0001 v2 7"
    assert Program(("shift", "my traffic"), 1.0).shown(5) == "shift 'my traffic' set 5"


class Scripted:
    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"percent": 3, "version": "7"}'
        self.got: list[bytes] = []

    async def serve(self, request: web.Request) -> web.Response:
        self.got.append(await request.read())
        return web.Response(status=self.status, body=self.body)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Scripted, Hook]]:
    scripted = Scripted()
    app = web.Application()
    app.router.add_route("*", "/shift", scripted.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = Hook(Service(f"http://127.0.0.1:{runner.addresses[0][1]}/shift", None, Tls(), 5.0))
    yield scripted, hook
    await hook.close()
    await runner.cleanup()


async def test_hook_is_asked_and_told(served: tuple[Scripted, Hook]) -> None:
    scripted, hook = served
    answer = await hook.ask()
    assert (answer.percent, answer.version) == (3, "7")
    await hook.tell(ASK)
    assert scripted.got[-1] == b'{"percent":5,"version":"7","rollout":"v2-0001","candidate":"v2"}'


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (409, b"", RouterConflict),
        (429, b"", RouterBusy),
        (503, b"", RouterBusy),
        (403, b"", RouterRefused),
        (302, b"", RouterRefused),
        (200, b"ok", RouterRefused),
    ],
)
async def test_answers_of_a_hook_are_translated(served: tuple[Scripted, Hook], status: int, body: bytes, expected: type[Exception]) -> None:
    scripted, hook = served
    scripted.status, scripted.body = status, body
    with pytest.raises(expected):
        await hook.ask()


async def test_hook_that_is_not_there_is_busy() -> None:
    hook = Hook(Service("http://127.0.0.1:9/shift", None, Tls(), 1.0))
    with pytest.raises(RouterBusy):
        await hook.ask()
    await hook.close()
