import { expect, test } from "bun:test";
import { formatIpv4Subnet, parseIpv4, parseIpv4Subnet, parseMac } from "../../src/linux/addresses.ts";
import { parseNetDev } from "../../src/linux/interface-counters.ts";
import { parseContainerPort } from "../../src/network/container-ports.ts";
import { formatNetworkMode, parseNetworkMode } from "../../src/network/mode.ts";
import { parsePortBindings } from "../../src/network/ports.ts";
import { chooseAddress, chooseSubnet, macOf } from "../../src/network/subnets.ts";

function subnet(text: string) {
  const parsed = parseIpv4Subnet(text);
  if (parsed === undefined) throw new Error(`not a subnet: ${text}`);
  return parsed;
}

test("network modes are read as Docker reads them", () => {
  for (const text of [undefined, "", "default", "bridge"])
    expect(parseNetworkMode(text)).toEqual({ kind: "bridge" });
  expect(parseNetworkMode("host")).toEqual({ kind: "host" });
  expect(parseNetworkMode("none")).toEqual({ kind: "none" });
  expect(parseNetworkMode("container:web")).toEqual({ kind: "container", container: "web" });
  expect(() => parseNetworkMode("container:")).toThrow("invalid container format container:<name|id>");
  expect(() => parseNetworkMode("backend")).toThrow("network backend not found");
  expect(formatNetworkMode(parseNetworkMode("container:web"))).toBe("container:web");
});

test("addresses that are not quite addresses are refused", () => {
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "-1.2.3.4",
    "0x1.2.3.4",
  ]) {
    expect(parseIpv4(text)).toBeUndefined();
  }
  expect(parseIpv4("255.255.255.255")).toBe(0xffffffff);
  expect(parseMac("02:42:ac:11:00")).toBeUndefined();
  expect(parseIpv4Subnet("10.0.0.0/33")).toBeUndefined();
  expect(formatIpv4Subnet(subnet("10.1.2.3/8"))).toBe("10.0.0.0/8");
});

test("the first default pool that overlaps nothing in use is chosen", () => {
  const choose = (...used: string[]) => formatIpv4Subnet(chooseSubnet(used.map(subnet)));
  expect(choose()).toBe("172.17.0.0/16");
  expect(choose("0.0.0.0/0")).toBe("172.17.0.0/16");
  expect(choose("172.17.3.0/24")).toBe("172.18.0.0/16");
  expect(choose("172.16.0.0/12")).toBe("192.168.0.0/20");
  expect(choose("172.16.0.0/12", "192.168.1.0/24")).toBe("192.168.16.0/20");
  expect(() => choose("172.16.0.0/12", "192.168.0.0/16")).toThrow("non-overlapping");
});

test("an address is the lowest that is free, until there is none", () => {
  const small = subnet("10.0.0.0/29");
  const used: string[] = [];
  for (const last of [2, 3, 4, 5, 6]) {
    const address = `10.0.0.${last}`;
    expect(chooseAddress(small, used)).toBe(parseIpv4(address) ?? -1);
    used.push(address);
  }
  expect(() => chooseAddress(small, used)).toThrow("no available IPv4 addresses");
  expect(
    chooseAddress(
      small,
      used.filter((address) => address !== "10.0.0.4"),
    ),
  ).toBe(parseIpv4("10.0.0.4") ?? -1);
  expect(macOf(parseIpv4("172.17.0.2") ?? 0).toString("hex")).toBe("0242ac110002");
});

test("port bindings are read with their addresses, ranges and protocols", () => {
  const bindings = {
    "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }, { HostPort: "9000-9002" }],
    "53/udp": null,
    "5000": [{ HostPort: "0" }],
  };
  expect(parsePortBindings(bindings)).toEqual([
    // A key that is a plain number comes first: objects order their keys so.
    { protocol: "tcp", hostIp: "0.0.0.0", range: undefined, containerPort: 5000 },
    { protocol: "tcp", hostIp: "127.0.0.1", range: [8080, 8080], containerPort: 80 },
    { protocol: "tcp", hostIp: "0.0.0.0", range: [9000, 9002], containerPort: 80 },
    { protocol: "udp", hostIp: "0.0.0.0", range: undefined, containerPort: 53 },
  ]);
});

test("port bindings that cannot work are refused", () => {
  const read = (key: string, binding: { HostIp?: string; HostPort?: string }) => () =>
    parsePortBindings({ [key]: [binding] });
  expect(read("80/foo", {})).toThrow("invalid proto: foo");
  expect(read("99999/tcp", {})).toThrow("invalid port");
  expect(read("80/tcp/x", {})).toThrow("invalid port");
  expect(read("80/tcp", { HostPort: "70000" })).toThrow("invalid port");
  expect(read("80/tcp", { HostPort: "9-8" })).toThrow("invalid port");
  expect(read("80/tcp", { HostPort: "8 drop" })).toThrow("invalid port");
  expect(read("80/tcp", { HostIp: "localhost; drop" })).toThrow("invalid IP address");
  expect(read("80/tcp", { HostIp: "::1" })).toThrow("IPv6");
  expect(parseContainerPort("53/UDP")).toEqual({ port: 53, protocol: "udp" });
});

test("interface counters are read, loopback left out", () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:      10       1    0    0    0     0          0         0       10       1    0    0    0     0       0          0
  eth0: 1234567    1001    2    3    0     0          0         0  7654321    2002    4    5    0     0       0          0
`;
  expect(parseNetDev(text)).toEqual({
    eth0: {
      rx_bytes: 1234567,
      rx_packets: 1001,
      rx_errors: 2,
      rx_dropped: 3,
      tx_bytes: 7654321,
      tx_packets: 2002,
      tx_errors: 4,
      tx_dropped: 5,
    },
  });
});
