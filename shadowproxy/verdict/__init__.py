"""Evidence and decision: what pairs add to mergeable counts, what counts prove, and what follows from it. PURE.

The way of the data: ``limits`` and ``reductions`` (one pair → the cell of each check) → ``cells`` (counters, by route and by ``slices``) →
``units`` (one session, one observation) → ``evidence`` (counts → e-values) → ``findings`` (by ``gates`` and ``strata``) → ``case`` →
``decision`` → ``document``. ``checks`` is the alphabet, ``reasons`` and ``wording`` say it to people, ``splits`` watches who got in,
``planning`` looks ahead, ``schema`` describes the document to others.
"""
