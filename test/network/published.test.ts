import { afterEach, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import {
  ask,
  cleanUp,
  newContainer,
  newInstance,
  newOutside,
  newUdpPeer,
  serve,
  serveUdp,
  userTable,
} from "./sandbox.ts";

afterEach(cleanUp);

const any = (containerPort: string) => ({ [containerPort]: [{ HostIp: "", HostPort: "" }] });

function hostAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { family, internal, address } of addresses ?? []) {
      if (family === "IPv4" && !internal) return address;
    }
  }
  throw new Error("this host has no IPv4 address but loopback");
}

test("a container is reached at its address from the host and from its neighbours", async () => {
  const state = newInstance();
  const [one, two] = [await newContainer(state), await newContainer(state)];
  serve(one, 80, "one");
  expect(await ask("host", one.address, 80)).toBe(`one ${one.endpoint.gateway}`);
  expect(await ask(two, one.address, 80)).toBe(`one ${two.address}`);
});

test("a published port answers on 127.0.0.1 and on the host's own address", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("80/tcp") });
  serve(container, 80, "web");
  expect(await ask("host", "127.0.0.1", container.hostPort(80))).toBe(`web ${container.endpoint.gateway}`);
  expect(await ask("host", hostAddress(), container.hostPort(80))).toStartWith("web ");
});

test("a published port answers other containers, and the container itself, at the host's address", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("80/tcp") });
  const neighbour = await newContainer(state);
  serve(container, 80, "web");
  const port = container.hostPort(80);
  expect(await ask(neighbour, hostAddress(), port)).toBe(`web ${container.endpoint.gateway}`);
  expect(await ask(container, hostAddress(), port)).toBe(`web ${container.endpoint.gateway}`);
  expect(await ask(neighbour, container.endpoint.gateway, port)).toBe(`web ${container.endpoint.gateway}`);
});

test("a published port answers containers of another instance", async () => {
  const container = await newContainer(newInstance(), { portBindings: any("80/tcp") });
  const stranger = await newContainer(newInstance());
  serve(container, 80, "web");
  expect(await ask(stranger, hostAddress(), container.hostPort(80))).toStartWith("web ");
  expect(await ask(stranger, container.address, 80)).toBeUndefined();
});

test("a published port answers machines outside, who are seen by their own address", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("80/tcp") });
  const outside = await newOutside();
  serve(container, 80, "web");
  expect(await ask(outside, outside.hostAddress, container.hostPort(80))).toBe(`web ${outside.address}`);
});

test("machines outside reach no port that is not published, even when they have a route", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("80/tcp") });
  const outside = await newOutside();
  serve(container, 80, "web");
  serve(container, 81, "private");
  expect(await ask("host", container.address, 81)).toStartWith("private ");
  expect(await ask(outside, container.address, 81)).toBeUndefined();
  expect(await ask(outside, container.address, 80)).toBeUndefined();
});

test("containers reach machines outside, and come from the host's address", async () => {
  const container = await newContainer(newInstance());
  const outside = await newOutside();
  serve(outside, 80, "outside");
  expect(await ask(container, outside.address, 80)).toBe(`outside ${outside.hostAddress}`);
});

test("a port published on 127.0.0.1 answers there, and nowhere else", async () => {
  const state = newInstance();
  const container = await newContainer(state, {
    portBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
  });
  const outside = await newOutside();
  serve(container, 80, "web");
  const port = container.hostPort(80);
  expect(await ask("host", "127.0.0.1", port)).toStartWith("web ");
  expect(await ask("host", hostAddress(), port)).toBeUndefined();
  expect(await ask(outside, outside.hostAddress, port)).toBeUndefined();
});

test("two containers share a host port on different addresses", async () => {
  const state = newInstance();
  const outside = await newOutside();
  const one = await newContainer(state, {
    portBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
  });
  const HostPort = String(one.hostPort(80));
  const two = await newContainer(state, {
    portBindings: { "8080/tcp": [{ HostIp: outside.hostAddress, HostPort }] },
  });
  serve(one, 80, "one");
  serve(two, 8080, "two");
  expect(await ask("host", "127.0.0.1", one.hostPort(80))).toStartWith("one ");
  expect(await ask(outside, outside.hostAddress, one.hostPort(80))).toStartWith("two ");
});

test("containers cannot reach what listens on the host's loopback", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("80/tcp") });
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void socket.end("loopback\n"), data: () => {} },
  });
  try {
    expect(await ask("host", "127.0.0.1", listener.port)).toBe("loopback");
    // The container has a loopback of its own in the way of 127.0.0.1: take it away, and route it to the host.
    const enter = ["nsenter", `--net=/proc/${container.pid}/ns/net`];
    const routed = Bun.spawnSync([...enter, "sh", "-c", loopbackToHost(container.endpoint.gateway)]);
    expect(routed.stderr.toString()).toBe("");
    expect(await ask(container, "127.0.0.1", listener.port)).toBeUndefined();
  } finally {
    listener.stop(true);
  }
});

function loopbackToHost(gateway: string): string {
  return [
    "busybox ip addr del 127.0.0.1/8 dev lo",
    "busybox ip link set lo down",
    "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet",
    `busybox ip route add 127.0.0.0/8 via ${gateway}`,
  ].join(" && ");
}

test("a user's drop in the forward path stands, before and after davit's own chain", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("80/tcp") });
  const outside = await newOutside();
  serve(container, 80, "web");
  const port = container.hostPort(80);
  expect(await ask(outside, outside.hostAddress, port)).toStartWith("web ");
  for (const priority of [-10, 10]) {
    const remove = userTable(
      `chain forward { type filter hook forward priority ${priority}; ip saddr ${outside.address} drop; }`,
    );
    expect(await ask(outside, outside.hostAddress, port)).toBeUndefined();
    remove();
    expect(await ask(outside, outside.hostAddress, port)).toStartWith("web ");
  }
});

test("a user's rule can close a published port by the port's own number", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("80/tcp") });
  const outside = await newOutside();
  serve(container, 80, "web");
  const port = container.hostPort(80);
  userTable(
    `chain forward { type filter hook forward priority 0; meta l4proto tcp ct original proto-dst ${port} drop; }`,
  );
  expect(await ask(outside, outside.hostAddress, port)).toBeUndefined();
});

test("a published UDP port answers from the host, from neighbours and from outside", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any("53/udp") });
  const neighbour = await newContainer(state);
  const outside = await newOutside();
  await serveUdp(container, 53, "names");
  const port = container.hostPort(53, "udp");
  expect(await (await newUdpPeer("host")).ask("127.0.0.1", port)).toBe("names");
  expect(await (await newUdpPeer("host")).ask(hostAddress(), port)).toBe("names");
  expect(await (await newUdpPeer(neighbour)).ask(hostAddress(), port)).toBe("names");
  expect(await (await newUdpPeer(outside)).ask(outside.hostAddress, port)).toBe("names");
});

test("a peer that keeps sending UDP reaches the container that has the port now", async () => {
  const state = newInstance();
  const outside = await newOutside();
  const first = await newContainer(state, { portBindings: any("53/udp") });
  await serveUdp(first, 53, "first");
  const port = first.hostPort(53, "udp");
  const peer = await newUdpPeer(outside);
  expect(await peer.ask(outside.hostAddress, port)).toBe("first");
  await first.end();
  const other = await newContainer(state);
  expect(other.address).toBe(first.address);
  const portBindings = { "53/udp": [{ HostPort: String(port) }] };
  const second = await newContainer(state, { portBindings });
  await serveUdp(second, 53, "second");
  expect(await peer.ask(outside.hostAddress, port)).toBe("second");
});
