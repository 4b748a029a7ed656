#!/bin/sh
# Brings the real programs that some tests talk to: as root, apt-get installs what is missing. What cannot be had is named; its tests skip.
# Argument: the folder of the virtual environment's python.
set -u
have() { command -v "$1" >/dev/null 2>&1; }
missing=""
for part in curl prometheus; do
  have "$part" || missing="$missing $part"
done
if [ -n "$missing" ] && have apt-get && [ "$(id -u)" = 0 ]; then
  echo "apt-get installs for the tests:$missing"
  # shellcheck disable=SC2086  # a list of names
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 ||
    echo "apt-get could not"
fi
for part in curl prometheus promtool kubectl; do
  have "$part" || echo "not here, its tests are skipped: $part"
done
for module in torch sentence_transformers xllamacpp; do
  "$1/python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" ||
    echo "not here, its tests are skipped: $module"
done
