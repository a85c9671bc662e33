#!/bin/sh
# Times davit, and Docker and Podman where they are installed (--peers installs them), side by side.
set -eu
cd "$(dirname "$0")/.."

setup=--demo
# `npm run bench --peers` (without the --) comes as a setting of npm's.
[ "${npm_config_peers:-}" != true ] || set -- "$@" --peers
[ "${npm_config_quick:-}" != true ] || set -- "$@" --quick
for argument in "$@"; do
  [ "$argument" != --peers ] || setup=--tests
done
sh scripts/setup.sh "$setup"
sh scripts/build.sh
exec node_modules/.bin/bun bench/bench.ts "$@"
