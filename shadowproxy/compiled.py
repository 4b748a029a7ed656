"""Whether this installation runs the data path compiled (see setup.py) or interpreted. Both are the same source."""

from __future__ import annotations

from shadowproxy import exchange


def is_compiled() -> bool:
    return not str(exchange.__file__).endswith(".py")
