/** Ports inside a container: `80/tcp`. */
import { InvalidParameter } from "../core/errors.ts";
import type { Protocol } from "./model.ts";

const protocols: readonly string[] = ["tcp", "udp", "sctp"];

function isProtocol(text: string): text is Protocol {
  return protocols.includes(text);
}

/** undefined for what is no number of a port. */
export function parsePort(text: string): number | undefined {
  return /^[0-9]{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined;
}

export interface ContainerPort {
  readonly port: number;
  readonly protocol: Protocol;
}

/** Those of an image's exposed ports that are ports: what an image says is not to be trusted to be any. */
export function readExposedPorts(texts: readonly string[]): ContainerPort[] {
  return texts.flatMap((text) => {
    try {
      return [parseContainerPort(text)];
    } catch (error) {
      if (error instanceof InvalidParameter) return [];
      throw error;
    }
  });
}

/** `80/tcp`, or `80` for TCP. @throws InvalidParameter */
export function parseContainerPort(text: string): ContainerPort {
  const [number = "", name = "tcp", rest] = text.split("/");
  const port = parsePort(number);
  if (port === undefined || rest !== undefined)
    throw new InvalidParameter(`invalid port specification: ${JSON.stringify(text)}`);
  const protocol = name.toLowerCase();
  if (!isProtocol(protocol)) throw new InvalidParameter(`invalid proto: ${name}`);
  return { port, protocol };
}
