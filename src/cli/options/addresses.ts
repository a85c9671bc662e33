/** IP addresses, as text. node:net could tell, but costs 3 ms to load on the way of every `run`. */

const octet = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const ipv4 = new RegExp(`^${octet}(\\.${octet}){3}$`);

/** True for an IPv4 address in dotted form or an IPv6 address (RFC 4291, section 2.2), without a zone. */
export function isIpAddress(text: string): boolean {
  return ipv4.test(text) || isIpv6(text);
}

function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const last = groups.at(-1) ?? "";
  const hasIpv4 = last.includes(".");
  if (hasIpv4 && (!ipv4.test(last) || text.endsWith("::"))) return false;
  const words = hasIpv4 ? groups.slice(0, -1) : groups;
  if (!words.every((word) => /^[0-9a-fA-F]{1,4}$/.test(word))) return false;
  const count = words.length + (hasIpv4 ? 2 : 0);
  return halves.length === 2 ? count <= 7 : count === 8;
}
