import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { randomId } from "../../src/core/ids.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { findInterface } from "../../src/linux/interfaces.ts";
import { NetlinkSocket } from "../../src/linux/netlink.ts";
import { findTableComment, Nftables } from "../../src/linux/nftables.ts";
import { listLinks } from "../../src/linux/rtnetlink.ts";
import {
  explainForwardPolicy,
  findEndpoint,
  listEndpoints,
  listNetworks,
  prepareHost,
  release,
  repairNetwork,
  reserve,
  teardownInstance,
} from "../../src/network/index.ts";
import { builtInNetwork, saveNetwork } from "../../src/network/records.ts";
import { openState, type State } from "../../src/state/state.ts";
import { ask, cleanUp, later, newContainer, newInstance, serve, userTable } from "./sandbox.ts";

afterEach(cleanUp);

const any = { "80/tcp": [{ HostPort: "" }] };

/** The elements of the instance's maps, as nft lists them. */
function elements(state: State): string {
  const listed = new Nftables().run(`list table inet ${state.instance.table}`);
  return [...listed.matchAll(/elements = \{([^}]*)\}/g)].map(([, text]) => text?.trim()).join(", ");
}

function ports(state: State): number {
  return state.db.query<{ count: number }, []>("SELECT count(*) AS count FROM ports").get()?.count ?? -1;
}

test("addresses are given from .2 upwards, and the lowest that is free again first", async () => {
  const state = newInstance();
  const endpoints = [];
  for (const name of ["one", "two", "three"]) endpoints.push((await newContainer(state, { name })).endpoint);
  expect(endpoints.map(({ address }) => address.split(".").at(-1))).toEqual(["2", "3", "4"]);
  release(state, endpoints[1]?.containerId ?? "");
  expect((await newContainer(state)).address).toBe(endpoints[1]?.address ?? "");
});

test("a container's MAC derives from its address, unless one is asked for", async () => {
  const state = newInstance();
  using first = await reserve(state, { containerId: randomId(), containerName: "one" });
  const bytes = first.endpoint.address.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
  expect(first.endpoint.mac).toBe(`02:42:${bytes.join(":")}`);
  const macAddress = "02:00:00:00:00:99";
  using second = await reserve(state, { containerId: randomId(), containerName: "two", macAddress });
  expect(second.endpoint.mac).toBe(macAddress);
});

test("releasing gives back rules, ports and the address, and may be done twice", async () => {
  const state = newInstance();
  const portBindings = { "80/tcp": [{ HostPort: "" }, { HostIp: "127.0.0.1", HostPort: "" }], "53/udp": [] };
  const container = await newContainer(state, { portBindings });
  expect(elements(state).split(",")).toHaveLength(3);
  expect(ports(state)).toBe(3);
  await container.end();
  expect(elements(state)).toBe("");
  expect(ports(state)).toBe(0);
  expect(findEndpoint(state, container.id)).toBeUndefined();
  release(state, container.id);
  while (findInterface(container.endpoint.hostLink) !== undefined) await Bun.sleep(5);
});

test("releasing with removeLink unplugs a namespace that lives on", async () => {
  const state = newInstance();
  const container = await newContainer(state);
  release(state, container.id, { removeLink: true });
  expect(findInterface(container.endpoint.hostLink)).toBeUndefined();
  expect(existsSync(`/proc/${container.pid}`)).toBe(true);
});

test("a port of another container is refused in Docker's words, and nothing is left of the attempt", async () => {
  const state = newInstance();
  const first = await newContainer(state, { portBindings: any });
  const HostPort = String(first.hostPort(80));
  const refused = reserve(state, {
    containerId: randomId(),
    containerName: "late",
    portBindings: { "81/tcp": [{ HostPort: "" }], "80/tcp": [{ HostPort }] },
  });
  await expect(refused).rejects.toThrow(
    new RegExp(
      `^driver failed programming external connectivity on endpoint late \\([0-9a-f]{64}\\): Bind for 0.0.0.0:${HostPort} failed: port is already allocated$`,
    ),
  );
  expect(listEndpoints(state).map(({ containerName }) => containerName)).toEqual(["test"]);
  expect(ports(state)).toBe(1);
});

