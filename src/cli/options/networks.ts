/** `--network`, in its short form (a name) and long form (`name=x,alias=y,ip=z`), and the flags about it. */
import type { EndpointSettings, NetworkingConfig } from "../../core/objects.ts";
import { quote } from "../../core/strconv.ts";
import { BadValue } from "../flags/values.ts";
import { splitCsv, splitPair } from "./key-values.ts";

export interface NetworkAttachment {
  name: string;
  aliases: string[];
  driverOptions: Record<string, string>;
  ipv4: string;
  ipv6: string;
  linkLocal: string[];
  macAddress: string;
}

/** @throws BadValue in Docker's words */
export function parseNetwork(text: string): NetworkAttachment {
  const attachment: NetworkAttachment = {
    name: text,
    aliases: [],
    driverOptions: {},
    ipv4: "",
    ipv6: "",
    linkLocal: [],
    macAddress: "",
  };
  if (!/\w+=\w+(,\w+=\w+)*/.test(text)) return attachment;
  attachment.name = "";
  for (const field of splitCsv(text)) {
    if (!field.includes("=")) throw new BadValue(`invalid field ${field}`);
    const [rawKey, rawValue] = splitPair(field);
    const value = rawValue.trim();
    switch (rawKey.trim().toLowerCase()) {
      case "name":
        attachment.name = value;
        break;
      case "alias":
        attachment.aliases.push(value);
        break;
      case "driver-opt": {
        const [name, setting] = splitPair(value);
        if (!value.includes("=")) throw new BadValue("invalid key value pair format in driver options");
        attachment.driverOptions[name.trim().toLowerCase()] = setting.trim();
        break;
      }
      case "ip":
        attachment.ipv4 = value;
        break;
      case "ip6":
        attachment.ipv6 = value;
        break;
      case "link-local-ip":
        attachment.linkLocal.push(value);
        break;
      case "mac-address":
        attachment.macAddress = value;
        break;
      default:
        throw new BadValue(`invalid field key ${rawKey}`);
    }
  }
  if (attachment.name === "") throw new BadValue("network name/id is not specified");
  return attachment;
}

/** What other flags say about the first network. */
export interface FirstNetwork {
  aliases: readonly string[];
  links: readonly string[];
  ipv4: string;
  ipv6: string;
  linkLocal: readonly string[];
  macAddress: string;
}

function isUserDefined(name: string): boolean {
  return !["", "default", "bridge", "host", "none"].includes(name) && !name.startsWith("container:");
}

/** @throws BadValue when flags contradict each other */
export function networkingConfig(
  attachments: readonly NetworkAttachment[],
  first: FirstNetwork,
): NetworkingConfig {
  const endpoints: Record<string, EndpointSettings> = {};
  const names = attachments.length === 0 ? [parseNetwork("default")] : attachments;
  names.forEach((attachment, index) => {
    if (Object.hasOwn(endpoints, attachment.name)) {
      throw new BadValue(`network ${quote(attachment.name)} is specified multiple times`);
    }
    const hasAliases = attachment.aliases.length > 0 || (index === 0 && first.aliases.length > 0);
    if (hasAliases && !isUserDefined(attachment.name)) {
      throw new BadValue("network-scoped aliases are only supported for user-defined networks");
    }
    const endpoint = endpointOf(index === 0 ? combine(attachment, first) : attachment);
    const links = index === 0 && first.links.length > 0 && isUserDefined(attachment.name);
    if (links) endpoint.Links = [...first.links];
    if (names.length > 1 || Object.keys(endpoint).length > 0) endpoints[attachment.name] = endpoint;
  });
  const userDefined = attachments.filter((attachment) => isUserDefined(attachment.name)).length;
  if (userDefined > 0 && userDefined < attachments.length) {
    throw new BadValue(
      "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
    );
  }
  return { EndpointsConfig: endpoints };
}

function combine(attachment: NetworkAttachment, first: FirstNetwork): NetworkAttachment {
  const conflict = (flag: string, own: string) =>
    new BadValue(`conflicting options: cannot specify both --${flag} and per-network ${own}`);
  if (attachment.aliases.length > 0 && first.aliases.length > 0) throw conflict("network-alias", "alias");
  if (attachment.ipv4 !== "" && first.ipv4 !== "") throw conflict("ip", "IPv4 address");
  if (attachment.ipv6 !== "" && first.ipv6 !== "") throw conflict("ip6", "IPv6 address");
  if (attachment.macAddress !== "" && first.macAddress !== "") throw conflict("mac-address", "MAC address");
  if (attachment.linkLocal.length > 0 && first.linkLocal.length > 0) {
    throw conflict("link-local-ip", "link-local IP addresses");
  }
  return {
    ...attachment,
    aliases: [...attachment.aliases, ...first.aliases],
    ipv4: attachment.ipv4 || first.ipv4,
    ipv6: attachment.ipv6 || first.ipv6,
    linkLocal: [...attachment.linkLocal, ...first.linkLocal],
    macAddress: attachment.macAddress || first.macAddress,
  };
}

function endpointOf(attachment: NetworkAttachment): EndpointSettings {
  const { aliases, driverOptions, ipv4, ipv6, linkLocal, macAddress } = attachment;
  if (macAddress !== "" && !/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(macAddress)) {
    throw new BadValue(`${macAddress} is not a valid mac address`);
  }
  const hasAddress = ipv4 !== "" || ipv6 !== "" || linkLocal.length > 0;
  return {
    ...(aliases.length > 0 ? { Aliases: aliases } : {}),
    ...(Object.keys(driverOptions).length > 0 ? { DriverOpts: driverOptions } : {}),
    ...(macAddress === "" ? {} : { MacAddress: macAddress }),
    ...(hasAddress
      ? {
          IPAMConfig: {
            ...(ipv4 === "" ? {} : { IPv4Address: ipv4 }),
            ...(ipv6 === "" ? {} : { IPv6Address: ipv6 }),
            ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: linkLocal }),
          },
        }
      : {}),
  };
}
