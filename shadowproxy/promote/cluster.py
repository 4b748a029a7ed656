"""How to reach a Kubernetes API server, and as whom: the pod's service account, or a kubeconfig file.

Used by ``kube``. Credentials are read here and go into one header or TLS context. Tokens in files are read again for every request, because
kubelets replace them; a kubeconfig's ``exec`` plugin is asked again when what it gave has expired.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from shadowproxy.errors import RouterBusy, StartError
from shadowproxy.promote.reading import section

_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: A plugin that asks a cloud for a token needs a second or two; one that waits for a browser must not be waited for.
_PLUGIN_S = 30.0


@dataclass(slots=True)
class Token:
    """A bearer token: as text, in a file, or from a plugin that is run for it."""

    text: str = field(default="", repr=False)
    file: Path | None = None
    plugin: Mapping[str, Any] = field(default_factory=dict, repr=False)
    expires_at: datetime | None = None

    async def header(self) -> dict[str, str]:
        """The header to send; none where there is no token. Raises :class:`~shadowproxy.errors.RouterBusy` where it cannot be had now."""
        if self.file is not None:
            try:
                self.text = self.file.read_text(encoding="utf-8").strip()
            except OSError as exc:
                raise RouterBusy(f"the token {self.file} cannot be read ({exc.strerror})") from exc
        if self.plugin and (not self.text or (self.expires_at and datetime.now(UTC) >= self.expires_at)):
            self.text, self.expires_at = await _from_plugin(self.plugin)
        return {"authorization": f"Bearer {self.text}"} if self.text else {}


@dataclass(slots=True)
class Cluster:
    """One API server. ``tls`` is None for plain HTTP."""

    url: str
    namespace: str
    tls: ssl.SSLContext | None = None
    token: Token = field(default_factory=Token)


def in_cluster(environ: Mapping[str, str], account: Path = _POD) -> Cluster | None:
    """The cluster that this process is a pod of; None outside of one. Raises :class:`~shadowproxy.errors.StartError`."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (account / "token").is_file():
        return None
    try:
        namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
    except (OSError, ssl.SSLError) as exc:
        raise StartError(f"the service account in {account} cannot be used ({exc}); set automountServiceAccountToken: true") from exc
    return Cluster(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", namespace, tls, Token(file=account / "token"))


def from_kubeconfig(path: Path, context: str = "") -> Cluster:
    """The cluster of a context in a kubeconfig file; its current one by default. Raises :class:`~shadowproxy.errors.StartError`."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise StartError(f"{path} cannot be read as a kubeconfig ({exc}); set KUBECONFIG to one") from exc
    name = context or str(section(tree).get("current-context") or "")
    chosen = _named(tree, "contexts", "context", name, path)
    cluster = _named(tree, "clusters", "cluster", str(chosen.get("cluster")), path)
    user = _named(tree, "users", "user", str(chosen["user"]), path) if chosen.get("user") else {}
    url = str(cluster.get("server") or "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise StartError(f"{path}: cluster {chosen.get('cluster')} has no server; add its URL")
    try:
        tls = _tls(cluster, user, path.parent) if url.startswith("https://") else None
    except (OSError, ssl.SSLError, binascii.Error) as exc:
        raise StartError(f"{path}: the certificates of context {name} cannot be used ({exc}); renew the kubeconfig") from exc
    return Cluster(url, str(chosen.get("namespace") or "default"), tls, _token(user, path.parent))


def find(environ: Mapping[str, str]) -> Cluster:
    """The pod's cluster, else that of ``KUBECONFIG`` or ``~/.kube/config``. Raises :class:`~shadowproxy.errors.StartError`."""
    path = Path(environ.get("KUBECONFIG", "").partition(os.pathsep)[0] or "~/.kube/config").expanduser()
    return in_cluster(environ) or from_kubeconfig(path)


def _named(tree: object, plural: str, singular: str, name: str, path: Path) -> Mapping[str, Any]:
    entries = section(tree).get(plural)
    for entry in entries if isinstance(entries, list) else ():
        if section(entry).get("name") == name:
            return section(entry, singular)
    raise StartError(f"{path} has no {singular} called {name!r}; run kubectl config get-contexts and choose one")


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    authority = _data(cluster, "certificate-authority-data")
    file = cluster.get("certificate-authority")
    context = ssl.create_default_context(cafile=str(folder / file) if file else None, cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify") is True:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _load_client_certificate(context, user, folder)
    return context


def _load_client_certificate(context: ssl.SSLContext, user: Mapping[str, Any], folder: Path) -> None:
    """Python loads a certificate from files only: data is written into a folder that is gone right after."""
    if user.get("client-certificate") and user.get("client-key"):
        context.load_cert_chain(folder / str(user["client-certificate"]), folder / str(user["client-key"]))
    certificate, key = _data(user, "client-certificate-data"), _data(user, "client-key-data")
    if certificate and key:
        with tempfile.TemporaryDirectory() as private:
            (Path(private) / "pair.pem").write_bytes(certificate + b"\n" + key)
            context.load_cert_chain(Path(private) / "pair.pem")


def _data(section: Mapping[str, Any], key: str) -> bytes:
    return base64.b64decode(str(section.get(key) or ""), validate=True)


def _token(user: Mapping[str, Any], folder: Path) -> Token:
    if user.get("tokenFile"):
        return Token(file=folder / str(user["tokenFile"]))
    return Token(text=str(user.get("token") or ""), plugin=section(user, "exec"))


class _Status(msgspec.Struct):
    token: str
    expiration: datetime | None = msgspec.field(default=None, name="expirationTimestamp")


class _Credential(msgspec.Struct):
    status: _Status


async def _from_plugin(plugin: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """Run a credential plugin (client.authentication.k8s.io) and take its token."""
    command = [str(plugin.get("command")), *(str(word) for word in plugin.get("args") or ())]
    request = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    extra = {str(entry["name"]): str(entry["value"]) for entry in plugin.get("env") or ()}
    environ = {**os.environ, **extra, "KUBERNETES_EXEC_INFO": msgspec.json.encode(request).decode()}
    try:
        async with asyncio.timeout(_PLUGIN_S):
            process = await asyncio.create_subprocess_exec(
                *command, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
            try:
                output, _ = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
        status = msgspec.json.decode(output, type=_Credential).status
    except (OSError, TimeoutError, msgspec.DecodeError) as exc:
        raise RouterBusy(f"the credential plugin {command[0]} gave no token ({exc or 'it took too long'})", 30.0) from exc
    return status.token, status.expiration
