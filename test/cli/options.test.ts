/** What the values of run's flags mean. Bad ones are refused in Docker's words. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseMoment } from "../../src/cli/moments.ts";
import { isIpAddress } from "../../src/cli/options/addresses.ts";
import { parseDevice, parseGpus, parseUlimit } from "../../src/cli/options/devices.ts";
import { environment, labels, splitCsv } from "../../src/cli/options/key-values.ts";
import { parseMount, tmpfsOf, volumesOf } from "../../src/cli/options/mounts.ts";
import { type FirstNetwork, networkingConfig, parseNetwork } from "../../src/cli/options/networks.ts";
import {
  capabilities,
  checkDnsSearch,
  checkSysctl,
  parseExtraHost,
  parseRestartPolicy,
} from "../../src/cli/options/policies.ts";
import { publishedPorts } from "../../src/cli/options/ports.ts";
import { checkReference, familiarReference } from "../../src/cli/options/references.ts";
import { fakeIo } from "./fake-io.ts";

/** [input, what is said of it] */
function refused(read: (text: string) => unknown, cases: [text: string, message: string][]): void {
  for (const [text, message] of cases) {
    test(`${JSON.stringify(text)} is refused`, () => {
      expect(() => read(text)).toThrow(message);
    });
  }
}

describe("--publish", () => {
  const bindings = (text: string) => publishedPorts([text], []).bindings;

  test("single ports, addresses, protocols and ranges", () => {
    expect(bindings("80")).toEqual({ "80/tcp": [{ HostIp: "", HostPort: "" }] });
    expect(bindings("8080:80")).toEqual({ "80/tcp": [{ HostIp: "", HostPort: "8080" }] });
    expect(bindings("127.0.0.1:8080:80/UDP")).toEqual({
      "80/udp": [{ HostIp: "127.0.0.1", HostPort: "8080" }],
    });
    expect(bindings("127.0.0.1::80")).toEqual({ "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] });
    expect(bindings("[::1]:8080:80")).toEqual({ "80/tcp": [{ HostIp: "::1", HostPort: "8080" }] });
    expect(bindings("::1:8080:80")).toEqual({ "80/tcp": [{ HostIp: "::1", HostPort: "8080" }] });
    expect(bindings("8000-8001:80-81")).toEqual({
      "80/tcp": [{ HostIp: "", HostPort: "8000" }],
      "81/tcp": [{ HostIp: "", HostPort: "8001" }],
    });
    expect(bindings("8000-8010:80")).toEqual({ "80/tcp": [{ HostIp: "", HostPort: "8000-8010" }] });
    expect(bindings("target=80,published=8080,protocol=udp")).toEqual({
      "80/udp": [{ HostIp: "", HostPort: "8080" }],
    });
  });

  test("the same port twice is bound twice", () => {
    expect(publishedPorts(["1:80", "2:80"], []).bindings["80/tcp"]?.length).toBe(2);
  });

  test("exposed ports are added, ranges spelled out", () => {
    expect(Object.keys(publishedPorts(["80"], ["90-91/udp", "80"]).exposed)).toEqual([
      "80/tcp",
      "90/udp",
      "91/udp",
    ]);
  });

  refused(bindings, [
    ["", "no port specified: <empty>"],
    ["80:", "no port specified: 80:<empty>"],
    ["x", "invalid containerPort: x"],
    ["65536", "invalid containerPort: 65536"],
    ["-1", "invalid containerPort: -1"],
    ["81-80", "invalid containerPort: 81-80"],
    ["0x50:80", "invalid hostPort: 0x50"],
    ["1-2:80-82", "invalid ranges specified for container and host Ports: 80-82 and 1-2"],
    ["80/x", "invalid proto: x"],
    ["1.2.3:80:80", "invalid IP address: 1.2.3"],
    ["example.com:80:80", "invalid IP address: example.com"],
    ["published=80", "no port specified"],
    ["a=b,c", "invalid publish opts format (should be name=value but got 'c')"],
  ]);
});

describe("--volume", () => {
  test("binds, named and anonymous volumes, and paths from here", () => {
    expect(volumesOf(["/data", "v:/v", "/a:/b:ro", "./x:/y", ".:/z", "v:/v"], "/here")).toEqual({
      binds: ["v:/v", "/a:/b:ro", "/here/x:/y", "/here:/z"],
      anonymous: { "/data": {} },
    });
  });

  test("--tmpfs with and without options", () => {
    expect(tmpfsOf(["/a", "/b:size=1m,mode=700"])).toEqual({ "/a": "", "/b": "size=1m,mode=700" });
  });
});

describe("--mount", () => {
  const read = (text: string) => parseMount(text, "/here");

  test("each type with its options", () => {
    expect(read("target=/t")).toEqual({ Type: "volume", Target: "/t" });
    expect(read("type=bind,src=./x,dst=/t,ro,bind-propagation=RSLAVE")).toEqual({
      Type: "bind",
      Source: "/here/x",
      Target: "/t",
      ReadOnly: true,
      BindOptions: { Propagation: "rslave" },
    });
    expect(read("type=bind,src=/x,dst=/t,readonly=true,bind-recursive=writable").BindOptions).toEqual({
      ReadOnlyNonRecursive: true,
    });
    expect(read("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700").TmpfsOptions).toEqual({
      SizeBytes: 2 ** 20,
      Mode: 0o700,
    });
    expect(
      read("src=v,dst=/t,volume-nocopy,volume-opt=type=nfs,volume-opt=o=addr=1.2.3.4,volume-driver=local"),
    ).toEqual({
      Type: "volume",
      Source: "v",
      Target: "/t",
      VolumeOptions: {
        NoCopy: true,
        DriverConfig: { Name: "local", Options: { type: "nfs", o: "addr=1.2.3.4" } },
      },
    });
  });

  test("quoted fields may hold commas and quotes", () => {
    expect(read('type=volume,"src=a,b","dst=/q""x"')).toMatchObject({ Source: "a,b", Target: '/q"x' });
  });

  refused(read, [
    ["", "invalid field '' must be a key=value pair"],
    ["foo", "invalid field 'foo' must be a key=value pair"],
    ["type=bind", "target is required"],
    ["type=x,target=/t", "invalid mount type: x"],
    ["target=/t,foo=bar", "unexpected key 'foo' in 'foo=bar'"],
    ["target=/t,ro=maybe", "invalid value for ro: maybe"],
    ["type=bind,target=/t,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"],
    ["target=/t,bind-propagation=private", "cannot mix 'bind-*' options with mount type 'volume'"],
    ["type=bind,target=/t,bind-propagation=x", "invalid propagation: x"],
    ["type=tmpfs,target=/t,tmpfs-size=x", "invalid value for tmpfs-size: x"],
    ["type=tmpfs,target=/t,tmpfs-mode=999", "invalid value for tmpfs-mode: 999"],
    ["type=bind,src=/,target=/t,bind-recursive=readonly", "requires 'readonly'"],
    ["type=bind,src=/,target=/t,ro,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"],
    ['target="/t', 'bare " in non-quoted-field'],
    ['"target=/t', 'extraneous or missing " in quoted-field'],
    ['"target=/t"x', 'extraneous or missing " in quoted-field'],
  ]);
});

test("CSV keeps empty fields", () => {
  expect(splitCsv("a,,b,")).toEqual(["a", "", "b", ""]);
  expect(splitCsv('"","a""b"')).toEqual(["", 'a"b']);
});

describe("variables and labels", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "davit-test-options-"));
    writeFileSync(
      join(directory, "env"),
      "\ufeff# comment\r\n\nA=1\n  B= two \nHOME\nUNSET\nEMPTY=\nC=#x=y\n",
    );
    writeFileSync(join(directory, "spaces"), "a b=c\n");
    writeFileSync(join(directory, "nameless"), "=c\n");
    writeFileSync(join(directory, "labels"), "x=1\ny\n");
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  const io = () => fakeIo({ env: { HOME: "/root" }, cwd: directory }).io;

  test("come from files first, and from the caller where no value is given", () => {
    expect(environment(io(), ["env"], ["A=2", "HOME", "UNSET", "EMPTY="])).toEqual([
      "A=1",
      "B= two ",
      "HOME=/root",
      "EMPTY=",
      "C=#x=y",
      "A=2",
      "HOME=/root",
      "UNSET",
      "EMPTY=",
    ]);
  });

  test("the last of two labels counts, and a name alone is empty", () => {
    expect(labels(io(), ["labels"], ["x=2", "z"])).toEqual({ x: "2", z: "" });
  });

  test("bad files are named", () => {
    expect(() => environment(io(), ["nosuch"], [])).toThrow("open nosuch: no such file or directory");
    expect(() => environment(io(), ["spaces"], [])).toThrow("variable 'a b' contains whitespaces");
    expect(() => environment(io(), ["nameless"], [])).toThrow("no variable name on line '=c'");
    expect(() => environment(io(), [directory], [])).toThrow("is a directory");
  });
});

