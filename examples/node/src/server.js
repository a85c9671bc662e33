import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { Tasks } from "./tasks.js";

const port = Number(process.env.PORT ?? 3000);
const tasks = new Tasks();

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

async function handle(request, response) {
  const { method, url } = request;
  const finished = /^\/tasks\/(\d+)\/done$/.exec(url);
  if (method === "GET" && url === "/health") return answer(response, 200, { status: "ok" });
  if (method === "GET" && url === "/tasks") return answer(response, 200, tasks.list());
  if (method === "POST" && url === "/tasks") {
    const { title } = await json(request);
    return answer(response, 201, tasks.add(title));
  }
  if (method === "POST" && finished) {
    const task = tasks.finish(Number(finished[1]));
    return task ? answer(response, 200, task) : answer(response, 404, { error: "no such task" });
  }
  answer(response, 404, { error: `nothing at ${method} ${url}` });
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    const isTheirs = error instanceof TypeError || error instanceof SyntaxError;
    answer(response, isTheirs ? 400 : 500, { error: error.message });
  });
});
server.listen(port, () => console.log(`listening on port ${port}`));

// As process 1, node has no default action for signals: without this, a stop would wait for its timeout.
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    console.log(`${signal}: closing`);
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}
