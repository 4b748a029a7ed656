"""What one look at a source brings: cumulative counts, told apart by the boot that counted them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from shadowproxy.counts import BOOT, METRICS, CountKey, Metric

#: What a verdict is made of: whatever is exported by boot.
EVIDENCE: Mapping[str, Metric] = MappingProxyType({each.name: each for each in METRICS if each.is_per_boot})


@dataclass(frozen=True, slots=True)
class Reading:
    """``at_s`` is Unix time by the source's clock. ``boots`` holds, for every boot that was seen, the present values of its counts; of a
    boot that has ended, the last. ``live`` are the boots that answered lately: only theirs are pairs still on their way.

    Of a rollout older than ``reach_s`` this source may have forgotten some. ``problems`` says in words what this look could not see, by
    rollout; what stands under "" is about all of them.
    """

    at_s: float
    boots: Mapping[str, Mapping[CountKey, float]]
    live: frozenset[str]
    reach_s: float = math.inf
    problems: tuple[tuple[str, str], ...] = ()


def rollout_of(key: CountKey) -> str:
    """The rollout that a count is about; "" where it is about all that its boot does."""
    return key[1] if EVIDENCE[key[0]].labels[:1] == ("rollout",) else ""


class Source(Protocol):
    """Somewhere to look."""

    async def read(self, rollouts: tuple[str, ...]) -> Reading:
        """The counts of these rollouts. Raises :class:`~shadowproxy.errors.NoAnswer`."""

    async def close(self) -> None: ...


def by_boot(
    samples: Iterable[tuple[Metric, Mapping[str, str], float]],
) -> tuple[dict[str, dict[CountKey, float]], tuple[tuple[str, str], ...]]:
    """Samples sorted by their boot, and the problems with those that name none.

    An older ``serve`` does not say which boot counted, and a scrape configuration may drop the label; several boots then look like one.
    """
    boots: dict[str, dict[CountKey, float]] = {}
    nameless: set[str] = set()
    for metric, labels, value in samples:
        if labels.get(BOOT):
            key = (metric.name, *(labels.get(label, "") for label in metric.labels))
            boots.setdefault(labels[BOOT], {})[key] = value
        else:
            nameless.add(metric.name)
    remedy = f"came without the label {BOOT}; update serve, and keep the label when scraping"
    return boots, tuple(("", f"{name} {remedy}") for name in sorted(nameless))
