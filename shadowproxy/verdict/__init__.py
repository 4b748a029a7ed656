"""Evidence and decision: what pairs add to mergeable counts, what counts prove, and what follows from it. PURE.

cells → evidence → gates → decision → document. ``strata`` says which routes are judged together, ``reasons`` and ``wording`` how a
verdict is said.
"""
