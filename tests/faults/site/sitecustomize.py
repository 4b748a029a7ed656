"""Runs at the start of every process of a serve that has this folder in PYTHONPATH, and plants what cannot be caused from outside.

A comparison fails while the file that ``SHADOWPROXY_TROUBLE`` names exists; a hung child is found after seconds instead of half a minute.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if "serve" in sys.orig_argv:
    from shadowproxy import supervisor

    supervisor._HUNG_S = 2.0
elif "shadowproxy.processes.shadow" in sys.orig_argv:
    from shadowproxy.compare import pair

    _compare = pair.compare
    _trouble = Path(os.environ["SHADOWPROXY_TROUBLE"])

    def _compare_or_fail(*arguments):
        if _trouble.exists():
            raise RuntimeError("planted by a test")
        return _compare(*arguments)

    pair.compare = _compare_or_fail
