"""Load tests: starts this proxy and its peers on loopback, measures them in interleaved rounds, prints ratios, writes JSON.

python loadtest/run.py unary --rounds 3 --seconds 4 --json unary.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import arrivals
import compiled
import embedding
import machine
import soak
import sse
import start
import steady
import unary
import workers
from scenario import Run

SCENARIOS: dict[str, ModuleType] = {
    "unary": unary,
    "steady": steady,
    "sse": sse,
    "workers": workers,
    "start": start,
    "soak": soak,
    "arrivals": arrivals,
    "embedding": embedding,
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="scenario", required=True)
    for name, module in SCENARIOS.items():
        about = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=about, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.add_argument("--rounds", type=int, default=3)
        command.add_argument("--seconds", type=float, default=4, help="length of one measurement")
        command.add_argument("--json", type=Path, help="write everything here, too")
        command.add_argument("--only", nargs="+", metavar="NAME", help="these rows only, by name or by the beginning of several names")
        module.add_options(command)
    return parser.parse_args()


def main() -> int:
    chosen = options()
    machine.raise_file_limit()
    report: dict[str, object] = {
        "scenario": chosen.scenario,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in vars(chosen).items()},
        "machine": machine.description(),
        "versions": machine.versions(),
        "generator": compiled.kind(),
        "priority": machine.priority(),
    }
    machine_line = {**machine.description(), **machine.versions()}
    with machine.stack_with_signals() as stack:
        run = Run(chosen, stack, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loadtest-"))))
        try:
            SCENARIOS[chosen.scenario].run(run)
        except KeyboardInterrupt:
            print("interrupted: ending what was started", file=sys.stderr)
            return 130
    print(", ".join(f"{key} {value}" for key, value in machine_line.items()))
    print(
        f"generator: {report['generator']}, priority of the load and of the primary: {report['priority']} (as normal in unary and workers)"
    )
    for name, reason in run.skipped.items():
        print(f"skipped: {name}: {reason}")
    if chosen.json:
        chosen.json.write_text(json.dumps({**report, "results": run.results, "skipped": run.skipped}, indent=1) + "\n")
    return 1 if run.has_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
