/** `config`: changes what the image will say. */
import type { ContainerConfig } from "../../core/objects.ts";
import type { State } from "../../state/state.ts";
import type { WorkingConfig, WorkingHistory, WorkingRecord } from "../../state/working-containers.ts";
import { type Local, timestamp } from "../local/local.ts";
import type { ConfigChange } from "../working.ts";
import { commandWords, entrypointWords } from "./command-words.ts";
import { changeEnvironment, changeMap, changeSet } from "./config-lists.ts";
import { changeHealthcheck, shownHealthcheck } from "./healthcheck.ts";
import { changeWorking, findWorking } from "./open.ts";

/** @returns warnings. @throws InvalidParameter for a value that is none; then nothing is changed */
export function configure(local: Local, reference: string, change: ConfigChange): string[] {
  const { state } = local;
  const warnings = warningsAbout(change, findWorking(state, reference));
  apply(state, reference, change);
  return warnings;
}

function apply(state: State, reference: string, change: ConfigChange): void {
  const { id } = findWorking(state, reference);
  changeWorking(state, id, (record) => ({
    ...record,
    config: changedConfig(record.config, change),
    annotations: changeMap(record.annotations, change.annotations ?? []),
    createdBy: change.createdBy ?? record.createdBy,
    historyComment: change.historyComment ?? record.historyComment,
    history: change.addHistory === true ? [...record.history, ...historyOf(change)] : record.history,
  }));
}

function changedConfig(config: WorkingConfig, change: ConfigChange): WorkingConfig {
  const { osFeatures } = change;
  const [author, comment] = [change.author ?? config.author, change.comment ?? config.comment];
  const [variant, osVersion] = [change.variant ?? config.variant, change.osVersion ?? config.osVersion];
  return {
    ...config,
    architecture: change.architecture ?? config.architecture,
    os: change.os ?? config.os,
    ...(author === undefined ? {} : { author }),
    ...(comment === undefined ? {} : { comment }),
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
    ...(osFeatures === undefined
      ? {}
      : { osFeatures: Object.keys(changeSet(setOf(config.osFeatures ?? []), osFeatures)) }),
    config: changedProcess(config.config, change),
  };
}

function setOf(names: readonly string[]): Record<string, Record<string, never>> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

function changedProcess(config: ContainerConfig, change: ConfigChange): ContainerConfig {
  const next: ContainerConfig = { ...config };
  if (change.user !== undefined) next.User = change.user;
  if (change.stopSignal !== undefined) next.StopSignal = change.stopSignal;
  if (change.workingDirectory !== undefined) next.WorkingDir = change.workingDirectory;
  if (change.hostname !== undefined) next.Hostname = change.hostname;
  if (change.domainname !== undefined) next.Domainname = change.domainname;
  if (change.shell !== undefined) next.Shell = commandWords("shell", change.shell);
  if (change.environment !== undefined) next.Env = changeEnvironment(config.Env ?? [], change.environment);
  if (change.ports !== undefined) next.ExposedPorts = changeSet(config.ExposedPorts ?? {}, change.ports);
  if (change.volumes !== undefined) next.Volumes = changeSet(config.Volumes ?? {}, change.volumes);
  if (change.labels !== undefined) next.Labels = changeMap(config.Labels ?? {}, change.labels);
  if (change.onBuild !== undefined) next.OnBuild = [...(config.OnBuild ?? []), ...change.onBuild];
  if (change.entrypoint !== undefined) next.Entrypoint = entrypointWords(change.entrypoint);
  if (change.command !== undefined) next.Cmd = commandWords("cmd", change.command);
  return changeHealthcheck(next, change);
}

/** In Buildah's words and order. */
function warningsAbout(change: ConfigChange, { format, config }: WorkingRecord): string[] {
  const warnings: string[] = [];
  const command = config.config.Cmd ?? [];
  const isReplaced = change.command !== undefined && change.command.trim() === "";
  if ((change.entrypoint ?? "") !== "" && command.length > 0 && !isReplaced) {
    warnings.push(
      `cmd ${JSON.stringify(command.join(" "))} exists and will be passed to entrypoint as a parameter`,
    );
  }
  if (format !== "oci") return warnings;
  const lost = (what: string, value: string | undefined, image = "OCI image") => {
    if ((value ?? "") !== "") {
      warnings.push(
        `${what} is not supported for ${image} format, ${value} will be ignored. Must use \`docker\` format`,
      );
    }
  };
  if (change.shell !== undefined) lost("SHELL", `[${change.shell}]`);
  lost("COMMENT", change.comment === undefined ? undefined : `comment ${change.comment}`);
  lost("DOMAINNAME", change.domainname === undefined ? undefined : `domainname ${change.domainname}`);
  lost("HOSTNAME", change.hostname === undefined ? undefined : `hostname ${change.hostname}`, "OCI V1 image");
  for (const trigger of change.onBuild ?? []) lost("ONBUILD", trigger);
  if ((change.healthcheck ?? "") !== "") {
    warnings.push(
      "HEALTHCHECK is not supported for OCI image format and will be ignored. Must use `docker` format",
    );
  }
  return warnings;
}

/** A line for each change, as Buildah writes them. */
function historyOf(change: ConfigChange): WorkingHistory[] {
  const lines: string[] = [];
  const one = (keyword: string, value: string | undefined) => {
    if (value !== undefined) lines.push(`${keyword} ${value}`);
  };
  const all = (keyword: string, values: readonly string[] | undefined) => {
    if (values !== undefined && values.length > 0) lines.push(`${keyword} ${values.join(" ")}`);
  };
  one("USER", change.user);
  one("SHELL", change.shell);
  one("STOPSIGNAL", change.stopSignal);
  all("EXPOSE", change.ports);
  all("ENV", change.environment);
  one("ENTRYPOINT", change.entrypoint);
  one("CMD", change.command);
  for (const volume of change.volumes ?? []) one("VOLUME", volume);
  one("HEALTHCHECK", shownHealthcheck(change));
  all("LABEL", change.labels);
  one("WORKDIR", change.workingDirectory);
  for (const trigger of change.onBuild ?? []) one("ONBUILD", trigger);
  const created = timestamp();
  return lines.map((line) => ({ created, created_by: `/bin/sh -c #(nop) ${line}` }));
}
