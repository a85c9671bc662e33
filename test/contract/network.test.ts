/** Networks of containers, as the containers themselves see them. Reaching them from the host is tested elsewhere. */
import { expect, test } from "bun:test";
import { contract, eventually, expectFailure, failureOf, uniqueName } from "./subjects.ts";

contract("container networks", (subject) => {
  const page = "while true; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p 80; done";

  test("on the bridge a container has an address, a route and a name", async () => {
    await using container = await subject.start(["sleep", "600"], { Hostname: "web" });
    const { NetworkSettings } = await subject.engine.containers.inspect(container.id);
    const { stdout } = await subject.exec(container.id, [
      "sh",
      "-c",
      "ip -4 -o addr show eth0 | awk '{print $4}'; ip route | grep default | cut -d' ' -f3; cat /sys/class/net/eth0/address; grep web /etc/hosts | cut -f1",
    ]);
    const [address, gateway, mac, host] = stdout.split("\n");
    expect(address).toBe(`${NetworkSettings.IPAddress}/${NetworkSettings.IPPrefixLen}`);
    expect(gateway).toBe(NetworkSettings.Gateway);
    expect(mac).toBe(NetworkSettings.MacAddress);
    expect(host).toBe(NetworkSettings.IPAddress);
    expect(NetworkSettings.Networks.bridge).toMatchObject({
      IPAddress: NetworkSettings.IPAddress,
      Gateway: NetworkSettings.Gateway,
      MacAddress: NetworkSettings.MacAddress,
    });
    expect(NetworkSettings.Networks.bridge?.NetworkID).toMatch(/^[0-9a-f]{64}$/);
    expect(NetworkSettings.SandboxKey.length).toBeGreaterThan(0);
  });

  test("containers on the bridge reach each other", async () => {
    await using server = await subject.start(["sh", "-c", page]);
    const { NetworkSettings } = await subject.engine.containers.inspect(server.id);
    const output = await subject.shell(
      `for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 ${NetworkSettings.IPAddress} 80 < /dev/null && exit 0; sleep 0.2; done; exit 1`,
    );
    expect(output).toContain("hello");
  });

  test("two containers have two addresses, and one that stops has none", async () => {
    await using first = await subject.start(["sleep", "600"]);
    await using second = await subject.start(["sleep", "600"]);
    const addressOf = async (id: string): Promise<string> =>
      (await subject.engine.containers.inspect(id)).NetworkSettings.IPAddress;
    expect(await addressOf(first.id)).not.toBe(await addressOf(second.id));
    await subject.engine.containers.stop(first.id, { timeout: 0 });
    expect(await addressOf(first.id)).toBe("");
  });

  test("without a network there is the loopback only", async () => {
    const output = await subject.shell("ls /sys/class/net; ip -o addr show lo | grep -c 127.0.0.1", {
      HostConfig: { NetworkMode: "none" },
    });
    expect(
      output
        .split("\n")
        .filter((line) => !/^(ifb|tunl|sit|gre|ip6tnl|erspan|ip_vti|ip6_vti|ip6gre|gretap)/.test(line)),
    ).toEqual(["lo", "1"]);
    await using container = await subject.create({ HostConfig: { NetworkMode: "none" } });
    const { NetworkSettings } = await subject.engine.containers.inspect(container.id);
    expect(Object.keys(NetworkSettings.Networks)).toEqual(["none"]);
  });

  test("another container's network is shared whole", async () => {
    await using first = await subject.start(["sh", "-c", page], { Hostname: "first" });
    const { NetworkSettings } = await subject.engine.containers.inspect(first.id);
    const output = await subject.shell(
      "ip -4 -o addr show eth0 | awk '{print $4}'; hostname; for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 127.0.0.1 80 < /dev/null && exit 0; sleep 0.2; done; exit 1",
      { HostConfig: { NetworkMode: `container:${first.id}` } },
    );
    expect(output).toContain(`${NetworkSettings.IPAddress}/${NetworkSettings.IPPrefixLen}\nfirst\n`);
    expect(output).toContain("hello");
  });

  test("another container's network is there only while that one runs", async () => {
    const name = uniqueName();
    await using first = await subject.create({ name, Cmd: ["true"] });
    await using second = await subject.create({
      Cmd: ["true"],
      HostConfig: { NetworkMode: `container:${name}` },
    });
    const failure = await failureOf(subject.engine.containers.start(second.id));
    expect(failure.message).toMatch(
      new RegExp(`cannot join network of a non running container: ${first.id}`),
    );
  });

  test("ports are refused where there is no network for them", async () => {
    await expectFailure(
      subject.create({
        ExposedPorts: { "80/tcp": {} },
        HostConfig: { NetworkMode: "container:x", PortBindings: { "80/tcp": [{ HostPort: "80" }] } },
      }),
      "invalid",
      "conflicting options: port publishing and the container type network mode",
    );
    await expectFailure(
      subject.create({ Hostname: "web", HostConfig: { NetworkMode: "container:x" } }),
      "invalid",
      "conflicting options: hostname and the network mode",
    );
  });

  test("published ports are told by inspect and list", async () => {
    await using container = await subject.start(["sleep", "600"], {
      ExposedPorts: { "80/tcp": {}, "53/udp": {}, "9/tcp": {} },
      HostConfig: {
        PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }], "53/udp": [{ HostPort: "0" }] },
      },
    });
    const { NetworkSettings } = await subject.engine.containers.inspect(container.id);
    expect(Object.keys(NetworkSettings.Ports).toSorted()).toEqual(["53/udp", "80/tcp", "9/tcp"]);
    expect(NetworkSettings.Ports["9/tcp"]).toBeNull();
    const [web] = NetworkSettings.Ports["80/tcp"] ?? [];
    expect(web?.HostIp).toBe("127.0.0.1");
    expect(Number(web?.HostPort)).toBeGreaterThan(1023);
    const rows = await subject.engine.containers.list({ filters: { id: [container.id] } });
    const ports = rows[0]?.Ports ?? [];
    expect(ports).toContainEqual({
      IP: "127.0.0.1",
      PrivatePort: 80,
      PublicPort: Number(web?.HostPort),
      Type: "tcp",
    });
    expect(ports).toContainEqual({ PrivatePort: 9, Type: "tcp" });
    expect(
      ports.some((port) => port.PrivatePort === 53 && port.Type === "udp" && port.IP === "0.0.0.0"),
    ).toBe(true);
  });

  test("all exposed ports can be published", async () => {
    await using container = await subject.start(["sleep", "600"], {
      ExposedPorts: { "80/tcp": {}, "81/tcp": {} },
      HostConfig: { PublishAllPorts: true },
    });
    const { NetworkSettings } = await subject.engine.containers.inspect(container.id);
    const [first, second] = ["80/tcp", "81/tcp"].map((port) => NetworkSettings.Ports[port]?.[0]?.HostPort);
    expect(Number(first)).toBeGreaterThan(1023);
    expect(Number(second)).toBeGreaterThan(1023);
    expect(first).not.toBe(second);
  });

  test("a port that is taken is refused, and free again when its container is gone", async () => {
    const publish = (HostPort: string) => ({
      ExposedPorts: { "80/tcp": {} },
      HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort }] } },
    });
    await using first = await subject.start(["sleep", "600"], publish(""));
    const { NetworkSettings } = await subject.engine.containers.inspect(first.id);
    const port = NetworkSettings.Ports["80/tcp"]?.[0]?.HostPort ?? "";
    await using second = await subject.create({ Cmd: ["sleep", "600"], ...publish(port) });
    const failure = await failureOf(subject.engine.containers.start(second.id));
    expect(failure.message).toContain(`Bind for 127.0.0.1:${port} failed: port is already allocated`);
    expect((await subject.engine.containers.inspect(second.id)).State.Status).toBe("created");
    await subject.engine.containers.remove(first.id, { force: true });
    await subject.engine.containers.start(second.id);
    expect((await subject.engine.containers.inspect(second.id)).State.Running).toBe(true);
  });

  test("the three networks are there", async () => {
    const networks = await subject.engine.networks.list();
    expect(networks.map(({ Name, Driver }) => `${Name} ${Driver}`).toSorted()).toEqual([
      "bridge bridge",
      "host host",
      "none null",
    ]);
    await using container = await subject.start(["sleep", "600"]);
    const bridge = await subject.engine.networks.inspect("bridge");
    expect(bridge.IPAM.Config?.[0]?.Subnet).toMatch(/^\d+\.\d+\.\d+\.\d+\/\d+$/);
    const { NetworkSettings, Name } = await subject.engine.containers.inspect(container.id);
    expect(bridge.Containers[container.id]).toMatchObject({
      Name: Name.slice(1),
      IPv4Address: `${NetworkSettings.IPAddress}/${NetworkSettings.IPPrefixLen}`,
      MacAddress: NetworkSettings.MacAddress,
    });
    expect((await subject.engine.networks.inspect(bridge.Id)).Name).toBe("bridge");
    await expectFailure(subject.engine.networks.inspect("nope"), "notFound", "network nope not found");
  });

  test("an unknown network is refused", async () => {
    await using container = await subject
      .create({ Cmd: ["true"], HostConfig: { NetworkMode: "no-such-network" } })
      .catch((error: Error) => {
        // Docker 20.10 says it at the start only.
        expect(error.message).toContain("network no-such-network not found");
        return { id: "", warnings: [], [Symbol.asyncDispose]: async () => undefined };
      });
    if (container.id === "") return;
    await expectFailure(
      subject.engine.containers.start(container.id),
      "notFound",
      "network no-such-network not found",
    );
  });

  test("a restarted container has its network again", async () => {
    await using container = await subject.start(["sleep", "600"]);
    await subject.engine.containers.restart(container.id, { timeout: 0 });
    const { NetworkSettings } = await subject.engine.containers.inspect(container.id);
    const { stdout } = await eventually(async () => {
      const outcome = await subject.exec(container.id, [
        "sh",
        "-c",
        "ip -4 -o addr show eth0 | awk '{print $4}'",
      ]);
      return outcome.code === 0 ? outcome : undefined;
    });
    expect(stdout).toBe(`${NetworkSettings.IPAddress}/${NetworkSettings.IPPrefixLen}\n`);
  });
});
