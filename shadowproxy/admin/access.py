"""Who may ask: the host guard, the token, and what every reply carries whatever happens within.

Runs before and around the handlers in ``app``.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from shadowproxy.admin.replies import JSON, error
from shadowproxy.tasks import Guard

#: Probes carry no token: the kubelet has none to send, and they tell nothing.
PROBES = ("/healthz", "/readyz")

#: Flagger cannot send a token either. Its hooks change nothing and tell one state; who may call them is for the mesh to say.
_HOOKS = "/flagger/"

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_local(address: object) -> bool:
    """True for the address (``getsockname``) of a Unix socket or of loopback."""
    if not isinstance(address, tuple):
        return isinstance(address, str | bytes)
    ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def own_address(request: web.Request) -> object:
    """The address of ours that this request came to; None once the connection is gone."""
    return request.transport.get_extra_info("sockname") if request.transport else None


@dataclass(frozen=True, slots=True)
class Access:
    """The rule for one surface. ``sign_in`` makes the page on which a person can give the token: a browser cannot send one by itself."""

    token: str | None
    sign_in: Callable[[], web.Response]

    def __post_init__(self) -> None:
        if self.token == "":
            raise ValueError("the admin token is empty; anyone could send it")

    def may_see_raw(self, request: web.Request) -> bool:
        """Unredacted text is for those who hold the token, or sit on this machine."""
        return self.token is not None or is_local(own_address(request))

    def middleware(self) -> Middleware:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            return self._refusal(request) or await handler(request)

        return check

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.token is None:
            return _refuse_foreign_host(request) or _refuse_foreign_page(request)
        if request.path in PROBES or _is_hook(request) or _carries(request, self.token):
            return None
        if request.path == "/" and "text/html" in request.headers.get("accept", ""):
            page = self.sign_in()
            page.set_status(401)
        else:
            page = error(401, "this needs the admin token", "send the header Authorization: Bearer TOKEN")
        page.headers["www-authenticate"] = 'Bearer realm="shadowproxy"'
        return page


def _is_hook(request: web.Request) -> bool:
    return request.method == "POST" and request.path.startswith(_HOOKS)


def _carries(request: web.Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Compared in constant time: the time until the first wrong character would tell where it is.
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return is_same and scheme.lower() == "bearer"


def _refuse_foreign_host(request: web.Request) -> web.Response | None:
    """A page of a stranger may point its own name at 127.0.0.1 and have a browser here read us. The Host header then is its name."""
    own = own_address(request)
    if isinstance(own, str | bytes):
        return None  # no browser connects to a Unix socket
    known = _LOOPBACK_NAMES | ({str(own[0])} if isinstance(own, tuple) else set())
    if _host_name(request.headers.get("host", "")) in known:
        return None
    return error(403, "this Host is not served without a token", "ask for 127.0.0.1 or localhost, or set admin.token")


_HOST = re.compile(r"(?:\[(?P<ip>[^]]*)\]|(?P<name>[^:]*))(?::[0-9]*)?")


def _refuse_foreign_page(request: web.Request) -> web.Response | None:
    """A browser here may be made to POST to us by any page it shows; it then names that page's origin."""
    origin = request.headers.get("origin")
    if request.method == "GET" or origin is None or origin == f"http://{request.headers.get('host', '')}":
        return None
    return error(403, "a page of another origin may not do this", "use curl, or set admin.token")


def _host_name(host: str) -> str:
    """``[::1]:9901`` → ``::1``; empty where it is no host."""
    found = _HOST.fullmatch(host)
    return (found["ip"] or found["name"] or "").lower() if found else ""


# --- around everything --------------------------------------------------------------------------------------------------


def speak_json(endpoints: Mapping[str, str]) -> Middleware:
    """Errors as JSON, whoever raised them. ``endpoints``: path → what it is, shown to those who ask for another."""

    guard = Guard(lambda _: None)  # logged there; no step of the pipeline failed, so none is counted

    @web.middleware
    async def catch(request: web.Request, handler: Handler) -> web.StreamResponse:
        reply: web.StreamResponse = error(500, "the admin surface failed", "the log says why; traffic is not affected")
        with guard("admin"):
            try:
                reply = await handler(request)
            except web.HTTPException as exc:
                reply = _as_json(exc, request, endpoints)
        return reply

    return catch


def _as_json(exc: web.HTTPException, request: web.Request, endpoints: Mapping[str, str]) -> web.Response:
    if exc.content_type == JSON:
        return web.Response(text=exc.text, status=exc.status, content_type=JSON)
    if isinstance(exc, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exc.allowed_methods))
        return error(405, f"{request.method} is not allowed here", f"use {allowed}", {"allow": allowed})
    if isinstance(exc, web.HTTPNotFound):
        return error(404, f"there is no {request.path}", "ask for one of the endpoints", endpoints=dict(endpoints))
    return error(exc.status, exc.reason)


async def harden(_: web.Request, reply: web.StreamResponse) -> None:
    """What every reply carries: nothing is kept by a cache, guessed by a browser, or told about our server."""
    reply.headers["cache-control"] = "no-store"
    reply.headers["x-content-type-options"] = "nosniff"
    reply.headers["referrer-policy"] = "no-referrer"
    reply.headers["server"] = "shadowproxy"
