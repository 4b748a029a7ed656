"""What the rules of the configuration have kept out of a comparison, rule by rule. PURE.

``structure`` and ``tools`` compare what the rules leave; this walks the same values once more and counts what they took. ``pair`` puts the
counts beside the comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from shadowproxy.compare.json_values import document
from shadowproxy.compare.rules import Rules, suppressed
from shadowproxy.compare.tools import match
from shadowproxy.exchange import Choice


def suppressed_by(rules: Rules, primary: Choice, other: Choice) -> Mapping[str, int]:
    """Differences between two choices that rules have taken out, by rule; rules that took out none are absent.

    Counted are places (in a JSON text, in the arguments of calls that belong together, or the plain text as one) at which both sides
    differed before the rule and no longer do after it.
    """
    if not rules.rules:
        return {}
    counts = _in_texts(rules, primary.text, other.text)
    matched = match(primary, other, rules)
    for one, two in (*matched.same, *matched.altered):
        counts.update(suppressed(one.arguments, two.arguments))
    return counts


def _in_texts(rules: Rules, primary_text: str, other_text: str) -> Counter[str]:
    primary, other = document(primary_text), document(other_text)
    if primary is not None and other is not None and isinstance(primary.value, dict | list):
        return suppressed(rules.json(primary.value), rules.json(other.value))
    return suppressed(rules.text(primary_text), rules.text(other_text))
