"""How the admin surface speaks: JSON documents, and errors that say what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

JSON = "application/json"


def document(content: Mapping[str, object], status: int = 200) -> web.Response:
    """A JSON document."""
    return web.Response(body=orjson.dumps(content, default=dict), status=status, content_type=JSON)


def error_body(message: str, remedy: str = "", **more: object) -> str:
    """``{"error": {"message", "remedy"?, …}}``: the body of every refusal."""
    return orjson.dumps({"error": {"message": message, **({"remedy": remedy} if remedy else {}), **more}}).decode()


def error(status: int, message: str, remedy: str = "", headers: Mapping[str, str] | None = None, **more: object) -> web.Response:
    """A refusal as a reply."""
    return web.Response(text=error_body(message, remedy, **more), status=status, content_type=JSON, headers=headers)


def bad_request(message: str, remedy: str) -> web.HTTPBadRequest:
    """A refusal to be raised from within a handler."""
    return web.HTTPBadRequest(text=error_body(message, remedy), content_type=JSON)
