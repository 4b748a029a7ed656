"""Closed classes of English words that facts hang on: negations, quantifiers, words that exclude each other. PURE."""

from __future__ import annotations

from shadowproxy.compare.words import listed

#: Words that deny. Prefixes (``unable``) are the lexicon's business: they make antonyms.
NEGATIONS = frozenset(listed("no not never none nothing nobody nowhere neither nor without cannot hardly barely scarcely rarely seldom"))

#: Words that deny what they stand with, without being a negation: where one side adds one of these, it says the contrary.
DENIALS = frozenset(
    listed(
        """fail refuse deny lack prevent avoid stop cease ban forbid prohibit reject exclude neglect omit ignore withhold discourage
        dissuade hinder deter refrain resist oppose doubt disallow abandon incapable unable impossible unlikely unnecessary unneeded
        nonexistent devoid absent missing despite except excluding instead false almost"""
    )
)

#: Function words that say how many, how sure, which bound, where, when; each class with those it excludes.
_CLASSES = {
    "all": "all every each always entire everyone everybody everything both whole completely fully",
    "some": "some several sometimes someone somebody partly partially",
    "few": "few little rarely seldom hardly infrequently occasionally",
    "most": "most mostly usually often frequently routinely commonly typically generally many much",
    "none": "no none never nobody nothing neither",
    "yes": "yes",
    "less": "less fewer below under maximum",
    "more": "more above over minimum",
    "almost": "almost nearly",
    "least": "least",
    "must": "must shall required have",
    "may": "may might could possibly maybe perhaps optionally",
    "before": "before",
    "after": "after",
    "inside": "in inside within into",
    "outside": "out outside beyond",
    "up": "up",
    "down": "down",
    "on": "on",
    "off": "off",
    "with": "with",
    "without": "without",
    "from": "from",
    "to": "to toward towards",
    "he": "he him his himself",
    "she": "she her hers herself",
    "first": "first",
    "last": "last final",
}
CLASS_OF = {word: name for name, words in _CLASSES.items() for word in listed(words)}
QUANTIFIERS = frozenset({"all", "some", "few", "most", "none", "less", "more", "almost", "least", "must", "may"})
EXCLUDED = frozenset(
    frozenset(listed(pair))
    for pair in (
        "all some",
        "all few",
        "all most",
        "all none",
        "some none",
        "most none",
        "most few",
        "few none",
        "less more",
        "almost more",
        "least most",
        "almost all",
        "must may",
        "before after",
        "inside outside",
        "up down",
        "yes none",
        "on off",
        "with without",
        "from to",
        "he she",
        "first last",
    )
)

#: WordNet's fields whose words name things that can be pointed at: another of them is another thing.
CONCRETE = frozenset(
    f"noun.{name}" for name in listed("food animal artifact body location person plant substance time quantity possession object group")
)

#: What the most frequent names are also called: no rule derives these.
ALIASES = (
    frozenset({"us", "usa", "america", "american", "americans", "united", "states"}),
    frozenset({"uk", "britain", "british", "britons", "united", "kingdom", "great"}),
    frozenset({"eu", "european", "europe", "union"}),
    frozenset({"un", "united", "nations"}),
)
