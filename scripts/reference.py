"""Writes docs/reference.md, and the tables between the markers in README.md, from the source.

    python scripts/reference.py            write both
    python scripts/reference.py --check    write nothing; exit code 1 where one of them is stale

What is printed stands next to the code it describes: docstrings of the configuration fields and of the outcomes, and the tables of
metrics, reasons, kinds of divergence and endpoints. Whatever has no line there raises ``KeyError`` here.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shadowproxy import cli, config, exchange
from shadowproxy.admin.app import ENDPOINTS
from shadowproxy.compare.kinds import KINDS
from shadowproxy.counts import METRICS, NOT_MIRRORED_REASONS
from shadowproxy.exchange import Outcome
from shadowproxy.verdict.reasons import REASONS, REMEDIES

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference.md"
README = ROOT / "README.md"

#: The few keys and metrics that a newcomer needs; the README shows these.
README_KEYS = (
    "listen",
    "primary.url",
    "primary.host",
    "control.percent",
    "candidates[].name",
    "candidates[].url",
    "candidates[].model",
    "candidates[].auth.env",
    "candidates[].timeout_s",
    "mirror.percent",
    "mirror.sample_by",
    "mirror.kill_switch_file",
    "gates.error.margin",
    "gates.similarity.margin",
    "gates.ttft.ratio",
    "verdict.alpha_promote",
    "verdict.alpha_rollback",
    "verdict.min_pairs",
    "verdict.soak_s",
    "admin.listen",
    "admin.token.env",
    "workers",
)
README_METRICS = (
    "shadowproxy_requests_total",
    "shadowproxy_primary_failures_total",
    "shadowproxy_not_mirrored_total",
    "shadowproxy_pairs_issued_total",
    "shadowproxy_pairs_resolved_total",
    "shadowproxy_ttft_seconds",
    "shadowproxy_verdict",
    "shadowproxy_gate_bound",
    "shadowproxy_step_failures_total",
)


# --- the configuration ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key: its dotted path, what may stand there, its default, its meaning."""

    path: str
    values: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """One section of the configuration. ``path`` is empty for the top."""

    path: str
    meaning: str
    keys: tuple[Key, ...]


def chapters(section: type[BaseModel] = config.Config, path: str = "") -> Iterator[Chapter]:
    """The whole configuration, each section before those below it."""
    keys: list[Key] = []
    below: list[Chapter] = []
    for name, field in section.model_fields.items():
        key = f"{path}.{name}" if path else name
        inner = _section_of(field.annotation)
        if inner is None:
            keys.append(Key(key, _values(field), _default(field), meaning_of(section, name)))
        else:
            below += chapters(inner, f"{key}[]" if _is_list(field.annotation) else key)
    yield Chapter(path, _about(section), tuple(keys))
    yield from below


def meaning_of(section: type[BaseModel], name: str) -> str:
    """The docstring below the field, in the class that defines it. Raises ``KeyError`` where there is none."""
    for owner in section.__mro__:
        if name in inspect.get_annotations(owner):
            return _docstrings(inspect.getfile(owner))[f"{owner.__name__}.{name}"]
    raise KeyError(f"{section.__name__}.{name}")


def _about(section: type[BaseModel]) -> str:
    return " ".join((section.__dict__["__doc__"] or "").split("\n\n")[0].split())


@cache
def _docstrings(path: str) -> Mapping[str, str]:
    """``Class.name`` → the string that stands below the assignment of ``name``."""
    found = {}
    for node in ast.parse(Path(path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
                    for name in _assigned(field):
                        found[f"{node.name}.{name}"] = " ".join(below.value.value.split())
    return found


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets if isinstance(node, ast.Assign) else []
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for option in get_args(annotation) if (inner := _section_of(option))), None)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
_BOUNDS = (("ge", "≥ {:g}"), ("gt", "> {:g}"), ("le", "≤ {:g}"), ("lt", "< {:g}"))


def _values(field: FieldInfo) -> str:
    """What may stand there: ``number, ≥ 0, ≤ 100``, or the choices."""
    annotation, metadata = field.annotation, list(field.metadata)
    for option in get_args(annotation):  # Annotated[...] | None
        if get_origin(option) is Annotated:
            annotation = get_args(option)[0]
            metadata += (part for each in option.__metadata__ for part in getattr(each, "metadata", ()))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    words = _kind(annotation)
    bounds = [text.format(bound) for name, text in _BOUNDS for part in metadata if (bound := getattr(part, name, None)) is not None]
    return ", ".join((words, *bounds))


def _kind(annotation: Any) -> str:
    if annotation in _WORDS:
        return _WORDS[annotation]
    if get_origin(annotation) is tuple:
        return "list of text"
    if get_origin(annotation) is dict:
        return "names and values"
    return next(_WORDS[option] for option in get_args(annotation) if option in _WORDS)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value >= 2**16 and value % 2**10 == 0:
        return f"{value} ({value // 2**20} MiB)" if value % 2**20 == 0 else f"{value} ({value // 2**10} KiB)"
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- the command line -------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str]]:
    """(command or command with option, its line of help), commands within commands included."""
    yield from _commands_of("shadowproxy", cli._parser())  # noqa: SLF001 - argparse has no public way to walk a parser


