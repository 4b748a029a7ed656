"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py from SummEdits (news, samsum). PURE.

Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.
"""

from __future__ import annotations

WEIGHTS: dict[str, float] = {
    "intercept": -1.8139,
    "added_verb": -0.0164,
    "added_word": 0.4217,
    "changed": 3.3803,
    "edits": 0.0283,
    "fact_added": 0.7074,
    "function_edits": 0.4101,
    "kind_thing": 0.5137,
    "moved": 0.3622,
    "near_word": -0.3022,
    "only_edit": 0.6723,
    "opposite_word": 1.2231,
    "other_thing": 1.6141,
    "other_verb": 0.0214,
    "other_word": 0.5379,
    "same_word": -0.3758,
    "sibling_thing": 1.0789,
    "turned": 1.8960,
}
