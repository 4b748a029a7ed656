"""A language model that says which of two answers is better: optional, blind, asked in both orders, within a budget.

contest → ``asking`` (two questions) → ``client`` → ``reading`` (two opinions) → ``preference``. ``judge`` is the shell around them,
``sampling``, ``arms`` and ``budget`` say what is asked at all, ``tally`` what the results say of the judge itself. Fed by ``shadow``, off
the path of every client; what it says of a pair becomes one paired difference among others.
"""
