"""Whom this proxy is measured beside: how each is configured, started, and whose CPU seconds and memory are its own.

Each is given what its users would give it for this work: keep-alive to the upstream, one worker, no access log, no buffering of streams.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import own
from machine import HERE, PROXY_CORE, descendants, free_port, process, program, wait_for
from upstreams import Upstream, nginx_paths, nginx_user


@dataclass(frozen=True)
class Stage:
    """What a peer is put between, and where its files go."""

    stack: ExitStack
    folder: Path
    primary: Upstream
    candidate: Upstream


@dataclass
class Running:
    """A started peer. ``roles`` says whose processes count under which name."""

    port: int
    roles: dict[str, list[int]] = field(default_factory=dict)

    @property
    def on_path(self) -> list[int]:
        """The processes that a client's request goes through: the gateways of this proxy, every process of another."""
        return self.roles.get("gateway", self.roles.get("proxy", []))

    @property
    def pids(self) -> list[int]:
        return [pid for pids in self.roles.values() for pid in pids]


@dataclass(frozen=True)
class Peer:
    """Something to measure.

    ``mirror`` is the share of requests that it shall copy; ``needs`` a program without which it is skipped; ``against`` another row than
    the usual to divide it by.
    """

    name: str
    launch: Callable[[Stage], Running]
    mirror: float = 0.0
    needs: str | None = None
    against: str | None = None

    @property
    def yardstick(self) -> str:
        """The row that this one is divided by: mirroring is compared with mirroring."""
        return self.against or ("Envoy mirror" if self.mirror else "Envoy")


def _single(stage: Stage, name: str, arguments: Sequence[object], port: int, within_s: float = 30) -> Running:
    log = stage.folder / f"{name}.log"
    started = stage.stack.enter_context(process(arguments, [PROXY_CORE], log))
    wait_for(port, started, log, within_s)
    return Running(port, {"proxy": [started.pid, *descendants(started.pid)]})


def direct(stage: Stage) -> Running:
    return Running(stage.primary.port)


