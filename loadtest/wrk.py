"""The closed-loop load: wrk where it is installed, else ``load.py``; both give the same figures."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import messages
from machine import HERE, LOAD_CORE, generator, program
from percentiles import SHARES

_SCRIPT = """
wrk.method = "POST"
wrk.path = "%s"
wrk.headers["content-type"] = "application/json"
wrk.body = [==[%s]==]
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nRESULT {"requests":%%d,"seconds":%%f,"errors":%%d', summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
  for _, share in ipairs({%s}) do
    io.write(string.format(',"p%%g_ms":%%f', share, latency:percentile(share) / 1000))
  end
  io.write("}\\n")
end
"""


def closed_loop(port: int, connections: int, seconds: float, folder: Path, cores: list[int] | None = None) -> dict[str, float]:
    """Keep so many requests in flight for so long."""
    cores = cores or [LOAD_CORE]
    found = program("wrk")
    if found is None:
        out = generator([sys.executable, HERE / "load.py", str(port), str(connections), str(seconds)], cores, seconds + 30)
        return dict(json.loads(out))
    script = folder / "post.lua"
    script.write_text(_SCRIPT % (messages.PATH, messages.question().decode(), ",".join(map(str, SHARES))))
    whole = max(1, math.ceil(seconds))
    arguments = [found, "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "--latency", "-s", script]
    out = generator([*arguments, f"http://127.0.0.1:{port}"], cores, whole + 30)
    return dict(json.loads(out.partition("RESULT ")[2]))
