/** Work of an export as a vertex of the build's progress. */
import type { Progress, Vertex } from "../../build/solver/progress.ts";
import { messageOf } from "../../core/errors.ts";

export async function withVertex<Result>(
  progress: Progress,
  name: string,
  work: (vertex: Vertex) => Promise<Result>,
): Promise<Result> {
  const vertex = progress.vertex(name);
  vertex.started();
  try {
    const result = await work(vertex);
    vertex.finished();
    return result;
  } catch (error) {
    vertex.finished(messageOf(error));
    throw error;
  }
}
