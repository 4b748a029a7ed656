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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shadowproxy import config
from shadowproxy.errors import ShadowproxyError, StartError
from shadowproxy.terminal import LEGEND, verdict_table
from shadowproxy.testing import live as live_model
from shadowproxy.testing.answers import load as load_recordings
from shadowproxy.verdict.wording import duration


@dataclass(frozen=True, slots=True)
class Part:
    """What an arm plays: recorded answers (``variant``) or a real model at ``temperature``, and the verdict it ``deserves``."""

    variant: str
    temperature: float
    deserves: str
    about: str


CAST: Mapping[str, Part] = {
    "primary": Part("primary", 0.3, "", "temperature 0.3: its answers reach the clients"),
    "steady": Part("better", 0.1, "promote", "temperature 0.1: as good, deserves promotion"),
    "hot": Part("hot", 1.5, "rollback", "temperature 1.5: beside the point, deserves rollback"),
}


@dataclass(frozen=True, slots=True)
class Load:
    """How the clients ask, and how long at most."""

    clients: int
    """Streams at once."""
    pause_s: tuple[float, float]
    """A client waits this long, between these two, before its next question."""
    max_tokens: int | None
    """Length of an answer; None takes the recorded prompt's own."""
    give_up_s: float


#: 12 streams: a few hundred pairs, and so a decision, in a quarter of a minute, and few enough for two cores.
_RECORDED = Load(clients=12, pause_s=(0.0, 0.0), max_tokens=None, give_up_s=75.0)
#: Two streams with their six copies keep two cores busy. Without the pause a control and its client's next question would start
#: together and end together in the server's batch, again and again: copies in step, as no traffic is. Decides in two or three minutes.
_LIVE = Load(clients=2, pause_s=(0.1, 0.4), max_tokens=24, give_up_s=900.0)

#: What ``--live`` changes in the demo's own configuration. A pair costs two seconds of computing here, so margins are wider still.
_LIVE_SETTINGS: Mapping[str, Any] = {
    "control": {"timeout_s": 120},
    "gates": {
        "error": {"margin": 0.05},
        # Three servers share two cores: which of two equal ones is late is the scheduler's choice. So twice the time counts as late, and
        # five requests in a hundred may be late; the negative control, held to the same margin, would show if even that were too narrow.
        "ttft": {"ratio": 2.0, "margin": 0.05, "calibration_pairs": 40},
    },
}
_LIVE_CANDIDATE: Mapping[str, Any] = {"timeout_s": 120}

_START_S = 60.0
_LOOK_S = 0.5
_TELL_S = 10.0  # where there is no terminal to redraw: a line this often


def run(*, config_path: Path | None, keep: bool, live: bool, give_up_s: float | None = None) -> int:
    """Exit code 0 only if every candidate got the verdict it deserves. Raises :class:`StartError` and :class:`ConfigError`."""
    if importlib.util.find_spec("openai") is None:
        raise StartError("the demo needs the openai package; pip install 'llm-shadowproxy[demo]'")
    if live:
        live_model.weights()
    demo = Demo(Console(highlight=False), _tree(config_path, live), keep=keep, live=live, give_up_s=give_up_s)
    try:
        return asyncio.run(demo.play())
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


def _tree(config_path: Path | None, live: bool) -> dict[str, Any]:
    """The configuration as written, checked, and with what ``--live`` changes in the demo's own."""
    path = config_path or Path(__file__).with_name("demo.yaml")
    settings = config.load(path)
    names = {candidate.name for candidate in settings.candidates}
    if not names or not names <= CAST.keys() - {"primary"}:
        raise StartError("the demo has answers for candidates called steady and hot; name one or both of them")
    if settings.admin.token or any(address.startswith("unix:") for address in (settings.listen, settings.admin.listen)):
        raise StartError("the demo talks to host:port without a token; leave admin.token out, and give listen and admin.listen a port")
    tree: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["listen"] = settings.listen
    tree["admin"] = {**(tree.get("admin") or {}), "listen": settings.admin.listen}
    tree["primary"] = {**tree["primary"], "url": settings.primary.url}
    tree["candidates"] = [{**written, "url": read.url} for written, read in zip(tree["candidates"], settings.candidates, strict=True)]
    if live and config_path is None:
        tree = _merged(tree, _LIVE_SETTINGS)
        tree["candidates"] = [_merged(candidate, _LIVE_CANDIDATE) for candidate in tree["candidates"]]
    return tree


