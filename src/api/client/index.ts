/**
 * RemoteEngine: the Engine interface over HTTP, against davit's own server or Docker's. What the server cannot do
 * at its API version, it says itself; nothing is emulated here, but what can be read from exported images.
 */
import { apiVersion } from "../../core/version.ts";
import type { Engine } from "../../engine/engine.ts";
import { remoteContainers } from "./containers.ts";
import { remoteExecs } from "./execs.ts";
import { parseHost, type TlsOptions } from "./host.ts";
import { remoteImages } from "./images.ts";
import { remoteNetworks } from "./networks.ts";
import { ping, remoteSystem } from "./system.ts";
import { compareVersions, Transport } from "./transport.ts";
import { remoteVolumes } from "./volumes.ts";

export type { TlsOptions } from "./host.ts";

export interface RemoteEngineOptions {
  tls?: TlsOptions;
  /** Use this version, without negotiation (DOCKER_API_VERSION). */
  apiVersion?: string;
  /** Where images are exported to that are looked into (`images.layers`, `images.diff`); /tmp by default. */
  scratch?: string;
}

/**
 * Connects to the Engine API at `host` (`unix:///path`, `tcp://host:port`) and agrees on a version: the newest that
 * both sides know.
 * @throws Unavailable (`Cannot connect to the Docker daemon at …`) when nobody answers there.
 * @throws InvalidParameter when `host` cannot be read.
 */
export async function openRemoteEngine(host: string, options: RemoteEngineOptions = {}): Promise<Engine> {
  const transport = new Transport(parseHost(host, options.tls), options.apiVersion ?? apiVersion);
  if (options.apiVersion === undefined) {
    const offered = await ping(transport);
    if (compareVersions(offered, transport.version) < 0) transport.version = offered;
  }
  return {
    containers: remoteContainers(transport),
    execs: remoteExecs(transport),
    images: remoteImages(transport, options.scratch ?? "/tmp"),
    volumes: remoteVolumes(transport),
    networks: remoteNetworks(transport),
    system: remoteSystem(transport),
    async close() {
      transport.close();
    },
  };
}
