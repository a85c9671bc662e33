import { messageOf, NotFound } from "../../core/errors.ts";
import { type WorkingContainers, workingContainersOf } from "../../engine/working.ts";
import type { Command } from "../command.ts";
import { Template, TemplateExecutionError, TemplateSyntaxError } from "../format/template/template.ts";
import { asBuildah, failure } from "./failures.ts";
import { asGoSees } from "./inspect-shape.ts";

export const inspect: Command = {
  synopsis: "[OPTIONS] CONTAINER | IMAGE",
  summary: "Inspect the configuration of a working container or an image",
  count: { least: 0 },
  flagsEndAtFirstWord: true,
  examples: [
    "buildah inspect busybox-working-container",
    "buildah inspect --type image --format '{{.OCIv1.Config.Env}}' busybox",
  ],
  define(flags) {
    const format = flags.string("format", "Use format as a Go template to format the output", { short: "f" });
    const type = flags.string("type", "Look at the item of the specified type (container or image)", {
      short: "t",
      initial: "container",
    });
    return asBuildah(async ({ args, io, engine }) => {
      const [name, ...more] = args;
      if (name === undefined) throw failure("container or image name must be specified");
      const [flag] = more.filter((word) => word.startsWith("-"));
      if (flag !== undefined) {
        throw failure(`no options (${flag}) can be specified after the image or container name`);
      }
      if (more.length > 0) throw failure("too many arguments specified");
      const found = await lookUp(workingContainersOf(await engine()), type.value, name);
      const text = format.value === "" ? JSON.stringify(found, null, 4) : formatted(format.value, found);
      await io.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
      return 0;
    });
  },
};

async function lookUp(working: WorkingContainers, type: string, name: string): Promise<object> {
  switch (type) {
    case "container":
      try {
        return await working.inspect(name);
      } catch (error) {
        if (!(error instanceof NotFound)) throw error;
        // What is no container may be an image.
        return await working.inspectImage(name).catch((unknown: unknown) => {
          throw unknown instanceof NotFound ? failure(`importing settings: ${unknown.message}`) : unknown;
        });
      }
    case "image":
      return await working.inspectImage(name);
    default:
      throw failure('the only recognized types are "container" and "image"');
  }
}

function formatted(format: string, found: object): string {
  try {
    return new Template(format).run(asGoSees(found));
  } catch (error) {
    if (error instanceof TemplateSyntaxError || error instanceof TemplateExecutionError) {
      throw failure(`Template parsing error: ${messageOf(error)}`);
    }
    throw error;
  }
}
