"""Pictures, sound and files by their digest: told apart without being kept. PURE. Used by every dialect whose answers may hold some.

The digest is that of the thing itself, so the same picture is the same whether it came as base64, inside a ``data:`` address or as a body.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import Any

from shadowproxy.exchange import Media
from shadowproxy.wire.loose_json import Object, a_text, an_object

_KINDS = ("image", "audio", "video")

#: Field of a content part → kind of what stands there, by address or as base64.
_ADDRESSES = {"image_url": "image", "audio_url": "audio", "video_url": "video"}
_DATA = {"input_audio": "audio", "audio": "audio", "b64_json": "image"}


def kind_of(media_type: str) -> str:
    """``image``, ``audio``, ``video``, or ``file`` for everything else, of a media type (``image/png``)."""
    kind = media_type.partition("/")[0].strip().lower()
    return kind if kind in _KINDS else "file"


def media_of_bytes(kind: str, body: bytes) -> Media:
    """The thing whose bytes are ``body``."""
    return Media(kind, hashlib.sha256(body).hexdigest(), len(body))


def media_of_base64(kind: str, text: str) -> Media:
    """The thing whose base64 is ``text``; the digest is that of the text where it is no base64."""
    pieces = Base64Pieces()
    pieces.add(text)
    return pieces.media(kind)


def media_of_url(url: str, kind: str = "") -> Media:
    """The thing at an address. ``kind`` is what the answer calls it; without, what the ``data:`` address says, or a picture.

    Of a plain address the digest is that of its text, and ``size_bytes`` is 0: nobody here fetches it, so its size is not known.
    """
    if url[:5].lower() != "data:":
        return Media(kind or "image", hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest(), 0)
    head, _, data = url[5:].partition(",")
    kind = kind or kind_of(head)
    if head[-7:].lower() == ";base64":
        return media_of_base64(kind, data)
    return media_of_bytes(kind, data.encode("utf-8", "surrogatepass"))


def media_of_part(part: Object) -> Media | None:
    """What one part of an answer shows or plays (``{"image_url": {"url": …}}``, ``{"input_audio": {"data": …}}``), or None."""
    for field, kind in _ADDRESSES.items():
        if url := _inner(part.get(field), "url"):
            return media_of_url(url, kind)
    for field, kind in _DATA.items():
        if data := _inner(part.get(field), "data"):
            return media_of_base64(kind, data)
    return None


def _inner(value: Any, field: str) -> str:
    """The text, or that within the object: servers send both."""
    return a_text(value) or a_text(an_object(value).get(field))


class Base64Pieces:
    """Base64 that comes in pieces, digested as it comes. A piece may be padded or cut anywhere; each byte is looked at once."""

    __slots__ = ("_digest", "_left", "_size_bytes")

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._left = ""  # fewer than four characters that wait for the rest of their group
        self._size_bytes = 0

    def add(self, text: str) -> None:
        """Take the next piece."""
        text = self._left + text
        whole = len(text) - len(text) % 4
        self._left = text[whole:]
        self._take(text[:whole])

    def _take(self, text: str) -> None:
        try:
            data = binascii.a2b_base64(text)
        except ValueError:  # no base64: still told apart, by the text
            data = text.encode("utf-8", "surrogatepass")
        self._digest.update(data)
        self._size_bytes += len(data)

    def media(self, kind: str) -> Media:
        """What all pieces make together; nothing can be added afterwards."""
        if self._left:
            self._take(self._left + "=" * (4 - len(self._left)))
            self._left = ""
        return Media(kind, self._digest.hexdigest(), self._size_bytes)
