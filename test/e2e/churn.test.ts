/** Many containers one after the other and side by side: nothing fails for want of time, and nothing is left. */
import { expect, test } from "bun:test";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { expectStateAgain, stateOf } from "./world.ts";

const image = "davit-busybox";
const timeout = 120_000;

/** A port of the host that nobody listens on right now. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** Runs `work` for each item, `hands` at a time. */
async function sideBySide<Item>(
  items: readonly Item[],
  hands: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = [...items];
  const hand = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: hands }, hand));
}

async function ended(davit: DavitInstance, args: readonly string[]): Promise<void> {
  const { code, stderr } = await davit.run(args);
  expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: "" });
}

test(
  "a port is free for the next container as soon as run --rm has returned",
  async () => {
    await using davit = await newInstance();
    const published = ["-p", `127.0.0.1:${freePort()}:80`];
    const holder = ["run", "-d", "--name", "holder", ...published, image, "sleep", "600"];
    const before = await stateOf(davit);
    for (let round = 0; round < 8; round += 1) {
      await ended(davit, ["run", "--rm", ...published, image, "true"]);
    }
    await ended(davit, holder);
    for (let round = 0; round < 4; round += 1) {
      await ended(davit, ["restart", "--timeout", "0", "holder"]);
    }
    for (let round = 0; round < 4; round += 1) {
      await ended(davit, ["rm", "--force", "holder"]);
      await ended(davit, holder);
    }
    await ended(davit, ["rm", "--force", "holder"]);
    await expectStateAgain(davit, before);
  },
  timeout,
);

test(
  "thirty containers of one image, made and removed four at a time",
  async () => {
    await using davit = await newInstance();
    const before = await stateOf(davit);
    const names = Array.from({ length: 30 }, (_, at) => `many-${at}`);
    await sideBySide(names, 4, (name) =>
      ended(davit, ["run", "-d", "--name", name, "-v", "/anonymous", image, "sleep", "600"]),
    );
    expect((await davit.output(["ps", "--quiet"])).split("\n")).toHaveLength(30);
    await sideBySide(names, 4, (name) => ended(davit, ["rm", "--force", "--volumes", name]));
    await expectStateAgain(davit, before);
  },
  timeout,
);

test(
  "containers that come and go at once do not get in each other's way",
  async () => {
    await using davit = await newInstance();
    const before = await stateOf(davit);
    await sideBySide(
      Array.from({ length: 24 }, (_, at) => at),
      4,
      async (at) => {
        const { code, stdout, stderr } = await davit.run([
          ...["run", "--rm", "-v", "/anonymous", "-p", "127.0.0.1::80"],
          ...[image, "sh", "-c", `echo ${at}; exit ${at}`],
        ]);
        expect({ code, stdout, stderr }).toEqual({ code: at, stdout: `${at}\n`, stderr: "" });
      },
    );
    await expectStateAgain(davit, before);
  },
  timeout,
);

test(
  "one container that is started, stopped and removed by several hands at once ends in one state",
  async () => {
    await using davit = await newInstance();
    const before = await stateOf(davit);
    await davit.output(["create", "--name", "wanted", "-p", "127.0.0.1::80", image, "sleep", "600"]);
    const verbs = [
      ["start"],
      ["stop", "--timeout", "0"],
      ["restart", "--timeout", "0"],
      ["kill"],
      ["start"],
      ["exec"],
    ];
    await sideBySide([...verbs, ...verbs, ...verbs], 4, async ([verb = "", ...flags]) => {
      const words = verb === "exec" ? ["true"] : [];
      const { code, stderr } = await davit.run([verb, ...flags, "wanted", ...words]);
      // Too late or too early is a state to be told, nothing else.
      if (code !== 0) expect(stderr).toMatch(/is not running|cannot exec in a stopped|is already|^$/);
    });
    await sideBySide([1, 2, 3], 3, async () => {
      const { code, stderr } = await davit.run(["rm", "--force", "wanted"]);
      expect([0, 1]).toContain(code);
      if (stderr !== "") expect(stderr).toMatch(/No such container|already in progress/);
    });
    await expectStateAgain(davit, before);
  },
  timeout,
);
