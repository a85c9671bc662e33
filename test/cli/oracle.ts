/** The real docker CLI as the oracle: both command lines against the same dockerd, compared byte by byte. */
import { davitBinary } from "../harness/instance.ts";

/** The docker CLI whose words davit speaks. Older ones word much differently. */
const oldestMajor = 28;

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Why the docker CLI cannot be the oracle here; undefined when it can. */
export function missingForOracle(): string | undefined {
  const docker = Bun.which("docker");
  if (docker === null) return "no docker CLI is installed";
  const text = Bun.spawnSync([docker, "--version"]).stdout.toString();
  const major = Number(/version (\d+)/.exec(text)?.[1] ?? 0);
  return major >= oldestMajor ? undefined : `the docker CLI is older than ${oldestMajor}: ${text.trim()}`;
}

export interface OracleOptions {
  stdin?: string;
  cwd?: string;
  env?: Record<string, string>;
}

export async function runCommand(command: readonly string[], options: OracleOptions = {}): Promise<Outcome> {
  const child = Bun.spawn([...command], {
    stdin: new Blob([options.stdin ?? ""]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** What both say, with what must differ masked: ids, the program's name, ages that a second changes. */
export async function both(
  host: string,
  args: readonly string[],
  options: OracleOptions = {},
  prepare: () => Promise<void> = async () => {},
): Promise<{ docker: Outcome; davit: Outcome }> {
  await prepare();
  const docker = await runCommand(["docker", "-H", host, ...args], options);
  await prepare();
  const davit = await runCommand([davitBinary, "-H", host, ...args], options);
  return { docker: masked(docker), davit: masked(davit) };
}

function masked({ code, stdout, stderr }: Outcome): Outcome {
  return { code, stdout: mask(stdout), stderr: mask(stderr) };
}

export function mask(text: string): string {
  return (
    text
      .replace(/\b[0-9a-f]{64}\b/g, "<id>")
      .replace(/\b[0-9a-f]{12}\b/g, "<short id>")
      .replace(/(Less than a second|\d+ seconds?|About a minute|\d+ minutes)( ago)? */g, "<age>")
      // JavaScript's numbers hold a time in nanoseconds to about 256 of them.
      .replace(/(T\d\d:\d\d:\d\d)\.\d{9}Z (?=container )/g, "$1.<nanoseconds> ")
      .replace(/^(Usage: {2})docker /m, "$1davit ")
      .replace(/^docker: /gm, "davit: ")
      .replace(/'docker(?= |')/g, "'davit")
      .replace(/(unknown command: )docker /g, "$1davit ")
  );
}
