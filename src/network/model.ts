/** What the network room keeps and gives: modes, endpoints, published ports. */
import type { PortMap } from "../core/objects.ts";

export type Protocol = "tcp" | "udp" | "sctp";

/** HostConfig.NetworkMode, understood. */
export type NetworkMode =
  | { readonly kind: "bridge" }
  | { readonly kind: "host" }
  | { readonly kind: "none" }
  /** The network namespace of another container, given by name or id. */
  | { readonly kind: "container"; readonly container: string };

/** One host port that leads to one port of the container. */
export interface PublishedPort {
  readonly protocol: Protocol;
  /** Dotted IPv4; `0.0.0.0` for all addresses of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
}

/** A container's place in a network. Kept in the `endpoints` table from `reserve` to `release`. */
export interface Endpoint {
  readonly endpointId: string;
  readonly networkId: string;
  readonly networkName: string;
  readonly containerId: string;
  readonly containerName: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly mac: string;
  /** Name of the veth on the host's side. */
  readonly hostLink: string;
  readonly ports: readonly PublishedPort[];
}

/** What a container asks of the default bridge. */
export interface EndpointRequest {
  readonly containerId: string;
  readonly containerName: string;
  /** HostConfig.PortBindings. */
  readonly portBindings?: PortMap | null | undefined;
  /** `80/tcp` of Config.ExposedPorts; used with publishAll. */
  readonly exposedPorts?: readonly string[] | undefined;
  readonly publishAll?: boolean | undefined;
  /** Chosen by the user instead of the one that derives from the address. */
  readonly macAddress?: string | undefined;
  /**
   * The conmon of this container's run before this one, if it may still be alive (a restart out of its exit
   * command): sockets that it still holds for the same ports are taken over instead of being in our way.
   */
  readonly previousHolder?: number | undefined;
}

/** A published port, and the socket that keeps it taken; none where the kernel does not know the protocol. */
export interface HeldPort extends PublishedPort {
  readonly socket: number | undefined;
}

/** An endpoint whose host ports are held by open sockets of this process. */
export interface Reservation extends Disposable {
  readonly endpoint: Endpoint;
  readonly held: readonly HeldPort[];
  /**
   * The sockets of `held`. conmon must inherit them and keep them open for the container's lifetime. Close-on-exec
   * here; dispose closes them in this process, after conmon has been launched and `prepareHost` is done.
   */
  readonly sockets: readonly number[];
}
