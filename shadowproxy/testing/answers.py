"""Recorded answers of a real small LLM: the prompts, several draws of each per variant, and the timing of every piece.

Loads ``recordings/``; ``recorded`` plays what is here over HTTP, and whoever needs realistic prompts takes them from
:attr:`Recordings.prompts`. What made the recordings stands in their first line (:attr:`Recordings.origin`).
"""

from __future__ import annotations

import gzip
import hashlib
import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shadowproxy.errors import StartError

FOLDER = Path(__file__).with_name("recordings")
ANSWERS = FOLDER / "smollm2.jsonl.gz"
PROMPTS = FOLDER / "prompts.json"

#: Vocabulary of :func:`improvise`. Plain words, so that an improvised answer reads as text and has something to compare.
_WORDS = (
    *(
        "about",
        "after",
        "again",
        "answer",
        "before",
        "bring",
        "call",
        "carry",
        "change",
        "clear",
        "close",
        "come",
        "every",
        "first",
        "follow",
    ),
    *("give", "good", "great", "help", "keep", "large", "later", "leave", "little", "long", "never", "night", "order", "other", "paper"),
    *(
        "place",
        "plain",
        "point",
        "quick",
        "right",
        "river",
        "round",
        "short",
        "small",
        "start",
        "still",
        "stone",
        "table",
        "thank",
        "their",
    ),
    *("thing", "today", "under", "until", "water", "which", "while", "white", "work", "world", "write"),
)
_IMPROVISED_TTFT_S = 0.1  # both near the recorded medians, so that unknown prompts do not stand out by their timing
_IMPROVISED_GAP_S = 0.007


class Prompt(msgspec.Struct, frozen=True):
    """One question of the recorded workload."""

    id: str
    kind: str
    max_tokens: int
    user: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One streamed piece of an answer and the time since the piece before it (the first: since the request)."""

    gap_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Draw:
    """One complete answer as it was once given."""

    pieces: tuple[Piece, ...]
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


class _PromptFile(msgspec.Struct, frozen=True):
    prompts: tuple[Prompt, ...]


class _Line(msgspec.Struct, frozen=True):
    """One line of the recordings after the first. Pieces are (gap in milliseconds, text); usage is (prompt, completion) tokens."""

    prompt_id: str
    variant: str
    draw: int
    pieces: tuple[tuple[float, str], ...]
    finish_reason: str
    usage: tuple[int, int]

    def as_draw(self) -> Draw:
        pieces = tuple(Piece(gap_ms / 1000, text) for gap_ms, text in self.pieces)
        return Draw(pieces, self.finish_reason, *self.usage)


def normalised(text: str) -> str:
    """The form in which prompts are compared: case and white space do not matter."""
    return " ".join(text.split()).casefold()


class Recordings:
    """Prompts and their recorded draws by variant."""

    def __init__(self, prompts: tuple[Prompt, ...], draws: Mapping[tuple[str, str], tuple[Draw, ...]], origin: Mapping[str, Any]) -> None:
        self.prompts = prompts
        self.origin = origin
        self._draws = draws
        self._by_text = {normalised(prompt.user): prompt for prompt in prompts}

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(sorted({variant for _, variant in self._draws}))

    def find(self, user: str) -> Prompt | None:
        """The prompt with this text, or None."""
        return self._by_text.get(normalised(user))

    def draws(self, prompt_id: str, variant: str) -> tuple[Draw, ...]:
        """All draws of one prompt, in the order of recording. Raises :class:`KeyError` for an unknown prompt or variant."""
        return self._draws[prompt_id, variant]


def load(answers: Path = ANSWERS, prompts: Path = PROMPTS) -> Recordings:
    """Read the recordings. Raises :class:`StartError` where they are missing or damaged."""
    try:
        known = msgspec.json.decode(prompts.read_bytes(), type=_PromptFile).prompts
        first, *lines = gzip.decompress(answers.read_bytes()).splitlines()
        origin = msgspec.json.decode(first, type=dict[str, Any])
        pools: dict[tuple[str, str], list[Draw]] = {}
        for line in msgspec.json.Decoder(_Line).decode_lines(b"\n".join(lines)):
            pools.setdefault((line.prompt_id, line.variant), []).append(line.as_draw())
    except (OSError, EOFError, ValueError, zlib.error, msgspec.MsgspecError) as exc:
        raise StartError(f"the recorded answers cannot be read ({exc}); reinstall the package") from exc
    return Recordings(known, {key: tuple(pool) for key, pool in pools.items()}, origin)


def improvise(user: str) -> Draw:
    """An answer to a prompt that was never recorded: the same words for the same prompt, always."""
    digest = hashlib.sha256(normalised(user).encode()).hexdigest()
    dice = random.Random(digest)  # noqa: S311 - words of a fake, not a secret
    words = dice.choices(_WORDS, k=dice.randint(12, 40))
    rest = (*(f" {word}" for word in words[1:]), ".")
    pieces = (Piece(_IMPROVISED_TTFT_S, words[0].capitalize()), *(Piece(_IMPROVISED_GAP_S, text) for text in rest))
    return Draw(pieces, "stop", prompt_tokens=max(1, len(user.split())), completion_tokens=len(pieces))
