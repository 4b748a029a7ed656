"""Which routes and slices are judged on their own and which together. PURE.

Between ``cells`` (counts per route) and ``decision`` (which wants every stratum shown to be within every margin). Pairs never mix
routes, so weights cannot turn a sign (Simpson); but one total would hide a small route that got worse behind a large one that did not.

The split is computed from the counts each time, without memory. What that does and does not cost:

* No evidence is lost. An e-value is a function of a stratum's counts since the first pair; a route that moves takes all its counts along.
* The split depends on which routes requests came by and never on an answer, so at each look every stratum's e-value is a
  valid e-value for that stratum, and a route that stays on its own has one e-process throughout: the full guarantee.
* Only a pool whose members change gets a new e-process with each change, so its error rate is bounded by alpha times the number of
  different pools it has been. Pools change only while a share wanders across ``MIN_SHARE``, and neighbouring pools share most of
  their pairs, so the excess over alpha is small; a rule that stops all wandering would need memory, which counts do not have.
"""

from __future__ import annotations

from collections.abc import Mapping

from shadowproxy.verdict.slices import OTHER, dimension_of

#: Share of all pairs from which on a route is judged on its own. 5 %: a smaller route would hold back a promotion for more than
#: twenty times the pairs it needs by itself.
MIN_SHARE = 0.05


def stratum_of(pairs: Mapping[str, int], min_share: float = MIN_SHARE) -> dict[str, str]:
    """Route → label of its stratum, from the pairs of each route. Routes without pairs are in no stratum.

    Routes under ``min_share`` are pooled as ``other``, and a route that is itself called so with them. Where even the pool is under it, the
    pool joins the smallest stratum, as ``<route> + other``: it stays guarded, but one stray request cannot hold back a promotion for ever.
    """
    seen = {route: n for route, n in pairs.items() if n > 0}
    bar = min_share * sum(seen.values())
    own = {route: n for route, n in seen.items() if n >= bar and route != OTHER}
    pooled = {route: n for route, n in seen.items() if route not in own}
    labels = {route: route for route in own} | dict.fromkeys(pooled, OTHER)
    if own and pooled and sum(pooled.values()) < bar:
        host = min(own, key=lambda route: (own[route], route))
        labels |= dict.fromkeys((host, *pooled), f"{host} + {OTHER}")
    return labels


def slice_strata(pairs: Mapping[str, int], total: int, min_share: float = MIN_SHARE) -> dict[str, str]:
    """Label (``dimension=value``) → label of its stratum, from the pairs of each label and those of the whole rollout.

    Within a dimension, labels under ``min_share`` of all pairs are pooled as ``dimension=other``. A pool that is itself under it is in no
    stratum, and neither is a dimension with one stratum only: the routes already guard all of its pairs.
    """
    strata: dict[str, str] = {}
    for dimension in {dimension_of(label) for label in pairs}:
        members = {label: n for label, n in pairs.items() if n > 0 and dimension_of(label) == dimension}
        strata |= _strata_of_dimension(dimension, members, min_share * total)
    return strata


def _strata_of_dimension(dimension: str, pairs: Mapping[str, int], bar: float) -> dict[str, str]:
    other = f"{dimension}={OTHER}"
    own = {label: label for label, n in pairs.items() if n >= bar and label != other}
    pooled = [label for label in pairs if label not in own]
    found = own | (dict.fromkeys(pooled, other) if pooled and sum(pairs[label] for label in pooled) >= bar else {})
    return found if len(set(found.values())) > 1 else {}
