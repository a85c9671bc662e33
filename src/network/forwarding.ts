/** Says why containers may not reach the outside: someone else's rules drop what this host forwards. */
import type { Instance } from "../core/instance.ts";
import { type BaseChain, listBaseChains, Nftables } from "../linux/nftables.ts";

/**
 * A warning for people, when another table's forward chain drops by policy what it does not accept, and says
 * nothing of this instance's bridge; undefined when nothing is in the way. davit never overrides such a policy.
 * Takes milliseconds: not for the way of every `run`.
 */
export function explainForwardPolicy(instance: Instance): string | undefined {
  const dropping = listBaseChains().filter(
    (chain) =>
      chain.hook === "forward" &&
      chain.policy === "drop" &&
      chain.table !== instance.table &&
      chain.type === "filter",
  );
  const silent = dropping.find((chain) => !mentions(chain, instance.bridge));
  if (silent === undefined) return undefined;
  const { family, table, name } = silent;
  return (
    `chain ${name} of the firewall table ${family} ${table} drops forwarded packets by its policy, so containers on ` +
    `${instance.bridge} may not reach, nor be reached from, other machines; to let them: ${remedy(silent, instance.bridge)}`
  );
}

/** Rules for the bridge stand somewhere in the table: whoever wrote them has decided. */
function mentions(chain: BaseChain, bridge: string): boolean {
  using nftables = new Nftables();
  return nftables.run(`list table ${chain.family} ${chain.table}`).includes(`"${bridge}"`);
}

function remedy(chain: BaseChain, bridge: string): string {
  if (chain.family === "ip" && chain.table === "filter" && chain.name === "FORWARD") {
    return `iptables -I FORWARD -i ${bridge} -j ACCEPT; iptables -I FORWARD -o ${bridge} -j ACCEPT`;
  }
  const rule = `nft insert rule ${chain.family} ${chain.table} ${chain.name}`;
  return `${rule} iifname ${bridge} accept; ${rule} oifname ${bridge} accept`;
}
