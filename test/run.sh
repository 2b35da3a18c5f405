#!/usr/bin/env bash
# All that `make test` checks, cheapest first, with the time that each part took.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS

part() {
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@"
  echo "   $name: $((SECONDS - start)) s"
}

part "set-up" test/setup/tests.sh
part "build" make -s build
part "lint" make -s lint
part "unit tests" make -s test-unit
part "other tools' parsers" make -s test-dialects
part "programs and engines" go test -count=1 -timeout 10m -p 1 ./test/...
echo "== make test passed in $((SECONDS - began)) s"