def _commands_of(above: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for subparsers in (action for action in parser._actions if isinstance(action, argparse._SubParsersAction)):  # noqa: SLF001
        for choice in subparsers._choices_actions:  # noqa: SLF001
            command = f"{above} {choice.dest}"
            yield command, choice.help or ""
            yield from _options_of(command, subparsers.choices[choice.dest])
            yield from _commands_of(command, subparsers.choices[choice.dest])


def _options_of(command: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:  # noqa: SLF001
        if "--help" not in action.option_strings and not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
            value = f" {metavar}" if action.nargs is None else ""
            names = ", ".join(f"{name}{value}" for name in action.option_strings) or metavar
            yield f"{command} {names}", action.help or ""


# --- text -------------------------------------------------------------------------------------------------------------------


def markdown(text: str) -> str:
    """Docstring to table cell: reST's double backticks become single ones, what markdown would read as marks is escaped."""
    text = re.sub(r":\w+:`~?([\w.]+)`", r"``\1``", text)
    parts = re.split(r"``(.+?)``", text)
    return "".join(f"`{part}`" if index % 2 else re.sub(r"([*_<|])", r"\\\1", part) for index, part in enumerate(parts))


def table(headings: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(mapping: Mapping[str, str], *headings: str) -> str:
    return table(headings, [(f"`{name}`", markdown(text)) for name, text in mapping.items()])


def outcomes() -> Mapping[str, str]:
    texts = _docstrings(exchange.__file__)
    return {outcome.value: texts[f"Outcome.{outcome.name}"] for outcome in Outcome}


def _keys(keys: Sequence[Key]) -> str:
    rows = [(f"`{key.path}`", markdown(key.meaning), key.values, key.default) for key in keys]
    return table(("key", "meaning", "values", "default"), rows)


def _metrics() -> str:
    rows = [
        (
            f"`{metric.name}`",
            metric.kind if metric.labels[-1:] != ("le",) else "histogram",
            _labels(metric.exported_labels),
            markdown(metric.help),
        )
        for metric in METRICS
    ]
    return table(("metric", "kind", "labels", "meaning"), rows)


def _labels(labels: Sequence[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def reference() -> str:
    """The text of docs/reference.md."""
    parts = [
        "# Reference",
        "<!-- Written by scripts/reference.py from the source. Change the source, then run it. -->",
        "## Command line",
        table(("command", "does"), [(f"`{command}`", markdown(text)) for command, text in commands()]),
        "Exit codes: 0 done, 1 something went wrong, 2 bad configuration or usage, 130 interrupted. Of `verdict` also 3 hold, 4 rollback.",
        "## Configuration",
        "YAML. Unknown keys are refused with the nearest known name, and every problem is reported at once. Of the sections only `primary` "
        "must be there; one that is there needs its required keys. `[]` stands for each item of a list. Times are in seconds.",
    ]
    for chapter in chapters():
        parts += [f"### `{chapter.path}`"] if chapter.path else []
        parts += [markdown(chapter.meaning), *([_keys(chapter.keys)] if chapter.keys else [])]
    parts += [
        "## Admin endpoints",
        "All answer GET and change nothing, unless it says POST.",
        _plain(ENDPOINTS, "path", "answers"),
        "## Verdict reasons",
        "Each reason of a verdict has a code, a text and its numbers.",
        table(
            ("code", "meaning", "what to do"), [(f"`{code}`", markdown(text), markdown(REMEDIES[code])) for code, text in REASONS.items()]
        ),
        "## Not mirrored",
        "Label `reason` of `shadowproxy_not_mirrored_total`. The client's request is served all the same.",
        _plain(NOT_MIRRORED_REASONS, "reason", "the exchange was not mirrored because"),
        "## Outcomes",
        "How one arm's exchange ended.",
        _plain(outcomes(), "outcome", "meaning"),
        "## Divergences",
        "Typed differences within a pair. They are shown and counted; the gates decide.",
        _plain(KINDS, "kind", "meaning"),
        "## Metrics",
        "Counts are sums over every start of every process of one `serve`. A metric shown as a histogram has the usual `_bucket`, "
        "`_count` and `_sum` series. `shadowproxy_build_info` and the `process_` metrics of the supervisor are there, too.",
        _metrics(),
    ]
    return "\n\n".join(parts) + "\n"


# --- the README's tables ----------------------------------------------------------------------------------------------------


def readme_tables() -> Mapping[str, str]:
    """Marker → table."""
    keys = {key.path: key for chapter in chapters() for key in chapter.keys}
    by_name = {metric.name: metric for metric in METRICS}
    chosen = [by_name[name] for name in README_METRICS]
    return {
        "keys": table(
            ("key", "meaning", "default"),
            [(f"`{path}`", markdown(_first_sentence(keys[path].meaning)), keys[path].default) for path in README_KEYS],
        ),
        "metrics": table(
            ("metric", "labels", "meaning"), [(f"`{each.name}`", _labels(each.exported_labels), markdown(each.help)) for each in chosen]
        ),
        "reasons": _plain(REASONS, "code", "verdict, and why"),
        "endpoints": _plain(ENDPOINTS, "path", "answers"),
    }


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.])\s+(?=[A-Z0-9`])", text, maxsplit=1)[0]


def filled(text: str) -> str:
    """``text`` with each table between its markers written anew. Raises ``KeyError`` for a marker without a table, and the reverse."""
    tables = dict(readme_tables())

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{tables.pop(found[2])}\n\n{found[3]}"

    text = re.sub(r"(<!-- table: (\w+) -->)\n.*?(<!-- end -->)", fill, text, flags=re.DOTALL)
    if tables:
        raise KeyError(f"README.md has no place for {', '.join(tables)}")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a file is stale")
    check = parser.parse_args().check
    wanted = {REFERENCE: reference(), README: filled(README.read_text(encoding="utf-8"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is stale; run python scripts/reference.py' if check else 'written'}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    if check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
