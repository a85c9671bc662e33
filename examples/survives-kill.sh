#!/bin/sh
# A detached container, and a foreground command that is killed with SIGKILL: nothing is lost.
set -eu
cd "$(dirname "$0")/.."
davit=${DAVIT:-dist/davit}
work=$(mktemp -d /tmp/davit-example-XXXXXX)
export DAVIT_DATA_ROOT="$work/data" DAVIT_EXEC_ROOT="$work/run"

clean_up() {
  "$davit" rm -f counter >/dev/null 2>&1 || true
  node_modules/.bin/bun scripts/remove-instance.ts "$work"
  rm -rf "$work"
}
trap clean_up EXIT

sh scripts/busybox-image.sh "$work/busybox.tar" busybox:latest
"$davit" load -q -i "$work/busybox.tar"

echo "A container counts in the foreground; after two seconds its davit is killed with SIGKILL:"
"$davit" run --name counter busybox sh -c 'for n in 1 2 3 4 5; do echo "number $n"; sleep 1; done; exit 7' &
sleep 2
kill -9 $!
wait $! 2>/dev/null || true

echo "The container does not mind:"
"$davit" ps --format '{{.Names}}: {{.Status}}'
echo "It ends by itself, with exit code $("$davit" wait counter), and its log is whole:"
"$davit" logs counter