describe("devices", () => {
  test("paths and permissions", () => {
    expect(parseDevice("/dev/sda")).toEqual({
      PathOnHost: "/dev/sda",
      PathInContainer: "/dev/sda",
      CgroupPermissions: "rwm",
    });
    expect(parseDevice("/dev/sda:r")).toMatchObject({ PathInContainer: "/dev/sda", CgroupPermissions: "r" });
    expect(parseDevice("/dev/sda:/dev/x:rw")).toMatchObject({
      PathInContainer: "/dev/x",
      CgroupPermissions: "rw",
    });
  });
  refused(parseDevice, [
    ["", "bad format for path: "],
    ["x", "x is not an absolute path"],
    ["/a:/b:rw:x", "bad format for path: /a:/b:rw:x"],
    ["/a:/b:rr", "bad mode specified: rr"],
  ]);
});

describe("--ulimit", () => {
  test("soft and hard, and -1 for no limit", () => {
    expect(parseUlimit("nofile=1024")).toEqual({ Name: "nofile", Soft: 1024, Hard: 1024 });
    expect(parseUlimit("nofile=1:2")).toEqual({ Name: "nofile", Soft: 1, Hard: 2 });
    expect(parseUlimit("core=-1")).toEqual({ Name: "core", Soft: -1, Hard: -1 });
  });
  refused(parseUlimit, [
    ["nofile", "invalid ulimit argument: nofile"],
    ["foo=1", "invalid ulimit type: foo"],
    ["nofile=x", "strconv.ParseInt"],
    ["nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"],
    ["nofile=-1:1", "soft: -1 (unlimited), hard: 1"],
    ["nofile=1:2:3", "too many limit value arguments"],
  ]);
});

