#!/bin/sh
# Makes the root file system that the examples stand on, a small Debian, from packages: for machines that reach a
# Debian mirror and no image registry. What it makes takes the place of `debian:bookworm-slim`.
#   base.sh OUT.tar    makes it (as root)
#   base.sh --check    says what is missing here, one line; exits 1 if anything is
# The mirror is the one that this machine's apt uses; DEBIAN_MIRROR names another.
set -eu

suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() { echo "base: $*" >&2; exit 1; }

command -v mmdebstrap >/dev/null 2>&1 || fail "mmdebstrap is missing: apt-get install mmdebstrap"
[ -s "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"

mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
  sed -n 's/^Debian Debian //p' | head -n 1)}
mirror=${mirror:-http://deb.debian.org/debian}
mirror=${mirror%/}

work=$(mktemp -d /tmp/davit-base-XXXXXX)
trap 'rm -rf "$work"' EXIT

# By apt's own downloader, which knows this machine's proxy.
/usr/lib/apt/apt-helper -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 -o Acquire::Retries=1 \
  -o APT::Sandbox::User=root download-file "$mirror/dists/$suite/InRelease" "$work/InRelease" >/dev/null 2>"$work/error" ||
  fail "cannot reach $mirror ($(grep -m 1 '^E:' "$work/error"))"
[ "${1:-}" != --check ] || exit 0
out=${1:?usage: base.sh OUT.tar}

# Containers have no other way to the mirror than this machine.
set --
for scheme in http https; do
  eval "$(apt-config shell proxy "Acquire::$scheme::Proxy")"
  [ -z "${proxy:-}" ] || set -- "$@" --aptopt="Acquire::$scheme::Proxy \"$proxy\""
  proxy=
done
case $mirror in https:*) set -- "$@" --include=ca-certificates ;; esac

# In memory, and in a mount namespace of its own, so that nothing is left whatever happens.
echo "base: making a Debian $suite from $mirror"
mirror=$mirror keyring=$keyring suite=$suite out=$out.$$ work=$work configuration=$work/dpkg.cfg \
  unshare --mount --propagation private sh -euc '
    mount -t tmpfs -o size=1g,mode=755 tmpfs "$work"
    # No manuals and no translations; and no waiting for the disk after each file, as a build that breaks off is
    # thrown away. Given as --dpkgopt, these would have mmdebstrap filter each package through a slow program.
    printf "%s\n" force-unsafe-io "path-exclude=/usr/share/man/*" "path-exclude=/usr/share/locale/*" \
      "path-exclude=/usr/share/info/*" "path-exclude=/usr/share/doc/*" \
      "path-include=/usr/share/doc/*/copyright" >"$configuration"
    TMPDIR=$work exec mmdebstrap --quiet --mode=root --variant=apt --format=tar \
      --aptopt="Acquire::Languages \"none\"" \
      --hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
      --extract-hook="cp \"\$configuration\" \"\$1/etc/dpkg/dpkg.cfg.d/examples\"" \
      --customize-hook="cd \"\$1/usr/share\" && rm -rf man/* locale/* info/* && find doc ! -type d ! -name copyright -delete" \
      "$@" "$suite" "$out" "deb [signed-by=$keyring] $mirror $suite main"' base "$@" >"$work/log" 2>&1 || {
  tail -n 20 "$work/log" >&2
  rm -f "$out.$$"
  fail "mmdebstrap failed"
}
mv "$out.$$" "$out"
