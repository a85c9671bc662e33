/** davit's command line says what docker's says, against the same dockerd. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "../../src/cli/command.ts";
import { commonCommands, findCommand, groups, otherCommands } from "../../src/cli/commands.ts";
import { FlagSet } from "../../src/cli/flags/flag-set.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { davitBinary } from "../harness/instance.ts";
import { both, missingForOracle, runCommand } from "./oracle.ts";

const missing = missingForDockerd() ?? missingForOracle();
if (missing !== undefined) console.error(`SKIPPED: comparison with the docker CLI: ${missing}`);

const image = "davit-busybox";
let dockerd: Dockerd;
let directory: string;

/** `ps -a` in each of these formats. */
const listed = (...formats: readonly string[]) => formats.map((format) => ["ps", "-a", "--format", format]);

/** What `inspect` shows of the first container in each of these formats. */
const shown = (...formats: readonly string[]) => formats.map((format) => ["inspect", "-f", format, "first"]);

/** What has happened to one container so far. */
const told = ["events", "--since", "1", "--until", "0s", "--filter", "container=talker"];

/** Commands that change nothing, and must be answered alike. */
const readings: readonly (readonly string[])[] = [
  ["ps"],
  ["ps", "-a"],
  ["ps", "-aq"],
  ["ps", "-a", "--no-trunc"],
  ["ps", "-as"],
  ["ps", "-l"],
  ["ps", "-n", "2", "--format", "{{.Names}}"],
  ...listed("table", "json", "raw"),
  ["ps", "-a", "--size", "--format", "raw"],
  ["ps", "-aq", "--format", "raw"],
  ["ps", "-aq", "--format", "{{.Names}}"],
  ...listed(
    "table {{.ID}}\\t{{.Names}}",
    'table {{.Label "com.example.some-label"}}\t{{json .Names}}\t{{.Image}}',
    "{{json .}}",
    "{{.Size}} {{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.State}} {{.Platform}}",
    "{{.CreatedAt}}|{{.Labels}}|{{.Ports}}|{{.Command}}",
    '{{if eq .State "running"}}up{{else if eq .State "created"}}new{{else}}off{{end}}',
    "{{with .Labels}}{{.}}{{else}}no label{{end}}",
    "{{upper .Names}} {{pad .Names 2 3}}|{{truncate .Names 1}} {{title .Names}}",
    '{{join (split .Names "o") "-"}} {{len .Names}} {{printf "%-10s|%5d|%q" .Names 5 .Image}}',
    '{{$n := .Names}}{{range $i, $w := split "a b c" " "}}{{$i}}{{$w}}{{$n}} {{end}}',
    '{{println "a" 1}}{{html "<a>"}} {{not true}} {{and 1 0 2}} {{or 0 "x"}}',
    '{{printf "%5.2f|%t|%c|%U|%+d|%05d|%-5s|%x" 3.14159 true 65 65 5 42 "ab" .Image}}',
    '{{index (split "a,b" ",") 1}} {{slice "abcdef" 2 4}} {{lt 1 2}} {{ge "b" "a"}} {{ne 1 2}}',
    "{{- .Names -}} {{/* nothing */}} x",
    '{{.Names | lower | printf "%s!"}}',
  ),
  ["ps", "-a", "--filter", "name=first"],
  ["ps", "-a", "--filter", "status=exited", "--format", "{{.Names}} {{.Status}}"],
  ["images"],
  ["images", "--digests"],
  ["images", "--no-trunc"],
  ["images", "-q"],
  ["images", "--format", "json"],
  ["images", "--format", "raw"],
  [
    "images",
    "--format",
    "{{.Repository}}:{{.Tag}} {{.Digest}} {{.ID}} {{.CreatedSince}} {{.CreatedAt}} {{.Size}}",
  ],
  ["images", "--format", "table {{.ID}}\t{{.VirtualSize}}"],
  ["images", "davit-*"],
  ["images", "nothing-like-this"],
  ["image", "ls"],
  ["history", image],
  ["history", "--no-trunc", image],
  ["history", "-q", image],
  ["history", "-H=false", image],
  ["history", "--format", "json", image],
  ["history", "--format", "{{.ID}}: {{.CreatedBy}} {{.CreatedAt}}", image],
  ["volume", "ls"],
  ["volume", "ls", "-q"],
  ["volume", "ls", "--format", "json"],
  ["volume", "ls", "--format", "{{.Name}} {{.Driver}} {{.Mountpoint}} {{.Labels}} {{.Scope}} {{.Size}}"],
  ["volume", "ls", "--format", 'table {{.Name}}\t{{.Label "k"}}'],
  ["volume", "inspect", "data"],
  ["volume", "inspect", "-f", "{{.Name}} {{.Labels}} {{.Options}}", "data"],
  ["network", "ls"],
  ["network", "ls", "--no-trunc"],
  ["network", "ls", "-q"],
  ["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} {{.CreatedAt}}"],
  ["network", "inspect", "bridge"],
  ["network", "inspect", "bridge", "-f", "{{.IPAM}} {{range .IPAM.Config}}{{.Subnet}}{{end}} {{.Options}}"],
  ["inspect", "first"],
  ["inspect", "first", "second"],
  ["inspect", "-s", "first", "-f", "{{.SizeRw}}"],
  ...shown(
    "{{.Id}} {{.Name}} {{.State.Status}} {{.Config.Labels}}",
    "{{.ID}} {{.State}}",
    "{{.Config.Labels.missing}}",
    "{{.HostConfig.NanoCPUs}} {{.HostConfig.PidsLimit}} {{.HostConfig.DNS}}",
    "{{.HostConfig.RestartPolicy}} {{.HostConfig.LogConfig}} {{.Mounts}}",
    "{{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.ExposedPorts}}",
  ),
  ["inspect", "-f", "{{.NetworkSettings.Ports}} {{.HostConfig.PortBindings}}", "published"],
  ["inspect", "-f", '{{(index (index .HostConfig.PortBindings "80/tcp") 0).HostPort}}', "published"],
  [
    "inspect",
    "-f",
    "{{range $p, $b := .HostConfig.PortBindings}}{{$p}}={{(index $b 0).HostPort}} {{end}}",
    "published",
  ],
  ...shown(
    "{{json .Config.Labels}} {{json .HostConfig.RestartPolicy}}",
    "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
    "{{.State.Health}}",
    "{{len .Config.Env}} {{index .Config.Env 0}}",
  ),
  ["inspect", "--type", "image", image],
  ["inspect", "-f", "{{.RepoTags}} {{.RootFS.Type}} {{.Size}} {{.Config.Env}}", image],
  ["inspect", "-f", '{{join .RepoTags ","}}', image],
  ["container", "inspect", "first", "-f", "{{.Image}}"],
  ["image", "inspect", image],
  ["port", "published"],
  ["port", "first"],
  ["port", "running"],
  ["port", "running", "80"],
  ["port", "running", "80/tcp"],
  ["port", "running", "81"],
  ["logs", "talker"],
  ["logs", "--tail", "1", "talker"],
  ["logs", "--tail", "0", "talker"],
  ["logs", "-t", "talker"],
  ["logs", "--since", "2001-01-01", "--until", "2002-01-01", "talker"],
  ["logs", "--since", "2001-01-01T00:00:00Z", "talker"],
  ["wait", "talker"],
  ["stats", "--no-stream", "first"],
  ["stats", "--no-stream", "--format", "json", "first"],
  ["stats", "--no-stream", "--format", "{{.Container}} {{.ID}} {{.Name}}", "running"],
  [...told, "--format", "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"],
  told,
  [...told, "--format", "{{.ID}} {{.Status}} {{.From}} {{.Time}}"],
  ["version", "--format", "{{.Server.Version}} {{.Server.Os}}"],
  ["info", "--format", "{{.Driver}} {{.NCPU}} {{.ServerVersion}} {{json .Runtimes}}"],
  ["exec", "running", "echo", "hello"],
  ["exec", "-e", "A=b", "-w", "/tmp", "-u", "user", "running", "sh", "-c", "echo $A $(pwd) $(id -u); exit 3"],
  ["exec", "running", "no-such-command"],
  ["exec", "running", "/etc/passwd"],
  ["exec", "-t", "running", "echo", "terminal"],
  ["exec", "-it", "running", "sh"],
  ["exec", "first", "true"],
  ["top", "running", "-o", "pid,comm"],
];

