"""What every scenario is given and gives back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rounds import Row


def add_shield(parser: argparse.ArgumentParser) -> None:
    """For scenarios that leave the proxy's core partly idle; one that fills it would shut out everything else there."""
    parser.add_argument("--shield", action="store_true", help="every proxy under test goes before the machine's other work on its core")


@dataclass
class Run:
    """One call of a scenario: the options, where files go, who was skipped and why, and the rows it measured."""

    options: argparse.Namespace
    stack: ExitStack
    folder: Path
    skipped: dict[str, str] = field(default_factory=dict)
    results: list[dict[str, object]] = field(default_factory=list)
    has_failed: bool = False

    def keep(self, rows: Sequence[Row], **labels: object) -> None:
        """Put the rows' rounds into the report."""
        for row in rows:
            if row.failure:
                self.skipped[row.name] = row.failure
            self.results.append({"peer": row.name, **labels, "mirror": row.peer.mirror, "rounds": row.rounds})
