"""What is wrong is said in a sentence: by ``check`` with every problem at once, by ``serve`` before anything serves."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.serve.serving import Serving, run_cli

PRIMARY = {"url": "http://127.0.0.1:1"}
CANDIDATE = {"name": "v2", "url": "http://127.0.0.1:1"}


async def check(tmp_path: Path, text: str) -> tuple[int, str, str]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return await run_cli("check", "-c", str(path))


async def test_check_prints_every_problem_with_key_value_and_remedy(tmp_path: Path) -> None:
    text = """
listen: nowhere
primry: {url: http://a:1}
primary: {url: ftp://a}
mirror: {percent: 150}
candidates:
  - {name: control, url: http://b:1}
  - {name: v2, url: http://b:1, timeout_s: soon}
"""
    code, out, err = await check(tmp_path, text)
    assert (code, out) == (2, "")
    assert sorted(err.splitlines()) == sorted(
        [
            "listen: nowhere is not an address; write host:port (port 0..65535) or unix:/path/to/socket",
            "primry: {'url': 'http://a:1'} is not a known key; did you mean primary?",
            "primary.url: ftp://a is not a URL; write http://host:port or unix:/path/to/socket",
            "mirror.percent: 150 is not within 0..100; choose a value that is",
            "candidates[0].name: control is the name of another arm; choose one that is neither primary nor control",
            "candidates[1].timeout_s: soon is not a number; write a number without unit",
        ]
    )


async def test_check_names_the_place_where_yaml_breaks(tmp_path: Path) -> None:
    code, _, err = await check(tmp_path, "listen: 127.0.0.1:1\nprimary: {url: [}\n")
    assert code == 2
    assert err.startswith("line 2, column 17: is not YAML (")


async def test_check_of_a_missing_file_and_of_a_missing_secret(tmp_path: Path) -> None:
    code, _, err = await run_cli("check", "-c", str(tmp_path / "none.yaml"))
    assert code == 2
    assert err == f"{tmp_path}/none.yaml: cannot be read (No such file or directory); give the path of a YAML file with -c\n"
    text = "primary: {url: 'http://a:1'}\ncandidates: [{name: v2, url: 'http://b:1', auth: {env: NO_SUCH_KEY}}]\n"
    code, _, err = await check(tmp_path, text)
    assert code == 2
    assert err == "candidates[0].auth: env NO_SUCH_KEY is not set; export it before the start\n"


async def test_check_of_a_good_file_names_its_rollouts(tmp_path: Path) -> None:
    code, out, err = await check(tmp_path, "primary: {url: 'http://a:1'}\ncandidates: [{name: v2, url: 'http://b:1'}]\n")
    assert (code, err) == (0, "")
    assert "fine; rollouts: v2-" in out


async def refused(tree: dict[str, Any]) -> str:
    """The log of a serve that gives up at its start with exit code 1, tells no traceback and leaves nothing."""
    serve = Serving(tree, {})
    try:
        await serve.launch()
        assert await serve.exit_code(within_s=30) == 1, serve.log
        assert serve.process is not None
        assert serve.process.stdout is not None
        assert await serve.process.stdout.read() == b""  # nothing was announced
        assert serve.everyone() == []
        assert serve.temp_files() == []
        assert "Traceback" not in serve.log
        return serve.log
    finally:
        await serve.clean_up()


@pytest.mark.parametrize("which", ["listen", "admin"])
async def test_port_in_use_is_said_in_a_sentence(which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        tree = {"primary": PRIMARY, "candidates": [CANDIDATE], "embed": {"backend": "none"}}
        log = await refused({**tree, which: {"listen": address} if which == "admin" else address})
    assert f"cannot listen on {address}: Address already in use; stop what listens there or choose another listen address" in log
    assert len(log.splitlines()) == 1


async def test_embedding_model_that_does_not_exist_ends_the_start_and_names_the_remedy() -> None:
    log = await refused({"primary": PRIMARY, "candidates": [CANDIDATE], "embed": {"model": "/no/such/model"}})
    assert "/no/such/model" in log
    assert "embed.model" in log
    assert log.splitlines()[-1].endswith("shadow cannot start; its message is above")
