"""What comparators need besides the pair, checked and loaded as the configuration says.

Loaded once per process, off the event loop: it takes a second.
"""

from __future__ import annotations

from shadowproxy import lexicon
from shadowproxy.compare.cost import Price, PriceTable
from shadowproxy.compare.means import Means
from shadowproxy.compare.rules import Rules, read_rules
from shadowproxy.config import Compare, Config
from shadowproxy.detect import load_detector
from shadowproxy.errors import ConfigError, ConfigProblem
from shadowproxy.extensions import load_comparators
from shadowproxy.wire.custom import CustomDialects, DialectSpec


def load_means(section: Compare, *, tells_language: bool = False) -> Means:
    """Rules, prices, extensions and knowledge.

    Raises :class:`ConfigError` for what cannot be meant, :class:`~shadowproxy.errors.StartError` where an extension is missing or broken.
    """
    return Means(
        rules=rules_of(section),
        prices=prices_of(section),
        detector=load_detector() if section.languages else None,
        tells_language=tells_language,
        lexicon=lexicon.load(),
        custom=load_comparators(section.comparators),
    )


def check(config: Config) -> None:
    """The same as far as it takes no time, for a supervisor that compares nothing itself."""
    rules_of(config.compare)
    prices_of(config.compare)
    dialects_of(config)
    load_comparators(config.compare.comparators)


def dialects_of(config: Config) -> CustomDialects | None:
    """What the operator says of servers that speak a dialect of their own. Raises :class:`ConfigError` with every bad expression."""
    if not config.dialects:
        return None
    return CustomDialects(DialectSpec(**each.model_dump()) for each in config.dialects)


def rules_of(section: Compare) -> Rules:
    """The rules, read. Raises :class:`ConfigError` that names the first one that cannot be used."""
    try:
        return read_rules([rule.model_dump(exclude_none=True) for rule in section.rules])
    except ValueError as exc:
        raise _problem("compare.rules", exc) from exc


def prices_of(section: Compare) -> PriceTable:
    """The price table. Raises :class:`ConfigError`."""
    try:
        prices = tuple(Price(each.model, each.prompt, each.completion) for each in section.prices.models)
    except ValueError as exc:
        raise _problem("compare.prices", exc) from exc
    return PriceTable(section.prices.currency, prices)


def _problem(key: str, exc: ValueError) -> ConfigError:
    problem, _, remedy = str(exc).removeprefix("rules").partition("; ")
    where, _, what = problem.partition(": ")
    return ConfigError(
        (ConfigProblem(key + where, "", what, remedy),) if where.startswith("[") else (ConfigProblem(key, "", problem, remedy),)
    )