/** Mistakes, and what is said of them. */
const mistakes: readonly (readonly string[])[] = [
  ["--foo"],
  ["foo"],
  ["container", "foo"],
  ["run"],
  ["rm"],
  ["rename", "a"],
  ["ps", "a"],
  ["volume", "ls", "x"],
  ["port"],
  ["port", "a", "b", "c"],
  ["exec", "a"],
  ["tag", "a"],
  ["ps", "--foo"],
  ["run", "--foo"],
  ["run", "-Z"],
  ["run", "-itZ"],
  ["run", "-e"],
  ["run", "--name"],
  ["run", "--rm=x", "a"],
  ["run", "--=x"],
  ["run", "---x"],
  ["ps", "-n", "x"],
  ["ps", "-f", "x"],
  ...listed(
    "{{.Foo}}",
    "{{.ID",
    "table   {{.Foo}}",
    "{{foo}}",
    "{{if}}",
    "{{if .ID}}",
    "{{.ID}",
    "{{.ID}} {{end}}",
    "{{else}}",
    "{{$x}}",
    "{{(.ID}}",
    '{{"a}}',
    "{{@}}",
    "{{len}}",
    "{{lower 5}}",
    '{{join .Names ","}}',
    '{{eq 1 "a"}}',
    '{{index .ID "x"}}',
    "{{1 2}}",
    "{{.Label}}",
    "{{.ID 1}}",
    "{{range .Names}}{{.}}{{end}}",
    "{{.ID.Foo}}",
    "a\nb{{.Foo}}",
    "{{break}}",
    "{{)}}",
    "{{/* x }}",
    "{{1a}}",
    "{{.A,}}",
  ),
  ["images", "--format", "{{.Foo}}"],
  ["images", "--format", "{{else}}"],
  ["inspect", "-f", "{{.Foo}}", "first"],
  ["inspect", "-f", "{{.State.Foo}}", "first"],
  ["inspect", "-f", "{{.State.Health.Status}}", "first"],
  ["inspect", "-f", "{{", "first"],
  ["inspect", "-f", "{{range .Mounts}}", "first"],
  ["inspect", "-f", "{{.Name}}", "nosuch"],
  ["inspect", "nosuch", "first", "nosuch2", "-f", "{{.Name}}"],
  ["inspect", "nosuch"],
  ["inspect", "--type", "image", "nosuch"],
  ["inspect", "--type", "foo", "nosuch"],
  ["container", "inspect", "nosuch"],
  ["image", "inspect", "nosuch"],
  ["volume", "inspect", "nosuch"],
  ["network", "inspect", "nosuch"],
  ["info", "--format", "{{.Foo}}"],
  ["stop", "nosuch", "nosuch2"],
  ["stop", "-t", "x", "nosuch"],
  ["kill", "nosuch"],
  ["kill", "first"],
  ["kill", "-s", "NOSUCH", "running"],
  ["restart", "nosuch"],
  ["rm", "nosuch"],
  ["rm", "-f", "nosuch"],
  ["rm", "running"],
  ["start", "nosuch"],
  ["start", "-a", "nosuch"],
  ["start", "-a", "first", "second"],
  ["logs", "nosuch"],
  ["logs", "--since", "x", "talker"],
  ["exec", "nosuch", "ls"],
  ["attach", "nosuch"],
  ["attach", "first"],
  ["wait", "nosuch"],
  ["port", "nosuch"],
  ["top", "nosuch"],
  ["top", "first"],
  ["pause", "nosuch"],
  ["pause", "first"],
  ["unpause", "running"],
  ["rename", "nosuch", "b"],
  ["rename", "first", "second"],
  ["rmi", "nosuch"],
  ["rmi", "-f", "nosuch"],
  ["history", "nosuch"],
  ["tag", "nosuch", "a"],
  ["tag", image, "UPPER"],
  ["save", "nosuch"],
  ["save", "-o", "/no/such/directory/x", image],
  ["load", "-i", "/nosuch"],
  ["import", "/nosuch"],
  ["volume", "rm", "nosuch"],
  ["stats", "--no-stream", "nosuch"],
  ["run", "--pull", "never", "nosuch"],
  ["run", "--pull", "foo", image],
  ["run", "UPPER"],
  ["run", "a:b:c"],
  ["run", "-d", "-a", "stdout", image],
  ["run", "-it", image],
  ["run", "--name", "first", image],
  ["run", "--name", "a b", image],
  ["run", "-p", "x", image],
  ["run", "-p", "80:", image],
  ["run", "-p", "70000:80", image],
  ["run", "-p", "1-3:1-2", image],
  ["run", "-p", "80/foo", image],
  ["run", "-p", "1.2.3:80:80", image],
  ["run", "-p", "published=80", image],
  ["run", "--expose", "x", image],
  ["run", "--expose", "1:2", image],
  ["run", "--mount", "foo", image],
  ["run", "--mount", "type=bind,source=/a", image],
  ["run", "--mount", "type=bind,target=/b", image],
  ["run", "--mount", "type=bind,target=/b,src=/nosuch", image],
  ["run", "--mount", "type=tmpfs,target=/b,bind-propagation=private", image],
  ["run", "--mount", "type=volume,target=/b,readonly=x", image],
  ["run", "--mount", "type=volume,target=/b,foo=x", image],
  ["run", "--mount", "type=tmpfs,target=/b,tmpfs-size=x", image],
  ["run", "--mount", "type=tmpfs,target=/b,tmpfs-mode=9", image],
  ["run", "--mount", "type=bind,src=/,target=/b,bind-recursive=x", image],
  ["run", "--mount", "type=bind,src=/,target=/b,bind-recursive=readonly", image],
  ["run", "--mount", 'type=bind,"src=/a', image],
  ["run", "--mount", 'type=bind,src="/a', image],
  ["run", "-v", "rel/path:/x:foo", image],
  ["run", "-v", "/a:relative", image],
  ["run", "--tmpfs", "x", image],
  ["run", "-m", "x", image],
  ["run", "-m", "12x", image],
  ["run", "-m", "-1", image],
  ["run", "-m", "1k", image],
  ["run", "--memory-swappiness", "300", image],
  ["run", "--cpus", "x", image],
  ["run", "--cpus", "0.0000000001", image],
  ["run", "--ulimit", "x", image],
  ["run", "--ulimit", "foo=1", image],
  ["run", "--ulimit", "nofile=2:1", image],
  ["run", "--ulimit", "nofile=1:2:3", image],
  ["run", "--ulimit", "nofile=x", image],
  ["run", "--restart", "foo", image],
  ["run", "--restart", "on-failure:x", image],
  ["run", "--restart", ":3", image],
  ["run", "--rm", "--restart", "always", image],
  ["run", "--env-file", "/nosuch", image],
  ["run", "--env-file", "bad.env", image],
  ["run", "--env-file", "nameless.env", image],
  ["run", "--label-file", "/nosuch", image],
  ["run", "--cidfile", "taken", image],
  ["run", "--device", "x", image],
  ["run", "--device", "/dev/null:/x:q", image],
  ["run", "--device-cgroup-rule", "x", image],
  ["run", "--device-read-bps", "x", image],
  ["run", "--device-read-bps", "/x:1", image],
  ["run", "--device-read-bps", "/dev/x:y", image],
  ["run", "--device-write-iops", "/dev/x:y", image],
  ["run", "--blkio-weight", "99999", image],
  ["run", "--blkio-weight-device", "/dev/x:1", image],
  ["run", "--health-interval", "x", image],
  ["run", "--health-interval", "5", image],
  ["run", "--health-retries=-1", image],
  ["run", "--no-healthcheck", "--health-cmd", "a", image],
  ["run", "--pid", "x", image],
  ["run", "--uts", "x", image],
  ["run", "--userns", "x", image],
  ["run", "--cgroupns", "x", image],
  ["run", "--storage-opt", "x", image],
  ["run", "--sysctl", "x", image],
  ["run", "--sysctl", "kernel.foo=1", image],
  ["run", "--add-host", "x", image],
  ["run", "--add-host", "a:b", image],
  ["run", "--dns", "x", image],
  ["run", "--dns-search", "!", image],
  ["run", "--stop-signal", "x", image],
  ["run", "--security-opt", "x", image],
  ["run", "--security-opt", "seccomp=/nosuch", image],
  ["run", "-e", "=x", image],
  ["run", "-l", "=x", image],
  ["run", "-a", "foo", image],
  ["run", "--gpus", "x", image],
  ["run", "--mac-address", "x", image],
  ["run", "--network", "name=a,foo=b", image],
  ["run", "--network", "bridge", "--network", "own", image],
  ["run", "--network", "none", "--network-alias", "x", "--network", "none", image],
  ["run", "--link", "a:b:c", image],
  ["run", "-w", "x", image],
  ["run", "-u", "nosuch", image],
  ["run", "--network", "none", image, "no-such-command"],
  ["run", "--network", "none", image, "/etc/passwd"],
  ["run", "--network", "none", image, "/etc"],
  ["create", "--name", "first", image],
  ["volume", "create", "a b"],
];

