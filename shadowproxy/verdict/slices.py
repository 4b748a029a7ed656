"""Labels of slices: which tenant, language or length of prompt a pair belongs to, in few enough values to count. PURE.

Comes before ``cells``. A slice is ``dimension=value``. Values come from requests, so from anybody: they are cut to a line, and only
the first of them get a label of their own.
"""

from __future__ import annotations

#: Value of everything that has no label, or no stratum, of its own.
OTHER = "other"

#: Characters of a value that are kept: a tenant or model name. Labels go into metrics and tables.
_VALUE_CHARACTERS = 48

#: Labels of a dimension before the rest is ``other``. At a share of 5 % each, no more than 20 can be judged on their own anyway.
MAX_LABELS = 20

#: Prompt lengths that are told apart, in characters: about 250, 1 000, 4 000 and 16 000 tokens.
_LENGTHS = ((1_000, "under_1k"), (4_000, "1k_4k"), (16_000, "4k_16k"), (64_000, "16k_64k"))


def slice_label(dimension: str, value: str) -> str:
    """``language=de``. What is not printable, or not there, is said to be so."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in value[:_VALUE_CHARACTERS])
    return f"{dimension}={shown or 'none'}"


def yes_no(dimension: str, is_so: bool) -> str:
    """``tools=yes``."""
    return f"{dimension}={'yes' if is_so else 'no'}"


def length_label(dimension: str, characters: int) -> str:
    """``prompt=1k_4k``: the range that a number of characters is in."""
    return f"{dimension}={next((name for limit, name in _LENGTHS if characters < limit), 'from_64k')}"


def dimension_of(label: str) -> str:
    return label.partition("=")[0]


def bounded(label: str, known: frozenset[str], limit: int = MAX_LABELS) -> tuple[str, frozenset[str]]:
    """``label``, or ``dimension=other`` once ``limit`` labels are ``known``; and what is known after it.

    ``known`` holds the labels of one dimension, and belongs to the caller: it starts empty and is passed on. The first come get the labels,
    which looks at no answer; a process that restarts may give them to others, so the number of labels is bounded per process.
    """
    if label in known:
        return label, known
    if len(known) >= limit:
        return f"{dimension_of(label)}={OTHER}", known
    return label, known | {label}
