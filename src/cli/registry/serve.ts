import { resolve } from "../../core/paths.ts";
import { readFileSync } from "../../linux/files.ts";
import {
  type Authenticator,
  openHtpasswd,
  openRegistryServer,
  openTokenAuthentication,
  type RegistryServer,
  type RegistryServerOptions,
} from "../../registry/server/index.ts";
import { jsonLine, plainLine } from "../../registry/server/log.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import type { FlagSet, Option } from "../flags/flag-set.ts";
import { BadValue, parseBytes, parseDuration } from "../flags/values.ts";
import type { Io } from "../io.ts";
import { parseListenAddress } from "./address.ts";
import { LineWriter } from "./line-writer.ts";
import { rootFlag, rootOf } from "./root.ts";

export const serve: Command = {
  synopsis: "[OPTIONS]",
  summary: "Serve images to docker, podman, davit and all others over the OCI distribution API",
  count: noArguments,
  examples: [
    "registry serve --root /srv/registry",
    "registry serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem --htpasswd users",
    "registry serve --proxy https://registry-1.docker.io --read-only",
  ],
  define(flags) {
    const choices = declare(flags);
    return async ({ io }) => {
      const log = new LineWriter(io.stdout);
      const notes = new LineWriter(io.stderr);
      const options = await optionsOf(choices, io, log, notes);
      // Asked for before the start, so that an order to stop that comes early is obeyed.
      const stopped = signalled(io);
      const server = await openRegistryServer(options);
      notes.write(`registry listens on ${server.address}, content in ${options.root}`);
      await stopped.first;
      notes.write("registry stops: requests in flight may end");
      await shutDown(server, stopped.second, choices.stopTimeout.value);
      stopped.forget();
      await Promise.all([log.end(), notes.end()]);
      return 0;
    };
  },
};

type Choices = ReturnType<typeof declare>;

const hour = 3600e9;

function declare(flags: FlagSet) {
  const file = (name: string, usage: string) => flags.string(name, usage, { kind: "file" });
  const size = (name: string, usage: string) =>
    flags.value<number | undefined>(name, usage, { kind: "bytes", initial: undefined, parse: parseQuota });
  const duration = (name: string, usage: string, initial: number, shownDefault: string) =>
    flags.value(name, usage, { kind: "duration", initial, shownDefault, parse: parseDuration });
  return {
    listen: flags.value("listen", "Address and port to listen on", {
      kind: "host:port",
      initial: { hostname: "127.0.0.1", port: 5000 },
      shownDefault: '"127.0.0.1:5000"',
      parse: parseListenAddress,
    }),
    root: rootFlag(flags),
    tlsCert: file("tls-cert", "PEM file with the server's certificate and its chain"),
    tlsKey: file("tls-key", "PEM file with the certificate's key"),
    htpasswd: file("htpasswd", "Users and passwords, as htpasswd -B writes them"),
    tokenRealm: flags.string("token-realm", "Address of the token server"),
    tokenService: flags.string("token-service", "Name of this registry at the token server"),
    tokenIssuer: flags.string("token-issuer", "Name of the token server in its tokens"),
    tokenRoots: file("token-root-certs", "PEM file with certificates that tokens are verified by"),
    tokenKeys: file("token-jwks", "JSON Web Key Set that tokens are verified by"),
    readOnly: flags.bool("read-only", "Refuse pushes and deletes"),
    deletes: flags.bool("delete", "Allow deletes", { initial: true }),
    quota: size("quota", "Bytes that the registry may hold"),
    repositoryQuota: size("repository-quota", "Bytes that one repository may hold"),
    proxy: flags.string("proxy", "Serve as a cache of the registry at this address"),
    proxyUser: flags.string("proxy-user", "User at that registry"),
    proxyPassword: file("proxy-password-file", "File with the user's password"),
    cacheSize: size("cache-size", "Bytes that such a cache keeps"),
    proxyKeep: duration("proxy-keep", "Forget what nobody asked for so long; 0 for never", 0, "0s"),
    grace: duration("gc-grace", "Keep content so long that no image refers to", hour, "1h"),
    collectEvery: duration("gc-interval", "Time between collections; 0 for never", hour, "1h"),
    sparseIndexes: flags.bool("sparse-indexes", "Take indexes that list manifests which are not here"),
    removeUntagged: flags.bool("gc-remove-untagged", "Collections remove manifests without a tag, too"),
    uploadLife: duration("upload-timeout", "Give up uploads without progress", 168 * hour, "168h"),
    stopTimeout: duration("stop-timeout", "Time for requests in flight when stopping", 10e9, "10s"),
    logFormat: flags.value("log-format", "How requests are logged: plain, json or none", {
      kind: "string",
      initial: "plain",
      shownDefault: '"plain"',
      parse: parseLogFormat,
    }),
  };
}

