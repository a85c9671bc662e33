/** Devices of `RUN --device`, as CDI describes them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cdiDevices, devicesNamed } from "../../src/build/steps/cdi.ts";
import { hasErrno, messageOf } from "../../src/core/errors.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

/** The machine's own directory: the test's descriptions have a name that is nobody else's. */
const registered = "/var/run/cdi";
const vendor = `davit-test-${process.pid}.example.com`;
const description = join(registered, `${vendor}.json`);
const root = process.getuid?.() === 0;
if (!root) console.warn("SKIPPED: devices of build steps: not root");

let workshop: Workshop;
let scratch = "";
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "davit-test-devices-"));
  workshop = await openWorkshop();
  if (!root) return;
  mkdirSync(registered, { recursive: true });
  writeFileSync(join(scratch, "firmware"), "version 7\n");
  writeFileSync(
    description,
    JSON.stringify({
      cdiVersion: "0.6.0",
      kind: `${vendor}/thing`,
      containerEdits: { env: ["THING_LIBRARY=/opt/thing"] },
      devices: [
        {
          name: "first",
          containerEdits: {
            env: ["THING=first"],
            deviceNodes: [{ path: "/dev/thing", hostPath: "/dev/zero", permissions: "r" }],
            mounts: [
              { hostPath: join(scratch, "firmware"), containerPath: "/opt/thing/firmware", options: ["ro"] },
            ],
          },
        },
        {
          name: "free",
          annotations: { "org.mobyproject.buildkit.device.autoallow": "true" },
          containerEdits: { env: ["THING=free"] },
        },
        {
          name: "hooked",
          containerEdits: {
            hooks: [
              {
                hookName: "createRuntime",
                path: "/usr/bin/touch",
                args: ["touch", join(scratch, "made-ready")],
              },
            ],
          },
        },
        { name: "wired", containerEdits: { netDevices: [{ hostInterfaceName: "eth9", name: "eth0" }] } },
      ],
    }),
  );
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
  rmSync(description, { force: true });
  try {
    rmdirSync(registered);
  } catch (error) {
    if (!hasErrno(error, "ENOTEMPTY", "ENOENT")) throw error;
  }
});

const step = (device: string, command: string) => ({
  Dockerfile: `FROM davit-busybox\nRUN --device=${device} ${command}\n`,
});

describe.skipIf(!root)("a device", () => {
  test("is there for the step that asks for it, with its variables and files, and for no other", async () => {
    const { output } = await workshop.build(
      {
        Dockerfile: `FROM davit-busybox
RUN --device=${vendor}/thing=first head -c 3 /dev/thing | od -An -tx1; echo $THING $THING_LIBRARY; cat /opt/thing/firmware
RUN ls /dev/thing /opt/thing/firmware 2>&1 || echo "THING=$THING"
`,
      },
      { entitlements: ["device"] },
    );
    expect(output).toContain("00 00 00");
    expect(output).toContain("first /opt/thing\nversion 7\n");
    expect(output).toContain("THING=\n");
  });

  test("has to be allowed, unless its description allows it", async () => {
    const { error } = await workshop.tryBuild(step(`${vendor}/thing=first`, "true"));
    expect(messageOf(error)).toBe(
      "device is not allowed: granting entitlements is possible with --allow device",
    );
    const { output } = await workshop.build(step(`${vendor}/thing=free`, "echo $THING"));
    expect(output).toBe("free\n");
    const named = await workshop.tryBuild(step(`${vendor}/thing=first`, "true"), {
      entitlements: [`device=${vendor}/thing=first`],
    });
    expect(named.error).toBeUndefined();
  });

  test("that is not here is left out, or fails the build when it is required", async () => {
    const { output } = await workshop.build(step(`${vendor}/other=x`, "echo without"));
    expect(output).toBe("without\n");
    const { error } = await workshop.tryBuild(step(`name=${vendor}/other=x,required`, "true"));
    expect(messageOf(error)).toBe(`required device "${vendor}/other=x" is not registered`);
  });

  test("is made ready by the programs that its description names", async () => {
    await workshop.build(step(`${vendor}/thing=hooked`, "true"), { entitlements: ["device"] });
    expect(existsSync(join(scratch, "made-ready"))).toBe(true);
  });

  test("that wants what davit does not do says so", async () => {
    const { error } = await workshop.tryBuild(step(`${vendor}/thing=wired`, "true"), {
      entitlements: ["device"],
    });
    expect(messageOf(error)).toContain(
      `device ${vendor}/thing=wired asks for netDevices, which davit cannot do yet`,
    );
  });
});

describe("descriptions", () => {
  test("are JSON or YAML, and later directories come first", () => {
    const [low, high] = ["low", "high"].map((name) => {
      const directory = mkdtempSync(join(scratch, name));
      return directory;
    });
    if (low === undefined || high === undefined) throw new Error("no directories");
    writeFileSync(
      join(low, "a.json"),
      JSON.stringify({ kind: "v/c", devices: [{ name: "0", containerEdits: { env: ["FROM=low"] } }] }),
    );
    writeFileSync(
      join(high, "a.yaml"),
      'cdiVersion: 0.5.0\nkind: v/c\ndevices:\n- name: "0"\n  containerEdits:\n    env: [FROM=high]\n- name: "1"\n  annotations:\n    org.mobyproject.buildkit.device.class: gpu\n',
    );
    writeFileSync(join(high, "README"), "no description");
    const devices = cdiDevices([low, high, join(scratch, "missing")]);
    expect(devices.map(({ name, environment }) => [name, environment])).toEqual([
      ["v/c=0", ["FROM=high"]],
      ["v/c=1", []],
    ]);
    const names = (wanted: string) => devicesNamed(wanted, devices).map(({ name }) => name);
    expect(names("v/c")).toEqual(["v/c=0"]);
    expect(names("v/c=*")).toEqual(["v/c=0", "v/c=1"]);
    expect(names("v/c=1")).toEqual(["v/c=1"]);
    expect(names("gpu")).toEqual(["v/c=1"]);
    expect(names("v/d")).toEqual([]);
    expect(readdirSync(low)).toHaveLength(1);
  });

  test.each([
    ["broken.json", "{", "is not valid JSON"],
    ["broken.yaml", "kind: [", "is not valid YAML"],
    ["kind.json", '{"kind": 7}', "kind is not a string"],
    [
      "hook.json",
      '{"kind": "v/c", "containerEdits": {"hooks": [{"hookName": "later"}]}}',
      "hookName is not the name of a hook",
    ],
    ["device.json", '{"kind": "v/c", "devices": [{}]}', "name is not a string"],
  ])("that cannot be read are named: %s", (name, text, message) => {
    const directory = mkdtempSync(join(scratch, "broken-"));
    writeFileSync(join(directory, name), text);
    expect(() => cdiDevices([directory])).toThrow(message);
    expect(() => cdiDevices([directory])).toThrow(join(directory, name));
  });
});
