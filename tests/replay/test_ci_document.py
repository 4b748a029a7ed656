"""docs/ci.md: its example is run from the traffic to the report, its pipelines are what the services take, their lines comment once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from tests.replay.arms import Arm
from tests.replay.captures import captured, configured, question
from tests.walkthroughs.pages import Run, page

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
STEP_S = 150.0

needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not here")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")


def written(name: str) -> str:
    """A pipeline as the page has it."""
    (found,) = [text for language, text in BLOCKS if language == "yaml" and text.startswith(f"# {name}\n")]
    return found


def pipeline(name: str) -> Any:
    return yaml.safe_load(written(name))


# --- the example ------------------------------------------------------------------------------------------------------------


@needs_curl
@pytest.mark.timeout(300)
async def test_one_replay_from_the_traffic_to_the_report(tmp_path: Path) -> None:
    """What a text block shows must have been printed; what is shown of reports is compared by what does not change from run to run."""
    done = Run(page("../ci"), tmp_path)
    await done.go({})
    stats = json.loads(done.printed(2))
    (shown,) = [json.loads(text) for language, text in BLOCKS if language == "json"]
    assert stats.keys() == shown.keys()
    assert {name: stats[name] for name in ("records", "exchanges", "routes", "outcomes")} == {
        name: shown[name] for name in ("records", "exchanges", "routes", "outcomes")
    }
    (comment,) = [text for language, text in BLOCKS if language == "markdown"]
    assert comment.splitlines()[0].startswith("## ❌ Roll back")
    now = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert now.startswith("## ✅ Promote"), "the second commit's"
    rows = re.compile(r"^\| chat \| \*\*(.+?)\*\*", re.MULTILINE)
    assert sorted(rows.findall(now)) == sorted(rows.findall(comment))


# --- what the services take -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "schema", "key"),
    [(".github/workflows/replay.yml", "github-workflows", "timeout-minutes"), (".gitlab-ci.yml", "gitlab-ci", "after_script")],
)
def test_the_service_takes_the_pipeline(tmp_path: Path, name: str, schema: str, key: str) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema, which has the schemas of the services, is not installed")
    path = tmp_path / "pipeline.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    for text, code in ((written(name), 0), (written(name).replace(key, f"{key}x"), 1)):
        path.write_text(text)
        done = subprocess.run(command, capture_output=True, text=True, timeout=STEP_S, check=False)
        assert done.returncode == code, done.stdout + done.stderr


# --- what the shell lines do ------------------------------------------------------------------------------------------------


@dataclass
class Service:
    """Comments of one pull request (GitHub) or notes of one merge request (GitLab), over HTTP as those have it."""

    comments: dict[int, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    url: str = ""

    def answer(self, method: str, path: str, body: str, content_type: str) -> Any:
        """None: there is no such thing."""
        place, _, query = path.partition("?")
        text = "" if not body else json.loads(body)["body"] if "json" in content_type else parse_qs(body)["body"][0]
        match method, place:
            case "GET", "/repos/o/r/issues/7/comments" | "/projects/5/merge_requests/7/notes" if query == "per_page=100":
                return [{"id": number, "body": text} for number, text in self.comments.items()]
            case "POST", "/repos/o/r/issues/7/comments" | "/projects/5/merge_requests/7/notes":
                self.comments[max(self.comments, default=100) + 1] = text
                return {}
            case (("PATCH" | "PUT"), _):
                number = int(place.rpartition("/")[2])
                where = {"PATCH": "/repos/o/r/issues/comments/", "PUT": "/projects/5/merge_requests/7/notes/"}[method]
                if place != f"{where}{number}" or number not in self.comments:
                    return None
                self.comments[number] = text
                return {}
        return None


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service({41: "Looks good to me."})

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            found.tokens.add(self.headers.get("authorization") or self.headers.get("private-token") or "")
            answer = found.answer(self.command, self.path, body, self.headers.get("content-type") or "")
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = do_PUT = _reply  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Not on the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join(10)


@dataclass
class Repository:
    """A checked-out repository with ``gate.yaml``, in which the lines of a pipeline are run."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, line: str) -> int:
        """By the shell of the services."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        command = ["bash", "-e", "-o", "pipefail", "-c", line]
        environment = {**os.environ, **self.environment, "PATH": path}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=STEP_S, check=False)
        assert done.returncode in (0, 3, 4), done.stderr
        return done.returncode


def lines_of(name: str) -> tuple[str, str]:
    """(the replay, what comes behind it whatever its verdict is)."""
    if name == ".gitlab-ci.yml":
        job = pipeline(name)["replay"]
        return job["script"][0], job["after_script"][0]
    steps = pipeline(name)["jobs"]["replay"]["steps"]
    assert all(each["if"] == "always()" for each in steps[steps.index(next(s for s in steps if s.get("name") == "Replay")) + 1 :])
    return tuple(next(each["run"] for each in steps if each.get("name") == named) for named in ("Replay", "Summary and comment"))  # type: ignore[return-value]


@needs_curl
@needs_jq
@pytest.mark.parametrize("name", [".github/workflows/replay.yml", ".gitlab-ci.yml"])
def test_the_pull_request_has_one_comment_and_nothing_is_asked_twice(tmp_path: Path, service: Service, name: str) -> None:
    replay, comment = lines_of(name)
    place = captured(tmp_path / "captures" / "monday", 60, control=True)
    repository = tmp_path / "repository"
    repository.mkdir()
    github = {"PULL_REQUEST": "7", "GITHUB_REPOSITORY": "o/r", "GITHUB_API_URL": service.url, "GITHUB_TOKEN": "t-1"}
    gitlab = {"CI_API_V4_URL": service.url, "CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "7", "REPLAY_TOKEN": "t-1"}
    environment = {"CAPTURE": str(place), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), **github, **gitlab}
    here = Repository(repository, environment)
    with Arm(refuse=lambda number, _: (500, {}, "no") if number % 2 else None) as arm:
        configured(repository, arm.url, name="gate.yaml", control={"percent": 100})
        assert here.run(replay) == 4
        assert here.run(comment) == 0
        assert list(service.comments) == [41, 42]
        assert service.comments[42].startswith("<!-- shadowproxy -->\n## ❌ Roll back")
        assert here.run(replay) == 4, "the work folder is where the cache looks for it"
        assert sum(arm.questions.values()) == 60

    with Arm() as arm:
        configured(repository, arm.url, name="gate.yaml", control={"percent": 100}, verdict={"min_pairs": 20})
        code = here.run(replay)
        assert here.run(comment) == 0
        assert code == 0
        assert arm.questions == {question(number): 1 for number in range(60)}, "another candidate is asked anew"
    assert list(service.comments) == [41, 42], "the same comment, rewritten"
    assert service.comments[42].startswith("<!-- shadowproxy -->\n## ✅ Promote")
    assert service.comments[41] == "Looks good to me."
    assert service.tokens <= {"Bearer t-1", "t-1"}
    if name.startswith(".github"):
        assert "## ✅ Promote" in (tmp_path / "summary.md").read_text()
    assert {path.name for path in repository.iterdir()} >= {"report.html", "junit.xml", "replay-work"}


@needs_curl
@pytest.mark.parametrize("name", [".github/workflows/replay.yml", ".gitlab-ci.yml"])
def test_without_a_report_nothing_is_said(tmp_path: Path, service: Service, name: str) -> None:
    _, comment = lines_of(name)
    assert Repository(tmp_path, {"GITHUB_API_URL": service.url, "CI_API_V4_URL": service.url}).run(comment) == 0
    assert service.tokens == set()
