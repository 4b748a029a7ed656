"""``shadowproxy manifests``: the packaged objects are Kustomize's, and what is put in arrives everywhere."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from shadowproxy import manifests_command
from shadowproxy.errors import ConfigError, InputError
from shadowproxy.manifests_command import names, render
from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]
MINIMAL = ROOT / "config" / "minimal.yaml"


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    manifests_command.add_commands(parser.add_subparsers())
    options = parser.parse_args(["manifests", *arguments])
    return int(options.run(options))


def objects(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def test_packaged_objects_are_what_kustomize_builds() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here")
    rendered = script("rendered")
    assert names() == sorted(rendered.folders())
    for name, folder in rendered.folders().items():
        assert render(name) == rendered.built(folder), "run python scripts/rendered.py"


@pytest.mark.parametrize("name", names())
def test_nothing_of_the_old_image_and_namespace_is_left(name: str) -> None:
    text = render(name, image="registry.example.com/sp@sha256:0", namespace="elsewhere")
    assert "image: shadowproxy" not in text
    assert "namespace: models\n" not in text
    assert ".models.svc" not in text
    assert "ns/models/" not in text
    assert ".svc/models/" not in text
    assert len(objects(text)) == len(objects(render(name)))


def test_namespace_changes_nothing_but_mentions_of_the_namespace() -> None:
    """A route, a volume or a path may be called like it."""
    for name in names():
        there_and_back = render(name, namespace="elsewhere").replace("elsewhere", "models")
        assert there_and_back == render(name)
        for each in objects(render(name, namespace="elsewhere")):
            assert "elsewhere" not in str(each.get("spec", {}).get("http", ""))
            assert "elsewhere" not in str(each.get("spec", {}).get("strategy", ""))


def test_configuration_is_put_in_and_renames_its_map() -> None:
    plain, changed = objects(render("judge")), objects(render("judge", configuration="listen: 0.0.0.0:8080\n"))
    (before,), (after,) = ([each for each in found if each["kind"] == "ConfigMap"] for found in (plain, changed))
    assert after["data"] == {"shadowproxy.yaml": "listen: 0.0.0.0:8080\n"}
    assert after["metadata"]["name"] != before["metadata"]["name"]
    mounted = [each for each in changed if each["kind"] == "Deployment"]
    assert len(mounted) == 2
    assert all(after["metadata"]["name"] in str(each) and before["metadata"]["name"] not in str(each) for each in mounted)


def test_the_rest_of_the_objects_is_untouched_by_a_configuration() -> None:
    kinds = {"ConfigMap", "Deployment"}
    plain, changed = objects(render("judge")), objects(render("judge", configuration="a: 1\n"))
    assert [each for each in plain if each["kind"] not in kinds] == [each for each in changed if each["kind"] not in kinds]


def test_unknown_name_is_answered_with_the_known() -> None:
    with pytest.raises(InputError, match=r"'helm'.*argo-cd.*sidecar"):
        render("helm")


def test_configuration_where_there_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="flagger has no configuration"):
        render("flagger", configuration="a: 1")


def test_commands_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    assert capsys.readouterr().out.split() == names()
    assert run("render", "sidecar", "-c", str(MINIMAL)) == 0
    printed = objects(capsys.readouterr().out)
    (found,) = (each for each in printed if each["kind"] == "ConfigMap")
    assert found["data"]["shadowproxy.yaml"] == MINIMAL.read_text(encoding="utf-8")


def test_command_in_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall(
        r"^    shadowproxy manifests (render .+)$", (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert run(*shlex.split(line.replace("-c shadowproxy.yaml", f"-c {MINIMAL}"))) == 0
    assert "image: registry.example.com/shadowproxy:0.1.0\n" in capsys.readouterr().out


def test_wrong_configuration_is_not_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("primry: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        run("render", "sidecar", "-c", str(path))
    assert capsys.readouterr().out == ""
