#!/bin/sh
# Runs a program, which ends with its standard input, in its own mount and PID namespaces, so that nothing of it
# outlives this script, also when the test is killed.
# Usage: daemon-supervisor.sh ROOT CGROUP PROGRAM [ARGUMENT ...]     (the program gets CGROUP as its last argument)
root=$1
cgroup=$2
shift 2
trap '' INT TERM HUP
unshare --mount --pid --fork --kill-child --mount-proc --propagation slave "$@" "$cgroup"
status=$?
# shellcheck source=daemon-remains.sh
. "$(dirname "$0")/daemon-remains.sh"
remove_remains "$root" "$cgroup" || exit 1
exit "$status"
