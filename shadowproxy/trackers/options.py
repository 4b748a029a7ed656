"""``--track`` for every command that evaluates."""

from __future__ import annotations

import argparse


def add_track(command: argparse.ArgumentParser) -> None:
    """Add it; ``destinations_of(options.track)`` reads what was written."""
    command.add_argument(
        "--track",
        action="append",
        default=[],
        metavar="PLACE",
        help="log the evaluation: mlflow[:EXPERIMENT], or wandb[:[ENTITY/]PROJECT]; repeatable; exit code 1 for a promotion not logged",
    )