def nginx(*, mirror: bool) -> Callable[[Stage], Running]:
    def launch(stage: Stage) -> Running:
        port = free_port()
        home = stage.folder / f"nginx-{port}"
        home.mkdir()
        copy = "mirror /copy; mirror_request_body on;" if mirror else ""
        (home / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; pid {home}/pid; error_log stderr crit; {nginx_user()}
            events {{ worker_connections 16384; }}
            http {{
              {nginx_paths(home)}
              access_log off; keepalive_requests 1000000000; keepalive_timeout 600; client_body_buffer_size 128k;
              proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600;
              upstream primary {{ server 127.0.0.1:{stage.primary.port}; keepalive 2048; keepalive_requests 1000000000; }}
              upstream candidate {{ server 127.0.0.1:{stage.candidate.port}; keepalive 2048; keepalive_requests 1000000000; }}
              server {{
                listen 127.0.0.1:{port} backlog=4096;
                location / {{ {copy} proxy_pass http://primary; }}
                location = /copy {{ internal; proxy_pass http://candidate$request_uri; }}
              }}
            }}""")
        found = program("nginx") or "nginx"
        return _single(stage, f"nginx-{port}", [found, "-e", "stderr", "-p", home, "-c", home / "nginx.conf"], port)

    return launch


def haproxy(stage: Stage) -> Running:
    port = free_port()
    file = stage.folder / f"haproxy-{port}.cfg"
    file.write_text(f"""
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    http-reuse always
    option http-no-delay
frontend clients
    bind 127.0.0.1:{port} backlog 4096
    default_backend primary
backend primary
    server one 127.0.0.1:{stage.primary.port} pool-max-conn 4096
""")
    return _single(stage, f"haproxy-{port}", [program("haproxy") or "haproxy", "-db", "-f", file], port)


def envoy(*, mirror: bool) -> Callable[[Stage], Running]:
    def launch(stage: Stage) -> Running:
        port = free_port()
        file = stage.folder / f"envoy-{port}.json"
        file.write_text(json.dumps(_envoy_config(port, stage, mirror=mirror)))
        found = program("envoy") or "envoy"
        arguments = [found, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        return _single(stage, f"envoy-{port}", arguments, port)

    return launch


def _envoy_config(port: int, stage: Stage, *, mirror: bool) -> dict[str, object]:
    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    def cluster(name: str, number: int) -> dict[str, object]:
        # The default bound of 1024 sheds copies without a word; 4352 is what this proxy is given (2048 in flight, 2304 waiting).
        bounds = {"max_connections": 4352, "max_pending_requests": 4352, "max_requests": 4352}
        endpoint = {"endpoint": {"address": address(number)}}
        return {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [bounds]},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        }

    route: dict[str, object] = {"cluster": "primary", "timeout": "0s"}
    if mirror:
        share = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        route["request_mirror_policies"] = [{"cluster": "candidate", "runtime_fraction": share}]
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
        "http_filters": [router],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "static_resources": {
            "listeners": [{"name": "clients", "address": address(port), "filter_chains": [chain]}],
            "clusters": [cluster("primary", stage.primary.port), cluster("candidate", stage.candidate.port)],
        }
    }


def plain_aiohttp(*, mirror: bool) -> Callable[[Stage], Running]:
    def launch(stage: Stage) -> Running:
        port = free_port()
        candidate = [f"http://127.0.0.1:{stage.candidate.port}"] if mirror else []
        arguments = [sys.executable, HERE / "aiohttp_proxy.py", str(port), f"http://127.0.0.1:{stage.primary.port}", *candidate]
        return _single(stage, f"aiohttp-{port}", arguments, port)

    return launch


def litellm(stage: Stage) -> Running:
    port = free_port()
    file = stage.folder / f"litellm-{port}.json"
    model = {"model": "openai/m", "api_base": f"http://127.0.0.1:{stage.primary.port}/v1", "api_key": "none"}
    file.write_text(json.dumps({"model_list": [{"model_name": "m", "litellm_params": model}]}))
    arguments = [program("litellm") or "litellm", "--config", file, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return _single(stage, f"litellm-{port}", arguments, port, within_s=120)


def shadowproxy(setting: own.Setting) -> Callable[[Stage], Running]:
    def launch(stage: Stage) -> Running:
        port, roles = own.launch(setting, stage.stack, stage.folder, stage.primary.port, stage.candidate.port)
        return Running(port, roles)

    return launch


DIRECT = Peer("direct", direct)
NGINX = Peer("nginx", nginx(mirror=False), needs="nginx")
NGINX_MIRROR = Peer("nginx mirror", nginx(mirror=True), mirror=1.0, needs="nginx")
HAPROXY = Peer("HAProxy", haproxy, needs="haproxy")
ENVOY = Peer("Envoy", envoy(mirror=False), needs="envoy")
ENVOY_MIRROR = Peer("Envoy mirror", envoy(mirror=True), mirror=1.0, needs="envoy")
AIOHTTP = Peer("plain aiohttp", plain_aiohttp(mirror=False))
AIOHTTP_MIRROR = Peer("plain aiohttp mirror", plain_aiohttp(mirror=True), mirror=1.0)
LITELLM = Peer("LiteLLM", litellm, needs="litellm")
OWN_0 = Peer("shadowproxy 0 %", shadowproxy(own.Setting(percent=0)))
OWN_10 = Peer("shadowproxy 10 %", shadowproxy(own.Setting(percent=10)), mirror=0.1)
OWN_100 = Peer("shadowproxy 100 %", shadowproxy(own.Setting(percent=100)), mirror=1.0)
OWN_SENT = Peer("shadowproxy 100 % only sent", shadowproxy(own.Setting(percent=100, compared=0)), mirror=1.0)
OWN_SENT_ON_ONE_CORE = Peer(
    "shadowproxy 100 % only sent, one core", shadowproxy(own.Setting(percent=100, compared=0, cores="one")), mirror=1.0
)
OWN_ON_ONE_CORE = Peer("shadowproxy 100 % on one core", shadowproxy(own.Setting(percent=100, cores="one")), mirror=1.0)
OWN_COMPARING = Peer("shadowproxy 100 % embedding", shadowproxy(own.Setting(percent=100, embed="onnx")), mirror=1.0)
EVERYONE = (
    DIRECT,
    NGINX,
    NGINX_MIRROR,
    HAPROXY,
    ENVOY,
    ENVOY_MIRROR,
    AIOHTTP,
    AIOHTTP_MIRROR,
    LITELLM,
    OWN_0,
    OWN_10,
    OWN_SENT,
    OWN_SENT_ON_ONE_CORE,
    OWN_100,
    OWN_ON_ONE_CORE,
    OWN_COMPARING,
)
