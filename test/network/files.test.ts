import { expect, test } from "bun:test";
import { formatHosts } from "../../src/network/hosts.ts";
import { formatResolvConf } from "../../src/network/resolv.ts";

const local = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

test("hosts has Docker's lines, what was added, and the container's own address last", () => {
  const request = {
    mode: "bridge",
    hostname: "hh",
    domainname: "dom.ex",
    address: "172.17.0.2",
    gateway: "172.17.0.1",
    extraHosts: ["foo:1.2.3.4", "gw:host-gateway", "six:[2001:db8::1]", "seven:2001:db8::2"],
  } as const;
  expect(formatHosts(request, undefined)).toBe(
    `${local}1.2.3.4\tfoo\n172.17.0.1\tgw\n2001:db8::1\tsix\n2001:db8::2\tseven\n172.17.0.2\thh.dom.ex hh\n`,
  );
});

test("hosts of a container without a network has no address of its own", () => {
  expect(formatHosts({ mode: "none", hostname: "hh" }, undefined)).toBe(local);
});

test("hosts of a container in the host's network is the host's file and what was added", () => {
  expect(
    formatHosts({ mode: "host", hostname: "hh", extraHosts: ["a:1.1.1.1"] }, "127.0.0.1 localhost"),
  ).toBe("127.0.0.1 localhost\n1.1.1.1\ta\n");
});

test("a malformed extra host is refused", () => {
  for (const entry of ["", "name", ":1.2.3.4", "name:"]) {
    expect(() => formatHosts({ mode: "none", hostname: "x", extraHosts: [entry] }, undefined)).toThrow(
      "bad format for add-host",
    );
  }
  const gateway = { mode: "none", hostname: "x", extraHosts: ["a:host-gateway"] } as const;
  expect(() => formatHosts(gateway, undefined)).toThrow("host-gateway");
});

const hostFile = `# made by hand
search example.org
nameserver 127.0.0.1
nameserver 192.0.2.53
nameserver 2001:db8::53
nameserver ::1
options edns0
`;

test("resolv.conf keeps the host's lines but for servers that a container cannot reach", () => {
  expect(formatResolvConf({ mode: "bridge" }, hostFile)).toBe(
    "# made by hand\nsearch example.org\nnameserver 192.0.2.53\noptions edns0\n",
  );
  expect(formatResolvConf({ mode: "host" }, hostFile)).toBe(hostFile);
});

test("resolv.conf names public servers when the host has none that a container can reach", () => {
  expect(formatResolvConf({ mode: "bridge" }, "nameserver 127.0.0.53\n")).toBe(
    "\nnameserver 8.8.8.8\nnameserver 8.8.4.4",
  );
  expect(formatResolvConf({ mode: "bridge", options: ["ndots:1"] }, "")).toBe(
    "nameserver 8.8.8.8\nnameserver 8.8.4.4\noptions ndots:1\n",
  );
});

test("what is given for resolv.conf takes the place of the host's, each on its own", () => {
  const given = { mode: "bridge", servers: ["1.1.1.1", "9.9.9.9"] } as const;
  expect(formatResolvConf(given, hostFile)).toBe(
    "search example.org\nnameserver 1.1.1.1\nnameserver 9.9.9.9\noptions edns0\n",
  );
  const all = { ...given, search: ["a.b", "c"], options: ["ndots:3", "rotate"] };
  expect(formatResolvConf(all, hostFile)).toBe(
    "search a.b c\nnameserver 1.1.1.1\nnameserver 9.9.9.9\noptions ndots:3 rotate\n",
  );
});

test("a search domain of one dot means none", () => {
  expect(formatResolvConf({ mode: "bridge", search: ["."] }, "search x\nnameserver 192.0.2.1\n")).toBe(
    "nameserver 192.0.2.1\n",
  );
});