/** Commands of which davit can obey every flag. */
const sameHelp = [
  "pull",
  "push",
  "images",
  "login",
  "search",
  "load",
  "save",
  "history",
  "rmi",
  "image prune",
  "image inspect",
  "manifest annotate",
  "manifest create",
  "manifest inspect",
  "manifest push",
  "system df",
  "ps",
  "rm",
  "stop",
  "restart",
  "kill",
  "exec",
  "attach",
  "inspect",
  "stats",
  "events",
  "info",
  "version",
  "import",
  "container prune",
  "container inspect",
  "volume prune",
  "volume rm",
  "volume inspect",
  "network ls",
  "network inspect",
];

/** Flags of `create`, whose effect is the record that dockerd makes. */
const creations: readonly (readonly string[])[] = [
  [image],
  [image, "sh", "-c", "echo -n hi"],
  ["-it", image],
  ["-i", "-a", "stdin", "-a", "stdout", image],
  ["-e", "A=b", "-e", "HOME", "-e", "NOT_SET_AT_ALL", "--env-file", "good.env", image],
  ["-l", "a=b", "-l", "c", "--label-file", "labels", image],
  ["--entrypoint", "/bin/echo", image, "x"],
  ["--entrypoint=", image, "sh"],
  ["-w", "/tmp", "-u", "user:staff", "-h", "box", "--domainname", "example.com", image],
  ["-p", "80", "-p", "127.0.0.1:8080:80/udp", "-p", "[::1]:81:81", "-p", "9000-9002:90-92", image],
  ["-p", "8000-8010:80", "-P", "--expose", "100-102/udp", "--expose", "7", image],
  ["-p", "published=8080,target=80", image],
  ["-v", "data:/data", "-v", "/anonymous", "-v", "/tmp:/host:ro,rslave", "-v", "./here:/here", image],
  ["--mount", "type=volume,src=data,dst=/d,ro,volume-nocopy,volume-label=a=b", image],
  ["--mount", "type=bind,src=/tmp,dst=/t,bind-propagation=rslave", image],
  ["--mount", '"type=bind","src=/tmp","dst=/with,comma"', image],
  ["--mount", "type=tmpfs,target=/t,tmpfs-size=10m,tmpfs-mode=1770", "--tmpfs", "/x:size=1m", image],
  ["--memory", "64m", "--memory-swap", "-1", "--memory-reservation", "32MiB", image],
  ["--cpus", "1.5", "--pids-limit", "100", "--cpu-shares", "512", "--cpuset-cpus", "0", image],
  ["-c", "10", "--cpu-period", "100000", "--cpu-quota", "50000", image],
  ["--ulimit", "nofile=1024:2048", "--ulimit", "core=0", "--shm-size", "1g", image],
  ["--restart", "on-failure:3", image],
  ["--restart", "always", image],
  ["--rm", "--init", "--privileged", "--read-only", image],
  ["--cap-add", "NET_ADMIN", "--cap-drop", "ALL", "--group-add", "50", image],
  ["--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined", image],
  ["--security-opt", "systempaths=unconfined", image],
  ["--network", "none", image],
  ["--network", "host", "--pid", "host", "--uts", "host", "--ipc", "host", image],
  ["--network", "name=own,alias=x,alias=y", image],
  ["--network", "own", "--network-alias", "z", "--ip", "10.99.0.9", image],
  ["--network", "own", "--link", "first:other", image],
  ["--dns", "1.1.1.1", "--dns-search", "example.com", "--dns-option", "ndots:2", image],
  ["--add-host", "a:1.2.3.4", "--add-host", "b=::1", image],
  ["--device", "/dev/null:/dev/x:r", "--device", "/dev/zero", "--device-cgroup-rule", "c 1:* rwm", image],
  ["--device-read-bps", "/dev/null:1mb", "--device-write-iops", "/dev/null:10", image],
  ["--blkio-weight", "100", "--oom-score-adj", "10", "--oom-kill-disable", image],
  [
    "--health-cmd",
    "true",
    "--health-interval",
    "1m30s",
    "--health-retries",
    "2",
    "--health-timeout=500ms",
    image,
  ],
  ["--no-healthcheck", image],
  ["--log-driver", "none", image],
  ["--log-opt", "max-size=1m", "--log-opt", "max-file=2", image],
  ["--stop-signal", "SIGUSR1", "--stop-timeout", "3", image],
  ["--sysctl", "net.ipv4.ip_forward=1", "--cgroup-parent", "/x", "--cgroupns", "host", image],
  ["--volumes-from", "first:ro", "--userns", "host", image],
  ["--gpus", "all", image],
  ["--gpus", '"device=0,1",capabilities=compute', image],
  ["--memory-swappiness", "10", "--kernel-memory=0", image].filter((word) => !word.startsWith("--kernel")),
];

