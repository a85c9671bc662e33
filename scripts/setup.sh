#!/bin/sh
# Makes a machine ready to build and run davit: system packages, npm packages. Safe to run again; quick when
# there is nothing to do.
#   setup.sh           what building and running needs
#   setup.sh --tests   also what the tests and the demo need: real Docker and Podman to compare with, and cgroups
#                      that the runtime accepts
#   setup.sh --demo    the cgroups, without Docker and Podman
#   setup.sh --examples  the same, and what makes the examples' base image
set -eu
cd "$(dirname "$0")/.."

tests=no
examples=no
cgroups=no
for argument in "$@"; do
  case $argument in
    --tests) tests=yes cgroups=yes ;;
    --demo) cgroups=yes ;;
    --examples) examples=yes cgroups=yes ;;
    *) echo "setup: unknown argument $argument (there are --tests, --demo and --examples)" >&2; exit 2 ;;
  esac
done

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

# The command that runs as root: nothing for root itself.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else fail "not root and no sudo; as root, run: $*"
  fi
}

# --- System packages -------------------------------------------------------------------------------------------

needed="crun runc conmon libnftables1 busybox-static tini iproute2 procps"
# What looks at and cleans the machine after tests and demo.
[ "$cgroups" = no ] || needed="$needed nftables"
# The examples' base image is made of packages, and what they serve is fetched.
for_examples="mmdebstrap debian-archive-keyring curl"
[ "$examples" = no ] || needed="$needed $for_examples"


is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
  for package in $1; do is_installed "$package" || printf ' %s' "$package"; done
}

# Installs packages without letting apt start their services (a dockerd of the system's own, for one).
apt_install() {
  policy=/usr/sbin/policy-rc.d
  made_policy=no
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made_policy=yes
  fi
  status=0
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1 || status=$?
  [ "$made_policy" = no ] || as_root rm -f "$policy"
  return "$status"
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

if command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1; then
  missing=$(missing_of "$needed")
  wanted=
  if [ "$tests" = yes ]; then
    # A Docker from elsewhere (docker-ce) serves as well, and Debian's would push it out.
    if ! command -v dockerd >/dev/null 2>&1; then wanted="$wanted docker.io"; fi
    if ! command -v podman >/dev/null 2>&1; then wanted="$wanted podman"; fi
    if [ -n "$wanted" ]; then wanted="$wanted$(missing_of "netavark iptables")"; fi
    # A btrfs in a file, for the storage driver of that name; a registry to compare ours with, and certificates.
    wanted="$wanted$(missing_of "btrfs-progs buildah bzip2 docker-registry git openssh-client openssl skopeo xz-utils zstd $for_examples")"
  fi
  if [ -n "$missing$wanted" ]; then
    say "reading the package lists"
    as_root apt-get update -q -o DPkg::Lock::Timeout=300 </dev/null >"$log" 2>&1 || {
      cat "$log" >&2
      say "apt-get update failed; going on with the lists that are there"
    }
  fi
  if [ -n "$missing" ]; then
    say "installing$missing"
    # shellcheck disable=SC2086
    apt_install $missing || { cat "$log" >&2; fail "apt-get could not install:$missing"; }
  fi
  for package in $wanted; do
    say "installing $package"
    apt_install "$package" || {
      tail -n 5 "$log" >&2
      say "cannot install $package here: what compares davit with it will be skipped"
    }
  done
else
  absent=
  for program in crun runc conmon busybox tini ip; do
    command -v "$program" >/dev/null 2>&1 || absent="$absent $program"
  done
  if ! ldconfig -p 2>/dev/null | grep -q 'libnftables\.so\.1'; then absent="$absent libnftables.so.1"; fi
  [ -z "$absent" ] || fail "this is not Debian or Ubuntu, so nothing is installed by itself. Missing:$absent.
  Debian names the packages: $needed"
fi

# --- npm packages ----------------------------------------------------------------------------------------------

command -v npm >/dev/null 2>&1 || fail "npm is missing; install Node.js 18 or newer"
stamp=node_modules/.davit-package-lock.json
if ! cmp -s package-lock.json "$stamp"; then
  say "npm ci"
  npm ci --no-audit --no-fund </dev/null >"$log" 2>&1 || { cat "$log" >&2; fail "npm ci failed"; }
  cp package-lock.json "$stamp"
fi
# npm may be set not to run install scripts; the bun package's own puts the real executable in place.
if ! node_modules/.bin/bun --version >/dev/null 2>&1; then
  say "putting bun in place"
  (cd node_modules/bun && node install.js) >"$log" 2>&1 || { cat "$log" >&2; fail "bun could not be installed"; }
  node_modules/.bin/bun --version >/dev/null || fail "bun does not run on this machine"
fi

# --- Control groups --------------------------------------------------------------------------------------------

# crun refuses a machine whose controllers are split between cgroup v1 and v2. Where some are in v1 already, the
# ones that v2 still holds are mounted as v1 too, until the next boot.
if [ "$cgroups" = yes ] && [ -s /sys/fs/cgroup/unified/cgroup.controllers ]; then
  for controller in $(cat /sys/fs/cgroup/unified/cgroup.controllers); do
    [ ! -d "/sys/fs/cgroup/$controller" ] || ! mountpoint -q "/sys/fs/cgroup/$controller" || continue
    say "mounting the cgroup v1 hierarchy of $controller (this machine has cgroups v1 and v2 mixed)"
    as_root mkdir -p "/sys/fs/cgroup/$controller"
    as_root mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" ||
      say "could not; containers will need --runtime runc"
  done
fi
