"""Writes docs/faults.md from the fault table that the tests play.

    python scripts/faults.py            write it
    python scripts/faults.py --check    write nothing; exit code 1 where it is stale

A row stands there only because ``tests/faults/test_faults.py`` plays it against a running service.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the table lies with the tests, which are not installed

from tests.faults.fault import Fault, Logged  # noqa: E402
from tests.faults.table import FAULTS  # noqa: E402

DOCUMENT = ROOT / "docs" / "faults.md"

#: Where something breaks → a heading, and what the rows below it have in common.
CHAPTERS = {
    "candidate": (
        "A candidate",
        "Copies are asked in another process, after the client has its answer. A failed copy counts against the candidate, by outcome; the "
        "label `rollout` says against which.",
    ),
    "control": ("The control", "The primary, asked a second time. Its failures show as its own outcomes, not as the candidate's."),
    "primary": (
        "The primary",
        "The gateway adds no failures of its own and hides none. Where it has to answer for the primary, `error.code` says why, and "
        "`error.type` is `shadowproxy_error`. Times are those of the configuration used here: 1 s each.",
    ),
    "client": ("A client", "What one client does wrong costs nobody else anything. Limits are those of the configuration used here."),
    "shadow": ("The shadow process", "It may be killed, hang or run out of memory at any moment: that costs evidence, never a reply."),
    "worker": ("A gateway worker", "Workers share the port; the supervisor replaces one that ends."),
    "supervisor": ("The supervisor and its ties", "It is not on the clients' way."),
    "machine": ("The machine and its keepers", "Disks, descriptors, clocks, configuration."),
}


def text() -> str:
    """The whole document. Raises ``KeyError`` for a row whose place has no chapter."""
    parts = [
        "# What happens when something breaks",
        "<!-- Written by scripts/faults.py from tests/faults. Change the table there, then run it. -->",
        f"Each of the {len(FAULTS)} rows is played against a running `shadowproxy serve` by `tests/faults/test_faults.py`: the fault is "
        "injected, every reply is compared with what the table says (*none* means: byte by byte the primary's own answer), the counter "
        "must go up, and afterwards a client must be served, its copy judged, `/readyz` be 200, and no process be left over or missing.",
    ]
    for where in dict.fromkeys(fault.where for fault in FAULTS):
        heading, remark = CHAPTERS[where]
        parts += [f"## {heading}", remark, "\n".join(_table([fault for fault in FAULTS if fault.where == where]))]
    return "\n\n".join(parts) + "\n"


def _table(faults: list[Fault]) -> Iterator[str]:
    yield "| what breaks | what clients see | what shows it |"
    yield "| --- | --- | --- |"
    for fault in faults:
        yield f"| {_cell(fault.injection)} | {_cell(fault.client.text)} | {_cell(_shows(fault))} |"


def _shows(fault: Fault) -> str:
    return f"log: “{fault.shows.line}”" if isinstance(fault.shows, Logged) else fault.shows.text


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the document is stale")
    check = parser.parse_args().check
    wanted = text()
    is_stale = not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != wanted
    if is_stale:
        print(f"{DOCUMENT.relative_to(ROOT)} {'is stale; run python scripts/faults.py' if check else 'written'}")
        if not check:
            DOCUMENT.write_text(wanted, encoding="utf-8")
    if check and is_stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