def _merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in changes.items():
        merged[key] = _merged(merged.get(key) or {}, value) if isinstance(value, Mapping) else value
    return merged


@dataclass(slots=True)
class Traffic:
    """What the clients saw."""

    answered: int = 0
    failed: int = 0
    last_prompt: str = ""
    last_answer: str = ""
    is_over: bool = False


class Demo:
    """One run."""

    def __init__(self, console: Console, tree: dict[str, Any], *, keep: bool, live: bool, give_up_s: float | None) -> None:
        self._console = console
        self._tree = tree
        self._keep = keep
        self._live = live
        self._load = _LIVE if live else _RECORDED
        self._give_up_s = give_up_s if give_up_s is not None else self._load.give_up_s
        self._traffic = Traffic()
        self._listen = self._admin = ""
        self._started_at = time.monotonic()

    async def play(self) -> int:
        task = asyncio.current_task()
        assert task is not None
        # Else SIGTERM would end this process alone and leave its servers behind. SIGINT already cancels.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with AsyncExitStack() as stack:
            await self._start_everything(stack)
            verdicts = await self._watch()
            self._show_result(verdicts)
            if self._keep:
                await self._stay()
            return 0 if _all_deserved(verdicts) else 1

    # --- processes --------------------------------------------------------------------------------------------------

    async def _start_everything(self, stack: AsyncExitStack) -> None:
        what = "a real small model, one server per arm" if self._live else "recorded answers of a real small model"
        self._console.print(f"[bold]shadowproxy demo[/bold]: {what} (SmolLM2-135M)\n")
        parts = Table.grid(padding=(0, 2, 0, 0))
        primary = self._tree["primary"]
        primary["url"] = await self._start_model(stack, "primary", primary["url"])
        parts.add_row("  primary", _address(primary["url"]), CAST["primary"].about)
        if self._tree.get("control"):
            parts.add_row("  control", "the primary", "asked a second time: how much it differs from itself")
        for candidate in self._tree["candidates"]:
            name = candidate["name"]
            candidate["url"] = await self._start_model(stack, name, candidate["url"])
            parts.add_row(f"  {name}", _address(candidate["url"]), CAST[name].about)
        await self._start_serve(stack)
        parts.add_row("  proxy", self._listen, f"{self._load.clients} clients of the openai package ask here")
        parts.add_row("  admin", self._admin, "/verdict, /metrics, /pairs, and / for browsers")
        self._console.print(parts)
        self._console.print(_margins(config.build(self._tree)))

    async def _start_model(self, stack: AsyncExitStack, arm: str, url: str) -> str:
        listen, part = _free_address(_address(url)), CAST[arm]
        if self._live:
            arguments = ["-m", "shadowproxy.testing.live", "--listen", listen, "--temperature", str(part.temperature)]
        else:
            arguments = ["-m", "shadowproxy.testing.recorded", "--listen", listen, "--variant", part.variant, "--seed", str(len(arm))]
        line = await stack.enter_async_context(_process(arguments, f"the model server for {arm}"))
        return str(orjson.loads(line)["listening"])

    async def _start_serve(self, stack: AsyncExitStack) -> None:
        """``shadowproxy serve`` as a user would run it. It says itself where it serves."""
        for holder in (self._tree, self._tree["admin"]):
            holder["listen"] = _free_address(holder["listen"])
        file = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shadowproxy-demo-"))) / "demo.yaml"
        file.write_text(yaml.safe_dump(self._tree), encoding="utf-8")
        line = await stack.enter_async_context(_process(["-m", "shadowproxy", "serve", "-c", str(file)], "shadowproxy serve"))
        self._listen, self._admin = line.removeprefix("shadowproxy: serving on ").split(", admin on ")

    # --- traffic and progress ---------------------------------------------------------------------------------------

    async def _watch(self) -> list[dict[str, Any]]:
        """Send traffic and show the verdicts until all are decided, or time is up."""
        clients = [asyncio.create_task(self._ask(number)) for number in range(self._load.clients)]
        verdicts: list[dict[str, Any]] = []
        give_up_at = time.monotonic() + self._give_up_s
        tell_at = time.monotonic() + _TELL_S
        try:
            with Live(console=self._console, auto_refresh=False, transient=True) as screen:
                while time.monotonic() < give_up_at and not _all_decided(verdicts):
                    await asyncio.sleep(_LOOK_S)
                    verdicts = await _verdicts(self._admin)
                    if self._console.is_terminal:
                        screen.update(self._progress(verdicts), refresh=True)
                    elif time.monotonic() > tell_at:
                        tell_at += _TELL_S
                        self._console.print(self._progress_line(verdicts))
                    for client in clients:
                        if client.done():
                            client.result()  # a client that fails ends the demo with its error
            self._traffic.is_over = True
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        return verdicts

    async def _ask(self, number: int) -> None:
        """One client: streamed questions, one after the other."""
        from openai import AsyncOpenAI, OpenAIError

        dice = random.Random(number)  # noqa: S311 - chooses questions
        prompts = load_recordings().prompts
        traffic, load = self._traffic, self._load
        # The key is the client's own; no candidate ever sees it.
        async with AsyncOpenAI(base_url=f"http://{self._listen}/v1", api_key="sk-demo-client", max_retries=0) as client:
            while not traffic.is_over:
                prompt = dice.choice(prompts)
                try:
                    answer = ""
                    stream = await client.chat.completions.create(
                        model="smollm2-135m-instruct",
                        messages=[{"role": "user", "content": prompt.user}],
                        max_tokens=load.max_tokens or prompt.max_tokens,
                        stream=True,
                    )
                    async for event in stream:
                        answer += (event.choices[0].delta.content or "") if event.choices else ""
                except OpenAIError:
                    traffic.failed += 1
                    await asyncio.sleep(_LOOK_S)  # a server that refuses everything is asked again, but not in a spin
                else:
                    traffic.answered += 1
                    traffic.last_prompt, traffic.last_answer = prompt.user, answer
                await asyncio.sleep(dice.uniform(*load.pause_s))

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _progress(self, verdicts: list[dict[str, Any]]) -> Group:
        traffic = self._traffic
        seconds = time.monotonic() - self._started_at
        head = Text(f"{seconds:4.0f} s   {traffic.answered} answers streamed to clients, {traffic.failed} failed", style="bold")
        width = self._console.width - 6
        question = Text(f"  Q {_clipped(traffic.last_prompt, width)}\n  A {_clipped(traffic.last_answer, width)}", style="dim")
        return Group(head, question, Text(), verdict_table(verdicts), LEGEND)

    def _progress_line(self, verdicts: list[dict[str, Any]]) -> str:
        states = ", ".join(f"{verdict['candidate']}: {verdict['state']}, {verdict['pairs']} pairs" for verdict in verdicts)
        return f"{time.monotonic() - self._started_at:4.0f} s   {self._traffic.answered} answers; {states}"

    def _show_result(self, verdicts: list[dict[str, Any]]) -> None:
        console, traffic = self._console, self._traffic
        console.print(verdict_table(verdicts))
        console.print(LEGEND)
        for verdict in verdicts:
            deserved = CAST[verdict["candidate"]].deserves
            mark = "[green]as deserved[/green]" if verdict["state"] == deserved else f"[red]but deserved {deserved}[/red]"
            console.print(f"\n[bold]{verdict['candidate']}: {verdict['state']}[/bold] ({mark}), because")
            reasons = Table.grid(padding=(0, 1, 0, 0))
            for reason in verdict["reasons"]:
                reasons.add_row("  •", Text(reason["text"]))
            console.print(reasons)
        if not _all_decided(verdicts):
            console.print(f"\n[yellow]Gave up after {self._give_up_s:g} s without a decision for every candidate.[/yellow]")
        alpha = verdicts[0]["rules"]["alpha_promote"] if verdicts else 0.05
        console.print(
            f"\n{traffic.answered} answers reached the clients, {traffic.failed} failed, in {time.monotonic() - self._started_at:.0f} s. "
            f"The verdict was looked at twice a second; its error rate is at most {100 * alpha:g} % all the same."
        )

    async def _stay(self) -> None:
        """Everything goes on until Ctrl-C or SIGTERM."""
        over = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        self._console.print(
            f"\nStill running. Ask it:  curl -N http://{self._listen}/v1/chat/completions -H 'content-type: application/json' "
            f'-d \'{{"stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}\'\n'
            f"Look at it:  http://{self._admin}/  (also /verdict, /metrics, /pairs)\nCtrl-C ends it.",
            markup=False,
            soft_wrap=True,
        )
        await over.wait()


