"""The page says what the command does."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
import yaml

from shadowproxy import cli, config
from shadowproxy.replay.commands import MERGE, with_merge

PAGE = (Path(__file__).parents[2] / "docs" / "replay.md").read_text()


def options_of(command: str) -> set[str]:
    (commands,) = (each for each in cli._parser()._actions if isinstance(each, argparse._SubParsersAction))
    return {name for action in commands.choices[command]._actions for name in action.option_strings if name.startswith("--")}


def test_options_on_the_page_exist() -> None:
    written = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert written <= options_of("replay") | options_of(MERGE)


def test_every_option_is_on_some_page() -> None:
    pages = "\n".join(path.read_text() for path in sorted((Path(__file__).parents[2] / "docs").glob("*.md")) if path.name != "reference.md")
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", pages))
    assert options_of("replay") - told <= {"--help"}


def test_the_configuration_on_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "triage.txt").write_text("Say which team should answer.")
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert config.build(yaml.safe_load(block)).candidates[0].name == "v2"


def test_commands_on_the_page_parse() -> None:
    lines = [line.partition("#")[0].split() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    for words in lines:
        assert words[0] == "shadowproxy"
        cli._parser().parse_args(with_merge(words[1:]))
    assert len(lines) == 3
