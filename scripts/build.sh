#!/bin/sh
# Builds dist/davit, one executable with everything in it. Does nothing when it is newer than all it is made of.
set -eu
cd "$(dirname "$0")/.."

out=dist/davit
if [ -x "$out" ] && [ -z "$(find src package.json package-lock.json tsconfig.json scripts/build.sh -newer "$out" | head -n 1)" ]; then
  exit 0
fi
mkdir -p dist
# Most commands end before compiled code has paid for itself: compile late.
# Each program is an entry point of its own: main, and the thread that unpacks layers.
# Bun would read .env and bunfig.toml of the directory that davit happens to be started in; it must not.
node_modules/.bin/bun build --compile --minify --bytecode --format=esm --splitting \
  --compile-jit-policy=20 --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
  --outfile "$out.new" src/main.ts src/images/transfer/layer-worker.ts >dist/build.log 2>&1 || { cat dist/build.log >&2; exit 1; }
# Written anew in large blocks, it lies in the page cache in large folios: a command that maps it, and each does, is
# up to 15 % quicker than out of the single pages that Bun leaves.
dd if="$out.new" of="$out.whole" bs=4M status=none
chmod +x "$out.whole"
rm "$out.new"
mv "$out.whole" "$out"
echo "build: $out ($(($(wc -c <"$out") / 1000000)) MB)"
