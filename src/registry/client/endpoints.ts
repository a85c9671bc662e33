/**
 * From a registry's name to the addresses where it may be reached, in Docker's order: mirrors (Docker Hub only), HTTPS,
 * and for insecure registries HTTPS with any certificate, then plain HTTP.
 */
import { InvalidParameter } from "../../core/errors.ts";
import { defaultDomain } from "../../images/references.ts";
import { addressFamily, isInRange, isLoopback } from "./addresses.ts";
import { bareHost } from "./proxies.ts";

export interface Endpoint {
  /** Origin with a trailing slash: `https://registry-1.docker.io/`. */
  readonly base: URL;
  /** The server's certificate has to be good. */
  readonly verify: boolean;
  readonly isMirror: boolean;
  /** A server that expects TLS here says 400 to plain HTTP: then this was the wrong one. */
  readonly isGuess?: boolean;
}

const hubHost = "registry-1.docker.io";

/** Plain HTTP and unknown certificates are taken from these. */
export type InsecureCheck = (host: string) => Promise<boolean>;

/** The mirrors of a registry; those of Docker Hub come from the configuration. */
export async function mirrorsOf(
  domain: string,
  mirrors: readonly string[],
  isInsecure: InsecureCheck,
): Promise<Endpoint[]> {
  if (domain !== defaultDomain) return [];
  return await Promise.all(
    mirrors.map(async (mirror) => {
      const base = URL.parse(mirror.endsWith("/") ? mirror : `${mirror}/`);
      if (base === null) throw new InvalidParameter(`invalid mirror: ${mirror}`);
      return { base, verify: !(await isInsecure(base.host)), isMirror: true };
    }),
  );
}

function plainFirst(base: URL): Endpoint {
  return { base, verify: false, isMirror: false, isGuess: true };
}

/** The addresses of the registry itself, the best first. Of several only one is real: the first that answers. */
export async function endpointsOf(domain: string, isInsecure: InsecureCheck): Promise<Endpoint[]> {
  const host = domain === defaultDomain ? hubHost : domain;
  const secure = URL.parse(`https://${host}/`);
  const plain = URL.parse(`http://${host}/`);
  if (secure === null || plain === null) throw new InvalidParameter(`invalid registry host ${host}`);
  if (!(await isInsecure(host))) return [{ base: secure, verify: true, isMirror: false }];
  const inAnyCase: Endpoint[] = [
    { base: secure, verify: false, isMirror: false },
    { base: plain, verify: false, isMirror: false },
  ];
  // What never leaves the machine nobody can listen to: most registries there speak plain HTTP, and TLS takes longer to
  // be ready for than they take to answer.
  return isLoopback(bareHost(plain)) ? [plainFirst(plain), ...inAnyCase] : inAnyCase;
}

/**
 * Loopback addresses, hosts that the list names, and hosts with an address in one of its CIDR ranges. Names are looked up
 * only when there are ranges; one that cannot be is not insecure. `host[:port]`.
 */
export function insecureCheck(list: readonly string[]): InsecureCheck {
  const named = new Set(list.filter((entry) => !entry.includes("/")).map((entry) => entry.toLowerCase()));
  const ranges = list.filter((entry) => entry.includes("/"));
  return async (host) => {
    const url = URL.parse(`https://${host}/`);
    if (url === null) return false;
    const bare = bareHost(url);
    if (named.has(host.toLowerCase()) || isLoopback(bare)) return true;
    if (ranges.length === 0) return false;
    const addresses = addressFamily(bare) === 0 ? await addressesOf(bare) : [bare];
    return addresses.some((address) => ranges.some((range) => isInRange(address, range)));
  };
}

async function addressesOf(host: string): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  const found = await lookup(host, { all: true }).catch(() => []);
  return found.map(({ address }) => address);
}
