/** A virtual machine for tests: booted with the control groups that the test asks for, and given commands. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootFiles } from "./disk.ts";

export interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

export interface BootOptions {
  /** Controllers that are mounted in cgroup v1; the others are in v2. None: all are in v2, as on today's systems. */
  v1?: readonly string[];
}

/** Emulation on a busy machine; what hangs is told apart from what is slow only by patience. */
const bootTimeout = 180_000;
const commandTimeout = 120_000;

export interface VirtualMachine extends AsyncDisposable {
  /** Runs a shell script in it, as root, to its end. @throws when it does not end, with what the kernel said last. */
  run(script: string): Promise<Answer>;
  /** Runs a shell script that must succeed. @returns what it printed, without the last line feed. */
  output(script: string): Promise<string>;
}

/** Boots one. No hardware is used to speed it up: the machine of the tests is often a virtual one itself. */
export async function bootVm(options: BootOptions = {}): Promise<VirtualMachine> {
  const { kernel, initrd, disk } = await bootFiles();
  const directory = mkdtempSync(join(tmpdir(), "davit-test-vm-"));
  const socketPath = join(directory, "agent");
  const consolePath = join(directory, "console");
  const v1 = options.v1?.length ? [`davit.v1=${options.v1.join(",")}`] : [];
  const parameters = ["console=ttyS0", "quiet", "panic=-1", "mitigations=off", ...v1];
  const qemu = Bun.spawn(
    // The machine ends with the tests, also where those are killed.
    ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"].concat(
      ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
      ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2", "-m", "2048"],
      ["-kernel", kernel, "-initrd", initrd, "-append", parameters.join(" ")],
      ["-drive", `file=${disk},format=raw,if=virtio,snapshot=on`],
      ["-serial", `file:${consolePath}`, "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"],
      ["-chardev", `socket,id=agent,path=${socketPath},server=on,wait=off`],
      ["-device", "virtserialport,chardev=agent,name=davit"],
    ),
    { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { ...process.env, TMPDIR: tmpdir() } },
  );
  const lines = new LineReader();
  let socket: Socket | undefined;
  const lastWords = async (what: string): Promise<Error> => {
    qemu.kill("SIGKILL");
    const said = existsSync(consolePath) ? readFileSync(consolePath, "latin1").slice(-3000) : "";
    return new Error(`${what}\n${await qemu.stderr.text()}${said}`);
  };
  const nextLine = async (timeout: number, what: string): Promise<string> => {
    let timer: Timer | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, timeout, undefined);
    });
    const line = await Promise.race([lines.next(), qemu.exited, late]);
    clearTimeout(timer);
    if (typeof line === "string") return line;
    throw await lastWords(line === undefined ? `no end after ${timeout} ms: ${what}` : `QEMU ended: ${what}`);
  };
  const machine: VirtualMachine = {
    async run(script) {
      socket?.write(`${Buffer.from(script).toString("base64")}\n`);
      const [code, stdout = "", stderr = ""] = (await nextLine(commandTimeout, script)).split(" ");
      const text = (base64: string) => Buffer.from(base64, "base64").toString();
      return { code: Number(code), stdout: text(stdout), stderr: text(stderr) };
    },
    async output(script) {
      const { code, stdout, stderr } = await machine.run(script);
      if (code !== 0) throw new Error(`${script}\nexit code ${code}\n${stdout}${stderr}`);
      return stdout.replace(/\n$/, "");
    },
    async [Symbol.asyncDispose]() {
      socket?.destroy();
      qemu.kill("SIGKILL");
      await qemu.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    const deadline = Date.now() + bootTimeout;
    while (!existsSync(socketPath) && qemu.exitCode === null && Date.now() < deadline) await Bun.sleep(10);
    socket = connect(socketPath);
    socket.on("data", (bytes) => lines.add(bytes.toString("latin1")));
    // What ends it is seen where a line is waited for.
    socket.on("error", (error) => console.error(`virtual machine: ${error.message}`));
    await nextLine(bootTimeout, "boot");
    return machine;
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

/** Lines out of pieces; one waits at a time. */
class LineReader {
  #text = "";
  #waiting: ((line: string) => void) | undefined;

  add(piece: string): void {
    this.#text += piece;
    this.#deliver();
  }

  next(): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#deliver();
    });
  }

  #deliver(): void {
    const end = this.#text.indexOf("\n");
    if (end < 0 || this.#waiting === undefined) return;
    const line = this.#text.slice(0, end);
    const waiting = this.#waiting;
    this.#text = this.#text.slice(end + 1);
    this.#waiting = undefined;
    waiting(line);
  }
}
