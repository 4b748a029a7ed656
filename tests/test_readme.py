"""Everything in the README that can be run is run, everything that can be loaded is loaded; the same for config/ and manifests/.

A command in a shell block that no test here knows fails :func:`test_every_shell_command_is_known`. Commands run as written, except that
fixed ports become free ones.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from shadowproxy import config
from shadowproxy.admin.app import ENDPOINTS
from shadowproxy.verdict import checks, evidence
from tests.replay.arms import says
from tests.replay.captures import captured, configured, question

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START_S = 60.0
RUN_S = 60.0


#: (language, text) of every fenced block; pictures and output have no language.
FENCES: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for found, text in FENCES if found == language]


SHELL_LINES = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


def lines_with(beginning: str) -> list[str]:
    found = [line for line in SHELL_LINES if line.startswith(beginning)]
    assert found, f"the README has no command {beginning!r} any more"
    return found


# --- which test runs which command --------------------------------------------------------------------------------------

#: Beginning of a command → the test that runs it, here or elsewhere.
RUN_BY = {
    "make demo": "test_make_targets_call_what_they_are_said_to; the demo itself: tests/test_demo.py",
    "make test": "test_make_targets_call_what_they_are_said_to; it is what runs this file",
    "make lint": "test_make_targets_call_what_they_are_said_to",
    "make size": "test_make_targets_call_what_they_are_said_to",
    "make bench": "test_make_targets_call_what_they_are_said_to",
    "python -m pip install .": "test_installing_gives_the_command",
    "shadowproxy check ": "test_check_commands",
    "shadowproxy compare ": "test_compared_pair_is_what_the_command_says",
    "shadowproxy verdict ": "test_verdict_of_files_ends_with_its_code",
    "shadowproxy replay ": "test_replay_of_a_capture_ends_with_its_code",
    "shadowproxy serve ": "stage",
    "python -m shadowproxy.testing.recorded ": "stage",
    "curl ": "test_curl_commands",
    "kubectl create secret ": "test_secret_is_the_one_that_the_deployment_reads",
    "kubectl apply -k manifests/base": "test_kustomize_base_builds",
}


def test_every_shell_command_is_known() -> None:
    unknown = [line for line in SHELL_LINES if not any(line.startswith(beginning) for beginning in RUN_BY)]
    assert unknown == []
    gone = [beginning for beginning in RUN_BY if not any(line.startswith(beginning) for line in SHELL_LINES)]
    assert gone == []


def test_every_block_has_a_language_that_is_tested_or_is_a_picture() -> None:
    assert {language for language, _ in FENCES} == {"", "sh", "yaml", "python", "json"}
    assert README.count("```") == 2 * len(FENCES)


@pytest.mark.parametrize(
    ("target", "calls"),
    [
        ("demo", "$(BIN)/shadowproxy demo $(if $(LIVE),--live) $(ARGS)"),
        ("test", "sh scripts/test.sh $(BIN) $(ARGS)"),
        ("test", "$(BIN)/ruff check ."),
        ("test", "$(BIN)/mypy"),
        ("test", "$(BIN)/lint-imports"),
        ("lint", "$(BIN)/ruff format ."),
        ("size", "sh scripts/installed-size.sh"),
        ("bench", "$(VENV)-bench/bin/python loadtest/run.py"),
    ],
)
def test_make_targets_call_what_they_are_said_to(target: str, calls: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    assert calls in recipe[1]
    for script in re.findall(r"[\w/-]+\.(?:sh|py)", calls):
        assert (ROOT / script).is_file()


def test_make_test_runs_every_test_once(tmp_path: Path) -> None:
    """What is run on every core is left out of the rest: a name that is no place would be run by neither."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "SECOND_LOOK"}

    def said(*arguments: str) -> str:
        command = ["sh", "scripts/test.sh", str(tmp_path), *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=30).stdout

    calm, rest = (line.split() for line in said().splitlines())
    places = {word for word in calm if word.startswith("tests/")}
    assert places
    assert {f"--ignore={place}" for place in places} == {word for word in rest if word.startswith("--ignore")}
    assert all((ROOT / place).exists() for place in places)
    assert said("tests/wire", "-x") == "-m pytest tests/wire -x\n"


