"""The commands that work on recorded answers: no server is asked and no model judged live, but the same comparator and the same verdict.

``lines`` reads files line by line, ``given`` turns what people write into exchanges and answers, ``comparing`` runs pairs through the
embedder and the comparators, the modules named after commands print what comes of it.
"""
