"""Yesterday's requests against tomorrow's model: a journal in, the same mirror, comparator and verdict as live.

``catalogue`` finds what can be asked and in which order, ``pace`` says when, ``lanes`` ask the arms, ``work`` keeps every answer at once,
``comparing`` compares on other cores, ``judging`` counts the compared pairs in the order of the requests. Each step leaves what it did on
the disk, so a run that was killed goes on where it was, and shards that ran apart are judged as one.
"""
