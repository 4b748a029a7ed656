"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py from SummEdits (news, samsum). PURE.

Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.
"""

from __future__ import annotations

WEIGHTS: dict[str, float] = {
    "intercept": -1.7456,
    "added_verb": -0.0231,
    "added_word": 0.4151,
    "changed": 3.3652,
    "edits": 0.0181,
    "fact_added": 0.7005,
    "function_edits": 0.4323,
    "kind_thing": 0.4876,
    "moved": 0.3321,
    "near_word": -0.3069,
    "only_edit": 0.6466,
    "opposite_word": 0.6481,
    "other_thing": 1.5830,
    "other_verb": 0.0144,
    "other_word": 0.5186,
    "same_word": -0.3890,
    "sibling_thing": 1.0544,
    "turned": 1.7325,
}
