/** What RUN needs: loaded with the first step that is not in the cache. */
export { explainingForeign } from "./emulation.ts";
export { BuildNetworks } from "./network.ts";
export { runStep } from "./run.ts";
export { prepareMounts } from "./run-mounts.ts";
export { openSandbox } from "./sandbox.ts";
