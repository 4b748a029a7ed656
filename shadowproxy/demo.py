"""``shadowproxy demo``: the whole product in a minute, on real answers.

Starts servers that play recorded answers (or a real small model), runs ``serve`` as a user would, sends streamed traffic through it with
the ``openai`` client, shows what happens, and ends with a verdict for a candidate that deserves promotion and one that does not.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shadowproxy import config
from shadowproxy.errors import ShadowproxyError, StartError
from shadowproxy.testing.answers import load as load_recordings

#: Which answers each arm plays, and the verdict each candidate deserves.
VARIANTS: Mapping[str, str] = {"primary": "primary", "steady": "better", "hot": "hot"}
DESERVED: Mapping[str, str] = {"steady": "promote", "hot": "rollback"}

#: The sampling temperature of each arm's real model with ``--live``.
TEMPERATURES: Mapping[str, float] = {"primary": 0.3, "steady": 0.1, "hot": 1.5}

#: Streams at once. Enough for a few hundred pairs in half a minute, few enough for two cores.
_CLIENTS = 12
_CLIENTS_LIVE = 2

#: When the demo gives up. Recorded answers decide in about half of it; a real model on two cores needs minutes.
_GIVE_UP_S = 75.0
_GIVE_UP_LIVE_S = 1200.0

_START_S = 60.0
_LOOK_S = 0.5


def run(*, config_path: Path | None, keep: bool, live: bool) -> int:
    """Exit code 0 only if every candidate got the verdict it deserves."""
    for module, remedy in (("openai", "demo"), *((("xllamacpp", "demo-live"),) if live else ())):
        if importlib.util.find_spec(module) is None:
            raise StartError(f"the demo needs the {module} package; pip install 'llm-shadowproxy[{remedy}]'")
    console = Console()
    return asyncio.run(Demo(console, config_path or Path(__file__).with_name("demo.yaml"), keep=keep, live=live).play())


@dataclass(slots=True)
class Traffic:
    """What the clients saw."""

    asked: int = 0
    answered: int = 0
    failed: int = 0
    last_prompt: str = ""
    last_answer: str = ""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


class Demo:
    """One run."""

    def __init__(self, console: Console, config_path: Path, *, keep: bool, live: bool) -> None:
        self._console = console
        self._tree: dict[str, Any] = yaml.safe_load(config_path.read_text(encoding="utf-8"))
        self._keep = keep
        self._live = live
        self._traffic = Traffic()
        self._started_at = time.monotonic()

    async def play(self) -> int:
        async with AsyncExitStack() as stack:
            settings = await self._start_everything(stack)
            verdicts = await self._watch(settings)
            self._show_result(verdicts)
            if self._keep:
                await self._stay(settings)
            return 0 if self._all_deserved(verdicts) else 1

    # --- processes --------------------------------------------------------------------------------------------------

    async def _start_everything(self, stack: AsyncExitStack) -> config.Config:
        what = "a real small model per arm" if self._live else "servers that play its recorded answers"
        self._console.print(f"[bold]shadowproxy demo[/bold]: SmolLM2-135M, {what}")
        self._tree["primary"]["url"] = await self._start_model(stack, "primary", self._tree["primary"]["url"])
        for candidate in self._tree["candidates"]:
            candidate["url"] = await self._start_model(stack, candidate["name"], candidate["url"])
            if self._live:
                candidate["timeout_s"] = 120
        for holder, key in ((self._tree, "listen"), (self._tree["admin"], "listen")):
            holder[key] = _free_address(holder[key])
        settings = config.build(self._tree)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shadowproxy-demo-")))
        (folder / "demo.yaml").write_text(yaml.safe_dump(self._tree), encoding="utf-8")
        serve = ["-m", "shadowproxy", "serve", "-c", str(folder / "demo.yaml")]
        line = await stack.enter_async_context(_process(serve, "shadowproxy serve"))
        self._console.print(f"  {line}\n")
        return settings

    async def _start_model(self, stack: AsyncExitStack, arm: str, url: str) -> str:
        listen = _free_address(url.removeprefix("http://"))
        if self._live:
            arguments = ["-m", "shadowproxy.testing.live", "--listen", listen, "--temperature", str(TEMPERATURES[arm])]
        else:
            arguments = ["-m", "shadowproxy.testing.recorded", "--listen", listen, "--variant", VARIANTS[arm], "--seed", str(len(arm))]
        line = await stack.enter_async_context(_process(arguments, f"the model server for {arm}"))
        address = str(orjson.loads(line)["listening"])
        self._console.print(f"  {arm:<8} {address}")
        return address

    # --- traffic and progress ---------------------------------------------------------------------------------------

    async def _watch(self, settings: config.Config) -> list[dict[str, Any]]:
        """Send traffic and show the verdicts until all are decided, or time is up."""
        clients = [asyncio.create_task(self._ask(settings, number)) for number in range(_CLIENTS_LIVE if self._live else _CLIENTS)]
        give_up_at = time.monotonic() + (_GIVE_UP_LIVE_S if self._live else _GIVE_UP_S)
        verdicts: list[dict[str, Any]] = []
        try:
            with Live(console=self._console, auto_refresh=False, transient=True) as screen:
                while time.monotonic() < give_up_at and not self._all_decided(verdicts):
                    await asyncio.sleep(_LOOK_S)
                    verdicts = await _verdicts(settings)
                    screen.update(self._progress(verdicts), refresh=True)
                    for client in clients:
                        if client.done():
                            client.result()  # a client that fails ends the demo with its error
        finally:
            self._traffic.is_over.set()
            await asyncio.gather(*clients, return_exceptions=True)
        return verdicts

    def _all_decided(self, verdicts: list[dict[str, Any]]) -> bool:
        return len(verdicts) > 0 and all(verdict["state"] != "hold" for verdict in verdicts)

    def _all_deserved(self, verdicts: list[dict[str, Any]]) -> bool:
        return len(verdicts) > 0 and all(verdict["state"] == DESERVED.get(verdict["candidate"]) for verdict in verdicts)

    async def _ask(self, settings: config.Config, number: int) -> None:
        """One client: streamed questions, one after the other."""
        from openai import AsyncOpenAI, OpenAIError

        dice = random.Random(number)  # noqa: S311 - chooses questions
        prompts = load_recordings().prompts
        traffic = self._traffic
        # The key is the client's own; no candidate ever sees it.
        async with AsyncOpenAI(base_url=f"http://{settings.listen}/v1", api_key="sk-demo-client", max_retries=0) as client:
            while not traffic.is_over.is_set():
                prompt = dice.choice(prompts)
                traffic.asked += 1
                try:
                    answer = ""
                    stream = await client.chat.completions.create(
                        model="smollm2-135m",
                        messages=[{"role": "user", "content": prompt.user}],
                        max_tokens=24 if self._live else prompt.max_tokens,
                        stream=True,
                    )
                    async for event in stream:
                        answer += (event.choices[0].delta.content or "") if event.choices else ""
                except OpenAIError:
                    traffic.failed += 1
                else:
                    traffic.answered += 1
                    traffic.last_prompt, traffic.last_answer = prompt.user, answer

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _progress(self, verdicts: list[dict[str, Any]]) -> Group:
        traffic = self._traffic
        seconds = time.monotonic() - self._started_at
        head = Text(f"{seconds:4.0f} s   {traffic.answered} answers streamed to clients, {traffic.failed} failed", style="bold")
        question = Text(f"  Q {_clipped(traffic.last_prompt)}\n  A {_clipped(traffic.last_answer)}", style="dim")
        return Group(head, question, _verdict_table(verdicts))

    def _show_result(self, verdicts: list[dict[str, Any]]) -> None:
        console, traffic = self._console, self._traffic
        console.print(_verdict_table(verdicts))
        for verdict in verdicts:
            deserved = DESERVED.get(verdict["candidate"])
            mark = "[green]as deserved[/green]" if verdict["state"] == deserved else f"[red]but deserved {deserved}[/red]"
            console.print(f"\n[bold]{verdict['candidate']}: {verdict['state']}[/bold] ({mark}), because")
            for reason in verdict["reasons"]:
                console.print(f"  • {reason['text']}", highlight=False)
        alpha = verdicts[0]["rules"]["alpha_promote"] if verdicts else 0.05
        console.print(
            f"\n{traffic.answered} answers reached the clients, {traffic.failed} failed, in {time.monotonic() - self._started_at:.0f} s. "
            f"The verdict was looked at twice a second; its error rate is at most {alpha:.0%} all the same.",
            highlight=False,
        )

    async def _stay(self, settings: config.Config) -> None:
        """Everything goes on until Ctrl-C."""
        self._console.print(
            f"\nStill running. Ask it:  curl -N http://{settings.listen}/v1/chat/completions -H 'content-type: application/json' "
            f'-d \'{{"stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}\'\n'
            f"Look at it:  http://{settings.admin.listen}/  (also /verdict, /metrics, /pairs)\nCtrl-C ends it.",
            highlight=False,
            soft_wrap=True,
        )
        over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        await over.wait()


def _verdict_table(verdicts: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in ("", "gate", "pairs", "mean", "bounds", "worse →".rjust(_BAR_CELLS)):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("pairs", "mean", "bounds") else "left")
    for verdict in verdicts:
        lines = [Text(verdict["candidate"], style="bold"), _state_text(verdict["state"])]
        for gate in verdict["gates"]:
            if gate["role"] == "guard":
                table.add_row(lines.pop(0) if lines else "", *_gate_cells(gate))
        for line in lines:
            table.add_row(line)
        table.add_row()
    return table


def _state_text(state: str) -> Text:
    return Text(state.upper(), style={"promote": "bold green", "rollback": "bold red"}.get(state, "yellow"))


def _gate_cells(gate: Mapping[str, Any]) -> tuple[str | Text, ...]:
    if not gate["n"]:
        return (gate["gate"], "0", "-", "-", "")
    bounds = f"{gate['lower']:+.3f}…{gate['upper']:+.3f}"
    return (gate["gate"], str(gate["n"]), f"{gate['mean']:+.3f}", bounds, _bar(gate))


#: The picture spans this much on either side of 0; what lies further out shows as an arrow at its edge.
_BAR_SPAN = 0.12
_BAR_CELLS = 25  # the whole table then fits 80 columns


def _bar(gate: Mapping[str, Any]) -> Text:
    """The interval (═), its mean (●) and the margin (┃) on a line around 0 (·)."""

    def cell(value: float) -> int:
        share = (min(max(value, -_BAR_SPAN), _BAR_SPAN) + _BAR_SPAN) / (2 * _BAR_SPAN)
        return round(share * (_BAR_CELLS - 1))

    cells = [" "] * _BAR_CELLS
    cells[cell(0)] = "·"
    for index in range(cell(gate["lower"]), cell(gate["upper"]) + 1):
        cells[index] = "═"
    cells[cell(gate["margin"])] = "┃"
    cells[cell(gate["mean"])] = "▶" if gate["mean"] > _BAR_SPAN else "◀" if gate["mean"] < -_BAR_SPAN else "●"
    return Text("".join(cells), style={"pass": "green", "fail": "red"}.get(gate["outcome"], "yellow"))


def _clipped(text: str, width: int = 74) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


# --- around the processes -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _process(arguments: list[str], name: str) -> AsyncIterator[str]:
    """Run a Python module until left; yields the first line it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True
    )
    assert process.stdout is not None
    try:
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START_S)
        except TimeoutError:
            raise StartError(f"{name} did not start within {_START_S:g} s") from None
        if not line:
            raise StartError(f"{name} ended before it served; its message is above")
        yield line.decode().strip()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


def _free_address(address: str) -> str:
    """The address itself, or the same host with a free port where somebody listens there already."""
    host, _, port = address.rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, int(port)))
        except OSError:
            sock.bind((host, 0))
        return f"{host}:{sock.getsockname()[1]}"


async def _verdicts(settings: config.Config) -> list[dict[str, Any]]:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{settings.admin.listen}/verdict") as reply:
            found: list[dict[str, Any]] = (await reply.json())["verdicts"]
    except aiohttp.ClientError as exc:
        raise ShadowproxyError(f"the admin API does not answer: {exc}") from exc
    return found
