#!/bin/sh
# Times davit, and Docker and Podman where they are installed (--peers installs them), side by side.
set -eu
cd "$(dirname "$0")/.."

setup=--demo
for argument in "$@"; do
  [ "$argument" != --peers ] || setup=--tests
done
sh scripts/setup.sh "$setup"
sh scripts/build.sh
exec node_modules/.bin/bun bench/bench.ts "$@"