test("a port of a foreign process is refused in Docker's words", async () => {
  const state = newInstance();
  const foreign = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  try {
    const HostPort = String(foreign.port);
    const refused = reserve(state, {
      containerId: randomId(),
      containerName: "late",
      portBindings: { "80/tcp": [{ HostPort }] },
    });
    await expect(refused).rejects.toThrow(
      `Error starting userland proxy: listen tcp4 0.0.0.0:${HostPort}: bind: address already in use`,
    );
  } finally {
    foreign.stop(true);
  }
});

test("a port of another instance's container is refused", async () => {
  const first = await newContainer(newInstance(), { portBindings: any });
  const HostPort = String(first.hostPort(80));
  const late = { containerId: randomId(), containerName: "late", portBindings: { "80/tcp": [{ HostPort }] } };
  await expect(reserve(newInstance(), late)).rejects.toThrow("address already in use");
});

test("a published port is closed to other servers while the container runs", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any });
  const listen = () =>
    Bun.listen({ hostname: "0.0.0.0", port: container.hostPort(80), socket: { data: () => {} } });
  expect(listen).toThrow();
  await container.end();
  listen().stop(true);
});

test("until a published port leads to its container, it refuses connections", async () => {
  const state = newInstance();
  using reservation = await reserve(state, {
    containerId: randomId(),
    containerName: "x",
    portBindings: any,
  });
  const port = reservation.endpoint.ports[0]?.hostPort ?? 0;
  const connection = Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => {} } });
  await expect(connection).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test("a port that another process takes in the last moment is refused in Docker's words", async () => {
  const state = newInstance();
  using reservation = await reserve(state, {
    containerId: randomId(),
    containerName: "x",
    portBindings: any,
  });
  const port = reservation.endpoint.ports[0]?.hostPort ?? 0;
  const foreign = Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => {} } });
  try {
    await expect(prepareHost(state, reservation)).rejects.toThrow(
      `listen tcp4 0.0.0.0:${port}: bind: address`,
    );
  } finally {
    foreign.stop(true);
  }
});

test("an address that is not this host's is refused in Docker's words", async () => {
  const refused = reserve(newInstance(), {
    containerId: randomId(),
    containerName: "x",
    portBindings: { "80/tcp": [{ HostIp: "203.0.113.7", HostPort: "8080" }] },
  });
  await expect(refused).rejects.toThrow(
    "listen tcp4 203.0.113.7:8080: bind: cannot assign requested address",
  );
});

test("SCTP ports are published, whether or not the host itself speaks SCTP", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: { "80/sctp": [{ HostPort: "" }] } });
  expect(elements(state)).toBe(`sctp . ${container.hostPort(80, "sctp")} : ${container.address} . 80`);
});

test("of a range of host ports the first that is free is taken", async () => {
  const state = newInstance();
  const first = await newContainer(state, { portBindings: any });
  const taken = first.hostPort(80);
  const HostPort = `${taken}-${taken + 20}`;
  const second = await newContainer(state, { portBindings: { "80/tcp": [{ HostPort }] } });
  expect(second.hostPort(80)).toBeGreaterThan(taken);
  expect(second.hostPort(80)).toBeLessThanOrEqual(taken + 20);
});

test("a thousand ports are published at once, and given back at once", async () => {
  const state = newInstance();
  const first = 20_000 + Math.floor(Math.random() * 8000);
  const portBindings = Object.fromEntries(
    Array.from({ length: 1000 }, (_, step) => [`${step + 1}/tcp`, [{ HostPort: String(first + step) }]]),
  );
  const container = await newContainer(state, { portBindings });
  const monitor = Bun.spawn(["true"], { stdio: ["ignore", "ignore", "ignore", ...container.sockets] });
  expect(await monitor.exited).toBe(0);
  serve(container, 1000, "last");
  expect(await ask("host", "127.0.0.1", first + 999)).toStartWith("last ");
  await container.end();
  expect(elements(state)).toBe("");
  expect(ports(state)).toBe(0);
});

