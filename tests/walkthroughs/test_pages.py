"""What can be said of every walk-through without running it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from shadowproxy import config
from tests.manifests.overlays import MANIFESTS
from tests.manifests.schemas import needs_definitions, validator
from tests.walkthroughs import test_walkthroughs
from tests.walkthroughs.pages import FOLDER, page

NAMES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")


def test_index_lists_every_page_and_every_page_is_run() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(([a-z-]+)\.md\)", index.partition("## ")[0])) == NAMES
    assert {f"test_{name.replace('-', '_')}" for name in NAMES} <= set(vars(test_walkthroughs))


@pytest.mark.parametrize("name", NAMES)
def test_page_looks_at_what_is_there_after_a_promotion_and_after_a_rollback(name: str) -> None:
    printed = "\n".join(step.prints or "" for step in page(name).steps)
    assert "promoted" in printed or name == "argo-rollouts"
    assert "rolled_back" in printed or '"rollback"' in printed
    assert all(step.commands.strip() for step in page(name).steps)


@pytest.mark.parametrize("name", NAMES)
def test_configuration_loads_and_names_who_steers(name: str) -> None:
    loaded = config.parse(page(name).files["shadowproxy.yaml"])
    assert [each.candidate for each in loaded.promotions] == ([] if name == "argo-rollouts" else [loaded.candidates[0].name])
    assert loaded.judge.has_source == (name != "gitops"), "serve steers by itself on that page alone"


@needs_definitions
@pytest.mark.parametrize("name", NAMES)
def test_objects_are_what_their_definitions_allow(name: str) -> None:
    for text in page(name).files.values():
        for each in yaml.safe_load_all(text):
            if "apiVersion" in each and "." in each["apiVersion"]:
                group, _, version = each["apiVersion"].partition("/")
                checked = validator(group, version, each["kind"])
                assert [error.message for error in checked.iter_errors(each)] == []


def test_question_of_argo_rollouts_is_the_one_of_the_overlay() -> None:
    shipped = (MANIFESTS / "overlays" / "argo-rollouts" / "analysistemplate-web.yaml").read_text(encoding="utf-8")
    assert _question(page("argo-rollouts").files["analysis-template.yaml"]) == _question(shipped)


def _question(text: str) -> Any:
    (metric,) = yaml.safe_load(text)["spec"]["metrics"]
    web = {key: value for key, value in metric["provider"]["web"].items() if key != "headers"}
    return {**metric, "interval": None, "provider": {"web": web}}
