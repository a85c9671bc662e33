/** Published ports: reading what is asked for, and taking the host's ports. */

import { hasErrno, InvalidParameter, SystemFailure } from "../core/errors.ts";
import type { PortMap } from "../core/objects.ts";
import { parseIpv4 } from "../linux/addresses.ts";
import { readFileSync } from "../linux/files.ts";
import { closeSocket, holdPort, refuseOthers, shareHeldPort } from "../linux/inet-sockets.ts";
import type { State } from "../state/state.ts";
import { parseContainerPort, parsePort, readExposedPorts } from "./container-ports.ts";
import type { Endpoint, EndpointRequest, HeldPort, Protocol } from "./model.ts";

/** One host port that is asked for: a fixed one, the first free of a range, or any. */
interface WantedPort {
  readonly protocol: Protocol;
  readonly hostIp: string;
  /** First and last that will do; undefined for any. */
  readonly range: readonly [number, number] | undefined;
  readonly containerPort: number;
}

const anyAddress = "0.0.0.0";
function parseRange(text: string): readonly [number, number] | undefined {
  if (text === "" || text === "0") return undefined;
  const [first = "", last = first, rest] = text.split("-");
  const [from, to] = [parsePort(first), parsePort(last)];
  if (from === undefined || to === undefined || rest !== undefined || to < from) {
    throw new InvalidParameter(`invalid port specification: ${JSON.stringify(text)}`);
  }
  return [from, to];
}

function parseHostIp(text: string | undefined): string {
  if (text === undefined || text === "") return anyAddress;
  if (text.includes(":")) {
    throw new InvalidParameter(
      `cannot publish on ${text}: the bridge network has no IPv6 addresses; publish on an IPv4 address`,
    );
  }
  if (parseIpv4(text) === undefined) throw new InvalidParameter(`invalid IP address: ${text}`);
  return text;
}

/** What the bindings ask for, in their order. @throws InvalidParameter */
export function parsePortBindings(bindings: PortMap | null | undefined): WantedPort[] {
  return Object.entries(bindings ?? {}).flatMap(([key, hostPorts]) => {
    const { port, protocol } = parseContainerPort(key);
    // No host port is given: any.
    return (hostPorts === null || hostPorts.length === 0 ? [{}] : hostPorts).map((binding) => ({
      protocol,
      hostIp: parseHostIp(binding.HostIp),
      range: parseRange(binding.HostPort ?? ""),
      containerPort: port,
    }));
  });
}

/** For `create`: says at once what `start` could never do. @throws InvalidParameter */
export function checkPortBindings(bindings: PortMap | null | undefined): void {
  parsePortBindings(bindings);
}

function wantedPorts(request: EndpointRequest): WantedPort[] {
  const wanted = parsePortBindings(request.portBindings);
  if (request.publishAll !== true) return wanted;
  const exposed = readExposedPorts(request.exposedPorts ?? [])
    .filter(
      ({ port, protocol }) => !wanted.some((one) => one.containerPort === port && one.protocol === protocol),
    )
    .map(({ port, protocol }) => ({ protocol, hostIp: anyAddress, range: undefined, containerPort: port }));
  return [...wanted, ...exposed];
}

/** net.ipv4.ip_local_port_range: where Docker, too, takes its random ports from. */
function* randomPorts(): Generator<number> {
  const [first, last] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1")
    .trim()
    .split(/\s+/)
    .map(Number);
  if (first === undefined || last === undefined || !(last >= first)) {
    throw new SystemFailure("cannot read net.ipv4.ip_local_port_range");
  }
  const count = last - first + 1;
  const start = Math.floor(Math.random() * count);
  for (let step = 0; step < count; step++) yield first + ((start + step) % count);
}

function* candidates(range: WantedPort["range"]): Generator<number> {
  if (range === undefined) return yield* randomPorts();
  const [first, last] = range;
  for (let port = first; port <= last; port++) yield port;
}

/** A port that could not be had: held by one of our own containers, or by anything else on this host. 500 in Docker. */
export class PortTaken extends SystemFailure {
  /** A foreign process or a conmon that is just about to end: worth another try in a moment. */
  readonly mayPass: boolean;
  constructor(message: string, mayPass: boolean) {
    super(message);
    this.mayPass = mayPass;
  }
}

/**
 * Takes all host ports of the request: all or none. To be called in a transaction, that records them.
 * @throws PortTaken, in Docker's words for the endpoint.
 */
