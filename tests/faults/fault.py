"""One row of the fault table: what is broken where, what the client gets, and what shows it to whoever looks after the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import orjson

from tests.serve.wire import Reply

if TYPE_CHECKING:
    from tests.faults.scene import Scene


@dataclass(frozen=True, slots=True)
class Seen:
    """What one client got for one request. ``expected`` is what the primary answers directly; None where there is no such answer."""

    got: Reply | None
    expected: Reply | None = None
    partial: bytes = b""
    """What had come before the connection ended; only where ``got`` is None."""


class Effect(Protocol):
    """What a fault does to clients."""

    @property
    def text(self) -> str:
        """For the table."""

    def check(self, seen: Sequence[Seen]) -> None:
        """Raises :class:`AssertionError` where a client saw something else."""


@dataclass(frozen=True, slots=True)
class Unharmed:
    """Every reply is that of the primary, byte by byte."""

    text: str = "none"

    def check(self, seen: Sequence[Seen]) -> None:
        assert seen, "nobody asked anything"
        for each in seen:
            assert each.got is not None, f"a client was cut off after {each.partial[:200]!r}"
            assert each.expected is not None
            assert each.got.seen == each.expected.seen


@dataclass(frozen=True, slots=True)
class Answered:
    """Exactly this reply, written by the gateway."""

    status: int
    code: str
    message: str
    note: str = ""

    @property
    def text(self) -> str:
        return f"`{self.status}` `{self.code}`: “{self.message}”{self.note}"

    def check(self, seen: Sequence[Seen]) -> None:
        assert seen, "nobody asked anything"
        for each in seen:
            assert each.got is not None, f"a client was cut off after {each.partial[:200]!r}"
            error = {"message": self.message, "type": "shadowproxy_error", "code": self.code}
            assert (each.got.status, orjson.loads(each.got.body)) == (self.status, {"error": error})


@dataclass(frozen=True, slots=True)
class CutOff:
    """The connection ends, and what came cannot be taken for a complete reply."""

    text: str

    def check(self, seen: Sequence[Seen]) -> None:
        assert seen, "nobody asked anything"
        for each in seen:
            assert each.got is None, f"a whole reply came: {each.got}"
            assert not each.partial.endswith(b"0\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter that goes up. A label ``rollout`` is filled in for the candidate at fault."""

    name: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __init__(self, name: str, **labels: str) -> None:
        object.__setattr__(self, "name", f"shadowproxy_{name}")
        object.__setattr__(self, "labels", MappingProxyType(labels))

    @property
    def text(self) -> str:
        labels = ", ".join(f'{label}="{value}"' for label, value in self.labels.items())
        return f"`{self.name}{{{labels}}}`" if labels else f"`{self.name}`"


@dataclass(frozen=True, slots=True)
class Logged:
    """A line in the log, where there is nothing to count."""

    line: str

    @property
    def text(self) -> str:
        return f"log: “{self.line}”"


Inject = Callable[["Scene"], Awaitable[Sequence[Seen]]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row. ``inject`` breaks something, lets clients ask, mends it, and returns what they saw."""

    name: str
    where: str
    injection: str
    client: Effect
    shows: Counted | Logged
    inject: Inject
    scene: str
    """Which of the running services it is played on; see ``scenes``."""
    candidate: str = ""
    """Whose rollout the counter belongs to."""
    story: bool = False
    """True where a traceback in the log, or a counted failure of a step, is the point."""
    needs: tuple[str, ...] = ()
    """What the machine must have: names of programs, or ``root``."""

    def __repr__(self) -> str:
        return f"<Fault {self.name}>"
