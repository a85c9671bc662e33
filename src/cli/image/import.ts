import { type Command, CommandError } from "../command.ts";
import { counted } from "../progress/counter.ts";
import { progressDisplay, showAll } from "../progress/display.ts";
import { openArchive, withoutPrefix } from "./load.ts";

export const importImage: Command = {
  synopsis: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  summary: "Import the contents from a tarball to create a filesystem image",
  count: { least: 1, most: 2 },
  examples: ["import rootfs.tar my-base:1", "import -c 'CMD [\"sh\"]' - my-base < rootfs.tar"],
  define(flags) {
    const change = flags.list("change", "Apply Dockerfile instruction to the created image", { short: "c" });
    const message = flags.string("message", "Set commit message for imported image", { short: "m" });
    const platform = flags.string("platform", "Set platform if server is multi-platform capable");
    return async ({ args: [source = "", reference = ""], engine, io }) => {
      if (/^https?:\/\//.test(source)) {
        throw new CommandError("importing from a URL is not supported yet by davit; download the file first");
      }
      const archive = source === "-" ? io.stdin.chunks() : openArchive(io, source);
      const { images } = await engine();
      const display = progressDisplay(io, io.stdout);
      const messages = images.import(counted(io, display, "Importing", archive), {
        reference,
        message: message.value,
        changes: change.value,
        ...(platform.value === "" ? {} : { platform: platform.value }),
      });
      await showAll(display, withoutPrefix(messages));
      return 0;
    };
  },
};