def _all_decided(verdicts: list[dict[str, Any]]) -> bool:
    return len(verdicts) > 0 and all(verdict["state"] != "hold" for verdict in verdicts)


def _all_deserved(verdicts: list[dict[str, Any]]) -> bool:
    return len(verdicts) > 0 and all(verdict["state"] == CAST[verdict["candidate"]].deserves for verdict in verdicts)


def _margins(settings: config.Config) -> Group:
    """What this run asks of a candidate, beside what production would ask by default."""
    head = (
        "\nA candidate is promoted once every gate is shown to be within its margin, and rolled back once one is shown to be beyond it. "
        "To decide soon, the margins are wide here:\n"
    )
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in ("gate", "how much worse it may be", "here", "default"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("here", "default") else "left")
    for row, (_, _, default) in zip(_asked(settings.gates), _asked(config.Gates()), strict=True):
        table.add_row(*row, default)
    least, usual = settings.verdict, config.Decision()
    late = (
        f" and no promotion before {least.min_pairs} pairs and {duration(least.soak_s)} "
        f"(default {usual.min_pairs} and {duration(usual.soak_s)})\n"
    )
    return Group(head, table, late)


def _asked(gates: config.Gates) -> tuple[tuple[str, str, str], ...]:
    def points(gate: config.ErrorGate | config.MismatchGate) -> str:
        return f"{100 * gate.margin:g} points" if gate.enabled else "off"

    late = f"{gates.ttft.ratio:g} x" + (f" + {100 * gates.ttft.margin:g} points" if gates.ttft.margin else "")
    return (
        ("error", "more failures than the primary", points(gates.error)),
        (
            "similarity",
            "less like the primary than control",
            f"{gates.similarity.margin:g}" if gates.similarity.enabled else "off",
        ),
        ("facts", "other facts than the primary's", points(gates.facts)),
        ("refusal", "declines otherwise than the primary", points(gates.refusal)),
        ("ttft", f"first token of the slowest {100 * (1 - gates.ttft.quantile):.2g} %", late if gates.ttft.enabled else "off"),
    )


def _clipped(text: str, width: int) -> str:
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


def _address(url: str) -> str:
    """``host:port`` of a URL; any free port where it names none."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 0}"


def _free_address(address: str) -> str:
    """The address itself, or port 0 of the same host, for any free one, where somebody listens there already."""
    host, _, port = address.rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return address


async def _verdicts(admin: str) -> list[dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=_START_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"http://{admin}/verdict") as reply:
            found: list[dict[str, Any]] = (await reply.json())["verdicts"]
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise ShadowproxyError(f"the admin API does not answer: {exc}") from exc
    return found
