import { tmpdir } from "node:os";
import type { Engine, ProgressMessage } from "../../engine/engine.ts";
import type { CopyPlaces, CopyRequest } from "../../engine/transports/copy.ts";
import { type AccessOptions, openAccess } from "../account/registries.ts";
import { type Command, CommandError, exactly, type Invocation } from "../command.ts";
import { plainly } from "../failures.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";
import { type ProgressDisplay, progressDisplay, quietDisplay } from "../progress/display.ts";

const defaultDockerHost = "unix:///var/run/docker.sock";

export const copy: Command = {
  synopsis: "[OPTIONS] SOURCE DESTINATION",
  summary: "Copy an image from any place to any other",
  description: `Copy an image from any place to any other, unpacked nowhere where it need not be.

Places:
  NAME[:TAG]                    this engine (also davit:NAME[:TAG])
  docker://NAME[:TAG|@DIGEST]   a registry
  oci:DIRECTORY[:TAG]           an OCI image layout
  dir:DIRECTORY                 the files of one image, as skopeo's dir:
  oci-archive:FILE[:TAG]        an OCI image layout in a tar archive
  docker-archive:FILE[:NAME]    what 'docker save' writes
  docker-daemon:NAME[:TAG]      Docker, at DOCKER_HOST or its usual socket`,
  count: exactly(2),
  examples: [
    "image copy docker://registry.example.com/web:1 oci:web:1",
    "image copy --all docker://busybox docker://registry.example.com/mirror/busybox",
    "image copy web:1 docker-archive:web.tar:web:1",
  ],
  define(flags) {
    const all = flags.bool("all", "Copy all platforms of an index", { short: "a" });
    const format = flags.string("format", 'Kind of manifest at the destination ("oci", "docker")');
    const insecure = flags.list("insecure-registry", "Registry host that may be spoken to in the clear");
    const platform = platformFlag(flags, "Copy only the given platform");
    const preserve = flags.bool("preserve-digests", "Fail rather than convert a manifest");
    const quiet = flags.bool("quiet", "Print the digest only", { short: "q" });
    return async (invocation) => {
      const {
        args: [from = "", to = ""],
        io,
      } = invocation;
      if (!["", "oci", "docker"].includes(format.value)) {
        throw new CommandError(`invalid format ${JSON.stringify(format.value)}: must be "oci" or "docker"`);
      }
      if (all.value && platform.value !== "") {
        throw new CommandError("conflicting options: cannot specify both --all and --platform");
      }
      const platformOrHost = normalPlatform(platform.value);
      const request: CopyRequest = {
        from,
        to,
        all: all.value,
        preserveDigests: preserve.value,
        ...(platformOrHost === undefined ? {} : { platform: platformOrHost }),
        ...(format.value === "oci" || format.value === "docker" ? { format: format.value } : {}),
      };
      const display = quiet.value ? quietDisplay : progressDisplay(io, io.stdout);
      const digest = await plainly(() =>
        copyShown(invocation, request, { insecure: insecure.value }, display),
      );
      if (quiet.value) await io.stdout.write(`${digest}\n`);
      return 0;
    };
  },
};

/** Copies and shows how far it is. @returns the digest of what the destination's name leads to */
export async function copyShown(
  invocation: Invocation,
  request: CopyRequest,
  options: AccessOptions,
  display: ProgressDisplay,
): Promise<string> {
  const { copyImage } = await import("../../engine/transports/copy.ts");
  using access = await openAccess(invocation, options);
  let shown: Promise<void> = Promise.resolve();
  const report = (message: ProgressMessage): void => {
    const isLayer = message.id !== undefined && message.id !== "";
    shown = shown.then(() => display.show(isLayer ? { progressDetail: {}, ...message } : message));
    // Told below, once the copy has ended.
    shown.catch(() => {});
  };
  const places: CopyPlaces = {
    registries: access.registries,
    credentials: access.credentials,
    local: { openEngine: invocation.engine },
    openDaemon: () => openDaemon(invocation),
    scratch: invocation.io.env.TMPDIR || tmpdir(),
    report,
  };
  try {
    const { digest } = await copyImage(request, places);
    await shown;
    return digest;
  } finally {
    await display.finish();
  }
}

export async function openDaemon({ io }: Pick<Invocation, "io">): Promise<Engine> {
  const { openRemoteEngine } = await import("../../api/client/index.ts");
  return await openRemoteEngine(io.env.DOCKER_HOST || defaultDockerHost);
}
