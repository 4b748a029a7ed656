"""A pair of exchanges (and vectors, where there are any) to divergences and one similarity. PURE.

``pair`` puts a comparison together from one module per kind of difference: ``outcome``, ``text``, ``latency``. ``kinds`` lists what they
can report. ``wire`` comes before, ``verdict`` after.
"""
