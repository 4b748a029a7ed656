#!/bin/sh
# Installs the package without extras into a fresh virtual environment and prints its size. Fails above 300 MB, or with torch inside.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
"${PYTHON:-python3}" -m venv --without-pip "$venv"
"${PYTHON:-python3}" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check "$here"
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
for package in "$packages"/*/; do du -sm "$package"; done | sort -rn | head -12
size=$(du -sm "$packages" | cut -f1)
echo "installed size: $size MB (bound: 300 MB)"
if [ -d "$packages/torch" ]; then echo "torch came along; the default install must not need it" >&2; exit 1; fi
[ "$size" -lt 300 ]
