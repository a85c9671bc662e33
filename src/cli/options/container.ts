/** All flags that `run` and `create` share, and the request that they make. */
import type { ContainerCreateRequest } from "../../core/objects.ts";
import type { FlagSet, Option } from "../flags/flag-set.ts";
import { BadValue } from "../flags/values.ts";
import type { Io } from "../io.ts";
import { foreignFlags, lifeCycleFlags, networkFlags, securityFlags, storageFlags } from "./host.ts";
import { processFlags } from "./process.ts";
import { resourceFlags } from "./resources.ts";

export interface ContainerFlags {
  readonly attach: Option<string[]>;
  readonly name: Option<string>;
  readonly platform: Option<string>;
  readonly pull: Option<string>;
  readonly quiet: Option<boolean>;
  /** The request for `words`: an image, then the command. @throws BadValue or FileFailure in Docker's words */
  request(words: readonly string[], io: Io): ContainerCreateRequest;
}

/** @param verb for the words of `--pull` */
export function containerFlags(flags: FlagSet, verb: "running" | "creating"): ContainerFlags {
  const process = processFlags(flags);
  const resources = resourceFlags(flags);
  const parts = [storageFlags(flags), networkFlags(flags), securityFlags(flags), lifeCycleFlags(flags)];
  foreignFlags(flags);
  const pull = flags.string("pull", `Pull image before ${verb} ("always", "missing", "never")`, {
    initial: "missing",
  });
  return {
    attach: process.attach,
    name: flags.string("name", "Assign a name to the container"),
    platform: flags.string("platform", "Set platform if server is multi-platform capable"),
    pull,
    quiet: flags.bool("quiet", "Suppress the pull output", { short: "q" }),
    request([image = "", ...command], io) {
      if (!["always", "missing", "never"].includes(pull.value)) {
        throw new BadValue(
          `invalid pull option: '${pull.value}': must be one of "always", "missing" or "never"`,
        );
      }
      const request: ContainerCreateRequest = {
        ...process.config(image, command, io),
        HostConfig: resources(),
      };
      for (const part of parts) {
        const { config, host, networking } = part(io);
        Object.assign(request, config);
        Object.assign(request.HostConfig ?? {}, host);
        if (networking !== undefined) request.NetworkingConfig = networking;
      }
      return request;
    },
  };
}