test("--gpus", () => {
  expect(parseGpus("all")).toMatchObject({ Count: -1, Capabilities: [["gpu"]] });
  expect(parseGpus("2")).toMatchObject({ Count: 2 });
  expect(parseGpus('"device=0,1",capabilities=compute')).toMatchObject({
    DeviceIDs: ["0", "1"],
    Capabilities: [["compute", "gpu"]],
  });
  expect(() => parseGpus("count=1,count=2")).toThrow("can be specified only once");
  expect(() => parseGpus("foo=1")).toThrow("unexpected key 'foo'");
});

describe("policies", () => {
  test("restart policies", () => {
    expect(parseRestartPolicy("no")).toEqual({ Name: "no", MaximumRetryCount: 0 });
    expect(parseRestartPolicy("on-failure:3")).toEqual({ Name: "on-failure", MaximumRetryCount: 3 });
    expect(() => parseRestartPolicy("sometimes")).toThrow("invalid restart policy 'sometimes'");
    expect(() => parseRestartPolicy("on-failure:x")).toThrow("maximum retry count must be an integer");
    expect(() => parseRestartPolicy(":3")).toThrow("no policy provided before colon");
  });

  test("hosts, domains and sysctls", () => {
    expect(parseExtraHost("a:1.2.3.4")).toBe("a:1.2.3.4");
    expect(parseExtraHost("a=::1")).toBe("a:::1");
    expect(parseExtraHost("a:[::1]")).toBe("a:::1");
    expect(parseExtraHost("a:host-gateway")).toBe("a:host-gateway");
    expect(() => parseExtraHost("a")).toThrow('bad format for add-host: "a"');
    expect(() => parseExtraHost("a:b")).toThrow('invalid IP address in add-host: "b"');
    expect([".", "example.com", "a-b.c"].map(checkDnsSearch)).toEqual([".", "example.com", "a-b.c"]);
    for (const bad of ["", "!", "a..b", "1.2", "-a"])
      expect(() => checkDnsSearch(bad)).toThrow("is not a valid domain");
    expect(checkSysctl("net.ipv4.ip_forward=1")).toBe("net.ipv4.ip_forward=1");
    expect(() => checkSysctl("vm.swappiness=1")).toThrow("sysctl 'vm.swappiness=1' is not allowed");
    expect(() => checkSysctl("net.x")).toThrow("is not allowed");
  });

  test("capabilities are spelled out; ALL swallows the others, adding wins", () => {
    expect(capabilities(["net_admin", "CAP_SYS_TIME", "NET_ADMIN"], ["NET_ADMIN", "chown"])).toEqual({
      CapAdd: ["CAP_NET_ADMIN", "CAP_SYS_TIME"],
      CapDrop: ["CAP_CHOWN"],
    });
    expect(capabilities(["x"], ["all", "chown"])).toEqual({ CapAdd: ["CAP_X"], CapDrop: ["ALL"] });
    expect(capabilities([], [])).toEqual({ CapAdd: null, CapDrop: null });
  });
});

