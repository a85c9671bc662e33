/** Instances, network namespaces that stand for containers, and peers to talk with: real ones, all removed again. */
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomId } from "../../src/core/ids.ts";
import { describeInstance } from "../../src/core/instance.ts";
import type { PortMap } from "../../src/core/objects.ts";
import { parseIpv4 } from "../../src/linux/addresses.ts";
import { findInterface } from "../../src/linux/interfaces.ts";
import { closeNamespace, openNamespace, withNetworkNamespace } from "../../src/linux/namespaces.ts";
import { NetlinkSocket } from "../../src/linux/netlink.ts";
import { Nftables } from "../../src/linux/nftables.ts";
import {
  addAddress,
  addDefaultRoute,
  createVeth,
  deleteLink,
  findLink,
  setUp,
} from "../../src/linux/rtnetlink.ts";
import {
  type Endpoint,
  plug,
  prepareHost,
  release,
  reserve,
  teardownInstance,
} from "../../src/network/index.ts";
import { openState, type State } from "../../src/state/state.ts";

type Cleanup = () => void | Promise<void>;
const cleanups: Cleanup[] = [];

/** Runs after the test, last registered first, whatever the test did. */
export function later(cleanup: Cleanup): void {
  cleanups.push(cleanup);
}

/** To be given to `afterEach` by each test file: a hook that is set up in here would serve the first file only. */
export async function cleanUp(): Promise<void> {
  const failures: unknown[] = [];
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
    try {
      await cleanup();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, "cleaning up failed");
}

/** A fresh instance with its own roots. */
export function newInstance(): State {
  const root = mkdtempSync(join(tmpdir(), "davit-test-"));
  const state = openState(describeInstance(join(root, "data"), join(root, "exec")));
  later(() => {
    teardownInstance(state.instance);
    state.close();
    rmSync(root, { recursive: true });
  });
  return state;
}

/** A process in a network namespace of its own, in which nothing is set up. */
export interface Sandbox {
  readonly pid: number;
  end(): Promise<void>;
}

export async function newSandbox(): Promise<Sandbox> {
  const process = Bun.spawn(["unshare", "--net", "sleep", "300"], { stdio: ["ignore", "ignore", "inherit"] });
  const sandbox = {
    pid: process.pid,
    end: async () => {
      process.kill("SIGKILL");
      await process.exited;
    },
  };
  later(sandbox.end);
  const home = readlinkSync("/proc/self/ns/net");
  while (readlinkSync(`/proc/${process.pid}/ns/net`) === home) await Bun.sleep(1);
  return sandbox;
}

export interface TestContainer extends Sandbox {
  readonly id: string;
  readonly endpoint: Endpoint;
  readonly address: string;
  /** Sockets that hold its host ports. */
  readonly sockets: readonly number[];
  /** The host port that leads to this port of the container. */
  hostPort(containerPort: number, protocol?: string): number;
}

/** Does for a sandbox what the engine does for a container. */
export async function newContainer(
  state: State,
  options: { portBindings?: PortMap; name?: string; publishAll?: boolean; exposedPorts?: string[] } = {},
): Promise<TestContainer> {
  const sandbox = await newSandbox();
  const id = randomId();
  const reservation = await reserve(state, {
    containerId: id,
    containerName: options.name ?? "test",
    ...options,
  });
  const { endpoint } = reservation;
  later(() => reservation[Symbol.dispose]());
  await prepareHost(state, reservation);
  await plug(state, endpoint, sandbox.pid);
  return {
    ...sandbox,
    id,
    endpoint,
    address: endpoint.address,
    sockets: [...reservation.sockets],
    end: async () => {
      await sandbox.end();
      release(state, id);
      reservation[Symbol.dispose]();
    },
    hostPort: (containerPort, protocol = "tcp") => {
      const port = endpoint.ports.find(
        (one) => one.containerPort === containerPort && one.protocol === protocol,
      );
      if (port === undefined) throw new Error(`port ${containerPort}/${protocol} is not published`);
      return port.hostPort;
    },
  };
}

/** Listens inside a sandbox; tells everyone who connects this name and the address that it sees. */
export function serve(sandbox: Sandbox, port: number, name: string): void {
  const server = withNetworkNamespace(`/proc/${sandbox.pid}/ns/net`, () =>
    Bun.listen({
      hostname: "0.0.0.0",
      port,
      socket: {
        open: (socket) => {
          socket.end(`${name} ${socket.remoteAddress}\n`);
        },
        data: () => {},
      },
    }),
  );
  later(() => server.stop(true));
}

