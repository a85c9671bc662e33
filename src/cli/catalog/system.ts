/** Commands about the engine as a whole, and about any object. */
import type { CommandEntry } from "../command.ts";

export const checkStorage: CommandEntry = {
  name: "check",
  summary: "Verify every stored blob and layer against its digest",
  load: async () => (await import("../system/check.ts")).check,
};

export const diskUsage: CommandEntry = {
  name: "df",
  summary: "Show disk usage",
  load: async () => (await import("../system/df.ts")).diskUsage,
};

export const events: CommandEntry = {
  name: "events",
  summary: "Get real time events from the server",
  load: async () => (await import("../system/events.ts")).events,
};

export const info: CommandEntry = {
  name: "info",
  summary: "Display system-wide information",
  load: async () => (await import("../system/info.ts")).info,
};

export const inspect: CommandEntry = {
  name: "inspect",
  summary: "Return low-level information on Docker objects",
  load: async () => (await import("../system/inspect.ts")).inspect,
};

export const version: CommandEntry = {
  name: "version",
  summary: "Show the version information",
  load: async () => (await import("../system/version.ts")).version,
};
