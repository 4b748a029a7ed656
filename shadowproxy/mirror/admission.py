"""Whether an exchange is mirrored, and to which arms. PURE. Every refusal has a counted reason."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import orjson

from shadowproxy.exchange import Request

#: What a body must hold before it is worth parsing: a field with side effects, or an escape that could spell one.
_MARKS = re.compile(rb'"(?:previous_response_id|conversation|background|tools|mcp_servers)"|\\u')


_BOM = b"\xef\xbb\xbf"
#: In any of its encodings, for requests that do not say what they are.
_BEGINS_LIKE_JSON = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*[{\[]")


@dataclass(frozen=True, slots=True)
class ArmShare:
    """An arm and the share of mirrored requests it gets (0..1)."""

    arm: str
    fraction: float


def refusal_of(request: Request) -> str:
    """The reason why a copy of this request must not be sent, or "". Side effects stay with the primary."""
    if request.header(b"content-encoding") not in (None, b"", b"identity"):
        return "unreadable_request"
    kind = request.header(b"content-type")
    is_json = b"json" in kind.lower() if kind else _BEGINS_LIKE_JSON.match(request.body) is not None
    if is_json and (request.body.startswith(_BOM) or b"\0" in request.body):
        return "unreadable_request"  # UTF-16, UTF-32 or a mark that some servers accept: our parser does not
    if _MARKS.search(request.body) is None:
        return ""  # most requests carry none of the fields below, and are not parsed for it
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return "unreadable_request" if is_json else ""  # NaN, say: a server may read what we cannot check
    if not isinstance(body, dict):
        return ""
    for key in ("previous_response_id", "conversation"):
        if body.get(key):
            return "stateful"
    if body.get("background"):
        return "background"
    if body.get("mcp_servers"):
        return "hosted_tools"
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        # Function tools are only described to the model; hosted and MCP tools act when the model calls them.
        if isinstance(tool, dict) and tool.get("type", "function") not in ("function", "custom") and "input_schema" not in tool:
            return "hosted_tools"
    return ""


def arms_for(request_id: str, shares: tuple[ArmShare, ...]) -> tuple[str, ...]:
    """Which arms get a copy. Each arm draws for itself, stably by request id, so that shares are independent of each other."""
    return tuple(share.arm for share in shares if share.fraction >= 1 or _point(share.arm, request_id) < share.fraction)


def _point(arm: str, request_id: str) -> float:
    digest = hashlib.blake2b(request_id.encode("utf-8", "surrogateescape"), key=arm.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
