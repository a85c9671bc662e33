/** A stop that meets a restart: it holds, whichever of the two comes first. */
import { expect, test } from "bun:test";
import { isContainerId } from "../../src/core/ids.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { lock } from "../../src/state/locks.ts";
import { until } from "../harness/eventually.ts";
import { newInstance } from "../harness/instance.ts";
import { recordedState } from "../harness/records.ts";

const ways: [string, (engine: Engine, id: string) => Promise<void>][] = [
  ["stop", (engine, id) => engine.containers.stop(id, { timeout: 0 })],
  ["rm --force", (engine, id) => engine.containers.remove(id, { force: true })],
];

test.each(ways)("%s of a container whose policy is starting it again", async (way, end) => {
  await using davit = await newInstance();
  const engine = await davit.engine();
  // Ends at once, and the next time runs on.
  const command = ["sh", "-c", "[ -e /ran ] && exec sleep 600; touch /ran"];
  for (let round = 0; round < 6; round += 1) {
    const name = `round-${round}`;
    const options = ["--name", name, "--restart", "always"];
    const id = await davit.output(["run", "-d", ...options, "davit-busybox", ...command]);
    if (!isContainerId(id)) throw new Error(`not an id: ${id}`);
    await until(async () => recordedState(davit.instance, name) === "restarting");
    let ended: Promise<void>;
    {
      using _ = await lock(davit.instance, `container-${id}`);
      ended = end(engine, id);
      // By then the process that restarts it wants the lock, too.
      await Bun.sleep(250);
    }
    await ended;
    await Bun.sleep(250);
    expect(recordedState(davit.instance, name)).toBe(way === "stop" ? "exited" : undefined);
  }
});
