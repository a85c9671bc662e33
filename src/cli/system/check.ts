import type { StorageCheck, StorageFault } from "../../core/objects.ts";
import { userCredentials } from "../account/credentials.ts";
import { type Command, noArguments } from "../command.ts";
import { humanSize } from "../format/units.ts";
import { progressDisplay } from "../progress/display.ts";

export const check: Command = {
  synopsis: "[OPTIONS]",
  summary: "Verify every stored blob and layer against its digest",
  description: `Verify every stored blob and layer against its digest.
With --repair, what is damaged is unpacked again, or fetched again from the registries that its
images came from. Ends with status 1 when something is damaged still.`,
  count: noArguments,
  examples: ["system check", "system check --repair"],
  define(flags) {
    const format = flags.string("format", "Print the outcome in this format: 'json'");
    const repair = flags.bool("repair", "Repair what is damaged");
    return async (invocation) => {
      const { engine, io } = invocation;
      const credentials = await userCredentials(invocation);
      const { system } = await engine();
      const display = progressDisplay(io, io.stderr);
      const shown = { last: Promise.resolve() };
      const outcome = await system
        .check({
          repair: repair.value,
          credentials: (registry) => credentials.get(registry),
          report: (message) => {
            if (!io.stderr.isTerminal) return;
            // One line for blobs and one for layers, each in place.
            shown.last = shown.last.then(() => display.show({ progressDetail: {}, ...message }));
            // Nobody watches any more: the check itself goes on.
            shown.last.catch(() => {});
          },
        })
        .finally(async () => {
          await shown.last.catch(() => {});
          await display.finish();
        });
      await io.stdout.write(format.value === "json" ? `${JSON.stringify(outcome)}\n` : describe(outcome));
      return outcome.Faults.every(({ Repaired }) => Repaired) ? 0 : 1;
    };
  },
};

function describe({ Blobs, Layers, BytesRead, Faults }: StorageCheck): string {
  const repaired = Faults.filter(({ Repaired }) => Repaired).length;
  const verdict =
    Faults.length === 0
      ? "no damage found"
      : `${Faults.length} damaged${repaired === 0 ? "" : `, ${repaired} repaired`}`;
  const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  return (
    Faults.map(describeFault).join("") +
    `Checked ${count(Blobs, "blob")} and ${count(Layers, "layer")}, ${humanSize(BytesRead)}: ${verdict}\n`
  );
}

/** `layer sha256:…: digest is sha256:… (repaired), needed by busybox:latest` */
function describeFault({ Kind, ID, Problem, Images, Repaired }: StorageFault): string {
  const needed = Images.length === 0 ? "" : `, needed by ${Images.join(", ")}`;
  return `${Kind} ${ID}: ${Problem}${Repaired ? " (repaired)" : ""}${needed}\n`;
}