test("all exposed ports are published when that is asked for", async () => {
  const state = newInstance();
  const container = await newContainer(state, { publishAll: true, exposedPorts: ["80/tcp", "53/udp"] });
  serve(container, 80, "web");
  expect(await ask("host", "127.0.0.1", container.hostPort(80))).toStartWith("web ");
  expect(container.hostPort(53, "udp")).toBeGreaterThanOrEqual(1024);
});

test("a restart takes its ports over from the monitor that still holds them", async () => {
  const state = newInstance();
  const containerId = randomId();
  const request = {
    containerId,
    containerName: "again",
    portBindings: { "80/tcp": [{ HostPort: "" }], "53/udp": [] },
  };
  const first = await reserve(state, request);
  await prepareHost(state, first);
  const monitor = Bun.spawn(["sleep", "100"], { stdio: ["ignore", "ignore", "ignore", ...first.sockets] });
  later(async () => {
    monitor.kill("SIGKILL");
    await monitor.exited;
  });
  first[Symbol.dispose]();
  release(state, containerId);
  const portBindings = Object.fromEntries(
    first.endpoint.ports.map((port) => [
      `${port.containerPort}/${port.protocol}`,
      [{ HostPort: String(port.hostPort) }],
    ]),
  );
  await expect(reserve(state, { ...request, portBindings })).rejects.toThrow("address already in use");
  using second = await reserve(state, { ...request, portBindings, previousHolder: monitor.pid });
  expect(second.endpoint.ports).toEqual(first.endpoint.ports);
  await prepareHost(state, second);
  monitor.kill("SIGKILL");
  await monitor.exited;
  const port = first.endpoint.ports.find(({ protocol }) => protocol === "tcp")?.hostPort ?? 0;
  expect(() => Bun.listen({ hostname: "0.0.0.0", port, socket: { data: () => {} } })).toThrow();
});

test("processes that start containers at the same moment get different addresses and one bridge", async () => {
  const state = newInstance();
  const script = `
    import { describeInstance } from "${import.meta.dir}/../../src/core/instance.ts";
    import { openState } from "${import.meta.dir}/../../src/state/state.ts";
    import { reserve } from "${import.meta.dir}/../../src/network/index.ts";
    const state = openState(describeInstance(${JSON.stringify(state.instance.dataRoot)}, ${JSON.stringify(state.instance.execRoot)}));
    const held = await reserve(state, { containerId: crypto.randomUUID(), containerName: "x" });
    console.log(held.endpoint.address);
  `;
  const processes = Array.from({ length: 4 }, () =>
    Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  const addresses = await Promise.all(processes.map((one) => new Response(one.stdout).text()));
  expect(new Set(addresses).size).toBe(4);
  expect(new Set(addresses.map((address) => address.split(".").slice(0, 2).join("."))).size).toBe(1);
});

test("instances that begin at the same moment choose different subnets", async () => {
  const states = [newInstance(), newInstance(), newInstance()];
  await Promise.all(states.map((state) => newContainer(state)));
  const subnets = states.map((state) => listNetworks(state).find(({ name }) => name === "bridge")?.subnet);
  expect(subnets).not.toContain(undefined);
  expect(new Set(subnets).size).toBe(states.length);
});

test("after a reboot the bridge comes back with the subnet that it had", async () => {
  const state = newInstance();
  const before = await newContainer(state);
  await before.end();
  teardownInstance(state.instance);
  expect(findInterface(state.instance.bridge)).toBeUndefined();
  // Of no pool: without a bridge the subnet is free, and an instance of another test may take one of a pool.
  saveNetwork(state, { ...builtInNetwork(state, "bridge"), subnet: "10.211.0.0/16", gateway: "10.211.0.1" });
  const after = await newContainer(state);
  expect(after.endpoint.gateway).toBe("10.211.0.1");
});

test("an instance whose records are lost goes on with the bridge that stands", async () => {
  const state = newInstance();
  const container = await newContainer(state);
  serve(container, 80, "old");
  state.db.run("DELETE FROM networks");
  state.db.run("DELETE FROM endpoints");
  using next = await reserve(state, { containerId: randomId(), containerName: "next" });
  expect(next.endpoint.gateway).toBe(container.endpoint.gateway);
});

test("rules that somebody flushed come back with the next container, for all that run", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any });
  serve(container, 80, "web");
  new Nftables().run(`delete table inet ${state.instance.table}`);
  expect(await ask("host", "127.0.0.1", container.hostPort(80))).toBeUndefined();
  await newContainer(state);
  expect(await ask("host", "127.0.0.1", container.hostPort(80))).toStartWith("web ");
});

