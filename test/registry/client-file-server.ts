/** Serves one file as every blob, as fast as it is read. Prints its address. */
const path = process.argv[2] ?? "";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: ({ url }) => (url.endsWith("/v2/") ? new Response("{}") : new Response(Bun.file(path))),
});
console.log(`127.0.0.1:${server.port}`);