def test_installing_gives_the_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["shadowproxy"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))
    assert (ROOT / project["readme"]).is_file()


def test_links_lead_to_files() -> None:
    links = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert links
    assert [target for target in links if not (ROOT / target).exists()] == []


# --- configuration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_blocks_are_configurations(text: str) -> None:
    assert config.parse(text).candidates


def test_smallest_configuration_is_shown_as_it_is() -> None:
    assert blocks("yaml")[0] == (ROOT / "config" / "minimal.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_configurations_load(path: Path) -> None:
    assert config.load(path).candidates


def test_demo_configuration_is_the_one_that_ships() -> None:
    assert (ROOT / "config" / "demo.yaml").resolve() == ROOT / "shadowproxy" / "demo.yaml"


def test_demo_margins_in_the_readme_are_those_of_the_demo() -> None:
    demo, plain = config.load(ROOT / "config" / "demo.yaml"), config.build({"primary": {"url": "http://127.0.0.1:1"}})
    for gate in ("error", "similarity", "ttft"):
        shown = re.search(rf"^\| `{gate}` \| .* \| ([\d.]+) \| ([\d.]+) \|$", README, re.MULTILINE)
        assert shown is not None
        assert float(shown[1]) == getattr(demo.gates, gate).margin
        assert float(shown[2]) == getattr(plain.gates, gate).margin
    assert f"({demo.gates.ttft.calibration_pairs} in the demo, {plain.gates.ttft.calibration_pairs} by default)" in README


def test_numbers_of_pairs_in_the_readme_are_what_the_evidence_takes() -> None:
    table = README.partition("| gate | if | pairs |")[2].partition("\n\n")[0]
    shown = {
        (gate, situation): int(pairs.replace(",", ""))
        for gate, situation, pairs in re.findall(r"^\| `(\w+)` \| (.+?) \| ([\d,]+) \|$", table, re.MULTILINE)
    }
    trinomial = [checks.TRINOMIAL[cell] for cell in (checks.BOTH_OK, checks.CANDIDATE_ONLY, checks.REFERENCE_ONLY)]
    grid = np.array(sorted(set(checks.GRID.values())))
    assert shown == {
        ("error", "neither side ever fails"): pairs_to_pass(trinomial, [1, 0, 0], 0.005),
        ("error", "each side alone fails in 0.2 % of requests"): pairs_to_pass(trinomial, [0.996, 0.002, 0.002], 0.005),
        ("similarity", "the difference has mean 0 and standard deviation 0.1"): pairs_to_pass(grid, np.exp(-((grid / 0.1) ** 2) / 2), 0.02),
        ("ttft", "the candidate alone is over its limit in 2 % of requests, the primary alone in 5 %"): pairs_to_pass(
            trinomial, [0.93, 0.02, 0.05], 0.0
        ),
    }


def pairs_to_pass(values: Any, shares: Any, margin: float) -> int:
    """Smallest number of pairs, in exactly these shares, at which the promote e-value reaches 1/0.05."""
    shares = np.asarray(shares) / np.sum(shares)
    low, high = 1, 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        if float(evidence.log_e_promote(values, shares * middle, margin)) >= np.log(20):
            high = middle
        else:
            low = middle
    return high


def test_explained_numbers_are_those_of_the_table_shown() -> None:
    """The output above is pasted from a run; whoever pastes a newer one must explain that one."""
    table = next(block for block in blocks("") if "ROLLBACK" in block)
    hot = table.partition("\n hot ")[2]
    explained = README.partition("Take `hot`")[2].partition("The three verdicts")[0]
    assert re.findall(r"[+]\d\.\d{3}", explained) == ["+0.000", *re.search(r"similarity.*?([+]\d\.\d{3})…([+]\d\.\d{3})", hot).groups()]  # type: ignore[union-attr]
    pairs = [int(n) for n in re.findall(r"(?:error|ttft) +(\d+) ", hot)]
    assert f"hence {pairs[1]} pairs instead of {pairs[0]}" in explained
    assert pairs[0] - pairs[1] == config.load(ROOT / "config" / "demo.yaml").gates.ttft.calibration_pairs


def rounded(value: Any) -> Any:
    """As the README shows it: two decimals, and of scores those that say something."""
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def test_compared_pair_is_what_the_command_says(tmp_path: Path) -> None:
    (line,) = lines_with("shadowproxy compare ")
    pair, shown = (json.loads(text) for text in blocks("json"))
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n", encoding="utf-8")
    command = (
        as_here(line).replace("pairs.jsonl", str(tmp_path / "pairs.jsonl")).replace("compared.jsonl", str(tmp_path / "compared.jsonl"))
    )
    done = run_shell(command)
    assert done.returncode == 0, done.stderr
    found = rounded(json.loads((tmp_path / "compared.jsonl").read_text(encoding="utf-8")))
    assert shown["scores"].items() <= found["scores"].items()
    assert {**found, "scores": shown["scores"]} == shown


def test_verdict_of_files_ends_with_its_code(tmp_path: Path) -> None:
    (line,) = lines_with("shadowproxy verdict ")
    for arm, answer in (("now", "Take 5 mg."), ("new", "Take 50 mg."), ("now-again", "Take 5 mg.")):
        (tmp_path / f"{arm}.jsonl").write_text(json.dumps({"id": 1, "prompt": "Dose?", "answer": answer}) + "\n", encoding="utf-8")
    done = run_shell(re.sub(r"(\S+\.jsonl)", rf"{tmp_path}/\1", as_here(line)))
    assert done.returncode == 3, done.stderr
    assert "HOLD" in done.stdout


def test_replay_of_a_capture_ends_with_its_code(tmp_path: Path) -> None:
    (line,) = lines_with("shadowproxy replay ")
    here = {
        "/var/lib/shadowproxy/journal": str(captured(tmp_path / "journal", 5, candidate=lambda number: says(question(number)))),
        "config.yaml": str(configured(tmp_path)),
        "report.html": str(tmp_path / "report.html"),
    }
    done = run_shell(
        re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], as_here(line)) + f" --recorded v2 --work {tmp_path}/work"
    )
    assert done.returncode == 3, done.stderr
    assert "HOLD" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("line", lines_with("shadowproxy check "))
