#!/bin/sh
# Brings the real servers that some tests talk to, where apt may install them. What cannot be had is named; its tests skip.
have() { command -v "$1" >/dev/null 2>&1; }
missing=""
for part in curl prometheus; do
  have "$part" || missing="$missing $part"
done
if [ -n "$missing" ] && have apt-get && [ "$(id -u)" = 0 ]; then
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing) >/dev/null 2>&1 || true
fi
for part in curl prometheus promtool kubectl; do
  have "$part" || echo "not here, its tests are skipped: $part"
done
for module in torch sentence_transformers xllamacpp; do
  "$1/python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$module') is None)" || echo "not here, its tests are skipped: $module"
done
