/** Results of a build as files, with what is attested of them in files beside them. */
import { exportDirectory, exportTar, type FilePart } from "../../build/output/files.ts";
import { formatPlatform, normalizePlatform } from "../../images/platform.ts";
import type { BuildOutput } from "../build.ts";
import type { ExportState } from "./build-export.ts";
import { type PlatformResult, platformDirectory } from "./build-platforms.ts";
import { withVertex } from "./build-vertex.ts";

type FilesOutput = Extract<BuildOutput, { kind: "local" | "tar" }>;

/** @throws InvalidParameter for files of two platforms in one place, and names of statements that are none */
export async function exportFiles(
  results: readonly PlatformResult[],
  output: FilesOutput,
  state: ExportState,
): Promise<void> {
  const { rooms, progress, signal } = state;
  const parts = partsOf(results, output, state);
  if (output.kind === "local") {
    const { directory, deletesOthers = false } = output;
    await withVertex(progress, "exporting to client directory", (vertex) => {
      const copying = (below: string) => vertex.status(`copying files${below === "" ? "" : ` ${below}`}`);
      return exportDirectory(rooms, parts, { directory, deletesOthers, copying, signal });
    });
    return;
  }
  await withVertex(progress, "exporting to client tarball", async (vertex) => {
    const sent = vertex.status("sending tarball");
    await exportTar(rooms, parts, output.write, signal);
    sent();
  });
}

function partsOf(
  results: readonly PlatformResult[],
  { isSplit = results.length > 1, attestationPrefix: prefix = "" }: FilesOutput,
  { attester, epoch, signal }: ExportState,
): FilePart[] {
  const mtime = epoch ?? BigInt(Math.floor(Date.now() / 1000)) * 1_000_000_000n;
  return results.map(({ root, platform }, at) => {
    const directory = platformDirectory(platform);
    // Side by side they need names of their own.
    const naming = { prefix, platform: isSplit || results.length === 1 ? "" : directory, mtime };
    return {
      root,
      platform: formatPlatform(normalizePlatform(platform)),
      directory: isSplit ? directory : "",
      besides: async (path) => {
        if (attester === undefined) return [];
        const { statementFiles } = await import("../../build/attestations/files.ts");
        return statementFiles(path, await attester.ofFiles(at), naming, signal);
      },
    };
  });
}
