"""What comparators need besides the pair: the configured rules, prices and extensions, and knowledge that takes a while to load. PURE.

Built once per process by ``comparing`` and handed to every comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shadowproxy.compare.cost import PriceTable
from shadowproxy.compare.custom import Comparator
from shadowproxy.compare.language import Detector
from shadowproxy.compare.rules import Rules
from shadowproxy.compare.words import NO_LEXICON, Lexicon


@dataclass(frozen=True, slots=True)
class Means:
    """Without a ``detector`` languages are not compared; ``tells_language`` has them told of every answer, not only where two differ. An
    empty ``lexicon`` knows no two words that mean the same."""

    rules: Rules = field(default_factory=Rules)
    prices: PriceTable = field(default_factory=PriceTable)
    detector: Detector | None = None
    tells_language: bool = False
    lexicon: Lexicon = NO_LEXICON
    custom: tuple[Comparator, ...] = ()
