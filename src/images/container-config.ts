/** The `config` of an image: what a container made from it runs with unless it is told otherwise. */
import type { ContainerConfig, HealthConfig } from "../core/objects.ts";
import { defined, type JsonReader } from "./json.ts";

/** Reads the fields that davit knows. @throws InvalidParameter naming the field of a wrong type. */
export function parseContainerConfig(json: JsonReader): ContainerConfig {
  const text = (key: string) => json.at(key).optional((value) => value.string());
  const flag = (key: string) => json.at(key).optional((value) => value.boolean());
  const list = (key: string) => json.at(key).optional((value) => value.strings());
  const set = (key: string) => json.at(key).optional(parseSet);
  return defined({
    Hostname: text("Hostname"),
    Domainname: text("Domainname"),
    User: text("User"),
    AttachStdin: flag("AttachStdin"),
    AttachStdout: flag("AttachStdout"),
    AttachStderr: flag("AttachStderr"),
    ExposedPorts: set("ExposedPorts"),
    Tty: flag("Tty"),
    OpenStdin: flag("OpenStdin"),
    StdinOnce: flag("StdinOnce"),
    Env: list("Env"),
    Cmd: list("Cmd"),
    Healthcheck: json.at("Healthcheck").optional(parseHealthcheck),
    ArgsEscaped: flag("ArgsEscaped"),
    Image: text("Image"),
    Volumes: set("Volumes"),
    WorkingDir: text("WorkingDir"),
    Entrypoint: list("Entrypoint"),
    NetworkDisabled: flag("NetworkDisabled"),
    OnBuild: list("OnBuild"),
    Labels: json.at("Labels").optional((value) => value.stringMap()),
    StopSignal: text("StopSignal"),
    StopTimeout: json.at("StopTimeout").optional((value) => value.integer()),
    Shell: list("Shell"),
  });
}

function parseHealthcheck(json: JsonReader): HealthConfig {
  const number = (key: string) => json.at(key).optional((value) => value.integer());
  return defined({
    Test: json.at("Test").optional((value) => value.strings()),
    Interval: number("Interval"),
    Timeout: number("Timeout"),
    Retries: number("Retries"),
    StartPeriod: number("StartPeriod"),
    StartInterval: number("StartInterval"),
  });
}

function parseSet(json: JsonReader): Record<string, Record<string, never>> {
  return Object.fromEntries(json.entries().map(([key]) => [key, {}]));
}
