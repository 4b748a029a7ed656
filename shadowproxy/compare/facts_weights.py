"""What each kind of evidence weighs for a changed fact. Written by scripts/train_facts.py from SummEdits (news, samsum). PURE.

Per square root of a count of ``compare.evidence``; positive speaks for a changed fact, negative for other words of the same.
"""

from __future__ import annotations

INTERCEPT = -0.0992

WEIGHTS: dict[str, float] = {
    "added_adj": 0.0127,
    "added_adv": 0.0046,
    "added_noun": 0.4594,
    "added_verb": -0.2717,
    "antonym": 1.0903,
    "antonyms": 0.5416,
    "derived": -0.3580,
    "edits": 0.0673,
    "function_edits": 0.5747,
    "kind_noun": -0.3828,
    "kind_thing": 0.4582,
    "kind_verb": -0.3301,
    "moved": 0.3353,
    "name": 3.4483,
    "name_added": 0.7373,
    "negation": 1.5464,
    "number": 3.2267,
    "number_added": 0.8268,
    "only_edit": 0.6070,
    "other_adj": 0.5714,
    "other_adv": 0.4449,
    "other_mixed": 0.6838,
    "other_noun": 0.4042,
    "other_thing": 1.4603,
    "other_verb": -0.0232,
    "sibling_noun": 0.1998,
    "sibling_thing": 1.3978,
    "sibling_verb": 0.0155,
    "similar": 0.1187,
    "synonym": -0.4510,
    "unknown": 0.5470,
}
