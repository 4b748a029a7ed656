"""The judge must not be one of the judged: models prefer what they would have written themselves. PURE."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ArmModel:
    """Where an arm is, and which model it is asked for; None where each request says that."""

    arm: str
    url: str
    model: str | None


def arm_of(url: str, model: str, arms: Sequence[ArmModel]) -> str | None:
    """The arm that is this model at this address, or None."""
    return next((arm.arm for arm in arms if arm.model == model and address(arm.url) == address(url)), None)


def may_be_arm(url: str, arms: Sequence[ArmModel]) -> bool:
    """True where an arm at this address takes whatever model a request names: then each request has to be looked at."""
    return any(arm.model is None and address(arm.url) == address(url) for arm in arms)


def address(url: str) -> tuple[str, int]:
    """Host and port of a checked URL, every name of this machine's loopback as one; path and 0 of a Unix socket."""
    if url.startswith("unix:"):
        return url, 0
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    return "loopback" if _is_loopback(host) else host, parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
