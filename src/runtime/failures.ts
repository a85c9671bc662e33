/** What a runtime says when it refuses, in the words that Docker's users know, with Docker's exit codes. */
import { StartFailure } from "../core/errors.ts";

/** Where in the life of a process it happened. */
export type RuntimeStep = "create" | "start" | "exec";

const prefixes: Record<RuntimeStep, string> = {
  create:
    "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ",
  start: "failed to start task for container: OCI runtime start failed: ",
  exec: "OCI runtime exec failed: exec failed: ",
};

const mountHint =
  ": Are you trying to mount a directory onto a file (or vice-versa)? " +
  "Check if the specified host path exists and is the expected type";

/**
 * Makes the error of a start or exec out of what the runtime wrote on stderr.
 * Docker decides the exit code by the words of the message (moby, daemon/errors.go): 127 when the command is not
 * found, 126 when it cannot be invoked, else 128 (`docker run` then exits with 125).
 * @param program the first argument of the process that was to run.
 */
export function startFailure(step: RuntimeStep, output: string, program: string): StartFailure {
  const message = `${prefixes[step]}${reasonOf(output, program)}: unknown`;
  const text = message.toLowerCase();
  if (text.includes("not a directory")) return new StartFailure(message + mountHint, 126);
  if (text.includes("permission denied") || text.includes("is a directory")) {
    return new StartFailure(message, 126);
  }
  const notFound = text.includes("executable file not found") || text.includes("no such file or directory");
  // Docker asks only whether the program's name occurs anywhere, which a short name does in a mount's path too.
  if (notFound && message.includes(`exec: "${program}"`)) return new StartFailure(message, 127);
  return new StartFailure(message, 128);
}

/** The one sentence that counts, as runc words it. */
function reasonOf(output: string, program: string): string {
  const line = lastError(output);
  const asRunc = line.replace(/^(runc \w+ failed|exec failed): /, "");
  if (asRunc !== line) return asRunc;
  return `unable to start container process: ${asRuncSays(line, program)}`;
}

/** runc logs `time="…" level=error msg="…"`; crun writes bare lines, some with a time in front. */
function lastError(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const logged = lines.findLast((line) => line.includes("level=error"));
  const quoted = logged?.match(/ msg=("(?:[^"\\]|\\.)*")/)?.[1];
  if (quoted !== undefined) {
    const text: unknown = JSON.parse(quoted);
    if (typeof text === "string") return text;
  }
  return (lines.at(-1) ?? "the runtime gave no reason").replace(/^\d{4}-\d\d-\d\dT\S+: /, "");
}

/** crun's words for the commonest failures, turned into runc's; the C library's errno texts into Go's. */
function asRuncSays(line: string, program: string): string {
  const go = line.replace(
    /: ([A-Z][a-z][^:]*)$/,
    (_, text: string) => `: ${text[0]?.toLowerCase()}${text.slice(1)}`,
  );
  const notFound = go.match(/^executable file `(.*)` not found in \$PATH: no such file or directory$/s);
  if (notFound) {
    const name = notFound[1] ?? program;
    return name.includes("/")
      ? `exec: "${name}": stat ${name}: no such file or directory`
      : `exec: "${name}": executable file not found in $PATH`;
  }
  const unreadable = go.match(/^open executable: (.*)$/s);
  if (unreadable) {
    const reason = unreadable[1] ?? "";
    // crun refuses what is not a regular file with EPERM; runc calls that EACCES.
    if (reason === "permission denied" || reason === "operation not permitted") {
      return program === ""
        ? 'exec: "": executable file not found in $PATH'
        : `exec: "${program}": permission denied`;
    }
    return `exec: "${program}": stat ${program}: ${reason}`;
  }
  if (go.startsWith("cgroups in hybrid mode not supported")) {
    return `${go} (or use --runtime runc, which takes cgroups v1 and v2 mixed)`;
  }
  return go;
}
