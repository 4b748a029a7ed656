"""Where the API server is and who we are to it: pods, kubeconfig files, plugins."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shadowproxy.errors import RouterBusy, StartError
from shadowproxy.promote.cluster import Token, find, from_kubeconfig, in_cluster


def kubeconfig(folder: Path, user: dict[str, object], **cluster: object) -> Path:
    tree = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "llm"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:8001/", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(tree))
    return path


async def test_kubeconfig_with_a_token(tmp_path: Path) -> None:
    cluster = from_kubeconfig(kubeconfig(tmp_path, {"token": "secret"}))
    assert (cluster.url, cluster.namespace, cluster.tls) == ("http://127.0.0.1:8001", "llm", None)
    assert await cluster.token.header() == {"authorization": "Bearer secret"}
    assert "secret" not in repr(cluster)


async def test_token_file_is_read_again_because_kubelets_replace_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    token = from_kubeconfig(kubeconfig(tmp_path, {"tokenFile": "token"})).token
    assert await token.header() == {"authorization": "Bearer one"}
    (tmp_path / "token").write_text("two\n")
    assert await token.header() == {"authorization": "Bearer two"}
    (tmp_path / "token").unlink()
    with pytest.raises(RouterBusy, match="cannot be read"):
        await token.header()


PLUGIN = """
import json, os, pathlib, sys
count = pathlib.Path(sys.argv[1]); count.write_text(count.read_text() + "x" if count.exists() else "x")
assert json.loads(os.environ["KUBERNETES_EXEC_INFO"])["kind"] == "ExecCredential"
print(json.dumps({"status": {"token": os.environ["WHO"], "expirationTimestamp": sys.argv[2]}}))
"""


@pytest.mark.parametrize(("expires", "asked"), [("2999-01-01T00:00:00Z", 1), ("2001-01-01T00:00:00Z", 2)])
async def test_plugin_is_asked_again_when_its_token_has_expired(tmp_path: Path, expires: str, asked: int) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", PLUGIN, str(tmp_path / "count"), expires],
        "env": [{"name": "WHO", "value": "me"}],
    }
    token = from_kubeconfig(kubeconfig(tmp_path, {"exec": plugin})).token
    for _ in range(2):
        assert await token.header() == {"authorization": "Bearer me"}
    assert len((tmp_path / "count").read_text()) == asked


async def test_plugin_that_gives_nothing_is_busy() -> None:
    with pytest.raises(RouterBusy, match="gave no token"):
        await Token(plugin={"command": "/no/such/plugin"}).header()
    with pytest.raises(RouterBusy, match="gave no token"):
        await Token(plugin={"command": sys.executable, "args": ["-c", "print('hello')"]}).header()


async def test_nobody_needs_no_token(tmp_path: Path) -> None:
    assert await from_kubeconfig(kubeconfig(tmp_path, {})).token.header() == {}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda tree: tree.update({"current-context": "there"}), "no context called 'there'"),
        (lambda tree: tree["clusters"].clear(), "no cluster called 'c'"),
        (lambda tree: tree["users"].clear(), "no user called 'u'"),
        (lambda tree: tree["clusters"][0]["cluster"].pop("server"), "has no server"),
        (lambda tree: tree["clusters"][0]["cluster"].update({"server": "https://h", "certificate-authority-data": "?"}), "certificates"),
        (lambda tree: tree["clusters"][0]["cluster"].update({"server": "https://h", "certificate-authority": "none.pem"}), "certificates"),
    ],
)
def test_kubeconfig_that_cannot_be_used_says_why(tmp_path: Path, change: object, match: str) -> None:
    path = kubeconfig(tmp_path, {"token": "x"})
    tree = yaml.safe_load(path.read_text())
    change(tree)  # type: ignore[operator]
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(StartError, match=match):
        from_kubeconfig(path)


def certificate(folder: Path) -> tuple[bytes, bytes]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, "-subj", "/CN=127.0.0.1", *files], check=True, capture_output=True)
    return (folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
def test_certificates_may_be_data_or_files(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    encoded = {"client-certificate-data": base64.b64encode(cert).decode(), "client-key-data": base64.b64encode(key).decode()}
    authority = {"certificate-authority-data": base64.b64encode(cert).decode()}
    for user, cluster in (
        (encoded, authority),
        ({"client-certificate": "cert.pem", "client-key": "key.pem"}, {"certificate-authority": "cert.pem"}),
    ):
        tls = from_kubeconfig(kubeconfig(tmp_path, user, server="https://h", **cluster)).tls
        assert tls is not None
        assert tls.check_hostname
        assert tls.cert_store_stats()["x509_ca"] == 1


def test_pod_is_known_by_its_service_account(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert in_cluster({}, tmp_path) is None
    with pytest.raises(StartError, match="automountServiceAccountToken"):
        in_cluster(environ, tmp_path)


def test_kubeconfig_of_the_environment_is_found_outside_of_a_pod(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "x"})
    assert find({"KUBECONFIG": f"{path}:/other"}).namespace == "llm"
    with pytest.raises(StartError, match="set KUBECONFIG"):
        find({"KUBECONFIG": str(tmp_path / "none")})