export function holdPorts(state: State, request: EndpointRequest, endpointId: string): HeldPort[] {
  const held: HeldPort[] = [];
  try {
    for (const wanted of wantedPorts(request)) held.push(holdOne(state, request, wanted, held, endpointId));
    return held;
  } catch (error) {
    releaseSockets(held);
    throw error;
  }
}

export function socketsOf(held: readonly HeldPort[]): number[] {
  return held.map(({ socket }) => socket).filter((socket) => socket !== undefined);
}

export function releaseSockets(held: readonly HeldPort[]): void {
  for (const socket of socketsOf(held)) closeSocket(socket);
}

/**
 * The second half of taking the ports, when packets to them go to the container already.
 * @throws PortTaken when another process took one in between.
 */
export function keepPorts(endpoint: Endpoint, held: readonly HeldPort[]): void {
  for (const { socket, protocol, hostIp, hostPort } of held) {
    if (socket === undefined || protocol === "udp") continue;
    try {
      refuseOthers(socket);
    } catch (error) {
      if (!hasErrno(error, "EADDRINUSE")) throw error;
      throw new PortTaken(
        failure(endpoint.containerName, endpoint.endpointId, cannotListen(protocol, hostIp, hostPort)),
        true,
      );
    }
  }
}

function failure(containerName: string, endpointId: string, reason: string): string {
  return `driver failed programming external connectivity on endpoint ${containerName} (${endpointId}): ${reason}`;
}

function cannotListen(
  protocol: Protocol,
  hostIp: string,
  hostPort: number,
  reason = "address already in use",
): string {
  return `Error starting userland proxy: listen ${protocol}4 ${hostIp}:${hostPort}: bind: ${reason}`;
}

function holdOne(
  state: State,
  request: EndpointRequest,
  wanted: WantedPort,
  held: readonly HeldPort[],
  endpointId: string,
): HeldPort {
  const { protocol, hostIp, containerPort } = wanted;
  const fail = (reason: string) => failure(request.containerName, endpointId, reason);
  let refusal: PortTaken | undefined;
  for (const hostPort of candidates(wanted.range)) {
    const others = [...held, ...recordedPorts(state, protocol, hostPort)].filter((other) =>
      clashes(other, protocol, hostIp, hostPort),
    );
    if (others.length === 0) {
      try {
        return {
          protocol,
          hostIp,
          hostPort,
          containerPort,
          socket: hold(request, protocol, hostIp, hostPort),
        };
      } catch (error) {
        if (hasErrno(error, "EADDRNOTAVAIL")) {
          const reason = cannotListen(protocol, hostIp, hostPort, "cannot assign requested address");
          throw new SystemFailure(fail(reason), { cause: error });
        }
        if (!hasErrno(error, "EADDRINUSE")) throw error;
      }
    }
    // Docker's words differ: the first for the very same address, the second for whatever else is in the way.
    const reason = others.some((other) => other.hostIp === hostIp)
      ? `Bind for ${hostIp}:${hostPort} failed: port is already allocated`
      : cannotListen(protocol, hostIp, hostPort);
    refusal ??= new PortTaken(fail(reason), others.length === 0);
  }
  throw refusal ?? new SystemFailure(fail("all ports are allocated"));
}

/**
 * The socket; none where the kernel has no SCTP of its own, for then nobody else can take the port either.
 * @throws LinuxError
 */
function hold(
  request: EndpointRequest,
  protocol: Protocol,
  hostIp: string,
  hostPort: number,
): number | undefined {
  const address = parseIpv4(hostIp) ?? 0;
  try {
    return holdPort(protocol, address, hostPort);
  } catch (error) {
    if (hasErrno(error, "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")) return undefined;
    if (!hasErrno(error, "EADDRINUSE") || request.previousHolder === undefined) throw error;
    const shared = shareHeldPort(request.previousHolder, protocol, address, hostPort);
    if (shared === undefined) throw error;
    return shared;
  }
}

interface HostSide {
  readonly protocol: string;
  readonly hostIp: string;
  readonly hostPort: number;
}

/** One address and all addresses exclude each other. */
function clashes(other: HostSide, protocol: Protocol, hostIp: string, hostPort: number): boolean {
  const sameAddress = other.hostIp === hostIp || other.hostIp === anyAddress || hostIp === anyAddress;
  return other.protocol === protocol && other.hostPort === hostPort && sameAddress;
}

/** What containers of this instance hold. */
function recordedPorts(state: State, protocol: Protocol, hostPort: number): HostSide[] {
  return state.db
    .query<HostSide, [string, number]>(
      `SELECT protocol, host_ip AS hostIp, host_port AS hostPort FROM ports
       WHERE protocol = ? AND host_port = ?`,
    )
    .all(protocol, hostPort);
}
