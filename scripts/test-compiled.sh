#!/bin/sh
# The data path as a wheel's users run it: compiled. Builds the wheel and runs the tests of what is compiled against it.
# usage: test-compiled.sh BIN [pytest arguments]
set -eu
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SHADOWPROXY_COMPILE=yes "$bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps -w "$work/wheel" .
"$bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/site" "$work"/wheel/*.whl
cp -r tests config docs pyproject.toml "$work"
cd "$work"
PYTHONPATH="$work/site" "$bin/python" -c 'from shadowproxy.compiled import is_compiled; assert is_compiled(), "the wheel is not compiled"'
[ $# -gt 0 ] || set -- tests/gateway tests/upstream tests/handover tests/mirror tests/wire tests/compare tests/verdict/test_cells.py \
    tests/verdict/test_units.py tests/verdict/test_spacing.py \
    tests/redaction tests/replay/test_replay.py tests/journal/test_recording.py tests/journal/test_sink.py tests/test_shadow.py tests/test_counts.py tests/test_tasks.py tests/serve
PYTHONPATH="$work/site" sh "$here/pytest.sh" "$bin" -q "$@"
