"""A reply's meaning: choose the dialect, undo the codings, read. PURE. Called by the shadow pipeline for every arm's reply.

Nothing a peer sends makes this raise: what cannot be read is an answer with an error of type ``undecodable``, because that, too, is
something an arm did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shadowproxy.errors import BoundExceeded, ProtocolError
from shadowproxy.exchange import Answer, Exchange, Outcome, Reply, ReplyError, Request, is_http_error
from shadowproxy.wire.chat import read_chat
from shadowproxy.wire.completions import read_completions
from shadowproxy.wire.custom import CustomDialects
from shadowproxy.wire.decoded import DecodedReply, content_coding, decoded
from shadowproxy.wire.embeddings import read_embeddings
from shadowproxy.wire.generate import read_generate
from shadowproxy.wire.generic import read_generic
from shadowproxy.wire.images import read_images
from shadowproxy.wire.infer import read_infer
from shadowproxy.wire.messages import read_messages
from shadowproxy.wire.ollama import read_ollama
from shadowproxy.wire.paths import GENERIC, dialect_of, route_of
from shadowproxy.wire.predict import read_predict
from shadowproxy.wire.rerank import read_rerank
from shadowproxy.wire.responses import read_responses
from shadowproxy.wire.speech import read_speech
from shadowproxy.wire.transfer import can_decode

__all__ = ["READERS", "UNDECODABLE", "dialect_of", "outcome_of", "read_answer", "refined", "route_of"]

#: ``type`` of an error that says: we could not read this. ``code`` is ``too_large``, ``unknown_coding`` or ``damaged``.
UNDECODABLE = "undecodable"

#: Replies that arrived well and that only we cannot read.
_OUR_LIMITS = ("unknown_coding", "too_large")

#: Dialect → its reader. A reader raises :class:`~shadowproxy.errors.BoundExceeded`, and nothing else.
READERS: dict[str, Callable[[DecodedReply], Answer]] = {
    "chat": read_chat,
    "completions": read_completions,
    "embeddings": read_embeddings,
    "generate": read_generate,
    "images": read_images,
    "infer": read_infer,
    "messages": read_messages,
    "ollama": read_ollama,
    "predict": read_predict,
    "rerank": read_rerank,
    "responses": read_responses,
    "speech": read_speech,
    GENERIC: read_generic,
}


def read_answer(request: Request, reply: Reply, custom: CustomDialects | None = None) -> Answer:
    """What ``reply`` says, in the dialect that ``request`` was made in. Never raises on anything a peer may send.

    ``custom`` holds the dialects that the configuration describes; on their paths they go before the ones known here.
    """
    dialect = dialect_of(request.target) if _speaks_dialect(request, reply) else GENERIC
    try:
        plain = decoded(reply)
        answer = None if custom is None or not _speaks_dialect(request, reply) else custom.read(request.target, plain)
        return READERS[dialect](plain) if answer is None else answer
    except ProtocolError as exc:
        code = _undecodable_code(exc, reply)
        return Answer(dialect, error=ReplyError(str(exc), type=UNDECODABLE, code=code), is_complete=False)


def outcome_of(reply: Reply, answer: Answer) -> Outcome:
    """How a reply to an inference request that arrived in full ended: an error status first, then an error or a missing end within it."""
    if is_http_error(reply.status):
        return Outcome.HTTP_ERROR
    if answer.error is not None or not answer.is_complete:
        return Outcome.STREAM_ERROR
    return Outcome.OK


def refined(exchange: Exchange, answer: Answer | None) -> Exchange:
    """The exchange with what its answer says of how it ended: a 200 that carries an error is no success."""
    if exchange.reply is None or answer is None or exchange.outcome not in (Outcome.OK, Outcome.HTTP_ERROR):
        return exchange
    if answer.error is not None and answer.error.type == UNDECODABLE and answer.error.code in _OUR_LIMITS:
        return replace(exchange, outcome=Outcome.DROPPED_LOCAL, failure=answer.error.message)
    outcome = outcome_of(exchange.reply, answer)
    return exchange if outcome is exchange.outcome else replace(exchange, outcome=outcome)


def _speaks_dialect(request: Request, reply: Reply) -> bool:
    """False for replies that carry no answer even on an inference path: preflight requests, redirects, 204."""
    return request.method == "POST" and (reply.status >= 400 or (200 <= reply.status < 300 and reply.status != 204))


def _undecodable_code(exc: ProtocolError, reply: Reply) -> str:
    if isinstance(exc, BoundExceeded):
        return "too_large"
    return "damaged" if can_decode(content_coding(reply)) else "unknown_coding"
