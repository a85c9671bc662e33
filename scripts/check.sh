#!/bin/sh
# Types, format and lint, and the direction of imports. Says all that is wrong, then fails.
set -eu
cd "$(dirname "$0")/.."
[ -x node_modules/.bin/tsc ] || sh scripts/setup.sh

status=0
node_modules/.bin/tsc -p . || { echo "check: types are wrong" >&2; status=1; }
colors=--colors=off
[ ! -t 1 ] || colors=--colors=force
node_modules/.bin/biome ci "$colors" || { echo "check: format or lint is wrong; 'npx biome check --write' mends most" >&2; status=1; }
node_modules/.bin/bun scripts/check-imports.ts || status=1
exit "$status"
