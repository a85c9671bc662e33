#!/bin/sh
# Saves a volume into a tar on the host, and restores it into a new one.
set -eu
cd "$(dirname "$0")/.."
davit=${DAVIT:-dist/davit}
work=$(mktemp -d /tmp/davit-example-XXXXXX)
export DAVIT_DATA_ROOT="$work/data" DAVIT_EXEC_ROOT="$work/run"

clean_up() {
  node_modules/.bin/bun scripts/remove-instance.ts "$work"
  rm -rf "$work"
}
trap clean_up EXIT

sh scripts/busybox-image.sh "$work/busybox.tar" busybox:latest
"$davit" load -q -i "$work/busybox.tar"

"$davit" run --rm -v notes:/notes busybox sh -c 'echo "remember the milk" > /notes/today'
"$davit" run --rm -v notes:/notes:ro busybox tar -C /notes -cf - . > "$work/notes.tar"
"$davit" volume rm notes

"$davit" run --rm -i -v restored:/notes busybox tar -C /notes -xf - < "$work/notes.tar"
"$davit" run --rm -v restored:/notes:ro busybox cat /notes/today
"$davit" volume rm restored
