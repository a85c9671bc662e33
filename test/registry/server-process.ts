/** Serves a registry until it is killed. Arguments: root, lease in milliseconds, fault point or nothing. */
import { armFault } from "../../src/core/fault.ts";
import { openRegistryServer } from "../../src/registry/server/index.ts";

const [root = "", lease = "3600000", fault] = process.argv.slice(2);
armFault(fault);
const server = await openRegistryServer({
  root,
  listen: { hostname: "127.0.0.1", port: 0 },
  lease: Number(lease),
  collectEvery: 50,
});
console.log(server.address);
