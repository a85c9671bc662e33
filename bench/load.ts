/** Loading a large image from an archive. */
import { join } from "node:path";
import type { Subject } from "./engines.ts";
import { describeImage, editionsOf, loadedImage, writeLargeImage } from "./image.ts";
import { interleave, summarize, time } from "./measure.ts";
import type { Part } from "./report.ts";

export async function measureLoad({ subjects, longRounds, scratch, add, note }: Part): Promise<void> {
  const count = longRounds.warmup + longRounds.counted;
  const archives = editionsOf(loadedImage, count).map((image) => {
    const archive = join(scratch, image.name.replace(":", "_"));
    writeLargeImage(archive, image);
    return archive;
  });
  const untilSafe = new Map<Subject, number[]>(subjects.map((subject) => [subject, []]));
  const untilReturn = await interleave(subjects, longRounds, async (subject, round) => {
    const archive = archives[round + longRounds.warmup] ?? "";
    // What others have left to be written is not this one's work.
    Bun.spawnSync(["sync"]);
    const took = await time(subject, ["load", "-q", "-i", archive]);
    const began = performance.now();
    Bun.spawnSync(["sync"]);
    untilSafe.get(subject)?.push(took + performance.now() - began);
    return took;
  });
  add({
    title: `\`load\` of ${describeImage(loadedImage)}, until it is safe on the disk`,
    unit: "s",
    limits: { Docker: 0.25 },
    values: new Map([...untilSafe].map(([subject, samples]) => [subject, summarize(samples)])),
  });
  add({ title: "same, until the command returns", unit: "s", limits: {}, values: untilReturn });
  note(
    "`load` is timed to its end, and on to the end of a `sync` of the disk after it: davit's own ends when the image is safe, the others do not promise that.",
  );
}
