"""A walk-through as a program: the files and commands that its page shows, run as they stand there.

In a page, a ``yaml`` block whose first line is a comment with a file's name is that file. ``sh`` blocks are run by one bash, one after the
other, in a folder with those files. A ``text`` block right behind one is what it prints. Every other block is only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.gateway.wires import closed_port

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "walkthroughs"

#: A rollout takes a minute on this machine and, where models have to be loaded, many on a cluster.
HERE_S, CLUSTER_S = 300.0, 3600.0

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w.-]+\.yaml)\n")

#: Whoever reads the page has a name in git's configuration.
_PERSON = {"NAME": "A Person", "EMAIL": "person@example.com"}

#: What runs around the blocks: they share one shell, and whatever they have left running ends with it.
_DRIVER = """\
set -euo pipefail
trap 'jobs -p | xargs -r kill 2>/dev/null; wait' EXIT
{prelude}
"""


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, and what they print; None where the page does not say."""

    commands: str
    prints: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """One walk-through."""

    files: Mapping[str, str]
    steps: tuple[Step, ...]


def page(name: str) -> Page:
    """``docs/walkthroughs/NAME.md``. Every address on loopback gets a port that is free here."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    ports: dict[str, int] = {}
    text = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda found: str(ports.setdefault(found[0], closed_port())), text)
    blocks = _BLOCK.findall(text)
    files = {found[1]: content for language, content in blocks if language == "yaml" and (found := _NAME.match(content))}
    pairs = zip(blocks, [*blocks[1:], ("", "")], strict=True)
    steps = (Step(now, after if kind == "text" else None) for (language, now), (kind, after) in pairs if language == "sh")
    return Page(files, tuple(steps))


class Run:
    """One run of a page in ``folder``."""

    def __init__(self, what: Page, folder: Path) -> None:
        self._page = what
        self._folder = folder

    def logs(self) -> str:
        """The end of everything that was printed or logged."""
        found = sorted(path for path in self._folder.glob("*") if path.suffix in (".log", ".out", ".err"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in found)

    def printed(self, number: int) -> str:
        """What the step printed."""
        return (self._folder / f"{number}.out").read_text()

    async def go(self, env: Mapping[str, str], prelude: str = "", within_s: float = HERE_S) -> None:
        """Run every step; each must succeed and print what the page says. Raises ``AssertionError`` with the logs."""
        for name, content in self._page.files.items():
            (self._folder / name).write_text(content)
        lines = [_DRIVER.format(prelude=prelude)]
        for number, step in enumerate(self._page.steps):
            (self._folder / f"{number}.sh").write_text(step.commands)
            lines.append(f". ./{number}.sh > {number}.out 2> {number}.err\n")
        (self._folder / "driver").write_text("".join(lines))
        code = await self._run(env, within_s)
        assert code == 0, f"the page ended with {code}; {self.logs()}"
        for number, step in enumerate(self._page.steps):
            if step.prints is not None:
                assert self.printed(number).strip() == step.prints.strip(), f"{step.commands}\n{self.logs()}"

    async def _run(self, env: Mapping[str, str], within_s: float) -> int:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        person = {f"GIT_{role}_{what}": how for role in ("AUTHOR", "COMMITTER") for what, how in _PERSON.items()}
        process = await asyncio.create_subprocess_exec(
            "bash", "driver", cwd=self._folder, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PATH": path, "HOME": str(self._folder), "PYTHONUNBUFFERED": "1", **person, **env},
        )  # fmt: skip
        try:
            async with asyncio.timeout(within_s):
                return await process.wait()
        except TimeoutError:
            raise AssertionError(f"not done within {within_s:g} s; {self.logs()}") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # the session that was made for it, and nobody else's
            await process.wait()
