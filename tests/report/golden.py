"""Golden files: what a rendering gave when somebody last looked at it. ``SHADOWPROXY_REWRITE_GOLDEN=1`` writes them anew; read the diff."""

from __future__ import annotations

import os
from pathlib import Path

_HERE = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    path = _HERE / name
    if os.environ.get("SHADOWPROXY_REWRITE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"{name} differs; look at it, and rewrite it with SHADOWPROXY_REWRITE_GOLDEN=1"
