#!/bin/sh
# All tests. First those that wait for no process and no clock, on every core; then the rest one after the other, for a test that watches
# signals and deadlines must not share its cores.
# usage: test.sh BIN [pytest arguments: only these]
set -eu
bin=$1
shift
if [ $# -gt 0 ]; then
  exec sh scripts/pytest.sh "$bin" "$@"
fi
calm="tests/compare tests/embed tests/journal tests/llmjudge tests/offline tests/promote tests/redaction tests/report tests/sources
tests/verdict tests/wire tests/test_config.py tests/test_quality.py"
rest=""
for place in $calm; do
  rest="$rest --ignore=$place"
done
# shellcheck disable=SC2086  # lists of names
sh scripts/pytest.sh "$bin" -n auto --dist worksteal $calm
# shellcheck disable=SC2086
sh scripts/pytest.sh "$bin" $rest