def test_check_commands(line: str) -> None:
    done = run_shell(as_here(line))
    assert done.returncode == 0, done.stderr
    assert ": fine; rollouts: " in done.stdout


# --- against a real serve -----------------------------------------------------------------------------------------------


@contextmanager
def running(arguments: list[str], until: Callable[[str], bool]) -> Iterator[str]:
    """Run a command until left; yields its first line for which ``until`` holds."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True
    )
    assert process.stdout is not None
    overdue = threading.Timer(START_S, process.kill)  # ends the wait below
    overdue.start()
    try:
        yield next((line for line in process.stdout if until(line)), f"{arguments} ended before it was ready")
    finally:
        overdue.cancel()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def as_here(line: str) -> str:
    """A README command that runs in this checkout with this interpreter."""
    line = line.removesuffix("&").strip()
    return re.sub(
        r"^(shadowproxy|python) ", lambda found: f"{shlex.quote(sys.executable)} {'-m shadowproxy ' if found[1] != 'python' else ''}", line
    )


def run_shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)


Rewrite = Callable[[str], str]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rewrite]:
    """The servers of the README, on free ports. Yields what turns its addresses into theirs."""
    addresses: dict[str, str] = {}

    def rewritten(text: str) -> str:
        for fixed, free in addresses.items():
            text = text.replace(fixed, free)
        return text

    with ExitStack() as stack:
        for line in lines_with("python -m shadowproxy.testing.recorded "):
            arguments = shlex.split(as_here(line))
            fixed = arguments[arguments.index("--listen") + 1]
            arguments[arguments.index("--listen") + 1] = "127.0.0.1:0"
            announced = stack.enter_context(running([*arguments, "--speed", "20"], lambda line: "listening" in line))
            addresses[fixed] = json.loads(announced)["listening"].removeprefix("http://")
        (line,) = lines_with("shadowproxy serve ")
        arguments = shlex.split(as_here(line))
        path = ROOT / arguments[-1]
        settings = config.load(path)
        copy = tmp_path_factory.mktemp("readme") / path.name
        text = rewritten(path.read_text(encoding="utf-8"))
        for fixed in (settings.listen, settings.admin.listen):
            assert fixed in text
            text = text.replace(fixed, "127.0.0.1:0")
        copy.write_text(text, encoding="utf-8")
        announced = stack.enter_context(running([*arguments[:-1], str(copy)], lambda line: "serving" in line))
        found = re.fullmatch(r"shadowproxy: serving on (\S+), admin on (\S+)\n", announced)
        assert found is not None, announced
        shown = f"shadowproxy: serving on {settings.listen}, admin on {settings.admin.listen}"
        assert shown in README
        addresses[settings.listen], addresses[settings.admin.listen] = found[1], found[2]
        yield rewritten


def says_hello(text: str) -> bool:
    return '"delta":{"content":' in text and text.rstrip().endswith("data: [DONE]")


def is_verdict(text: str) -> bool:
    document = json.loads(text)
    return [each["candidate"] for each in document["verdicts"]] == ["v2"] and document["state"] in ("hold", "promote", "rollback")


#: Part of a curl command → what its output must be.
EXPECTED: dict[str, Callable[[str], bool]] = {
    "/v1/chat/completions": says_hello,
    "/verdict": is_verdict,
    "/pairs?limit=1": lambda text: len(json.loads(text)["pairs"]) <= 1,
    "/mirroring?on=false": lambda text: json.loads(text) == {"mirroring": False},
    "/mirroring?on=true": lambda text: json.loads(text) == {"mirroring": True},
    "/reload": lambda text: json.loads(text) == {"reloaded": True},
    "/metrics": lambda text: 'shadowproxy_verdict{rollout="v2-' in text,
}


@pytest.mark.parametrize("line", lines_with("curl "))
def test_curl_commands(line: str, stage: Rewrite) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    done = run_shell(stage(line))
    assert done.returncode == 0, done.stderr
    (is_right,) = (check for part, check in EXPECTED.items() if part in line)
    assert is_right(done.stdout), done.stdout


@pytest.mark.parametrize("program", blocks("python"))
def test_python_blocks(program: str, stage: Rewrite) -> None:
    pytest.importorskip("openai")
    done = subprocess.run([sys.executable, "-c", stage(program)], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "yen" in done.stdout.lower()


def test_hold_after_one_request_says_what_the_readme_shows(stage: Rewrite) -> None:
    """Its wording, that is: by now there may have been another number of requests."""
    admin = stage(f"http://{config.load(ROOT / 'config' / 'minimal.yaml').admin.listen}")
    ask = urllib.request.Request(
        stage("http://127.0.0.1:8080/v1/chat/completions"),
        data=json.dumps({"messages": [{"role": "user", "content": "Which currency is used in Japan?"}]}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(ask, timeout=RUN_S) as reply:
        assert reply.status == 200
    verdict = wait_for(lambda: _judged(admin))
    shown = next(block for block in blocks("") if block.startswith("hold\n")).removeprefix("hold\n")
    pattern = re.compile(r"\d+ (s|min) since|\d+ of|\d+ pairs?\b")
    wanted = {(line.split()[0], pattern.sub("N", line.split(None, 1)[1])) for line in shown.splitlines()}
    assert {(reason["code"], pattern.sub("N", reason["text"])) for reason in verdict["reasons"]} == wanted


def _judged(admin: str) -> dict[str, Any] | None:
    with urllib.request.urlopen(f"{admin}/verdict?rollout=v2", timeout=RUN_S) as reply:
        verdict: dict[str, Any] = json.loads(reply.read())
    return verdict if verdict["pairs"] else None


def wait_for(look: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("nothing was judged in time")


# --- Kubernetes ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    """Kind → object of the base, as Kustomize builds it."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here")
    (line,) = lines_with("kubectl apply -k ")
    done = run_shell(line.replace("kubectl apply -k ", "kubectl kustomize "))
    assert done.returncode == 0, done.stderr
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