/** Commands that act, each run by both in turn, after `before` in docker's hands. */
const actions: readonly { args: readonly string[]; stdin?: string; before?: readonly string[] }[] = [
  { args: ["run", "--rm", image, "echo", "hello"] },
  { args: ["run", "--rm", image, "sh", "-c", "echo out; echo err >&2; exit 7"] },
  { args: ["run", "--rm", "-i", image, "cat"], stdin: "through\nand through\n" },
  { args: ["run", "--rm", "-i", image, "wc", "-c"], stdin: "x".repeat(300_000) },
  { args: ["run", "--rm", image, "cat"], stdin: "not handed on" },
  { args: ["run", "--rm", "-t", image, "echo", "hello"] },
  { args: ["run", "--rm", "-a", "stderr", image, "sh", "-c", "echo out; echo err >&2"] },
  { args: ["run", "-d", "--rm", image, "true"] },
  { args: ["run", "--network", "none", image, "no-such-command"] },
  { args: ["start", "-a", "talker"] },
  { args: ["start", "first"], before: ["stop", "-t", "0", "first"] },
  { args: ["start", "first", "nosuch", "second"] },
  { args: ["stop", "-t", "0", "first"], before: ["start", "first"] },
  { args: ["restart", "-t", "0", "second"] },
  { args: ["kill", "second"], before: ["start", "second"] },
  { args: ["kill", "-s", "KILL", "second"], before: ["start", "second"] },
  { args: ["rm", "gone"], before: ["create", "--name", "gone", image] },
  { args: ["rm", "-f", "-v", "gone", "nosuch"], before: ["create", "--name", "gone", image] },
  { args: ["tag", image, "other:1"] },
  { args: ["rmi", "other:1"], before: ["tag", image, "other:1"] },
  { args: ["image", "rm", "other:1", "nosuch"], before: ["tag", image, "other:1"] },
  { args: ["volume", "create", "--label", "a=b", "fresh"] },
  { args: ["volume", "rm", "fresh", "nosuch"], before: ["volume", "create", "fresh"] },
  { args: ["load", "-q"], stdin: "not an archive" },
  { args: ["container", "prune", "-f", "--filter", "label=nosuch"] },
];

