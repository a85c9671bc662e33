/**
 * Connects to a running container's streams: conmon's `attach` socket, which is SOCK_SEQPACKET. Each packet it
 * sends begins with a byte that names the stream (2 stdout, 3 stderr).
 */
import type { AttachedStreams } from "../core/streams.ts";

/**
 * Attaches. May be called as soon as `launchConmon` has returned: then nothing of the output is missed.
 * @throws SystemFailure when nobody listens (the container has ended).
 */
export declare function attach(bundle: string): Promise<AttachedStreams>;

/** Gives the container's terminal a new size (in characters). */
export declare function resizeTerminal(bundle: string, size: { height: number; width: number }): void;

/** Makes conmon close and reopen its log file, after a rotation. */
export declare function reopenLog(bundle: string): void;
