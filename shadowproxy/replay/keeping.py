"""What is kept of an answer: redacted before it reaches the disk, and compared as it stands there.

A capture holds pseudonyms already, and a model that is asked about one says it again. What is found in the request or in the recorded
answer, too, is left as it is, or the same address would have two names in one pair.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from shadowproxy.config import Redact, Secret
from shadowproxy.exchange import Exchange
from shadowproxy.journal.records import ArmRecord, Record
from shadowproxy.journal.redacting import recorder_for
from shadowproxy.replay.work import put

_KEY = "key"


class Keeper:
    """Makes records of exchanges. ``rollouts``: candidate → rollout id."""

    def __init__(self, section: Redact, rollouts: Mapping[str, str]) -> None:
        """Raises as :func:`recorder_for` does."""
        self.replaced = 0
        self._known: Record | None = None
        self._finds: frozenset[str] | None = None
        self._recorder = recorder_for(section, rollouts, self._count, keeps=self._is_known)

    @property
    def key_id(self) -> str:
        return self._recorder.key_id

    def __call__(self, exchange: Exchange, known: Record) -> ArmRecord:
        """What this arm did, as it is kept beside ``known``."""
        if known is not self._known:
            self._known, self._finds = known, None
        return self._recorder.arm(exchange)

    def _is_known(self, value: str) -> bool:
        """Whole finds are compared: an address may be the end of another one that is known."""
        if self._finds is None:  # most answers hold nothing, and what is known is not searched for them
            self._finds = self._recorder.finds(self._known) if self._known is not None else frozenset()
        return value in self._finds

    def _count(self, kind: str) -> None:
        self.replaced += 1


def keyed(section: Redact, folder: Path) -> Redact:
    """The section with a key that outlives this process: the configured one, or one of this work folder:
    answers of different runs meet in one pair. Raises :class:`~shadowproxy.errors.StartError` where it cannot be written."""
    if section.key is not None or not section.bodies:
        return section
    path = folder / _KEY
    if not path.exists():
        put(path, secrets.token_hex(32).encode())
    return section.model_copy(update={"key": Secret(file=path)})