describe("--network", () => {
  const none: FirstNetwork = { aliases: [], links: [], ipv4: "", ipv6: "", linkLocal: [], macAddress: "" };

  test("a plain name needs no endpoint", () => {
    expect(networkingConfig([parseNetwork("own")], none)).toEqual({ EndpointsConfig: {} });
    expect(networkingConfig([], none)).toEqual({ EndpointsConfig: {} });
  });

  test("the long form and the flags about the first network", () => {
    expect(networkingConfig([parseNetwork("name=own,alias=a,alias=b,ip=10.0.0.2")], none)).toEqual({
      EndpointsConfig: { own: { Aliases: ["a", "b"], IPAMConfig: { IPv4Address: "10.0.0.2" } } },
    });
    expect(networkingConfig([parseNetwork("one"), parseNetwork("two")], { ...none, aliases: ["x"] })).toEqual(
      {
        EndpointsConfig: { one: { Aliases: ["x"] }, two: {} },
      },
    );
  });

  test("contradictions are refused", () => {
    const config =
      (names: string[], first = none) =>
      () =>
        networkingConfig(names.map(parseNetwork), first);
    expect(config(["a", "a"])).toThrow('network "a" is specified multiple times');
    expect(config(["bridge", "a"])).toThrow("cannot attach both user-defined and non-user-defined");
    expect(config(["host"], { ...none, aliases: ["x"] })).toThrow(
      "network-scoped aliases are only supported",
    );
    expect(config(["name=a,ip=10.0.0.1"], { ...none, ipv4: "10.0.0.2" })).toThrow("cannot specify both --ip");
    expect(() => parseNetwork("name=a,foo=b")).toThrow("invalid field key foo");
    expect(() => parseNetwork("alias=b")).toThrow("network name/id is not specified");
  });
});

test("addresses are told from other text as the system's resolver tells them", () => {
  const texts = [
    ...["1.2.3.4", "255.255.255.255", "0.0.0.0", "::", "::1", "1::", "fe80::1", "1:2:3:4:5:6:7:8"],
    ...["::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "2001:DB8::a", "1::8", "1:2:3:4:5:6:7::"],
    ...["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "a", "localhost", ":", ":::", "1:::2"],
    ...["1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "1.2.3.4::", "::1.2.3", "1:"],
    ...[":1", "::1:", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7:8::"],
  ];
  for (const text of texts) expect([text, isIpAddress(text)]).toEqual([text, isIP(text) !== 0]);
});

describe("references", () => {
  test("a name without a tag means latest", () => {
    const byDigest = `a@sha256:${"0".repeat(64)}`;
    expect(["a", "a:1", "h:5000/a", "h:5000/a:1", byDigest].map(familiarReference)).toEqual([
      "a:latest",
      "a:1",
      "h:5000/a:latest",
      "h:5000/a:1",
      byDigest,
    ]);
  });

  test("good names pass, bad ones do not", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    for (const good of [
      "a",
      "a/b",
      "a_b-c.d:1.0",
      "localhost:5000/a",
      "Host.example/a:T",
      `a@${digest}`,
      digest,
    ]) {
      checkReference(good);
    }
    for (const bad of ["", ":1", "a:", "-a", "a//b", "a b", "a:b:c", "a@x", "a..b", `a:${"x".repeat(129)}`]) {
      expect(() => checkReference(bad)).toThrow("invalid reference format");
    }
    expect(() => checkReference("UPPER")).toThrow("repository name (library/UPPER) must be lowercase");
  });
});

test("moments: how long ago, seconds, and dates", () => {
  const now = 1_000_000_000_000;
  expect(parseMoment("10m", now)).toBe(1_000_000_000 - 600);
  expect(parseMoment("1.5", now)).toBe(1.5);
  expect(parseMoment("2001-09-09T01:46:40Z", now)).toBe(1_000_000_000);
  expect(parseMoment("2001-09-09T03:46:40.5+02:00", now)).toBe(1_000_000_000.5);
  for (const bad of ["", "yesterday", "2001-13-45T99:99:99Z", "2001"]) {
    if (bad === "2001") expect(parseMoment(bad, now)).toBe(2001);
    else expect(() => parseMoment(bad, now)).toThrow("failed to parse value as time or duration");
  }
});
