"""The configuration: what loads, what is refused and in which words, and that every key says what it means."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from shadowproxy import config, counts
from shadowproxy.config import Secret, build, load, parse
from shadowproxy.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "config").glob("*.yaml"))
GOOD = {"primary": {"url": "http://a:1"}, "candidates": [{"name": "v2", "url": "http://b:1"}]}


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert str(refused.value) == "\n".join(str(each) for each in refused.value.problems)
    return [str(each) for each in refused.value.problems]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    assert load(path).candidates


def test_minimal_configuration_means_what_it_says() -> None:
    loaded = load(ROOT / "config" / "minimal.yaml")
    assert loaded.listen == "127.0.0.1:8080"
    assert loaded.primary.url == "http://127.0.0.1:9100"
    assert loaded.control is not None
    assert loaded.control.percent == 100
    assert [(each.name, each.url) for each in loaded.candidates] == [("v2", "http://127.0.0.1:9200")]
    assert loaded.mirror.percent == 100
    assert loaded.admin.listen == "127.0.0.1:9901"


REFUSED = {
    "primary: {url: 'http://a:1'}\nmirror: {percent: 150}": "mirror.percent: 150 is not within 0..100; choose a value that is",
    "primary: {url: 'http://a:1'}\nmiror: {percent: 1}": "miror: {'percent': 1} is not a known key; did you mean mirror?",
    "primary: {url: 'http://a:1', zzz: 1}": "primary.zzz: 1 is not a known key; known here: ",
    "listen: 127.0.0.1:1": "primary: is missing; add it",
    "primary: {url: 'http://a:1'}\nlisten: 127.0.0.1:99999": (
        "listen: 127.0.0.1:99999 is not an address; write host:port (port 0..65535) or unix:/path/to/socket"
    ),
    "primary: {url: 'http://a:1'}\nlisten: unix:relative": "listen: unix:relative is not an absolute path; write unix:/path/to/socket",
    "primary: {url: 'http://me:secret@a:1'}": "carries credentials; put them into auth: {env: NAME} instead",
    "primary: {url: 'http://a:1/?x=1'}": "primary.url: http://a:1/?x=1 has a query or fragment; keep scheme, host",
    "primary: {url: 'http://a:1'}\ncandidates: [{name: A B, url: 'http://b:1'}]": (
        "candidates[0].name: A B is not a name; use up to 63 of a-z 0-9 . _ - and begin and end with a letter or digit"
    ),
    "primary: {url: 'http://a:1'}\ncandidates: [{name: x, url: 'http://b:1'}, {name: x, url: 'http://c:1'}]": (
        "has two candidates called 'x'; give each its own name"
    ),
    "primary: {url: 'http://a:1'}\ncandidates: [{name: x, url: 'http://b:1', auth: {env: A, file: /b}}]": (
        "needs exactly one of env and file; write {env: NAME} or {file: /path}"
    ),
    "primary: {url: 'http://a:1'}\ncandidates: [{name: x, url: 'http://b:1', headers: {set: {bad name: x}}}]": (
        "has a header that HTTP forbids ('bad name'); use a token as name and no line breaks in the value"
    ),
    "primary: {url: 'http://a:1'}\nmirror: {sample_by: cookie}": (
        "mirror.sample_by: cookie is not a sampling key; write request_id or header:NAME"
    ),
    "primary: {url: 'http://a:1'}\nroutes: [{name: r, path: 'v1'}]": "routes[0].path: v1 is not a path; begin with / and leave",
    "primary: {url: 'http://a:1'}\nadmin: {listen: '0.0.0.0:1'}": (
        "listens beyond loopback without a token; set admin.token: {env: NAME} or listen on 127.0.0.1"
    ),
    "primary: {url: 'http://a:1'}\nembed: {backend: magic}": (
        "embed.backend: magic is not one of the choices; write 'onnx', 'sentence-transformers' or 'none'"
    ),
    "primary: {url: 'http://a:1'}\nworkers: many": "workers: many is not a number; write a number without unit",
    "primary: {url: 'http://a:1'}\nworkers: 0": "workers: 0 is not within 1..64; choose a value that is",
    "primary: {url: 'http://a:1'}\ngates: {error: {margin: 1}}": (
        "gates.error.margin: 1 is not more than 0 and less than 1; choose a value that is"
    ),
    "primary: {url: 'http://a:1'}\ngates: {error: {enabled: perhaps}}": (
        "gates.error.enabled: perhaps is not true or false; write true or false"
    ),
    "primary: {url: 'http://a:1'}\ncontrol: 5": "control: 5 is not a mapping; write keys below it",
    "primary: {url: 'http://a:1'}\ngates: {error: {enabled: false}, ttft: {enabled: false}}\nembed: {backend: none}": (
        "has no gate that always guards"
    ),
    "primary: [": "line 1, column 11: is not YAML (",
    "primary: {url: 'http://a:1'}\nworkers: 1\nworkers: 2": "line 3, column 1: is not YAML (the key 'workers' stands here twice)",
    "primary: [\x00": "the file: is not YAML (unacceptable character #x0000: special characters are not allowed); save it as plain text",
    "- a\n- b": "the file: is not a mapping of keys; begin with listen:, primary: and candidates:",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_is_said_with_key_value_and_remedy(text: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert REFUSED[text] in found[0]


def test_all_problems_come_at_once() -> None:
    assert len(problems("listen: x\nworkers: 0\nmirror: {percent: -1}")) == 4  # and primary is missing


def test_missing_file_and_foreign_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(No such file or directory\); give the path"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"listen: \xe9\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text; save it as UTF-8"):
        load(tmp_path / "latin.yaml")


def test_bare_numbers_and_schemeless_urls_are_completed() -> None:
    built = build({"listen": 8080, "primary": {"url": "a:1"}})
    assert built.listen == "127.0.0.1:8080"
    assert built.primary.url == "http://a:1"


def test_secret_comes_from_the_environment_or_a_file_and_never_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "from-env")
    (tmp_path / "key").write_text("from-file\n")
    assert Secret(env="KEY").secret() == "from-env"
    assert Secret(file=tmp_path / "key").secret() == "from-file"
    assert "from-env" not in repr(Secret(env="KEY"))
    monkeypatch.setenv("KEY", "")
    with pytest.raises(ConfigError, match="env KEY is not set; export it before the start"):
        Secret(env="KEY").secret()
    with pytest.raises(ConfigError, match="cannot be read"):
        Secret(file=tmp_path / "no").secret()


def test_auth_makes_a_header_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3")
    assert config.Auth(env="KEY").header_line() == (b"authorization", b"Bearer s3")
    assert config.Auth(env="KEY", header="X-Api-Key", scheme="").header_line() == (b"x-api-key", b"s3")


def test_rollout_id_changes_with_what_is_judged_and_with_nothing_else() -> None:
    def rollout(**changes: object) -> str:
        built = build({**GOOD, **changes})
        return built.rollout_id(built.candidates[0])

    same = rollout()
    assert same.startswith("v2-")
    assert same == rollout(log={"level": "debug"}, mirror={"percent": 5}, verdict={"interval_s": 9})
    others = {
        rollout(primary={"url": "http://c:1"}),
        rollout(control={"percent": 50}),
        rollout(gates={"error": {"margin": 0.1}}),
        rollout(verdict={"soak_s": 1}),
        rollout(candidates=[{"name": "v2", "url": "http://b:1", "model": "m"}]),
    }
    assert len(others | {same}) == 6


# --- documentation ------------------------------------------------------------------------------------------------------

#: Keys that say all with their name and their section's docstring.
NAMED_ONLY = {"enabled", "name", "level", "format"}


def sections() -> list[ast.ClassDef]:
    known = {name for name, value in vars(config).items() if isinstance(value, type) and issubclass(value, config.Section)}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(Path(config.__file__).parent.glob("*.py"))]
    found = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef) and node.name in known]
    assert {node.name for node in found} == known
    return found


def undocumented(section: ast.ClassDef) -> list[str]:
    """Keys without a string behind them, unless their type is a section, which has its own docstring."""
    names = {node.name for node in sections()}
    missing = []
    for node, following in zip(section.body, [*section.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        has_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant) and isinstance(following.value.value, str)
        is_section = any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node.annotation))
        if not (has_text or is_section or node.target.id in NAMED_ONLY):
            missing.append(f"{section.name}.{node.target.id}")
    return missing


def test_every_key_says_what_it_means() -> None:
    assert len(sections()) > 15
    assert [key for section in sections() for key in undocumented(section)] == []


def test_every_metric_says_what_it_counts() -> None:
    assert len(counts.METRICS) > 20
    assert [metric.name for metric in counts.METRICS if not metric.help.endswith(".")] == []
    assert len({metric.name for metric in counts.METRICS}) == len(counts.METRICS)


def test_refused_value_that_may_hold_a_secret_is_named_and_not_shown() -> None:
    url = {"primary": {"url": "http://me:hunter2@model:80"}}
    headers = {
        "primary": {"url": "http://a:1"},
        "candidates": [{"name": "v", "url": "http://b:1", "headers": {"set": {"bad name": "hunter2"}}}],
    }
    for tree, key in ((url, "primary.url"), (headers, "candidates[0].headers.set")):
        with pytest.raises(ConfigError) as caught:
            build(tree)
        told = "\n".join(str(problem) for problem in caught.value.problems)
        assert key in told
        assert "hunter2" not in told


def test_prompt_file_is_part_of_what_is_judged(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    tree = {"primary": {"url": "http://a:1"}, "candidates": [{"name": "v2", "url": "http://a:1", "prompt": {"file": str(file)}}]}
    ids = []
    for text in ("Be brief.\n", "Be kind.\n"):
        file.write_text(text)
        config = build(tree)
        assert config.candidates[0].prompt is not None
        assert config.candidates[0].prompt.system == text.strip()
        ids.append(config.rollout_id(config.candidates[0]))
        assert build(config.model_dump(mode="json")).rollout_id(config.candidates[0]) == ids[-1], "children get it by value"
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ({"parameters": {"store": True}}, "sets store, which is no parameter"),
        ({"prompt": {"file": "/does/not/exist"}}, "has a file that cannot be read"),
        ({"prompt": {"system": "  "}}, "has no text"),
    ],
)
def test_candidate_that_cannot_be_asked_so_is_refused(candidate: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build({"primary": {"url": "http://a:1"}, "candidates": [{"name": "v2", "url": "http://a:1", **candidate}]})


@pytest.mark.parametrize(
    ("ceiling", "said"),
    [
        ({}, "candidates[0].ceiling: bounds nothing; write tokens: or cost:"),
        ({"tokens": 0}, "candidates[0].ceiling.tokens: 0"),
        ({"cost": 5}, "has a ceiling on the cost of v2 and no prices"),
    ],
)
def test_a_ceiling_that_bounds_nothing_is_refused(ceiling: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.build({"primary": {"url": "http://a:1"}, "candidates": [{"name": "v2", "url": "http://b:1", "ceiling": ceiling}]})
    assert said in str(caught.value)


def test_raising_a_ceiling_begins_no_new_rollout() -> None:
    trees = [{"tokens": 5}, {"tokens": 50}, None]
    built = [
        config.build({"primary": {"url": "http://a:1"}, "candidates": [{"name": "v2", "url": "http://b:1", "ceiling": c}]}) for c in trees
    ]
    assert len({each.rollout_id(each.candidates[0]) for each in built}) == 1
