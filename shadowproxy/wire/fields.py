"""What a header name means on the production path, worked out once per distinct spelling. PURE.

Lowering and comparing every name of every message costs more than all that is done with them; real traffic uses a few dozen spellings.
"""

from __future__ import annotations

from typing import Final

from shadowproxy.exchange import ARM_HEADER, is_credential

PLAIN: Final = 0
HOP_BY_HOP: Final = 1
CONNECTION: Final = 2
TRANSFER_ENCODING: Final = 3
UPGRADE: Final = 4
HOST: Final = 5
CONTENT_LENGTH: Final = 6
EXPECT: Final = 7
REQUEST_ID: Final = 8
ARM: Final = 9
ATTEMPT_COUNT: Final = 10

#: RFC 9110 §7.6.1, and Keep-Alive and Proxy-Connection from practice. Trailer goes with the trailers, which are not passed on.
_ROLES: Final = {
    b"connection": CONNECTION,
    b"keep-alive": HOP_BY_HOP,
    b"proxy-connection": HOP_BY_HOP,
    b"te": HOP_BY_HOP,
    b"trailer": HOP_BY_HOP,
    b"http2-settings": HOP_BY_HOP,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"expect": EXPECT,
    b"x-request-id": REQUEST_ID,
    ARM_HEADER.encode(): ARM,
    b"x-envoy-attempt-count": ATTEMPT_COUNT,
}

#: Names are the sender's: someone who makes up new ones must not fill memory.
_REMEMBERED: Final = 4096


class Field:
    """A header name: lower-case, its role, and whether its value stays out of everything we keep."""

    __slots__ = ("is_hop_by_hop", "is_secret", "name", "role")

    def __init__(self, name: bytes) -> None:
        self.name: Final = name.lower()
        self.role: Final = _ROLES.get(self.name, PLAIN)
        self.is_hop_by_hop: Final = HOP_BY_HOP <= self.role <= UPGRADE
        self.is_secret: Final = is_credential(self.name) or self.name == b"set-cookie"

    def __repr__(self) -> str:
        return f"<Field {self.name.decode('latin-1')}>"


class _Fields(dict[bytes, Field]):
    """Header name as sent, in whatever case → what is known of it. Never misses."""

    def __missing__(self, name: bytes) -> Field:
        if len(self) >= _REMEMBERED:
            self.clear()
        known = self[name] = Field(name)
        return known


#: ``FIELDS[name]`` for a header name as sent.
FIELDS: Final[dict[bytes, Field]] = _Fields()


def named_by_connection(value: bytes) -> set[bytes]:
    """Lower-case header names that a Connection header makes hop-by-hop, over the standard ones.

    It may not name what frames or routes the message: that is how a smuggler makes a proxy drop Content-Length.
    """
    if len(value) <= 10 and value.lower() in (b"close", b"keep-alive"):
        return set()
    return {token.strip().lower() for token in value.split(b",")} - {b"close", b"keep-alive", b"", b"host", b"content-length"}
