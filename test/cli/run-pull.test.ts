/** `run` and `create` of an image that is not here: how they pull, against servers that answer as they like. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { davitBinary } from "../harness/instance.ts";
import { type AnsweringServer, answeringServer } from "./answers.ts";
import { runCommand } from "./oracle.ts";

setDefaultTimeout(60_000);

const id = "c".repeat(64);
const created = { Id: id, Warnings: [] };
const servers: AnsweringServer[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server[Symbol.dispose]();
});

function lines(...messages: object[]): string {
  return messages.map((message) => `${JSON.stringify(message)}\r\n`).join("");
}

const pulling = { status: "Pulling from tools/web", id: "1" };
const usable = { status: "Status: Downloaded newer image for h:5000/tools/web:1" };

async function davit(pullMessages: string, args: readonly string[]) {
  const server = answeringServer("1.51", {
    "/images/create": pullMessages,
    "/containers/create": created,
    [`/containers/${id}/start`]: {},
  });
  servers.push(server);
  const outcome = await runCommand([davitBinary, "-H", server.host, ...args], {
    env: { DOCKER_CONFIG: "/nonexistent" },
  });
  return { outcome, requests: server.requests };
}

test("what fails after the image can be used is a warning, and the container is there", async () => {
  const { outcome } = await davit(lines(pulling, usable, { errorDetail: { message: "no space left" } }), [
    "create",
    "--pull",
    "always",
    "h:5000/tools/web:1",
  ]);
  expect(outcome).toEqual({
    code: 0,
    stdout: `${id}\n`,
    stderr: `1: Pulling from tools/web\n${usable.status}\nWARNING: the image may not outlast a power cut: no space left\n`,
  });
});

test("what fails before ends the command with 125, without the engine's prefix", async () => {
  const { outcome, requests } = await davit(lines(pulling, { errorDetail: { message: "unexpected EOF" } }), [
    "run",
    "--pull",
    "always",
    "h:5000/tools/web:1",
  ]);
  expect(outcome).toEqual({
    code: 125,
    stdout: "",
    stderr:
      "1: Pulling from tools/web\ndavit: unexpected EOF\n\nRun 'davit run --help' for more information\n",
  });
  expect(requests).toEqual(["POST /images/create?fromImage=h:5000/tools/web&tag=1"]);
});

test("DOCKER_DEFAULT_PLATFORM is the platform of pull and container, unless one is given", async () => {
  const server = answeringServer("1.51", {
    "/images/create": lines(usable),
    "/containers/create": created,
  });
  servers.push(server);
  const create = (...args: string[]) =>
    runCommand([davitBinary, "-H", server.host, "create", "--pull", "always", ...args, "web"], {
      env: { DOCKER_CONFIG: "/nonexistent", DOCKER_DEFAULT_PLATFORM: "linux/arm64" },
    });
  await create("-q");
  await create("--platform", "linux/386");
  expect(server.requests).toEqual([
    "POST /images/create?fromImage=docker.io/library/web&tag=latest&platform=linux/arm64",
    "POST /containers/create?platform=linux/arm64",
    "POST /images/create?fromImage=docker.io/library/web&tag=latest&platform=linux/386",
    "POST /containers/create?platform=linux/386",
  ]);
});

test("an image that is named by its id is not pulled", async () => {
  const { outcome, requests } = await davit(lines(usable), ["create", "--pull", "always", `sha256:${id}`]);
  expect(outcome).toEqual({ code: 0, stdout: `${id}\n`, stderr: "" });
  expect(requests).toEqual(["POST /containers/create"]);
});
