"""The whole exception tree, on one screen.

A class is here only because some caller catches it and does something different. Foreign exceptions are
translated where they enter (``raise … from exc``). What a *candidate* does wrong is never an exception: it is an
:class:`~shadowproxy.exchange.Outcome`, a value that is counted.
"""

from __future__ import annotations

from dataclasses import dataclass


class ShadowproxyError(Exception):
    """Everything this package raises on purpose. Caught at the top of the command line: message, exit code 1."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong with the configuration.

    ``key`` is the dotted path (``candidates[0].url``), ``value`` what stood there as text, ``problem`` what is wrong with it,
    ``remedy`` what to write instead.
    """

    key: str
    value: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        shown = f"{self.key}: {self.value} {self.problem}" if self.value else f"{self.key}: {self.problem}"
        return f"{shown}; {self.remedy}"


class ConfigError(ShadowproxyError):
    """The configuration cannot be used. Holds every problem found, not only the first. Exit code 2."""

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class InputError(ShadowproxyError):
    """A file of recorded answers that cannot be used: names the file, the line, the column and what to write. Exit code 2."""


class StartError(ShadowproxyError):
    """The configuration is well-formed but the world refuses it: port in use, model not loadable. Names the remedy. Exit code 1."""


class NotTracked(ShadowproxyError):
    """An experiment tracker did not take an evaluation that is over. The verdict is shown all the same; only a promotion exits with 1."""


class NoAnswer(ShadowproxyError):
    """A service of the operator's (Prometheus, an admin surface, an event sink) gave no answer that can be used. Asked again later."""


class RouterBusy(ShadowproxyError):
    """A router could not do it now (overloaded, timed out, not ready). Tried again after ``delay_s`` seconds; until then nothing moves."""

    def __init__(self, message: str, delay_s: float = 5.0) -> None:
        super().__init__(message)
        self.delay_s = delay_s


class RouterConflict(ShadowproxyError):
    """What a router steers was changed since it was read: read and decided anew at once."""


class RouterRefused(ShadowproxyError):
    """A router cannot do it, and will not by trying again: the rollout holds and a person is told ``remedy``."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.remedy = remedy


class ProtocolError(ShadowproxyError):
    """Bytes that break the protocol they claim to speak. Subclasses say whose bytes."""


class ClientProtocolError(ProtocolError):
    """The client sent it: answered with 400 (or ``status``) and the connection is closed. Counted under ``reason``."""

    def __init__(self, message: str, status: int = 400, *, code: str = "bad_request", reason: str = "protocol") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.reason = reason


class UpstreamProtocolError(ProtocolError):
    """An upstream sent it: the exchange fails, the connection is never used again."""


class FrameError(ProtocolError):
    """A hand-over or control frame that does not decode: the connection is dropped and counted, the process goes on."""


class BoundExceeded(ProtocolError):
    """A decoder was fed more than its stated bound. The bound is in the message."""
