"""One embedder in a process of its own, for ``embedding``: seconds until its first vector, resident memory then, and the peak after work.

python loadtest/embedding_start.py <backend> <model directory or -> <time of the start of this process>
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from shadowproxy.config import Embed
from shadowproxy.embed.loading import load


def memory_mb(key: str) -> float:
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0


def main(backend: str, model: str, began: str) -> None:
    embedder = load(Embed.model_validate({"backend": backend, "model": None if model == "-" else model}))
    assert embedder is not None
    embedder.encode(["The first answer."])
    start_s, resident_mb = time.time() - float(began), memory_mb("VmRSS")
    embedder.encode([f"{number} " * 2000 for number in range(8)])
    print(json.dumps({"start_s": start_s, "resident_mb": resident_mb, "peak_mb": memory_mb("VmHWM")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
