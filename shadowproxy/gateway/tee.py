"""What the gateway keeps of an exchange for the shadow process, and whether it keeps anything at all.

The decisions are made once, from the head: cheap, stable across replicas, and counted with their reason.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from shadowproxy.config import Config
from shadowproxy.exchange import Outcome
from shadowproxy.gateway.heads import RequestHead
from shadowproxy.handover.frames import ExchangeFrame
from shadowproxy.upstream.connection import ReplyHead
from shadowproxy.wire.fields import FIELDS

#: Label of every path that is neither a known inference path nor a configured route.
OTHER = "other"

#: Query parameters that some APIs take a credential in.
_CREDENTIAL_PARAMETERS = re.compile(
    r"(?:.*[-_])?(?:key|apikey|token|jwt|secret|password|passwd|auth|authorization|sig|signature|credential|code)", re.IGNORECASE
)


def sample_point(key: bytes) -> float:
    """A stable number in [0, 1) for a sampling key: the same on every replica and after every restart."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64


class Mirroring:
    """Which requests are teed. Two kill switches: ``is_allowed`` by hand, ``is_on`` by file."""

    def __init__(self, config: Config, is_allowed: bool, sampled: dict[tuple[str, str], int] | None = None) -> None:
        """``sampled`` counts by (configured percent, yes or no) what the hash chose among requests; it outlives a reload."""
        mirror = config.mirror
        self._fraction = mirror.percent / 100
        self._sampled = {} if sampled is None else sampled
        self._percent = f"{mirror.percent:g}"
        self._sample_header = mirror.sample_by.partition(":")[2].lower().encode()
        self._marker_header = (mirror.marker_header or "").lower().encode()
        self._compared_fraction = config.compare.percent / 100
        self._is_wanted = config.hands_over
        self._kill_switch = mirror.kill_switch_file
        self.max_request_bytes = mirror.max_request_bytes
        self.max_reply_bytes = mirror.max_reply_bytes
        self._prefix = secrets.token_hex(8).encode()
        self._ids = 0
        self.is_allowed = is_allowed
        self.is_on = True

    def _own_id(self) -> bytes:
        """An id for a request that brought none: unique by this process's random prefix, and no system call per request."""
        self._ids += 1
        return b"%b-%x" % (self._prefix, self._ids)

    def look_at_kill_switch(self) -> None:
        """Called by the sweep."""
        if self._kill_switch is None:
            return
        try:
            self.is_on = not Path(self._kill_switch).exists()
        except OSError:
            self.is_on = False  # whether it is there cannot be seen: any doubt stops mirroring

    def refusal(self, head: RequestHead, route: str) -> tuple[str, bytes]:
        """(reason, ""), or ("", request id) where the exchange is to be mirrored."""
        if not self._is_wanted:
            return "no_candidates", b""
        if not (self.is_on and self.is_allowed):
            return "kill_switch", b""
        if head.method != b"POST":
            return "method", b""
        if route == OTHER:
            return "not_inference", b""  # files, batches, fine-tuning: asking twice would do it twice
        if head.is_copy or (self._marker_header and _value_of(head, self._marker_header) is not None):
            return "already_mirrored", b""
        if head.is_retry:
            return "retry_attempt", b""
        if self._fraction <= 0:
            return "sampled_out", b""
        request_id = head.request_id[:128] or self._own_id()
        if self._fraction < 1 and not self._chooses(head, request_id):
            return "sampled_out", b""
        return "", request_id

    def _chooses(self, head: RequestHead, request_id: bytes) -> bool:
        is_chosen = sample_point(self._sample_key(head, request_id)) < self._fraction
        if not self._sample_header:  # sessions are chosen as wholes: how many of their requests that makes is not the hash's doing
            key = (self._percent, "yes" if is_chosen else "no")
            self._sampled[key] = self._sampled.get(key, 0) + 1
        return is_chosen

    def is_compared(self, request_id: bytes) -> bool:
        """Whether the answers to a mirrored request will be looked at. Drawn apart from the decision to mirror it."""
        fraction = self._compared_fraction
        return fraction >= 1 or (fraction > 0 and sample_point(b"compare:" + request_id) < fraction)

    def _sample_key(self, head: RequestHead, request_id: bytes) -> bytes:
        """What the sampling decision hangs on: the configured header, or the request id.

        Envoy rewrites the 15th character of its UUIDs with the trace decision at every hop; without the mask the same request would be
        sampled differently by two proxies in a row.
        """
        own = _value_of(head, self._sample_header) if self._sample_header else None
        return own or request_id[:14] + request_id[15:]


