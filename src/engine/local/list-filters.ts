/** Filters of the list of containers, as `GET /containers/json` has them. */
import { InvalidParameter, NotFound } from "../../core/errors.ts";
import { type Filters, hasLabels, unknownFilter } from "../../core/filters.ts";
import { findImage, type ImageRecord } from "../../images/records.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import type { Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { statusOf } from "./status.ts";

type Predicate = (record: ContainerRecord) => boolean;

const statuses = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/** One predicate of all filters. @throws InvalidParameter for filters that there are not. */
export function compileFilters(local: Local, filters: Filters): Predicate {
  const predicates = Object.entries(filters).map(([name, values]) => compileFilter(local, name, values));
  return (record) => predicates.every((predicate) => predicate(record));
}

function compileFilter(local: Local, name: string, values: string[]): Predicate {
  const any = (test: (record: ContainerRecord, value: string) => boolean): Predicate => {
    return (record) => values.some((value) => test(record, value));
  };
  switch (name) {
    case "id":
      return any((record, value) => record.id.startsWith(value) || matchesText(record.id, value));
    case "name":
      return any((record, value) => matchesText(`/${record.name}`, value) || matchesText(record.name, value));
    case "status":
      for (const value of values) {
        if (!statuses.includes(value)) {
          throw new InvalidParameter(`invalid filter 'status=${value}'`);
        }
      }
      return any((record, value) => statusOf(record) === value);
    case "exited": {
      const codes = values.map(Number);
      if (codes.some((code) => !Number.isInteger(code))) {
        throw new InvalidParameter(`invalid filter 'exited=${values.join(",")}'`);
      }
      return (record) => record.state.status === "exited" && codes.includes(record.exitCode);
    }
    case "label":
      return (record) => hasLabels(record.config.Labels ?? {}, values);
    case "ancestor": {
      const images = new Set(values.flatMap((value) => descendants(local, value)));
      return (record) => images.has(record.imageId);
    }
    case "volume":
      return any((record, value) =>
        record.mounts.some(
          (mount) => mount.Name === value || mount.Destination === value || mount.Source === value,
        ),
      );
    case "network":
      return any((record, value) => (record.hostConfig.NetworkMode ?? "bridge") === value);
    case "publish":
      return any((record, value) => boundPorts(record).some((port) => samePort(port, value)));
    case "expose":
      return any((record, value) =>
        Object.keys(record.config.ExposedPorts ?? {}).some((port) => samePort(port, value)),
      );
    case "before":
    case "since": {
      const pivots = values.map((value) => Date.parse(findContainer(local.state, value).created));
      return (record) => {
        const created = Date.parse(record.created);
        return pivots.every((pivot) => (name === "before" ? created < pivot : created > pivot));
      };
    }
    case "health":
      return any((_, value) => value === "none");
    case "is-task":
      return any((_, value) => value === "false" || value === "0");
    default:
      throw unknownFilter(name);
  }
}

function imageOrNone(local: Local, reference: string): ImageRecord | undefined {
  try {
    return findImage(local.state, reference);
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
}

/** An image and those that stand on all of its layers. */
function descendants(local: Local, reference: string): string[] {
  const image = imageOrNone(local, reference);
  if (image === undefined) return [];
  const top = image.chainIds.at(-1);
  const rows =
    top === undefined
      ? []
      : local.state.db
          .query<{ image_id: string }, [string]>("SELECT image_id FROM image_layers WHERE chain_id = ?")
          .all(top);
  return [image.id, ...rows.map((row) => row.image_id)];
}

/** Docker takes names and ids as regular expressions; what is none is taken as it stands. */
function matchesText(text: string, pattern: string): boolean {
  if (pattern.length > 512) return false;
  try {
    return new RegExp(pattern).test(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text.includes(pattern);
    throw error;
  }
}

function boundPorts(record: ContainerRecord): string[] {
  return Object.keys(record.hostConfig.PortBindings ?? {});
}

function samePort(port: string, filter: string): boolean {
  const wanted = filter.includes("/") ? filter : `${filter}/tcp`;
  return (port.includes("/") ? port : `${port}/tcp`) === wanted;
}
