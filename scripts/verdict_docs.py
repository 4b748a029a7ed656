"""Writes docs/verdict.schema.json, and the tables between the markers in docs/verdict.md, from the source.

    python scripts/verdict_docs.py            write both
    python scripts/verdict_docs.py --check    write nothing; exit code 1 where one of them is stale

The tables of gates and reason codes stand in ``verdict.gates`` and ``verdict.reasons``; the table of simulations is the output of
``scripts/simulate.py`` and is not written here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from shadowproxy.verdict.gates import DEFAULT_MARGINS, GateRule, Role, gate_rules
from shadowproxy.verdict.reasons import REASONS, REMEDIES
from shadowproxy.verdict.schema import schema

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "verdict.md"
SCHEMA = DOCS / "verdict.schema.json"

#: Gate → D of one pair. C is the candidate's answer, P the served one, P' the primary's second (the control's).
DIFFERENCES = {
    "error": "1[C failed] - 1[P failed]",
    "json_valid": "1[C invalid] - 1[P invalid], where JSON was asked for",
    "tool_valid": "1[C invalid] - 1[P invalid], where a tool is called",
    "truncated": "1[C cut off] - 1[P cut off]",
    "structure": "1[C differs from P] - 1[P' differs from P], where either has structure",
    "structure_absolute": "1[C differs from P]",
    "tools": "1[C differs from P] - 1[P' differs from P], where either calls a tool",
    "tools_absolute": "1[C differs from P]",
    "similarity": "s(P, P') - s(P, C)",
    "similarity_absolute": "1 - s(P, C)",
    "facts": "1[C differs from P] - 1[P' differs from P], where facts can be compared",
    "facts_absolute": "1[C differs from P]",
    "refusal": "1[C declines otherwise than P] - 1[P' declines otherwise than P]",
    "refusal_absolute": "1[C declines otherwise than P]",
    "ttft": "1[C over r t*] - 1[P over t*], t* the primary's tail, frozen",
    "itl": "the same of the mean gap between pieces with content",
    "duration": "the same of the time to the last byte",
    "cost": "(c - r p) / (max(1, r) cap)",
    "tokens": "(c - r p) / (max(1, r) cap), completion tokens",
    "judge": "1[P wins] - 1[C wins]",
}


def tables() -> dict[str, str]:
    """Name of a marker → the table that stands between its two."""
    return {"gates": _gates(), "reasons": _reasons()}


def _gates() -> str:
    every = gate_rules({name: 0.02 for name, margin in DEFAULT_MARGINS.items() if margin is None})
    usual = {rule.name: rule for rule in (*every, *gate_rules())}
    rows = [_gate_row(rule, DEFAULT_MARGINS[rule.name]) for rule in every if rule.role is Role.GUARD for rule in (usual[rule.name],)]
    return _table(("gate", "D of one pair", "D in", "control", "guards", "margin"), rows)


def _gate_row(rule: GateRule, margin: float | None) -> tuple[str, ...]:
    control = "instead of it" if rule.stands_in_for else "needed" if rule.needs_control else "no"
    low, high = rule.support
    where = "where seen" if rule.when_seen else "always"
    return (f"`{rule.name}`", DIFFERENCES[rule.name], f"[{low:g}, {high:g}]", control, where, "off" if margin is None else f"{margin:g}")


def _reasons() -> str:
    rows = [(f"`{code}`", *text.split(": ", 1), REMEDIES[code]) for code, text in REASONS.items()]
    return _table(("code", "leads to", "means", "what to do"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = (head, tuple("---" for _ in head), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(text: str) -> str:
    """``text`` with each table put between its markers. Raises ``ValueError`` where a marker is missing."""
    for name, table in tables().items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marked.search(text):
            raise ValueError(f"docs/verdict.md has no markers <!-- {name} --> and <!-- /{name} -->")
        text = marked.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)  # type: ignore[misc]
    return text


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write what of docs/verdict.* comes from the source.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something is stale")
    is_check = parser.parse_args(arguments).check
    wanted = {SCHEMA: json.dumps(schema(), indent=2) + "\n", PAGE: page(PAGE.read_text(encoding="utf-8"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.name} is {'stale' if is_check else 'written'}")
        if not is_check:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