async function optionsOf(
  choices: Choices,
  io: Io,
  log: LineWriter,
  notes: LineWriter,
): Promise<RegistryServerOptions & { root: string }> {
  const authenticator = authenticatorOf(choices, io);
  const tls = tlsOf(choices, io);
  const upstream = choices.proxy.value === "" ? undefined : await upstreamOf(choices, io);
  if (upstream === undefined && choices.cacheSize.changed) {
    throw new CommandError("--cache-size needs --proxy");
  }
  const line = choices.logFormat.value === "json" ? jsonLine : plainLine;
  return {
    root: rootOf(choices.root, io),
    listen: choices.listen.value,
    readOnly: choices.readOnly.value,
    deletes: choices.deletes.value,
    lease: choices.grace.value / 1e6,
    collectEvery: choices.collectEvery.value / 1e6,
    uploadLife: choices.uploadLife.value / 1e6,
    keepCached: choices.proxyKeep.value / 1e6,
    removeUntagged: choices.removeUntagged.value,
    warn: (message) => notes.write(message),
    ...(choices.logFormat.value === "none" ? {} : { log: (record) => log.write(line(record)) }),
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls === undefined ? {} : { tls }),
    ...(upstream === undefined ? {} : { upstream }),
    sparseIndexes: choices.sparseIndexes.value,
    ...(choices.cacheSize.value === undefined ? {} : { cacheSize: choices.cacheSize.value }),
    ...(choices.quota.value === undefined ? {} : { quota: choices.quota.value }),
    ...(choices.repositoryQuota.value === undefined
      ? {}
      : { repositoryQuota: choices.repositoryQuota.value }),
  };
}

function authenticatorOf(choices: Choices, io: Io): Authenticator | undefined {
  const { htpasswd, tokenRealm, tokenService, tokenIssuer, tokenRoots, tokenKeys } = choices;
  const isToken = [tokenRealm, tokenService, tokenIssuer, tokenRoots, tokenKeys].some(
    ({ changed }) => changed,
  );
  if (isToken && htpasswd.changed) {
    throw new CommandError("conflicting options: --htpasswd and --token-realm");
  }
  if (htpasswd.changed) return openHtpasswd(resolve(io.cwd, htpasswd.value));
  if (!isToken) return undefined;
  if (tokenRealm.value === "" || tokenService.value === "" || tokenIssuer.value === "") {
    throw new CommandError("--token-realm, --token-service and --token-issuer are needed together");
  }
  if (!tokenRoots.changed && !tokenKeys.changed) {
    throw new CommandError("--token-root-certs or --token-jwks is needed to verify tokens");
  }
  return openTokenAuthentication({
    realm: tokenRealm.value,
    service: tokenService.value,
    issuer: tokenIssuer.value,
    ...(tokenRoots.changed ? { rootCertificates: readText(tokenRoots, io) } : {}),
    ...(tokenKeys.changed ? { keySet: readText(tokenKeys, io) } : {}),
  });
}

function tlsOf({ tlsCert, tlsKey }: Choices, io: Io): RegistryServerOptions["tls"] {
  if (!tlsCert.changed && !tlsKey.changed) return undefined;
  if (!tlsCert.changed || !tlsKey.changed)
    throw new CommandError("--tls-cert and --tls-key are needed together");
  return { certFile: resolve(io.cwd, tlsCert.value), keyFile: resolve(io.cwd, tlsKey.value) };
}

async function upstreamOf(choices: Choices, io: Io) {
  const { openUpstream } = await import("./upstream.ts");
  const { proxy, proxyUser, proxyPassword } = choices;
  if (proxyUser.changed !== proxyPassword.changed) {
    throw new CommandError("--proxy-user and --proxy-password-file are needed together");
  }
  return openUpstream(proxy.value, io.env, {
    ...(proxyUser.changed
      ? { username: proxyUser.value, password: readText(proxyPassword, io).replace(/\r?\n$/, "") }
      : {}),
  });
}

function readText(option: Option<string>, io: Io): string {
  return readFileSync(resolve(io.cwd, option.value), "utf8");
}

/** Lets requests end; a second signal, or the time, ends the wait. */
async function shutDown(server: RegistryServer, hurry: Promise<void>, nanoseconds: number): Promise<void> {
  let isHurried = false;
  hurry.then(() => {
    isHurried = true;
  });
  await server.close(nanoseconds / 1e6, () => isHurried);
}

function signalled(io: Io) {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const forget = io.onSignal(["SIGTERM", "SIGINT"], () => {
    count += 1;
    (count === 1 ? first : second).resolve();
  });
  return { first: first.promise, second: second.promise, forget };
}

/** @throws BadValue */
function parseQuota(text: string): number {
  const bytes = parseBytes(text);
  if (bytes <= 0) throw new BadValue("a quota is more than 0 bytes");
  return bytes;
}

/** @throws BadValue */
function parseLogFormat(text: string): string {
  if (!["plain", "json", "none"].includes(text)) throw new BadValue("it is plain, json or none");
  return text;
}
