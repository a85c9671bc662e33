/** How a build is shown. */
import type { BuildEvent } from "../../../engine/build.ts";
import type { OutputStream } from "../../io.ts";

export interface BuildDisplay {
  show(event: BuildEvent): Promise<void>;
  /** Writes what is still to be said. */
  finish(): Promise<void>;
}

export const progressModes = ["auto", "plain", "tty", "quiet", "rawjson"] as const;
export type ProgressMode = (typeof progressModes)[number];

/** The display that a mode stands for; each is loaded when it is used. */
export async function openDisplay(mode: ProgressMode, stream: OutputStream): Promise<BuildDisplay> {
  switch (mode === "auto" ? (stream.isTerminal ? "tty" : "plain") : mode) {
    case "tty":
      return (await import("./terminal.ts")).terminalDisplay(stream);
    case "rawjson":
      return (await import("./raw-json.ts")).rawJsonDisplay(stream);
    case "quiet":
      return { show: async () => {}, finish: async () => {} };
    default:
      return (await import("./plain.ts")).plainDisplay(stream);
  }
}
