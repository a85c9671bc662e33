#!/bin/sh
# Sets up, builds, checks, and runs all tests. The last line printed is `N passed, N failed`.
# Arguments are passed on: names of test files to run only those.
set -eu
cd "$(dirname "$0")/.."

# Whatever stops this before a test has run is a failure, and counted as one.
finished=no
trap '[ "$finished" = yes ] || echo "0 passed, 1 failed"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

sh scripts/setup.sh --tests
sh scripts/vm-setup.sh || echo "test: tests in virtual machines will be skipped" >&2
sh scripts/build.sh
sh scripts/check.sh

finished=yes
status=0
node_modules/.bin/bun scripts/test.ts "$@" || status=$?
exit "$status"
