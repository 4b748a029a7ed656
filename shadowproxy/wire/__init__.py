"""Bytes → meaning: what an arm's reply says, whatever carried it. PURE.

``transfer`` undoes HTTP codings, ``sse`` splits event streams, one file per dialect (``chat``, ``generic``) reads the meaning, and
``reading`` picks the dialect. Before it on the data's way: whoever saw the exchange. After it: ``compare``.
"""
