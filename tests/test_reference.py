"""What the documentation lists is what the code has: nothing undocumented, nothing documented that is gone, nothing stale."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shadowproxy.admin.app import ENDPOINTS
from shadowproxy.cli import main
from shadowproxy.compare.kinds import KINDS
from shadowproxy.config import Config, Section
from shadowproxy.counts import METRICS, NOT_MIRRORED_REASONS
from shadowproxy.exchange import Outcome
from shadowproxy.verdict.reasons import REASONS
from tests.scripts import script as load

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "shadowproxy"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("reference")


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, str]]:
    """Heading → first cell without its backticks → second cell, as docs/reference.md has them."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in (ROOT / "docs" / "reference.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.strip("# `")
        elif line.startswith("| `"):
            first, second = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:3])
            assert first not in found.setdefault(heading, {}), f"{first} stands twice under {heading}"
            found[heading][first.strip("`")] = second
    return found


# --- fresh --------------------------------------------------------------------------------------------------------------


def test_reference_is_what_the_source_says(script: ModuleType) -> None:
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == script.reference(), "run python scripts/reference.py"


def test_tables_in_readme_are_what_the_source_says(script: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == script.filled(text), "run python scripts/reference.py"


def test_marker_without_a_table_is_an_error(script: ModuleType) -> None:
    with pytest.raises(KeyError, match="weather"):
        script.filled("<!-- table: weather -->\n<!-- end -->")


def test_table_without_a_marker_is_an_error(script: ModuleType) -> None:
    with pytest.raises(KeyError, match="no place for keys"):
        script.filled("no marker at all")


# --- complete -----------------------------------------------------------------------------------------------------------


def test_every_metric_has_a_line(rows: dict[str, dict[str, str]]) -> None:
    assert set(rows["Metrics"]) == {metric.name for metric in METRICS}
    assert all(metric.help.strip() for metric in METRICS)


def test_every_reason_code_has_a_line(rows: dict[str, dict[str, str]]) -> None:
    assert set(rows["Verdict reasons"]) == set(REASONS)
    assert all(rows["Verdict reasons"].values())


def test_every_outcome_has_a_line(rows: dict[str, dict[str, str]]) -> None:
    assert set(rows["Outcomes"]) == {outcome.value for outcome in Outcome}
    assert all(rows["Outcomes"].values())


def test_every_kind_of_divergence_has_a_line(rows: dict[str, dict[str, str]]) -> None:
    assert set(rows["Divergences"]) == set(KINDS)


def test_every_endpoint_has_a_line(rows: dict[str, dict[str, str]]) -> None:
    assert set(rows["Admin endpoints"]) == set(ENDPOINTS)


def test_every_config_key_has_a_line(rows: dict[str, dict[str, str]]) -> None:
    documented = {key: text for heading, keys in rows.items() for key, text in keys.items() if _is_config_heading(heading)}
    assert set(documented) == set(_schema_keys(Config.model_json_schema()))
    assert all(documented.values())


def _is_config_heading(heading: str) -> bool:
    return heading == "Configuration" or heading.partition(".")[0].removesuffix("[]") in Config.model_fields


def _schema_keys(schema: dict[str, Any]) -> Iterator[str]:
    """Dotted paths of all leaves, read from the JSON Schema: another way than the script's."""
    definitions = schema["$defs"]

    def walk(node: dict[str, Any], path: str) -> Iterator[str]:
        options = [node, *node.get("anyOf", ()), *node.get("allOf", ())]
        inner = next((option["$ref"] for option in options if "$ref" in option), "")
        item = next((option["items"]["$ref"] for option in options if "$ref" in option.get("items", {})), "")
        target = definitions[(inner or item).rpartition("/")[2]] if inner or item else None
        if target is None:
            yield path
        else:
            for name, below in target["properties"].items():
                yield from walk(below, f"{path}{'[]' if item else ''}.{name}")

    for name, node in schema["properties"].items():
        yield from walk(node, name)


def test_config_key_without_a_docstring_is_an_error(script: ModuleType) -> None:
    class Nameless(Section):
        depth: int = 1

    with pytest.raises(KeyError, match=r"Nameless\.depth"):
        script.meaning_of(Nameless, "depth")


def test_every_command_and_option_has_a_line(rows: dict[str, dict[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    documented = rows["Command line"]
    assert all(documented.values())
    for command in [(), *_commands_under((), capsys)]:
        about = [name.split()[1:] for name in documented if tuple(name.split()[1 : 1 + len(command)]) == command]
        shown = _help_of(capsys, *command)
        assert {words[len(command)] for words in about if len(words) > len(command) and words[len(command)].islower()} >= set(
            _listed(shown)
        )
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown)) - {"--help", "--version"}
        assert options <= {option for words in about for option in words if option.startswith("--")} | {
            option.rstrip(",") for words in about for option in words if option.startswith("--")
        }


def _commands_under(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[str, ...]]:
    for name in _listed(_help_of(capsys, *command)):
        yield (*command, name)
        yield from _commands_under((*command, name), capsys)


def _help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def _listed(text: str) -> list[str]:
    """First words of the lines indented by four under the list of commands."""
    return re.findall(r"^ {4}([a-z]+)(?= |$)", text.partition("COMMAND\n")[2], re.MULTILINE)


# --- why an exchange is not mirrored ------------------------------------------------------------------------------------

#: Module → functions that return a reason, or "" for none.
REASON_FUNCTIONS = {
    "gateway/tee.py": {"refusal"},
    "mirror/admission.py": {"refusal_of"},
    "handover/socket.py": {"refusal"},
    "shadow.py": {"_admit"},
    "gateway/gateway.py": set(),
}
#: Functions that are told a reason.
REASON_TAKERS = {"_skip", "_give_up"}


def test_every_reason_in_the_code_is_documented_and_every_documented_one_is_in_the_code(rows: dict[str, dict[str, str]]) -> None:
    produced = {reason for module in REASON_FUNCTIONS for reason in _reasons_in(module)}
    assert produced == set(NOT_MIRRORED_REASONS)
    assert set(rows["Not mirrored"]) == set(NOT_MIRRORED_REASONS)
    assert all(NOT_MIRRORED_REASONS.values())


def test_the_functions_that_give_reasons_are_where_this_test_looks() -> None:
    for module, functions in REASON_FUNCTIONS.items():
        tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
        assert functions <= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, module


def test_no_other_module_counts_what_is_not_mirrored() -> None:
    users = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if re.search(r"\bNOT_MIRRORED\b", path.read_text("utf-8"))}
    assert users == {"counts.py", "gateway/gateway.py", "shadow.py"}


def _reasons_in(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name in REASON_FUNCTIONS[module]:
            returns = (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None)
            yield from _texts(returns)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REASON_TAKERS:
            yield from _texts(node.args)


def _texts(values: Iterator[ast.expr] | list[ast.expr]) -> Iterator[str]:
    for value in values:
        first = value.elts[0] if isinstance(value, ast.Tuple) else value
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value:
            yield first.value
