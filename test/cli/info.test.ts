/** `info` says what stands in the way of containers on this host. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { davitBinary, newInstance } from "../harness/instance.ts";

setDefaultTimeout(60_000);

test("info warns when another firewall drops what containers send to other machines", async () => {
  await using davit = await newInstance();
  // In a network of its own, as the rule would be in everybody's way.
  const guard =
    "nft add table inet guard; " +
    "nft 'add chain inet guard forward { type filter hook forward priority 0; policy drop; }'; ";
  const inNetwork = async (script: string) => {
    const child = Bun.spawn(["unshare", "--net", "sh", "-c", `${script} exec "$0" info`, davitBinary], {
      env: { ...process.env, ...davit.env },
      stdout: "ignore",
      stderr: "pipe",
    });
    const stderr = await child.stderr.text();
    return { code: await child.exited, stderr };
  };
  expect(await inNetwork("")).toEqual({ code: 0, stderr: "" });
  const warned = await inNetwork(guard);
  expect(warned.code).toBe(0);
  expect(warned.stderr).toMatch(
    /^WARNING: chain forward of the firewall table inet guard drops .* accept\n$/,
  );
});
