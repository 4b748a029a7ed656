"""Exchanges to write down."""

from __future__ import annotations

import json
from dataclasses import replace

from shadowproxy.exchange import CONTROL, PRIMARY, Exchange, Headers, Outcome, Read, Reply, Request

JSON = ((b"content-type", b"application/json"),)
EVENTS = ((b"content-type", b"text/event-stream"),)


def chat_request(words: str = "hello", headers: Headers = JSON) -> Request:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": words}]}).encode()
    return Request("POST", "/v1/chat/completions", headers, body)


def exchange(
    id_: str = "r-1", words: str = "hi", arm: str = PRIMARY, reads: tuple[Read, ...] | None = None, headers: Headers = JSON
) -> Exchange:
    body = json.dumps({"choices": [{"message": {"content": words}}]}).encode()
    reply = Reply(200, headers, reads if reads is not None else ((0.25, body),))
    return Exchange(id_, arm, "chat", chat_request(), reply, Outcome.OK, 1_700_000_000.5, 0.3)


def failed(id_: str = "r-1", arm: str = "v2") -> Exchange:
    return replace(exchange(id_, arm=arm), reply=None, outcome=Outcome.TIMEOUT, failure="no complete reply within 60 s")


def all_arms(id_: str = "r-1") -> tuple[Exchange, tuple[Exchange, ...]]:
    return exchange(id_), (exchange(id_, "hi there", CONTROL), failed(id_))
