"""``shadowproxy replay merge``: the work folders of all shards, judged as one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shadowproxy.config import Config
from shadowproxy.errors import InputError
from shadowproxy.journal.sealing import unsealer
from shadowproxy.replay.command import VERSION, judged
from shadowproxy.replay.judging import Judged
from shadowproxy.replay.plan import plan_of
from shadowproxy.replay.work import About, about

#: Shards that import a capture redact it each under a key of its own, unless there is one for all.
_OF_A_CAPTURE = "(a capture that is no journal: import it first, or configure journal.redact.key)"


@dataclass(frozen=True, slots=True)
class Merged:
    """The verdict on everything, what the shards had to say, and the digest of the requests with their number."""

    judged: Judged
    notes: tuple[str, ...]
    source: str
    total: int


def merge(folders: Sequence[Path], config: Config, identities: Sequence[Path] = ()) -> Merged:
    """Folders are only read. Raises :class:`InputError` where they do not belong together or to this configuration, or one is missing or
    not done."""
    shares = _ordered([(folder, _about(folder)) for folder in folders])
    first = shares[0][1]
    _check(config, *shares[0])
    verdict = judged(config, [folder for folder, _ in shares], first, unsealer(identities))
    return Merged(verdict, _notes([each for _, each in shares]), first.source, first.requests)


def _check(config: Config, folder: Path, about: About) -> None:
    """Gates and the rule of decision may be others than when the shares ran; what was asked and how it was compared may not."""
    parts = plan_of(config, about.recorded, VERSION).parts
    names = sorted({name for name in {*parts, *about.parts} if parts.get(name) != about.parts.get(name)})
    if names:
        raise InputError(
            f"{folder}: was asked or compared by another {', '.join(names)} than this configuration has; merge with that of its run"
        )


def _about(folder: Path) -> About:
    found = about(folder)
    if found is None:
        raise InputError(f"{folder}: is no work folder of a replay; give the folders that --work named")
    if not found.is_done:
        raise InputError(f"{folder}: share {found.share} is not done; run its replay to the end")
    return found


def _ordered(found: Sequence[tuple[Path, About]]) -> list[tuple[Path, About]]:
    """By share. Every share once, all of the same requests, asked and compared alike."""
    by_index = {each.share.index: (folder, each) for folder, each in found}
    folder, first = found[0]
    for other, each in found[1:]:
        if (each.source, each.requests, each.share.of) != (first.source, first.requests, first.share.of):
            raise InputError(f"{other}: is a share of other requests than {folder}; merge the shards of one replay {_OF_A_CAPTURE}")
        if each.by != first.by:
            raise InputError(
                f"{other}: was asked or compared in another way than {folder}; run both with the same configuration and version"
            )
    missing = [index for index in range(1, first.share.of + 1) if index not in by_index]
    if missing:
        raise InputError(f"share {missing[0]}/{first.share.of} is missing; give the work folders of all {first.share.of} shards")
    if len(by_index) < len(found):
        raise InputError("a share is given twice; give each work folder once")
    return [by_index[index] for index in sorted(by_index)]


def _notes(shares: Sequence[About]) -> tuple[str, ...]:
    """What all say once, and what one says alone with its share."""
    said: list[str] = []
    for each in shares:
        for note in each.notes:
            is_common = all(note in other.notes for other in shares)
            told = note if is_common else f"share {each.share}: {note}"
            if told not in said:
                said.append(told)
    return tuple(said)
