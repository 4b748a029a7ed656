"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py from SummEdits (news, samsum). PURE.

Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.
"""

from __future__ import annotations

WEIGHTS: dict[str, float] = {
    "intercept": -1.8137,
    "added_verb": -0.1857,
    "added_word": 0.4086,
    "changed": 3.3553,
    "edits": 0.0785,
    "fact_added": 0.7503,
    "function_edits": 0.5105,
    "kind_thing": 0.4375,
    "moved": 0.2820,
    "near_word": -0.2714,
    "only_edit": 0.6739,
    "opposite_word": 0.5186,
    "other_thing": 1.5002,
    "other_verb": 0.0316,
    "other_word": 0.4954,
    "same_word": -0.4202,
    "sibling_thing": 1.3768,
    "turned": 1.3516,
}