def test_kustomize_base_builds(objects: dict[str, dict[str, Any]]) -> None:
    assert set(objects) == {"Deployment", "Service", "ServiceAccount", "ConfigMap"}


def test_configuration_in_the_base_loads(objects: dict[str, dict[str, Any]]) -> None:
    settings = config.parse(objects["ConfigMap"]["data"]["shadowproxy.yaml"])
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    assert settings.listen == f"0.0.0.0:{ports['http']}"
    assert settings.admin.listen == f"0.0.0.0:{ports['admin']}"
    assert {port["targetPort"] for port in objects["Service"]["spec"]["ports"]} == set(ports)


def test_configuration_is_mounted_where_the_command_reads_it(objects: dict[str, dict[str, Any]]) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    command, flag, path = container(objects)["args"]
    assert (command, flag) == ("serve", "-c")
    volume = next(mount["name"] for mount in container(objects)["volumeMounts"] if path.startswith(f"{mount['mountPath']}/"))
    source = next(each for each in pod["volumes"] if each["name"] == volume)
    assert source["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert Path(path).name in objects["ConfigMap"]["data"]


def test_secret_is_the_one_that_the_deployment_reads(objects: dict[str, dict[str, Any]]) -> None:
    settings = config.parse(objects["ConfigMap"]["data"]["shadowproxy.yaml"])
    assert settings.admin.token is not None
    (variable,) = (each for each in container(objects)["env"] if each["name"] == settings.admin.token.env)
    (line,) = lines_with("kubectl create secret ")
    done = run_shell(f"{line} --dry-run=client -o yaml")
    assert done.returncode == 0, done.stderr
    secret = yaml.safe_load(done.stdout)
    reference = variable["valueFrom"]["secretKeyRef"]
    assert secret["metadata"]["name"] == reference["name"]
    assert secret["data"][reference["key"]]


def test_pod_has_no_privileges(objects: dict[str, dict[str, Any]]) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["automountServiceAccountToken"] is False
    rights = container(objects)["securityContext"]
    assert rights["readOnlyRootFilesystem"] is True
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}


def test_probes_ask_endpoints_that_exist_and_need_no_token(objects: dict[str, dict[str, Any]]) -> None:
    probes = {name: container(objects)[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {probe["path"] for probe in probes.values()} == {"/readyz", "/healthz"}
    assert all("needs no token" in ENDPOINTS[probe["path"]] for probe in probes.values())
    assert {probe["port"] for probe in probes.values()} == {"admin"}


def test_pod_is_given_time_to_drain(objects: dict[str, dict[str, Any]]) -> None:
    settings = config.parse(objects["ConfigMap"]["data"]["shadowproxy.yaml"])
    assert objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > settings.limits.drain_s + 7


def container(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (only,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_every_package_is_in_the_table_of_places() -> None:
    packages = {path.parent.name for path in (ROOT / "shadowproxy").glob("*/__init__.py")}
    table = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `shadowproxy/")]
    named = {name.removeprefix("shadowproxy/") for cell in table for name in re.findall(r"`([^`]+)`", cell)}
    assert packages - named == set()
