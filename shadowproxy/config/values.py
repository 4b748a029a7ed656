"""What sections are made of: the base class, bounded numbers, addresses, secrets of our own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shadowproxy.errors import ConfigError, ConfigProblem

Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0)]
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
#: Stands for the primary where no server is asked.
NOWHERE = "http://127.0.0.1:9"
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):(\d{1,5})")


def _address(value: object) -> object:
    """Check ``host:port`` or ``unix:/path``; a bare port is taken as loopback."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"127.0.0.1:{value}"
    if not isinstance(value, str):
        raise ValueError("is not an address; write host:port or unix:/path/to/socket")
    if value.startswith("unix:"):
        if not value[5:].startswith("/"):
            raise ValueError("is not an absolute path; write unix:/path/to/socket")
        return value
    match = _HOST_PORT.fullmatch(value)
    if match is None or int(match[2]) > 65535:
        raise ValueError("is not an address; write host:port (port 0..65535) or unix:/path/to/socket")
    return value


def _upstream_url(value: object) -> object:
    """Check ``http(s)://host[:port][/prefix]``, ``host:port`` or ``unix:/path``."""
    if not isinstance(value, str):
        raise ValueError("is not a URL; write http://host:port or unix:/path/to/socket")
    if value.startswith("unix:"):
        return _address(value)
    if "://" not in value:
        value = f"http://{value}"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL; write http://host:port or unix:/path/to/socket") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("is not a URL; write http://host:port or unix:/path/to/socket")
    if not parts.path.isascii():
        raise ValueError("has characters in its path that a URL cannot carry; percent-encode them")
    if parts.username or parts.password:
        raise ValueError("carries credentials; put them into auth: {env: NAME} instead")
    if parts.query or parts.fragment:
        raise ValueError("has a query or fragment; keep scheme, host, port and path prefix only")
    return value


def base_url(value: object) -> object:
    """Check ``http(s)://host[:port][/prefix]``."""
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise ValueError("is not a URL; write http://host:port or https://host/prefix")
    return str(_upstream_url(value)).rstrip("/")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("is not a name; use up to 63 of a-z 0-9 . _ - and begin and end with a letter or digit")
    return value


Address = Annotated[str, BeforeValidator(_address)]
#: What becomes a label: of a route, a candidate, a budget.
Name = Annotated[str, AfterValidator(_name)]
UpstreamUrl = Annotated[str, BeforeValidator(_upstream_url)]
BaseUrl = Annotated[str, BeforeValidator(base_url)]


class Section(BaseModel):
    """A part of the tree. Frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Section):
    """A secret of our own, read from the environment or a file when a process starts. The value is never written in the config."""

    env: str | None = None
    """Environment variable that holds the secret."""
    file: Path | None = None
    """File that holds the secret (a mounted Kubernetes Secret). One trailing newline is dropped."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("needs exactly one of env and file; write {env: NAME} or {file: /path}")
        return self

    def secret(self) -> str:
        """The secret itself. Raises :class:`ConfigError` where it is missing or empty."""
        where = f"env {self.env}" if self.env else f"file {self.file}"
        try:
            value = os.environ.get(self.env, "") if self.env else Path(str(self.file)).read_text(encoding="utf-8").strip("\r\n")
        except OSError as exc:
            raise ConfigError(
                (ConfigProblem("auth", where, f"cannot be read ({exc.strerror})", "mount the secret or fix the path"),)
            ) from exc
        if not value:
            raise ConfigError((ConfigProblem("auth", where, "is not set", "export it before the start"),))
        return value


class Auth(Secret):
    """A credential for an arm."""

    header: str = "authorization"
    """Header that carries it."""
    scheme: str = "Bearer"
    """Word before the secret; empty for none (``x-api-key`` style)."""

    def header_line(self) -> tuple[bytes, bytes]:
        """The (lower-case name, value) pair to send."""
        value = f"{self.scheme} {self.secret()}" if self.scheme else self.secret()
        return self.header.lower().encode("latin-1"), value.encode("latin-1")
