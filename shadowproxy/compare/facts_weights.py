"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py from SummEdits (news, samsum). PURE.

Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.
"""

from __future__ import annotations

WEIGHTS: dict[str, float] = {
    "intercept": -1.9119,
    "added_verb": -0.1316,
    "added_word": 0.4070,
    "changed": 3.3770,
    "edits": 0.1115,
    "fact_added": 0.7313,
    "function_edits": 0.4520,
    "kind_thing": 0.4906,
    "moved": 0.2850,
    "near_word": -0.2685,
    "only_edit": 0.7144,
    "opposite_word": 0.6400,
    "other_thing": 1.5805,
    "other_verb": 0.0589,
    "other_word": 0.5193,
    "same_word": -0.4064,
    "sibling_thing": 1.0637,
    "turned": 1.7212,
}
