#!/bin/sh
# davit at work: makes an image, loads it, runs containers of it, and says how long each step took.
# Uses an instance of its own and removes all of it, also when something fails. Exits non-zero if anything does
# not do what it should.
set -eu
cd "$(dirname "$0")/.."

if [ "${1:-}" != --go ]; then
  sh scripts/setup.sh --demo
  sh scripts/build.sh
  [ "$(id -u)" -ne 0 ] || exec sh scripts/demo.sh --go
  command -v sudo >/dev/null 2>&1 || { echo "demo: containers need root here; run this as root" >&2; exit 1; }
  exec sudo sh scripts/demo.sh --go
fi

work=$(mktemp -d /tmp/davit-demo-XXXXXX)
export DAVIT_DATA_ROOT="$work/data" DAVIT_EXEC_ROOT="$work/run"
unset DAVIT_HOST DOCKER_HOST DOCKER_CONTEXT 2>/dev/null || true
davit=dist/davit

clean_up() {
  status=$?
  trap - EXIT INT TERM
  if [ "$status" -ne 0 ] && [ -s "$work/output" ]; then
    echo "--- the last output was:" >&2
    cat "$work/output" >&2
  fi
  for id in $("$davit" ps -aq 2>/dev/null); do "$davit" rm -f -v "$id" >/dev/null 2>&1 || true; done
  node_modules/.bin/bun scripts/remove-instance.ts "$work" || status=1
  rm -rf "$work" || status=1
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { echo "demo: $*" >&2; exit 1; }
now() { echo $(($(date +%s%N) / 1000000)); }

# Says what is done, does it, shows what it prints and how long it took. The output stays in $work/output.
steps=
step() {
  title=$1
  shift
  shown=
  for word in "$@"; do
    case $word in
      "$davit") word=davit ;;
      "$work"/*) word=${word#"$work"/} ;;
      *[\ \;\<\>\|\&]*) word="'$word'" ;;
    esac
    shown="$shown $word"
  done
  printf '\n# %s\n$%s\n' "$title" "$shown"
  began=$(now)
  code=0
  "$@" >"$work/output" 2>&1 </dev/null || code=$?
  took=$(($(now) - began))
  sed 's/^/  /' "$work/output"
  [ "$code" -eq 0 ] || fail "'$title' ended with $code"
  printf '  (%s ms)\n' "$took"
  steps="$steps$took|$title
"
}
# The last step must have printed this.
expect() { grep -qF -- "$1" "$work/output" || fail "'$title' did not print: $1"; }
output() { cat "$work/output"; }

fetch() {
  if command -v curl >/dev/null 2>&1; then curl -sS --max-time 5 "$1"
  else node -e 'fetch(process.argv[1], { signal: AbortSignal.timeout(5000) }).then((r) => r.text()).then((t) => process.stdout.write(t))' "$1"
  fi
}

started=$(now)

step "Make an image archive of busybox" sh scripts/busybox-image.sh "$work/busybox.tar" busybox:demo
step "Load it" "$davit" load -i "$work/busybox.tar"
expect "Loaded image: busybox:demo"
step "Run a container that prints" "$davit" run --rm busybox:demo echo "hello from a container"
expect "hello from a container"
step "Write a page into a named volume" "$davit" run --rm -v pages:/www busybox:demo \
  sh -c 'echo "<h1>Served by davit</h1>" > /www/index.html'
step "Start a web server" "$davit" run -d --init --name web --memory 64m -p 127.0.0.1::80 -v pages:/www:ro \
  busybox:demo httpd -f -v -p 80 -h /www
step "Ask which port it has" "$davit" port web 80
address=$(output | head -n 1)
[ -n "$address" ] || fail "no port is published"

# The server is a process that has just been started: it may need a moment to listen.
tries=0
until fetch "http://$address/" >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] || fail "nothing answers at http://$address/"
  sleep 0.1
done
step "Fetch its page from the host" fetch "http://$address/"
expect "Served by davit"
step "See it run" "$davit" ps
expect "web"
step "Run a command in it" "$davit" exec web ps
expect "httpd"
step "Read its log" "$davit" logs web
expect "response:200"
step "See what it uses" "$davit" stats --no-stream web
expect "64MiB"
step "Stop it" "$davit" stop web
step "See that it has stopped" "$davit" ps -a --format '{{.Names}}: {{.Status}}'
expect "web: Exited"
step "Remove it" "$davit" rm web
step "Read its volume, which is still there" "$davit" run --rm -v pages:/www busybox:demo cat /www/index.html
expect "Served by davit"
step "Remove the volume" "$davit" volume rm pages
step "Remove the image" "$davit" rmi busybox:demo
step "See that nothing is left" "$davit" ps -aq
[ ! -s "$work/output" ] || fail "a container is left"

total=$(($(now) - started))
printf '\nHow long each step took:\n'
printf '%s' "$steps" | while IFS='|' read -r took title; do printf '%7s ms  %s\n' "$took" "$title"; done
printf '%7s ms  in all\n' "$total"
