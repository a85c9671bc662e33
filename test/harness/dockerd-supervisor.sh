#!/bin/sh
# Runs a dockerd of our own in its own mount, network and PID namespaces, so that it cannot disturb the machine (its
# firewall rules, its bridge, other dockerds) and nothing of it outlives this script.
# Usage: dockerd-supervisor.sh ROOT CGROUP [host]
# With `host` it shares our network, without bridges or firewall rules: for registries that we reach too.
# Ends when its standard input ends, also when the test is killed.
root=$1
cgroup=$2
namespace=--net
flags=
[ "${3-}" = host ] && namespace= && flags="--bridge=none --iptables=false --ip-masq=false"
trap '' INT TERM HUP
mkdir -p /run/containerd /etc/docker

# shellcheck disable=SC2086
unshare --mount $namespace --pid --fork --kill-child --mount-proc --propagation slave sh -c '
  root=$1
  # Paths that dockerd and containerd use whatever their flags say.
  mount -t tmpfs tmpfs /run/containerd
  mount -t tmpfs tmpfs /etc/docker
  ip link set lo up
  # shellcheck disable=SC2086
  dockerd $3 --data-root "$root/data" --exec-root "$root/exec" --pidfile "$root/pid" \
    --host "unix://$root/docker.sock" --cgroup-parent "$2" --storage-driver overlay2 &
  wait $!
' sh "$root" "$cgroup" "$flags" >"$root/log" 2>&1 </dev/null &
daemon=$!

while read -r _; do :; done

# The first process of the PID namespace dies with unshare, and all others with it.
kill -9 "$daemon" 2>/dev/null
wait "$daemon" 2>/dev/null
# shellcheck source=daemon-remains.sh
. "$(dirname "$0")/daemon-remains.sh"
remove_remains "$root" "$cgroup"
