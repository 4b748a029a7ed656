"""How far a replay is: bars for people at a terminal, a line now and then for a log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

#: Between two lines of a log: often enough to see that it goes on, seldom enough to be read.
_EVERY_S = 10.0

#: The speed is taken over this long.
_SPEED_S = 30.0

#: A pause shorter than this is over before it is read.
_TOLD_PAUSE_S = 5.0

#: Nothing moves for so long: it is told why, and again after so long.
_STANDS_S = 10.0
_STANDS_STILL_S = 60.0


class _Rate(ProgressColumn):
    """Requests a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "", style="progress.data.speed")


class Shown:
    """``before``: requests that an earlier run has done. Use as a context manager."""

    def __init__(self, console: Console, total: int, to_ask: int, to_compare: int) -> None:
        self._console = console
        self._before = total - to_compare
        self._counts = {"asking": 0, "comparing": 0}
        self._totals = {"asking": to_ask, "comparing": to_compare}
        self._began_s = self._told_s = time.monotonic()
        columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, transient=True, speed_estimate_period=_SPEED_S, disable=not console.is_terminal)
        self._tasks = {name: self._bars.add_task(name, total=count) for name, count in self._totals.items() if count}

    def __enter__(self) -> Self:
        if self._before:
            self._console.print(f"{self._before:,} requests are done already", highlight=False)
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self._bars.stop()

    def asked(self, requests: int) -> None:
        """So many more requests are answered by all arms."""
        self._advance("asking", requests)

    def compared(self, requests: int) -> None:
        """So many more are compared."""
        self._advance("comparing", requests)

    def told(self, line: str) -> None:
        """What somebody who waits should know."""
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _advance(self, name: str, requests: int) -> None:
        self._counts[name] += requests
        if name in self._tasks:
            self._bars.advance(self._tasks[name], requests)
        now_s = time.monotonic()
        if not self._console.is_terminal and now_s - self._told_s >= _EVERY_S:
            self._told_s = now_s
            self._console.print(self.line(now_s), highlight=False, soft_wrap=True)

    def line(self, now_s: float) -> str:
        """Where it is, in a line."""
        parts = [self._part(name, now_s) for name in ("asking", "comparing") if self._totals[name]]
        return "; ".join(parts)

    def _part(self, name: str, now_s: float) -> str:
        count, total = self._counts[name], self._totals[name]
        rate = count / max(now_s - self._began_s, 1e-9)
        said = f"{name} {count:,} of {total:,} ({100 * count / total:.0f} %), {rate:,.1f}/s"
        return f"{said}, {in_words((total - count) / rate)} left" if count and count < total else said


class Standstill:
    """Says whom a run waits for, now and then. PURE."""

    def __init__(self, now_s: float) -> None:
        self._steps = 0
        self._moved_s = now_s
        self._told_s = 0.0
        self._pause_told_s: dict[str, float] = {}

    def lines(self, now_s: float, steps: int, held: Mapping[str, float], waits_for: Sequence[str]) -> Iterator[str]:
        """``steps``: those of the run so far. ``held``: by server, until when it asked not to be asked. ``waits_for``: in words, what else
        comes next."""
        pauses = {name: until_s - now_s for name, until_s in held.items() if until_s > now_s}
        for name, pause_s in pauses.items():
            told_s = self._pause_told_s.get(name)
            if pause_s >= _TOLD_PAUSE_S and (told_s is None or now_s - told_s >= _STANDS_STILL_S):
                self._pause_told_s[name] = now_s
                yield f"{name} asked for a pause: it is asked again in {in_words(pause_s)}"
        if steps != self._steps:
            self._steps, self._moved_s, self._told_s = steps, now_s, 0.0
        every_s = _STANDS_STILL_S if self._told_s else _STANDS_S
        if now_s - max(self._moved_s, self._told_s) >= every_s:
            self._told_s = now_s
            paused = [f"the pause of {name}, {in_words(pause_s)} more" for name, pause_s in pauses.items()]
            yield f"waiting for {'; '.join((*paused, *waits_for)) or 'a retry'}"


def in_words(seconds: float) -> str:
    """A time for people: ``3 s``, ``4 min 5 s``, ``2 h 7 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
