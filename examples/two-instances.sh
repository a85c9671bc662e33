#!/bin/sh
# Two instances side by side: each has its own images, containers, bridge and volumes.
set -eu
cd "$(dirname "$0")/.."
davit=${DAVIT:-dist/davit}
work=$(mktemp -d /tmp/davit-example-XXXXXX)

one() { "$davit" --data-root "$work/one/data" --exec-root "$work/one/run" "$@"; }
two() { "$davit" --data-root "$work/two/data" --exec-root "$work/two/run" "$@"; }

clean_up() {
  for instance in one two; do
    "$instance" rm -f web >/dev/null 2>&1 || true
    node_modules/.bin/bun scripts/remove-instance.ts "$work/$instance"
  done
  rm -rf "$work"
}
trap clean_up EXIT

sh scripts/busybox-image.sh "$work/busybox.tar" busybox:latest
for instance in one two; do
  "$instance" load -q -i "$work/busybox.tar"
  # The same name and the same volume in both: they do not meet.
  "$instance" run --rm -v pages:/www busybox sh -c "echo 'this is instance $instance' > /www/index.html"
  "$instance" run -d --init --name web -p 127.0.0.1::80 -v pages:/www:ro busybox httpd -f -h /www >/dev/null
done
sleep 1
for instance in one two; do
  address=$("$instance" port web 80)
  echo "$instance has its server at $address, which says: $(curl -s "http://$address/")"
done
