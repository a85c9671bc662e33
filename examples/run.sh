#!/bin/sh
# Builds and runs examples: those that are named, or all. Shows each command, asks what was started as its user
# would, and removes its containers and volumes at the end. Exits non-zero if anything is not as it should be.
#   DAVIT              the program: dist/davit; `docker` does as well
#   DAVIT_DATA_ROOT, DAVIT_EXEC_ROOT
#                      the instance: one of the examples' own, where the images stay for the next time
#   http_proxy, https_proxy, no_proxy
#                      are passed to the builds
set -eu
cd "$(dirname "$0")/.."

all="nginx node calculator django mariadb"
# shellcheck disable=SC2086
case $* in "" | all) set -- $all ;; esac
for name in "$@"; do
  [ -f "examples/$name/show.sh" ] || { echo "examples: there is no example $name (there are: $all)" >&2; exit 2; }
done
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || { echo "examples: containers need root here; run this as root" >&2; exit 1; }
  exec sudo --preserve-env=DAVIT,DAVIT_DATA_ROOT,DAVIT_EXEC_ROOT,DEBIAN_MIRROR,http_proxy,https_proxy,no_proxy \
    sh examples/run.sh "$@"
fi

program=${DAVIT:-dist/davit}
command -v "$program" >/dev/null 2>&1 || { echo "examples: $program is missing; npm run build makes it" >&2; exit 1; }
command -v curl >/dev/null 2>&1 || { echo "examples: curl is missing" >&2; exit 1; }
cache=node_modules/.cache/davit-examples
export DAVIT_DATA_ROOT="${DAVIT_DATA_ROOT:-$PWD/$cache/data}" DAVIT_EXEC_ROOT="${DAVIT_EXEC_ROOT:-$PWD/$cache/run}"
work=$(mktemp -d /tmp/davit-example-XXXXXX)
output=$work/output
containers=
volumes=

davit() { "$program" "$@"; }

clean_up() {
  status=$?
  trap - EXIT INT TERM
  # They may not be there: then there is nothing to remove, and nothing to say.
  for container in $containers; do davit rm -f -v "$container" >/dev/null 2>&1 || true; done
  for volume in $volumes; do davit volume rm "$volume" >/dev/null 2>&1 || true; done
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "examples: $*" >&2
  for container in $containers; do
    echo "--- logs of $container:" >&2
    davit logs "$container" >&2 || true
  done
  exit 1
}

say() { printf '\n# %s\n' "$*"; }

# Does a command after having shown it.
show() {
  printf '$'
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=,@%+-]*) printf " '%s'" "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
  "$@"
}

# The same, and keeps what it prints for `expect`.
ask() {
  status=0
  show "$@" >"$output" 2>&1 || status=$?
  cat "$output"
  [ "$status" -eq 0 ] || fail "'$*' ended with $status"
}

# The last `ask` must have printed this.
expect() { grep -qF -- "$1" "$output" || fail "not in the answer: $1"; }

# Builds with the proxies of this machine, where it has any.
build() {
  for variable in http_proxy https_proxy no_proxy; do
    eval "value=\${$variable:-}"
    [ -z "$value" ] || set -- --build-arg "$variable" "$@"
  done
  show davit build "$@"
}

# Waits until something answers at an address.
await() {
  tries=0
  until curl -sf --max-time 5 -o "$output" "$1"; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || fail "nothing answers at $1"
    [ -z "$(davit ps -aq --filter name=example- --filter status=exited)" ] || fail "ended, and does not answer at $1"
    sleep 0.2
  done
}

# The image that a registry would have: made here, and kept beside the instance.
see_to_base() {
  if davit image inspect debian:bookworm-slim >/dev/null 2>&1; then return; fi
  archive=$cache/debian-$(cksum <examples/base.sh | cut -d' ' -f1).tar
  mkdir -p "$cache"
  [ -s "$archive" ] || sh examples/base.sh "$archive"
  show davit import --change 'CMD ["bash"]' "$archive" debian:bookworm-slim
}

see_to_base
for name in "$@"; do
  began=$(date +%s)
  printf '\n=== %s\n' "$name"
  here=examples/$name
  # shellcheck source=/dev/null
  . "$here/show.sh"
  for container in $containers; do davit rm -f -v "$container" >/dev/null; done
  for volume in $volumes; do davit volume rm "$volume" >/dev/null; done
  containers=
  volumes=
  printf '\n%s: done in %s s\n' "$name" "$(($(date +%s) - began))"
done
