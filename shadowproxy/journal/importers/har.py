"""HTTP Archive 1.2 (http://www.softwareishard.com/blog/har-12-spec/), as browsers, mitmproxy and Charles save it.

Bodies stand in it without transfer and content coding. When the pieces of a stream came is not recorded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from shadowproxy.errors import InputError
from shadowproxy.exchange import Headers, Outcome, Request
from shadowproxy.journal.importers.documents import whole
from shadowproxy.journal.importers.made import UNANSWERED, Answered, Item, Unusable, exchange, headers_of, seconds_of, target_of
from shadowproxy.journal.places import name_of

NAME = "har"


def fits(value: Mapping[str, Any]) -> bool:
    """True for the one object of an archive."""
    log = value.get("log")
    return isinstance(log, dict) and "entries" in log


def read(files: Sequence[str]) -> Iterator[Item]:
    """Entries in the order of the archive."""
    for file in files:
        for number, entry in enumerate(_entries(file), 1):
            yield _item(f"{name_of(file)}, entry {number}", f"har-{number:06d}", entry)


def _entries(file: str) -> Iterable[object]:
    try:
        entries = orjson.loads(whole(file))["log"]["entries"]
    except (ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{file}: is no HTTP archive ({exc}); it needs log.entries") from exc
    if not isinstance(entries, list):
        raise InputError(f"{file}: is no HTTP archive; log.entries is not a list")
    return entries


def _item(place: str, id_: str, entry: object) -> Item:
    if not isinstance(entry, dict) or not isinstance(entry.get("request"), dict):
        return Unusable(place, "no request")
    request, url = entry["request"], entry["request"].get("url")
    posted = request.get("postData")
    if not isinstance(url, str) or not isinstance(posted, dict):
        return Unusable(place, "a request without a body", f"{request.get('method')} {str(url)[:100]}")
    if not isinstance(posted.get("text"), str) or not posted["text"]:
        return Unusable(place, "a body that was not recorded as text", str(posted.get("mimeType", "")))
    sent = Request(str(request.get("method", "POST")), target_of(url), _headers(request, posted.get("mimeType")), posted["text"].encode())
    answered = _answered(entry)
    if isinstance(answered, str):
        return Unusable(place, "a reply body that is no base64", answered)
    return exchange(id_, sent, answered, seconds_of(entry.get("startedDateTime")))


def _headers(message: Mapping[str, Any], media_type: object) -> Headers:
    listed = message.get("headers")
    pairs = (
        [(str(each["name"]), str(each.get("value", ""))) for each in listed if isinstance(each, dict) and "name" in each]
        if isinstance(listed, list)
        else []
    )
    if media_type and all(name.lower() != "content-type" for name, _ in pairs):
        pairs.append(("content-type", str(media_type)))
    return headers_of((name, value) for name, value in pairs if name.lower() != "content-encoding")


def _answered(entry: Mapping[str, Any]) -> Answered | str:
    """What came back, or why its base64 does not decode."""
    response = entry.get("response")
    duration_s = _milliseconds(entry.get("time"))
    if not isinstance(response, dict) or not isinstance(response.get("status"), int):
        return UNANSWERED
    if not 100 <= response["status"] <= 599:  # browsers write 0 where the connection failed
        failure = str(response.get("_error") or "the connection failed")
        return Answered(duration_s=duration_s, failure=failure, outcome=Outcome.RESET)
    content = response.get("content")
    content = content if isinstance(content, dict) else {}
    if not isinstance(content.get("text"), str):
        return UNANSWERED
    try:
        body = base64.b64decode(content["text"], validate=True) if content.get("encoding") == "base64" else content["text"].encode()
    except (binascii.Error, ValueError) as exc:
        return str(exc)
    return Answered(response["status"], _headers(response, content.get("mimeType")), ((duration_s, body),), duration_s)


def _milliseconds(value: object) -> float:
    return max(0.0, float(value)) / 1000 if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
