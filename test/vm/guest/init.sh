#!/bin/sh
# Init of the virtual machine: mounts what a Linux machine has, with control groups as the kernel's command line
# asks for, then does what the test says: each line read is a command in base64, answered by a line
# `EXIT-CODE STDOUT STDERR`, both in base64.
#   davit.v1=memory,pids    these controllers in cgroup v1, the others in v2 below /sys/fs/cgroup/unified
#   (nothing)               all in v2, at /sys/fs/cgroup
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /tmp

v1=$(sed -n 's/.*davit\.v1=\([a-z_,]*\).*/\1/p' /proc/cmdline)
if [ -z "$v1" ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
  for controller in $(echo "$v1" | tr , ' '); do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
  done
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi

hostname davit-vm
ip link set lo up
modprobe virtio_console
port=$(ls /dev/vport*)
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  [ -z "$port" ] || break
  sleep 0.2
  port=$(ls /dev/vport*)
done
[ -n "$port" ] || poweroff -f

exec 3<>"$port"
echo ready >&3
while :; do
  # Nobody at the other end reads as an end of file.
  IFS= read -r request <&3 || { sleep 0.1; continue; }
  printf %s "$request" | base64 -d >/tmp/request
  code=0
  sh /tmp/request </dev/null >/tmp/stdout 2>/tmp/stderr 3<&- || code=$?
  printf '%s %s %s\n' "$code" "$(base64 -w0 /tmp/stdout)" "$(base64 -w0 /tmp/stderr)" >&3
done
