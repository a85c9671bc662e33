#!/bin/sh
# Makes a docker-archive of a small image from Debian's busybox-static.
# Usage: busybox-image.sh OUT.tar [name:tag]     (default davit-busybox:latest)
set -eu
out=$1
name=${2:-davit-busybox:latest}
busybox=$(command -v busybox || echo /bin/busybox)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/root" "$root/var/www" "$root/proc" "$root/sys" "$root/dev" "$root/home/user"
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
  [ "$applet" = busybox ] || ln "$root/bin/busybox" "$root/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nuser:x:1000:1000:user:/home/user:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$root/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\nstaff:x:50:user\nuser:x:1000:\nnogroup:x:65534:\n' > "$root/etc/group"
[ "$(id -u)" -ne 0 ] || chown 1000:1000 "$root/home/user"
# As root the files have the owners they should have; as anybody else, all are root's.
owners='--owner=0 --group=0'
[ "$(id -u)" -ne 0 ] || owners=''
# shellcheck disable=SC2086
tar --sort=name --mtime=@0 $owners --numeric-owner -C "$root" -cf "$work/layer.tar" .
diff=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"busybox-static"}]}' "$arch" "$diff" > "$work/config.json"
config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mkdir "$work/image" "$work/image/$diff"
mv "$work/config.json" "$work/image/$config.json"
mv "$work/layer.tar" "$work/image/$diff/layer.tar"
printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s/layer.tar"]}]' "$config" "$name" "$diff" > "$work/image/manifest.json"
tar -C "$work/image" -cf "$out" manifest.json "$config.json" "$diff/layer.tar"
