#!/bin/sh
# Fetches what test/vm needs to boot a virtual machine with other control groups than this one's: QEMU, installed,
# and Debian's cloud kernel, only unpacked, so that this machine's own boot stays as it is. For tests only.
# Safe to run again; quick when there is nothing to do. Exits 1 with one line where it cannot be done: the tests
# in test/vm are skipped then.
#   DAVIT_VM_CACHE   where the kernel goes (default: davit-vm-cache in TMPDIR or /tmp)
set -eu

cache=${DAVIT_VM_CACHE:-${TMPDIR:-/tmp}/davit-vm-cache}
meta=linux-image-cloud-amd64

say() { echo "vm-setup: $*"; }
fail() { echo "vm-setup: $*; the tests in test/vm will be skipped" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else fail "not root and no sudo"
  fi
}

has_qemu() { command -v qemu-system-x86_64 >/dev/null 2>&1; }
has_kernel() { [ -s "$cache/kernel/vmlinuz" ] && [ -d "$cache/kernel/lib/modules" ]; }

if has_qemu && has_kernel; then exit 0; fi
[ "$(uname -m)" = x86_64 ] || fail "only x86_64 machines are emulated here"
command -v apt-get >/dev/null 2>&1 || fail "QEMU or a kernel for it is missing, and this is not Debian or Ubuntu"
command -v busybox >/dev/null 2>&1 || fail "busybox is missing: run scripts/setup.sh first"

mkdir -p "$cache"
scratch=$(mktemp -d "$cache/setup-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

# Without lists, as in a fresh container image, nothing is found.
if ! apt-cache show "$meta" >/dev/null 2>&1; then
  say "reading the package lists"
  as_root apt-get update -q -o DPkg::Lock::Timeout=300 </dev/null >"$log" 2>&1 ||
    say "apt-get update failed; going on with the lists that are there"
fi

if ! has_qemu; then
  say "installing qemu-system-x86"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=300 qemu-system-x86 </dev/null >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    fail "cannot install qemu-system-x86"
  }
fi

if ! has_kernel; then
  package=$(apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p' | head -n 1)
  [ -n "$package" ] || fail "there is no package $meta"
  say "fetching $package"
  (cd "$scratch" && apt-get download -q "$package") </dev/null >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    fail "cannot fetch $package"
  }
  dpkg -x "$scratch"/linux-image-*.deb "$scratch/unpacked"
  made=$scratch/kernel
  mkdir "$made"
  mv "$scratch"/unpacked/boot/vmlinuz-* "$made/vmlinuz"
  mv "$scratch/unpacked/lib" "$made/lib"
  # What the package would do when it is installed.
  busybox depmod -b "$made" "$(ls "$made/lib/modules")" || fail "cannot list the modules of $package"
  rm -rf "$cache/kernel"
  mv "$made" "$cache/kernel"
fi
