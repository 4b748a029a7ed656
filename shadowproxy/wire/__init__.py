"""Bytes → meaning: what a request asks for and what an arm's reply says, whatever carried it. PURE.

``transfer`` undoes HTTP codings, ``sse`` splits event streams, and ``reading`` picks the dialect by the path. Each dialect is one file:
``chat``, ``completions``, ``responses``, ``messages``, ``ollama``, ``generate``, ``embeddings``, ``rerank``, ``predict``, ``infer``,
``images``, ``speech``, ``custom`` for JSON that the configuration describes, and ``generic`` for all that is left. They share the walk
over a reply (``collector``), the choice under construction (``drafts``) and digests (``media``). ``asked`` reads requests, ``detect``
bodies of which nothing else is known. Before it on the data's way: whoever saw the exchange. After it: ``compare``.
"""
