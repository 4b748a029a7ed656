"""The question that Prometheus is asked. PURE.

One expression, because its parts are evaluated over one state of the database: were pairs issued and pairs judged asked for one after the
other, a scrape in between would make pairs appear lost. Each part is marked with the label ``part``.

Counts are read with ``max_over_time``, never with ``increase`` or ``rate``: those extrapolate to the ends of the window and give fractions,
while the last value of a counter that restarts under a new ``boot`` is an exact integer, also of a process that is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from shadowproxy.counts import BOOT, PAIRS_ISSUED, ROLLOUT_STARTED, Metric
from shadowproxy.sources.reading import EVIDENCE

#: The label that says which part of the answer a series belongs to. Counts carry the name of their metric.
PART = "part"
#: The time of the evaluation.
NOW = "now"
#: Boots that were scraped lately.
LIVE = "live"
#: ``up`` of every target that ever showed counts of these rollouts.
TARGETS = "targets"
#: Time of the oldest sample of a rollout that is stored.
OLDEST = "oldest"

#: How many windows the first look goes back for the beginning of a rollout, to notice one that is older than the window. One series a boot.
_BEGINNING = 4

#: Step in seconds at which the oldest sample is looked for: the time over which Prometheus takes a sample to be the present one.
OLDEST_STEP_S = 300


def question(rollouts: Iterable[str], range_s: float, instances: Iterable[str], is_first: bool) -> str:
    """What to ask. ``range_s``: how far back counts are looked for. ``instances``: targets that showed counts before.

    ``is_first`` asks also for what a judge has to know when it starts: how old the rollouts are, and how old what is stored of them.
    """
    chosen = f"{{rollout=~{one_of(rollouts)}}}"
    # Whoever has issued a pair counts for these rollouts. Not whoever says when they began: that is said a moment later.
    issued, started = f"{PAIRS_ISSUED.name}{chosen}", f"{ROLLOUT_STARTED.name}{chosen}"
    back = f"[{round(range_s)}s]"
    far_back = f"[{round(range_s * _BEGINNING)}s]" if is_first else back
    parts = [
        (NOW, "vector(time())"),
        (ROLLOUT_STARTED.name, _by_boot(ROLLOUT_STARTED, f"min_over_time({started}{far_back})", "min")),
        *((metric.name, _counted(metric, chosen, issued, back)) for metric in EVIDENCE.values() if metric != ROLLOUT_STARTED),
        (LIVE, f"group by ({BOOT}) ({issued})"),
        (TARGETS, _targets(issued, back, instances)),
    ]
    if is_first:
        parts.append((OLDEST, f"min by (rollout) (min_over_time(timestamp({started}){far_back[:-1]}:{OLDEST_STEP_S}s]))"))
    return " or ".join(f'label_replace({expression}, "{PART}", "{part}", "", "")' for part, expression in parts)


def one_of(values: Iterable[str]) -> str:
    """A quoted regular expression that matches exactly these values."""
    text = "|".join(re.escape(value) for value in values)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _counted(metric: Metric, chosen: str, issued: str, back: str) -> str:
    """The last value of a counter, the present one of a gauge."""
    is_ours = "rollout" in metric.labels
    values = f"{metric.name}{chosen if is_ours else ''}"
    if metric.kind == "counter":
        values, issued = f"max_over_time({values}{back})", f"max_over_time({issued}{back})"
    if not is_ours:  # other deployments count that, too: only boots that count for these rollouts are meant
        values = f"{values} and on ({BOOT}) {issued}"
    # Of one process scraped by two jobs the newer counts, and the fewer pairs on their way: too few of these are taken for lost, which
    # holds; too many would hide a loss.
    return _by_boot(metric, values, "max" if metric.kind == "counter" else "min")


def _by_boot(metric: Metric, expression: str, of_two: str) -> str:
    """One value for each boot, however many jobs scrape it."""
    return f"{of_two} by ({', '.join(metric.exported_labels)}) ({expression})"


def _targets(issued: str, back: str, instances: Iterable[str]) -> str:
    known = [f"up{{instance=~{one_of(instances)}}}"] if (instances := tuple(instances)) else []
    seen = f"up and on (job, instance) group by (job, instance) (max_over_time({issued}{back}))"
    return f"max by (job, instance) ({' or '.join((seen, *known))})"
