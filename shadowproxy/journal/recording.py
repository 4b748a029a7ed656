"""Exchanges as records, redacted. Runs on the journal's thread, before anything reaches a disk.

Headers are kept by name: a list of what may be kept grows slower than one of what may not. Bodies lose their content coding, because
what cannot be read cannot be redacted; one that cannot be undone is withheld.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

from shadowproxy.errors import ProtocolError
from shadowproxy.exchange import Exchange, Headers, Read, Reply, Request
from shadowproxy.journal.records import ArmRecord, Body, Reading, Record, TextHeaders, reading_of
from shadowproxy.redaction.bodies import Redactor
from shadowproxy.redaction.pseudonyms import Pseudonyms
from shadowproxy.wire.transfer import codings_of, decode_content

#: Headers that say how to read a body or how a server was doing, and nothing of anybody.
KEPT_HEADERS = frozenset(
    {
        *("accept", "content-type", "anthropic-beta", "anthropic-version", "openai-beta", "openai-version", "openai-processing-ms"),
        *(
            "api-supported-versions",
            "retry-after",
            "x-should-retry",
            "server-timing",
            "x-envoy-upstream-service-time",
            "x-request-priority",
        ),
        *("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-tokens-remaining"),
        *("x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"),
    }
)

#: Longest body without its content coding. The journal's bound on a record is smaller; this one is against a bomb.
_MAX_DECODED_BYTES = 64 * 1024 * 1024

#: Targets whose redacted form is remembered: a service has few paths, and a scanner many.
_TARGETS = 1024


class Recorder:
    """``rollouts`` names the rollout of each candidate. ``redactor`` None keeps bodies and targets as they are.

    ``more_headers`` (lower case) are kept, too, their values redacted as text.
    """

    def __init__(
        self,
        pseudonyms: Pseudonyms,
        redactor: Redactor | None,
        more_headers: Collection[str] = (),
        rollouts: Mapping[str, str] | None = None,
    ) -> None:
        self._pseudonyms = pseudonyms
        self._key = pseudonyms.key_id
        self._redactor = redactor
        self._more_headers = frozenset(more_headers) - KEPT_HEADERS
        self._rollouts = dict(rollouts or {})
        self._targets: dict[str, str] = {}

    @property
    def key_id(self) -> str:
        """Tells whether pseudonyms were made with the same key, and nothing about the key."""
        return self._key

    def record(self, primary: Exchange, others: Sequence[Exchange] = (), session: str = "", source: str = "") -> Record:
        """The record of one request."""
        request = primary.request
        return Record(
            id=_encodable(primary.id),
            route=primary.route,
            issued_at_s=primary.issued_at_s,
            method=request.method,
            target=self._target(request.target),
            headers=self._headers(request.headers),
            body=self._request_body(request),
            primary=self.arm(primary),
            others=tuple(self.arm(other) for other in others),
            session=self._pseudonyms("session", session).removeprefix("redacted-") if session else "",
            key=self._key,
            source=source,
        )

    def arm(self, exchange: Exchange) -> ArmRecord:
        """What one arm did."""
        reply = exchange.reply
        body, reading = self._reply_body(reply) if reply is not None else (Body(), Reading())
        return ArmRecord(
            arm=exchange.arm,
            outcome=exchange.outcome.value,
            duration_s=round(exchange.duration_s, 6),
            status=reply.status if reply is not None else 0,
            headers=self._headers(reply.headers) if reply is not None else (),
            body=body,
            reading=reading,
            failure=self._text(exchange.failure) if exchange.failure else "",
            rollout=self._rollouts.get(exchange.arm, ""),
            late_us=tuple([(round(at_s * 1e6), round(late_s * 1e6)) for at_s, late_s in exchange.late]) if exchange.late else (),
        )

    def finds(self, record: Record) -> frozenset[str]:
        """Every value that redaction finds in a request and the primary's answer to it, as they are recorded. None where bodies are kept
        as they are."""
        found: set[str] = set()
        if self._redactor is None:
            return frozenset()

        def seen(_kind: str, value: str) -> str:
            found.add(value)
            return value

        redactor = Redactor(seen, self._redactor.search, self._redactor.fields)
        redactor.text(record.target)
        for headers, body in ((record.headers, record.body), (record.primary.headers, record.primary.body)):
            named = dict(headers)
            redactor.redact(body.data(), _media_type(named.get("content-type", "").encode("latin-1", "replace")))
        return frozenset(found)

    # --- headers and targets ------------------------------------------------------------------------------------------

    def _headers(self, headers: Headers) -> TextHeaders:
        named = [(name.decode("latin-1"), value) for name, value in headers]
        kept = [(name, value.decode("latin-1")) for name, value in named if name in KEPT_HEADERS]
        if self._more_headers:
            kept += [(name, self._text(value.decode("latin-1"))) for name, value in named if name in self._more_headers]
        return tuple(kept)

    def _target(self, target: str) -> str:
        known = self._targets.get(target)
        if known is None:
            if len(self._targets) >= _TARGETS:
                self._targets.clear()
            known = self._targets[target] = self._text(target)
        return known

    def _text(self, text: str) -> str:
        return _encodable(text if self._redactor is None else self._redactor.text(text))

    # --- bodies ---------------------------------------------------------------------------------------------------------

    def _request_body(self, request: Request) -> Body:
        if not request.body:
            return Body()
        body, _ = self._body(((0.0, request.body),), request.header(b"content-encoding"), _media_type(request.header(b"content-type")))
        return body

    def _reply_body(self, reply: Reply) -> tuple[Body, Reading]:
        if not reply.reads:
            return Body(), Reading()
        coding = b",".join(value for name, value in reply.headers if name == b"content-encoding")
        return self._body(reply.reads, coding, _media_type(reply.header(b"content-type")))

    def _body(self, reads: tuple[Read, ...], coding: bytes | None, media_type: str) -> tuple[Body, Reading]:
        was = ", ".join(codings_of(coding)) if coding else ""
        if was:
            try:
                reads = decode_content(reads, coding, _MAX_DECODED_BYTES)
            except ProtocolError as exc:
                return Body(was=was, withheld=f"its content coding cannot be undone: {exc}"), Reading()
        data = b"".join([piece for _, piece in reads])
        ends = list(accumulate([len(piece) for _, piece in reads]))
        if self._redactor is not None:
            redacted = self._redactor.redact(data, media_type)
            data, ends = redacted.body, redacted.moved(ends)
        return _body(data, was), reading_of([at_s for at_s, _ in reads], ends)


def _body(data: bytes, was: str) -> Body:
    try:
        return Body(text=data.decode(), was=was)
    except UnicodeDecodeError:
        return Body(base64=base64.b64encode(data).decode(), was=was)


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which somebody's bytes may leave in it and no UTF-8 can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _media_type(header: bytes | None) -> str:
    return header.partition(b";")[0].strip().lower().decode("latin-1") if header else ""
