"""Writes shadowproxy/rendered/NAME.yaml: what Kustomize builds of manifests/, packaged for ``shadowproxy manifests render``.

    python scripts/rendered.py            write all
    python scripts/rendered.py --check    write nothing; exit code 1 where one of them is stale

Needs kubectl.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "manifests"
FOLDER = ROOT / "shadowproxy" / "rendered"


def folders() -> dict[str, Path]:
    """Name → folder that Kustomize builds. The overlays by their own names."""
    return {"base": MANIFESTS / "base", **{path.name: path for path in sorted((MANIFESTS / "overlays").iterdir())}}


def built(folder: Path) -> str:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    options = parser.parse_args(arguments)
    stale = 0
    for name, folder in folders().items():
        path, text = FOLDER / f"{name}.yaml", built(folder)
        if options.check:
            stale += not path.exists() or path.read_text(encoding="utf-8") != text
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    print(f"{stale} stale" if options.check else f"{len(folders())} written")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
