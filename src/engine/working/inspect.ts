/** `inspect`: a working container, or what one of an image would be, in the shape that Buildah shows. */
import { type HistoryEntry, parseConfig } from "../../images/manifest.ts";
import { imageById } from "../../images/records.ts";
import { workingSnapshot } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { type BaseImage, findBase } from "./base-image.ts";
import { dockerDocument, ociDocument, type Parts } from "./image.ts";
import { findWorking } from "./open.ts";

/** @throws NotFound */
export function inspect(local: Local, reference: string): object {
  const record = findWorking(local.state, reference);
  const isMounted = record.mountedIn !== "" && record.mountedIn === local.bootId;
  return shown(local, record, isMounted ? local.snapshots.mountPath(workingSnapshot(record.id)) : "");
}

/** @throws NotFound `x: image not known` */
export function inspectImage(local: Local, reference: string): object {
  const base = findBase(local, reference, undefined);
  return shown(local, untouched(base), "");
}

/** Nothing has been done to it, and it has no id. */
function untouched({ id, name, manifest, config, annotations }: BaseImage): Parts["record"] {
  return {
    id: "",
    name: "",
    created: "",
    state: { status: "made" },
    image: { id, name, manifest },
    format: "oci",
    config,
    history: [],
    annotations,
    createdBy: "",
    historyComment: "",
    defaults: {
      hostConfig: {},
      network: "",
      namespaces: { pid: "", ipc: "", uts: "", cgroup: "" },
      volumes: [],
    },
    mountedIn: "",
    stubs: [],
  };
}

function shown(local: Local, record: Parts["record"], mountPoint: string): object {
  const { image, defaults } = record;
  const isHere = image !== undefined && imageById(local.state, image.id) !== undefined;
  const configText = isHere ? textOf(local.content.tryRead(image.id)) : "";
  const base = configText === "" ? undefined : parseConfig(Buffer.from(configText));
  const own = record.history.map((line): HistoryEntry => ({ ...line, empty_layer: true }));
  const history = [...(base?.history ?? []), ...own];
  const parts: Parts = {
    record,
    created: base?.created ?? record.created,
    config: record.config.config,
    diffIds: base?.rootfs.diff_ids ?? [],
    history,
  };
  return {
    Type: "buildah 0.0.1",
    FromImage: image?.name ?? "",
    FromImageID: image?.id.replace("sha256:", "") ?? "",
    FromImageDigest: image?.manifest ?? "",
    Config: configText,
    Manifest: image === undefined ? "" : textOf(local.content.tryRead(image.manifest)),
    Container: record.name,
    ContainerID: record.id,
    MountPoint: mountPoint,
    ProcessLabel: "",
    MountLabel: "",
    ImageAnnotations: record.annotations,
    ImageCreatedBy: record.createdBy,
    OCIv1: ociDocument(parts),
    Docker: dockerDocument(parts),
    DefaultMountsFilePath: "",
    Isolation: "oci",
    NamespaceOptions: namespacesOf(record),
    Capabilities: defaults.hostConfig.CapAdd ?? [],
    ConfigureNetwork: "NetworkDefault",
    History: history,
    Devices: defaults.hostConfig.Devices ?? [],
  };
}

function namespacesOf({ defaults }: Parts["record"]): object[] {
  const { namespaces, network } = defaults;
  const all = { ...namespaces, mount: "", network, user: "host" };
  return Object.entries(all)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([Name, mode]) => ({
      Name,
      Host: mode === "host",
      Path: mode.startsWith("/") ? mode : "",
    }));
}

function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : Buffer.from(bytes).toString("utf8");
}
