"""What is kept of an answer: redacted before it reaches the disk, and compared as it stands there.

A capture holds pseudonyms already, and a model that is asked about one says it again. What stands in the request or in the recorded answer
is left as it is, or the same address would have two names in one pair.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from shadowproxy.config import Redact, Secret
from shadowproxy.exchange import Exchange
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.journal.redacting import recorder_for

_KEY = "key"


class Keeper:
    """Makes records of exchanges. ``rollouts``: candidate → rollout id."""

    def __init__(self, section: Redact, rollouts: Mapping[str, str]) -> None:
        """Raises as :func:`recorder_for` does."""
        self.replaced = 0
        self._known = ""
        self._recorder = recorder_for(section, rollouts, self._count, keeps=self._is_known)

    @property
    def key_id(self) -> str:
        return self._recorder.key_id

    def __call__(self, exchange: Exchange, known: Record) -> ArmRecord:
        """What this arm did, as it is kept beside ``known``."""
        self._known = f"{known.target}\n{known.body.text}\n{known.primary.body.text}"
        return self._recorder.arm(exchange)

    def _is_known(self, value: str) -> bool:
        return value in self._known

    def _count(self, kind: str) -> None:
        self.replaced += 1


def keyed(section: Redact, folder: Path) -> Redact:
    """The section with a key that outlives this process: the configured one, or one of this work folder until the replay is done."""
    if section.key is not None or not section.bodies:
        return section
    path = folder / _KEY
    if not path.exists():
        part = folder / f"{_KEY}.part"
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        part.rename(path)
    return section.model_copy(update={"key": Secret(file=path)})


def forget_key(folder: Path) -> None:
    """Everything is answered: without the key nobody can try values."""
    (folder / _KEY).unlink(missing_ok=True)
