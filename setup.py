"""Compiles the data path with mypyc when a wheel is built. The same source runs interpreted where there is no C compiler.

``SHADOWPROXY_COMPILE``: ``auto`` (default) compiles if it can, ``yes`` fails if it cannot, ``no`` does not try. An editable install is
never compiled: an edit would be shadowed by the compiled module beside it.
"""

from __future__ import annotations

import os
import sys

from setuptools import setup

#: What runs for every request or every pair. Composition, configuration and everything that waits stays interpreted.
COMPILED = [
    "shadowproxy/exchange.py",
    "shadowproxy/tasks.py",
    "shadowproxy/counts.py",
    "shadowproxy/bookkeeping.py",
    "shadowproxy/shadow.py",
    "shadowproxy/spending.py",
    "shadowproxy/wire/chat.py",
    "shadowproxy/wire/decoded.py",
    "shadowproxy/wire/failures.py",
    "shadowproxy/wire/fields.py",
    "shadowproxy/wire/generic.py",
    "shadowproxy/wire/mesh.py",
    "shadowproxy/wire/paths.py",
    "shadowproxy/wire/reading.py",
    "shadowproxy/wire/sse.py",
    "shadowproxy/wire/transfer.py",
    "shadowproxy/compare/kinds.py",
    "shadowproxy/compare/latency.py",
    "shadowproxy/compare/outcome.py",
    "shadowproxy/compare/pair.py",
    "shadowproxy/compare/text.py",
    "shadowproxy/compare/view.py",
    "shadowproxy/verdict/amounts.py",
    "shadowproxy/verdict/cells.py",
    "shadowproxy/verdict/checks.py",
    "shadowproxy/verdict/limits.py",
    "shadowproxy/verdict/reductions.py",
    "shadowproxy/verdict/spacing.py",
    "shadowproxy/verdict/units.py",
    "shadowproxy/upstream/connection.py",
    "shadowproxy/upstream/pool.py",
    "shadowproxy/mirror/admission.py",
    "shadowproxy/mirror/dispatch.py",
    "shadowproxy/mirror/lateness.py",
    "shadowproxy/mirror/rewrite.py",
    "shadowproxy/journal/recording.py",
    "shadowproxy/redaction/bodies.py",
    "shadowproxy/redaction/detectors.py",
    "shadowproxy/redaction/fields.py",
    "shadowproxy/redaction/gathering.py",
    "shadowproxy/redaction/literals.py",
    "shadowproxy/redaction/measures.py",
    "shadowproxy/redaction/pseudonyms.py",
    "shadowproxy/redaction/screen.py",
    "shadowproxy/redaction/searches.py",
    "shadowproxy/redaction/signs.py",
    "shadowproxy/redaction/streams.py",
    "shadowproxy/redaction/windows.py",
    "shadowproxy/gateway/forward.py",
    "shadowproxy/gateway/gateway.py",
    "shadowproxy/gateway/heads.py",
    "shadowproxy/gateway/listener.py",
    "shadowproxy/gateway/tee.py",
]

#: The compiler needs the types of our own modules and sees no others: what happens to be installed where a wheel is built (a build
#: environment's vendored copies, a checkout's own tools) would make the same source compile here and fail there.
#: ``make test`` checks types.
OPTIONS = [
    "--config-file=",
    "--no-site-packages",
    "--ignore-missing-imports",
    "--follow-imports=silent",
    "--allow-subclassing-any",
    "--hide-error-context",
]


def extensions() -> list[object]:
    """The modules to compile, or none."""
    wanted = os.environ.get("SHADOWPROXY_COMPILE", "auto")
    if wanted not in ("auto", "yes", "no"):
        raise SystemExit(f"SHADOWPROXY_COMPILE is {wanted!r}; write auto, yes or no")
    if wanted == "no" or "bdist_wheel" not in sys.argv:
        return []
    from mypyc.build import mypycify

    made = mypycify([*OPTIONS, *COMPILED], opt_level="3", strip_asserts=False)
    for extension in made:
        extension.optional = wanted == "auto"  # type: ignore[attr-defined]
    return list(made)


setup(ext_modules=extensions())