/** Answers datagrams inside a sandbox with a name. */
export async function serveUdp(sandbox: Sandbox, port: number, name: string): Promise<void> {
  const socket = await inside(sandbox, () =>
    Bun.udpSocket({
      hostname: "0.0.0.0",
      port,
      socket: { data: (from, _data, peerPort, peer) => void from.send(name, peerPort, peer) },
    }),
  );
  later(() => socket.close());
}

export interface UdpPeer {
  /** Sends one datagram from always the same port; undefined when nobody answers in time. */
  ask(address: string, port: number): Promise<string | undefined>;
}

export async function newUdpPeer(client: Sandbox | "host"): Promise<UdpPeer> {
  let heard = Promise.withResolvers<string>();
  const socket = await inside(client, () =>
    Bun.udpSocket({
      hostname: "0.0.0.0",
      socket: { data: (_socket, data) => heard.resolve(data.toString()) },
    }),
  );
  later(() => socket.close());
  return {
    ask: async (address, port) => {
      heard = Promise.withResolvers();
      socket.send("hello", port, address);
      return await Promise.race([heard.promise, Bun.sleep(1000).then(() => undefined)]);
    },
  };
}

function inside<Result>(where: Sandbox | "host", work: () => Result): Result {
  return where === "host" ? work() : withNetworkNamespace(`/proc/${where.pid}/ns/net`, work);
}

/** What a server says to a client in this sandbox, or on the host itself; undefined when nobody answers in time. */
export async function ask(
  client: Sandbox | "host",
  address: string,
  port: number,
): Promise<string | undefined> {
  const enter = client === "host" ? [] : ["nsenter", `--net=/proc/${client.pid}/ns/net`];
  const process = Bun.spawn([...enter, "timeout", "1", "busybox", "nc", address, String(port)], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const text = await new Response(process.stdout).text();
  await process.exited;
  return text === "" ? undefined : text.trim();
}

/** A machine outside: a namespace with a link to the host that is none of the instance's. */
export interface Outside extends Sandbox {
  readonly address: string;
  /** The host's address on that link. */
  readonly hostAddress: string;
}

export async function newOutside(): Promise<Outside> {
  const sandbox = await newSandbox();
  // 198.18.0.0/15 is set aside for test networks (RFC 2544).
  const block = 4 * Math.floor(Math.random() * 0x7fff);
  const base = (parseIpv4("198.18.0.0") ?? 0) + block;
  const [hostAddress, address] = [base + 1, base + 2];
  const name = `dvt${randomId().slice(0, 10)}`;
  const namespace = openNamespace(`/proc/${sandbox.pid}/ns/net`);
  using host = new NetlinkSocket("route");
  try {
    later(() => {
      using socket = new NetlinkSocket("route");
      socket.batch([deleteLink(name)]);
    });
    const mac = Buffer.from(`02${randomId().slice(0, 10)}`, "hex");
    host.batch([createVeth({ name, peer: { name: "eth0", mac, namespace } })]);
    configure(host, name, hostAddress);
    withNetworkNamespace(namespace, () => {
      using inside = new NetlinkSocket("route");
      inside.batch([setUp("lo")]);
      configure(inside, "eth0", address);
      inside.batch([addDefaultRoute(hostAddress)]);
    });
  } finally {
    closeNamespace(namespace);
  }
  while (findLink(host, name)?.isOperational !== true) await Bun.sleep(1);
  return { ...sandbox, address: dotted(address), hostAddress: dotted(hostAddress) };
}

function configure(socket: NetlinkSocket, name: string, address: number): void {
  const index = findInterface(name)?.index;
  if (index === undefined) throw new Error(`no link ${name}`);
  socket.batch([addAddress(index, address, 30), setUp(name)]);
}

function dotted(address: number): string {
  return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join(".");
}

/** A table as a user would write it; `rules` are its chains. Removed by the function that is returned, or after the test. */
export function userTable(rules: string): () => void {
  const table = `davit-test-${randomId().slice(0, 8)}`;
  const nftables = new Nftables();
  let stands = true;
  const remove = () => {
    if (stands) nftables.run(`delete table inet ${table}`);
    stands = false;
  };
  nftables.run(`table inet ${table} {\n${rules}\n}`);
  later(remove);
  return remove;
}
