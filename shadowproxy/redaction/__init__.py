"""What must not be seen of a text: personal data and secrets. PURE.

``detectors`` finds them, where ``screen`` and ``signs`` say that there may be some, and in the ``windows`` in which they can be.
``masking`` puts typed placeholders in their place (for people who look), ``pseudonyms`` puts plausible values of the same form (for files
that are compared and replayed). ``bodies`` knows what a body is made of: JSON, a stream of events (``streams``, ``gathering``), plain text.
"""