describe.skipIf(missing !== undefined)("against the docker CLI", () => {
  beforeAll(async () => {
    dockerd = await startDockerd();
    directory = mkdtempSync(join(tmpdir(), "davit-test-oracle-"));
    writeFileSync(
      join(directory, "good.env"),
      "# comment\n\nONE=1\n  TWO=two words \nHOME\nNOT_SET_AT_ALL\n",
    );
    writeFileSync(join(directory, "bad.env"), "A=1\nb c=d\n");
    writeFileSync(join(directory, "nameless.env"), "=x\n");
    writeFileSync(join(directory, "labels"), "x=1\ny\n");
    writeFileSync(join(directory, "taken"), "");
    const docker = async (...args: string[]) => {
      const outcome = await runCommand(["docker", "-H", dockerd.host, ...args]);
      if (outcome.code !== 0) throw new Error(`docker ${args.join(" ")}: ${outcome.stderr}`);
    };
    await docker("volume", "create", "--label", "k=v", "data");
    await docker("network", "create", "--subnet", "10.99.0.0/24", "own");
    const labels = ["-l", "com.example.some-label=x", "-l", "a=b"];
    await docker("create", "--name", "first", ...labels, image, "sleep", "600");
    await docker("create", "--name", "second", "-v", "data:/data", image, "sleep", "600");
    await docker("create", "--name", "published", "-p", "8080:80", "-p", "53:53/udp", image, "sleep", "1");
    const ports = ["-p", "18080:80", "-p", "127.0.0.1::81"];
    await docker("run", "-d", "--name", "running", ...ports, image, "sleep", "600");
    const script = "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three";
    await docker("run", "--name", "talker", image, "sh", "-c", script);
  }, 120_000);

  afterAll(async () => {
    await dockerd?.[Symbol.asyncDispose]();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  test("docker has none of davit's own commands", async () => {
    // Docker's `config` is about the settings of a Swarm.
    const own = commandPaths().filter((path) => isOurOwn(path) && path[0] !== "config");
    for (const path of own) {
      const { stdout } = await runCommand(["docker", ...path, "--help"]);
      expect(stdout).not.toContain(`Usage:  docker ${path.join(" ")} `);
    }
  });

  for (const path of commandPaths().filter((path) => !isOurOwn(path))) {
    test(`${path.join(" ")} knows every flag of docker's`, async () => {
      const { stdout } = await runCommand(["docker", ...path, "--help"]);
      const known = new FlagSet();
      (await commandAt(path)).define(known);
      for (const [, short, name = ""] of stdout.matchAll(/^ {2}(?:-(\w), | {4})--([\w-]+)/gm)) {
        if (name === "help") continue;
        const flag = known.find(name);
        expect([name, flag !== undefined]).toEqual([name, true]);
        if (flag?.unsupported !== true) expect([name, flag?.short]).toEqual([name, short]);
      }
    });
  }

  for (const path of sameHelp) {
    test(`${path} --help describes the flags as docker does`, async () => {
      const words = path.split(" ");
      const options = (text: string) => /^Options:\n(( .*\n)+)/m.exec(text)?.[1];
      const docker = await runCommand(["docker", ...words, "--help"]);
      const davit = await runCommand([davitBinary, ...words, "--help"]);
      expect(options(davit.stdout)).toBe(options(docker.stdout));
    });
  }

  const title = (args: readonly string[]) => args.join(" ").replaceAll("\n", "\\n");

  for (const args of [...readings, ...mistakes]) {
    test(`${title(args)} is answered alike`, async () => {
      const { docker, davit } = await both(dockerd.host, args, { cwd: directory });
      expect(davit).toEqual(docker);
    });
  }

  for (const args of creations) {
    test(`create ${title(args)} makes the same container`, async () => {
      const options = { cwd: directory, env: { HOME: "/root" } };
      const outcomes = await both(dockerd.host, ["create", ...args], options);
      expect(outcomes.davit).toEqual(outcomes.docker);
      if (outcomes.docker.code !== 0) throw new Error(`a bad example: ${outcomes.docker.stderr}`);
      const newest = await runCommand(["docker", "-H", dockerd.host, "ps", "-q", "-n", "2", "--no-trunc"]);
      const [byDavit = "", byDocker = ""] = newest.stdout.trim().split("\n");
      const { stdout } = await runCommand(["docker", "-H", dockerd.host, "inspect", byDocker, byDavit]);
      const [docker, davit]: unknown[] = JSON.parse(stdout);
      await runCommand(["docker", "-H", dockerd.host, "rm", "-v", byDavit, byDocker]);
      expect(comparable(davit)).toEqual(comparable(docker));
    });
  }

  for (const { args, stdin, before } of actions) {
    test(`${title(args)} does and says the same`, async () => {
      const options = { cwd: directory, ...(stdin === undefined ? {} : { stdin }) };
      const prepare = async () => {
        if (before !== undefined) await runCommand(["docker", "-H", dockerd.host, ...before]);
      };
      const { docker, davit } = await both(dockerd.host, args, options, prepare);
      expect(davit).toEqual(docker);
    });
  }
});

function commandPaths(): string[][] {
  return [
    ...[...commonCommands, ...otherCommands].map((command) => [command.name]),
    ...groups.flatMap((group) => group.children.map((child) => [group.name, child.name])),
  ];
}

/** What docker's command line does not have. */
function isOurOwn([group = "", name = ""]: readonly string[]): boolean {
  const own = ["builder ls", "image copy", "image diff", "image layers", "system check"];
  const buildahs = ["add", "buildah", "config", "containers", "copy", "from", "mount", "umount", "unmount"];
  const groups = ["bud", "build-cache", "registry", ...buildahs];
  return groups.includes(group) || own.includes(`${group} ${name}`);
}

async function commandAt(path: readonly string[]): Promise<Command> {
  const found = await findCommand(path, "davit");
  if (found.kind !== "command") throw new Error(`${path.join(" ")} is no command`);
  return found.command;
}

/** What the flags made of a container, without names and times, and where Go has no order, in one. */
function comparable(record: unknown): unknown {
  const withoutIds = (text: string) => text.replace(/\b([0-9a-f]{64}|[0-9a-f]{12})\b/g, "<id>");
  const text = JSON.stringify(record, (key, value: unknown) => {
    if (["Created", "Name", "GraphDriver"].includes(key)) return undefined;
    if (Array.isArray(value) && ["Env", "Binds", "Mounts"].includes(key)) {
      return value.map((item) => withoutIds(JSON.stringify(item))).sort();
    }
    return value;
  });
  return JSON.parse(withoutIds(text));
}