def _value_of(head: RequestHead, wanted: bytes) -> bytes | None:
    """The first value of a header that only the configuration names (lower-case)."""
    for name, value in head.headers:
        if len(name) == len(wanted) and name.lower() == wanted:
            return value
    return None


class Tee:
    """One exchange being captured. Holds references to the bytes that went through, within the stated bounds."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_head",
        "_issued_at_s",
        "_mirroring",
        "_reads",
        "_reply_bytes",
        "_reply_head",
        "_request_id",
        "_route",
        "_sent_at",
        "is_compared",
        "refusal",
    )

    def __init__(self, mirroring: Mirroring, head: RequestHead, route: str, request_id: bytes) -> None:
        self._mirroring = mirroring
        self._head = head
        self._route = route
        self._request_id = request_id
        self._issued_at_s = time.time()
        self._sent_at = time.monotonic()
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._reads: list[tuple[float, bytes]] = []
        self._reply_bytes = 0
        self._reply_head: ReplyHead | None = None
        self.is_compared = mirroring.is_compared(request_id)
        self.refusal = ""

    def request_read(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self._mirroring.max_request_bytes:
            self._give_up("request_too_large")
        elif not self.refusal:
            self._body.append(data)

    def request_sent(self, now: float) -> None:
        """The last request byte was written: times count from here."""
        self._sent_at = now

    def reply_read(self, at: float, head: ReplyHead | None, body: bytes) -> None:
        if head is not None:
            self._reply_head = head
        if not self.is_compared:
            return
        self._reply_bytes += len(body)
        if self._reply_bytes > self._mirroring.max_reply_bytes:
            self._give_up("reply_too_large")
        elif body and not self.refusal:
            self._reads.append((at - self._sent_at, body))

    def _give_up(self, reason: str) -> None:
        self.refusal = self.refusal or reason
        self._body = []
        self._reads = []

    def frame(self, outcome: Outcome, failure: str) -> ExchangeFrame:
        """The captured exchange, credentials left out."""
        reply = self._reply_head
        return ExchangeFrame(
            id=self._request_id.decode("latin-1"),
            route=self._route,
            method=self._head.method.decode("ascii"),
            target=_without_credential_parameters(self._head.target).decode("latin-1"),
            headers=self._head.kept(),
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            issued_at_s=self._issued_at_s,
            duration_s=time.monotonic() - self._sent_at,
            outcome=outcome.value,
            failure=failure,
            status=reply.status if reply else 0,
            reply_headers=_without_credentials(reply.headers) if reply else [],
            reads=self._reads,
            is_compared=self.is_compared,
        )


def _without_credentials(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    out = []
    for name, value in headers:
        known = FIELDS[name]
        if not known.is_secret:
            out.append((known.name, value))
    return out


def _without_credential_parameters(target: bytes) -> bytes:
    path, mark, query = target.partition(b"?")
    if not mark:
        return target
    parts = re.split(rb"[&;]", query)
    kept = [part for part in parts if not _CREDENTIAL_PARAMETERS.fullmatch(unquote(part.partition(b"=")[0].decode("latin-1")))]
    if len(kept) == len(parts):
        return target
    return path + b"?" + b"&".join(kept) if kept else path


class Routes:
    """Path → route label, by the configured routes or the default table; remembered for the paths seen most."""

    _REMEMBERED = 1024  # distinct paths are few in practice; a scanner's many must not fill memory

    def __init__(self, config: Config, default: Callable[[str], str]) -> None:
        self._rules = tuple((route.path.rstrip("*"), route.path.endswith("*"), route.name) for route in config.routes)
        self._default = default
        self._known: dict[bytes, str] = {}

    def of(self, path: bytes) -> str:
        name = self._known.get(path)
        if name is None:
            if len(self._known) >= self._REMEMBERED:
                self._known.clear()
            name = self._known[path] = self._look_up(path.decode("latin-1"))
        return name

    def _look_up(self, path: str) -> str:
        if not self._rules:
            return self._default(path)
        for prefix, is_prefix, name in self._rules:
            if path == prefix or (is_prefix and path.startswith(prefix)):
                return name
        return OTHER
