/** Two instances on one machine: the same names in both, and neither sees the other. */
import { expect, test } from "bun:test";
import { newInstance } from "../harness/instance.ts";

const image = "davit-busybox";

test("two instances have the same names and do not see each other", async () => {
  await using left = await newInstance();
  await using right = await newInstance();
  const format = "{{.Id}} {{.State.Status}}";
  const ids: string[] = [];
  for (const [davit, word] of [
    [left, "left"],
    [right, "right"],
  ] as const) {
    const script = `echo ${word} > /data/who; mkdir /www; echo page of ${word} > /www/index.html; exec httpd -f -h /www`;
    await davit.output([
      "run",
      "-d",
      "--name",
      "web",
      "--hostname",
      word,
      "-v",
      "data:/data",
      "-p",
      "127.0.0.1::80",
      image,
      "sh",
      "-c",
      script,
    ]);
    ids.push(await davit.output(["inspect", "--format", "{{.Id}}", "web"]));
  }
  expect(ids[0]).not.toBe(ids[1] ?? "");
  for (const [davit, word] of [
    [left, "left"],
    [right, "right"],
  ] as const) {
    expect(await davit.output(["ps", "--all", "--format", "{{.Names}}"])).toBe("web");
    expect(await davit.output(["volume", "ls", "--quiet"])).toBe("data");
    expect(await davit.output(["exec", "web", "sh", "-c", "hostname; cat /data/who"])).toBe(
      `${word}\n${word}`,
    );
    const address = await davit.output(["port", "web", "80"]);
    expect(await (await fetch(`http://${address}/`)).text()).toBe(`page of ${word}\n`);
  }
  const [other = ""] = ids.slice(1);
  expect((await left.run(["inspect", other])).code).toBe(1);
  // What happens to one is nothing to the other.
  await left.output(["rm", "--force", "--volumes", "web"]);
  await left.output(["volume", "rm", "data"]);
  await left.output(["rmi", image]);
  expect(await right.output(["inspect", "--format", format, "web"])).toBe(`${other} running`);
  const address = await right.output(["port", "web", "80"]);
  expect(await (await fetch(`http://${address}/`)).text()).toBe("page of right\n");
  expect(await right.output(["run", "--rm", image, "echo", "works"])).toBe("works");
}, 60_000);
