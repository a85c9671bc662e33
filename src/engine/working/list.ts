import { allWorking } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import { summaryOf, type WorkingSummary } from "../working.ts";

/** In the order in which they were made. */
export function list({ state }: Local): WorkingSummary[] {
  return allWorking(state)
    .filter((record) => record.state.status === "made")
    .map(summaryOf);
}
