#!/bin/sh
# Installs the package without extras into a fresh virtual environment and prints its size. Fails above 300 MB, or with torch inside.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
# Built from a copy: building in the checkout leaves a build/ folder behind, and a later build would pack the modules that
# were deleted since.
mkdir "$place/source"
for part in pyproject.toml README.md LICENSE shadowproxy; do cp -R "$here/$part" "$place/source/"; done
"${PYTHON:-python3}" -m venv --without-pip "$place/venv"
"${PYTHON:-python3}" -m pip --python "$place/venv/bin/python" install --quiet --disable-pip-version-check "$place/source"
packages=$("$place/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
(cd "$packages" && du -sm -- */) | sort -rn | head -12
size=$(du -sm "$packages" | cut -f1)
echo "installed size: $size MB (bound: 300 MB)"
if [ -d "$packages/torch" ]; then echo "torch came along; the default install must not need it" >&2; exit 1; fi
if [ "$size" -ge 300 ]; then echo "that is too much" >&2; exit 1; fi
