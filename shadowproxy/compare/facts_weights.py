"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py from SummEdits (news, samsum). PURE.

Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.
"""

from __future__ import annotations

WEIGHTS: dict[str, float] = {
    "intercept": -1.8282,
    "added_verb": -0.1987,
    "added_word": 0.4007,
    "changed": 3.3328,
    "edits": 0.1479,
    "fact_added": 0.7750,
    "function_edits": 0.5003,
    "kind_thing": 0.4128,
    "moved": 0.2639,
    "near_word": -0.3011,
    "only_edit": 0.6606,
    "opposite_word": 0.4783,
    "other_thing": 1.4601,
    "other_verb": -0.0101,
    "other_word": 0.4677,
    "same_word": -0.4617,
    "sibling_thing": 1.3463,
    "turned": 1.3105,
}