test("a rule that a crash left in a port's place is replaced", async () => {
  const state = newInstance();
  const reservation = await reserve(state, {
    containerId: randomId(),
    containerName: "x",
    portBindings: any,
  });
  using _ = reservation;
  const hostPort = reservation.endpoint.ports[0]?.hostPort;
  const element = `tcp . ${hostPort} : 203.0.113.1 . 1`;
  new Nftables().run(`add element inet ${state.instance.table} published { ${element} }`);
  await prepareHost(state, reservation);
  expect(elements(state)).toBe(`tcp . ${hostPort} : ${reservation.endpoint.address} . 80`);
});

test("repair gives back what dead containers had, and leaves the living alone", async () => {
  const state = newInstance();
  const [dead, alive] = [
    await newContainer(state, { portBindings: any }),
    await newContainer(state, { portBindings: any }),
  ];
  serve(alive, 80, "alive");
  expect(repairNetwork(state, new Set([alive.id]))).toEqual([dead.id]);
  expect(listEndpoints(state).map(({ containerId }) => containerId)).toEqual([alive.id]);
  expect(ports(state)).toBe(1);
  expect(findInterface(dead.endpoint.hostLink)).toBeUndefined();
  expect(await ask("host", "127.0.0.1", alive.hostPort(80))).toStartWith("alive ");
  expect(repairNetwork(state, new Set([alive.id]))).toEqual([]);
});

test("nothing of an instance is left after its teardown", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any });
  teardownInstance(state.instance);
  expect(findInterface(state.instance.bridge)).toBeUndefined();
  expect(findInterface(container.endpoint.hostLink)).toBeUndefined();
  expect(findTableComment(state.instance.table)).toBeUndefined();
  using socket = new NetlinkSocket("route");
  expect(listLinks(socket).map(({ name }) => name)).not.toContain(container.endpoint.hostLink);
  teardownInstance(state.instance);
});

test("a foreign forward chain that drops by policy is explained, unless it knows the bridge", () => {
  const instance = describeInstance("/tmp/davit-test-nowhere/data", "/tmp/davit-test-nowhere/exec");
  // The first rule accepts everything: nobody else's packets are lost while this test runs.
  const remove = userTable("chain guard { type filter hook forward priority 0; policy drop; accept; }");
  expect(explainForwardPolicy(instance)).toContain("chain guard of the firewall table inet davit-test-");
  remove();
  userTable(
    `chain guard { type filter hook forward priority 0; policy drop; accept; iifname "${instance.bridge}" accept; }`,
  );
  expect(explainForwardPolicy(instance) ?? "").not.toContain("chain guard");
});

test("a second database connection sees the same endpoints", async () => {
  const state = newInstance();
  const container = await newContainer(state, { portBindings: any });
  const other = openState(state.instance);
  later(() => other.close());
  expect(findEndpoint(other, container.id)).toEqual(container.endpoint);
});
