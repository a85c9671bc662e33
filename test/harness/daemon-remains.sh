# shellcheck shell=sh
# What a daemon leaves when it is killed: cgroups, and its directory.

# remove_remains ROOT CGROUP
remove_remains() {
  tries=0
  while [ $tries -lt 100 ]; do
    left=
    for top in /sys/fs/cgroup/*"$2" /sys/fs/cgroup"$2"; do
      [ -d "$top" ] || continue
      # A paused process does not die before it is thawed.
      find "$top" -name freezer.state -exec sh -c 'echo THAWED >"$1"' sh {} \; 2>/dev/null
      find "$top" -name cgroup.freeze -exec sh -c 'echo 0 >"$1"' sh {} \; 2>/dev/null
      find "$top" -depth -type d -exec rmdir {} \; 2>/dev/null
      [ -d "$top" ] && left=yes
    done
    [ -z "$left" ] && rm -rf "$1" && return 0
    tries=$((tries + 1))
    sleep 0.1
  done
  echo "daemon-remains: $1 or its cgroups could not be removed" >&2
  return 1
}
