"""What others have captured, as exchanges. One module a format.

Each has ``read(files)``, which yields the primary's exchange of every request, or an ``Unusable`` that says what could not be used, where
and why; and ``fits(value)``, which knows the format by the first JSON value of a file. ``formats`` is the list of them.
"""
