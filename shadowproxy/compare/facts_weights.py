"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py from SummEdits (news, samsum). PURE.

Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.
"""

from __future__ import annotations

WEIGHTS: dict[str, float] = {
    "intercept": -1.7487,
    "added_verb": -0.0287,
    "added_word": 0.4186,
    "changed": 3.3607,
    "edits": 0.0203,
    "fact_added": 0.7007,
    "function_edits": 0.4384,
    "kind_thing": 0.4888,
    "moved": 0.3333,
    "near_word": -0.3086,
    "only_edit": 0.6458,
    "opposite_word": 0.6315,
    "other_thing": 1.5834,
    "other_verb": 0.0107,
    "other_word": 0.5157,
    "same_word": -0.3871,
    "sibling_thing": 1.0564,
    "turned": 1.7387,
}
