"""The redaction that the configuration asks for, wired."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from shadowproxy.compare.json_paths import places
from shadowproxy.config import Redact
from shadowproxy.errors import ConfigError, ConfigProblem
from shadowproxy.journal.recording import Recorder
from shadowproxy.redaction.bodies import Redactor
from shadowproxy.redaction.fields import Fields
from shadowproxy.redaction.literals import Substitute
from shadowproxy.redaction.pseudonyms import MAX_KEY_BYTES, Pseudonyms
from shadowproxy.redaction.searches import PATTERNS, Search, together_with

#: Fewer bytes are guessed.
_MIN_KEY_BYTES = 16


def recorder_for(
    section: Redact,
    rollouts: Mapping[str, str],
    on_found: Callable[[str], None] | None = None,
    *,
    keeps: Callable[[str], bool] | None = None,
) -> Recorder:
    """``rollouts``: candidate → rollout id. ``on_found`` is told the kind of everything that is replaced. What ``keeps`` says yes to is
    left as it is: it is a pseudonym already, say.

    Raises :class:`ConfigError` for a key or a path that cannot be used, :class:`~shadowproxy.errors.StartError` where Presidio is missing.
    """
    pseudonyms = Pseudonyms(_key(section))
    substitute: Substitute
    substitute = pseudonyms if on_found is None else _counted(pseudonyms, on_found)
    if keeps is not None:
        substitute = _keeping(substitute, keeps)
    redactor = Redactor(substitute, _search(section), _fields(section)) if section.bodies else None
    return Recorder(pseudonyms, redactor, section.headers, rollouts)


def _counted(pseudonyms: Pseudonyms, on_found: Callable[[str], None]) -> Callable[[str, str], str]:
    def substitute(kind: str, value: str) -> str:
        on_found(kind)
        return pseudonyms(kind, value)

    return substitute


def _keeping(substitute: Substitute, keeps: Callable[[str], bool]) -> Substitute:
    return lambda kind, value: value if keeps(value) else substitute(kind, value)


def _key(section: Redact) -> bytes:
    if section.key is None:
        return secrets.token_bytes(32)
    key = section.key.secret().encode()
    if not _MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        problem = f"has {len(key)} bytes, which is not within {_MIN_KEY_BYTES}..{MAX_KEY_BYTES}"
        raise ConfigError((ConfigProblem("journal.redact.key", "", problem, "make one with: openssl rand -hex 32"),))
    return key


def _fields(section: Redact) -> Fields:
    try:
        return Fields([places(path) for path in section.fields])
    except ValueError as exc:
        problem, _, remedy = str(exc).partition("; ")
        raise ConfigError((ConfigProblem("journal.redact.fields", "", problem, remedy),)) from exc


def _search(section: Redact) -> Search:
    if section.presidio is None:
        return PATTERNS
    from shadowproxy.journal.presidio import finder

    return together_with(finder(section.presidio))
