/** Forwards connections to an agent's socket through one of our own, whose owner and mode are the step's. */

import { connect, createServer, type Socket } from "node:net";
import { rmSync } from "../../linux/files.ts";

/** Listens at `path` at once. @param agent path of the agent's socket */
export function forwardAgent(path: string, agent: string): Disposable {
  const open = new Set<Socket>();
  const keep = (socket: Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    // Either end may go away at any time; that is no failure of ours.
    socket.on("error", () => socket.destroy());
  };
  const server = createServer((client) => {
    const upstream = connect(agent);
    keep(client);
    keep(upstream);
    upstream.on("error", () => client.destroy());
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen(path);
  return {
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of open) socket.destroy();
      rmSync(path, { force: true });
    },
  };
}
