/** Runs one more process in a running container. */
import type { AttachedStreams } from "../core/streams.ts";
import type { ProcessSpec } from "./oci.ts";
import type { OciRuntime } from "./runtimes.ts";

export interface ExecLaunch {
  runtime: OciRuntime;
  containerId: string;
  execId: string;
  /** The exec's own directory, `<container bundle>/exec/<exec id>`: process.json, pid, exit code. Made here. */
  directory: string;
  process: ProcessSpec;
  stdin: boolean;
}

export interface RunningExec {
  /** As the host sees it. */
  readonly pid: number;
  readonly streams: AttachedStreams;
  /** Settles when the process has ended: its exit code. */
  readonly exited: Promise<number>;
  resize(size: { height: number; width: number }): void;
}

/** Starts attached. @throws StartFailure (126, 127) when the process cannot be run. */
export declare function startExec(launch: ExecLaunch): Promise<RunningExec>;

/** Starts with nobody attached; returns when it runs. Its exit code is found with `execStatus`. */
export declare function startDetachedExec(launch: ExecLaunch & { conmon: string }): Promise<{ pid: number }>;

/** What the exec's directory tells: running with this pid, or ended with this code. */
export declare function execStatus(
  directory: string,
): { running: true; pid: number } | { running: false; exitCode: number | undefined };
