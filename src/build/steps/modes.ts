/** `--chmod`: octal, or symbolic as chmod(1) has it, applied to a node's mode. */
import { nodeType } from "../../linux/nodes.ts";
import { StepFailure } from "./failure.ts";

export type ModeChange = (mode: number) => number;

const shifts = { u: 6, g: 3, o: 0 } as const;
type Who = keyof typeof shifts;

/** @param text checked by the front end; empty to change nothing. */
export function modeChange(text: string): ModeChange | undefined {
  if (text === "") return undefined;
  if (/^[0-7]+$/.test(text)) {
    const bits = Number.parseInt(text, 8);
    return () => bits;
  }
  const clauses = text.split(",");
  return (mode) => clauses.reduce(applyClause, mode);
}

function applyClause(mode: number, clause: string): number {
  const [, who = "", actions = ""] = /^([ugoa]*)(.*)$/.exec(clause) ?? [];
  const all: readonly Who[] = ["u", "g", "o"];
  const chosen = who === "" || who.includes("a") ? all : all.filter((each) => who.includes(each));
  let bits = mode & 0o7777;
  for (const [, operator = "", permissions = ""] of actions.matchAll(/([-+=])([rwxXstugo]*)/g)) {
    bits = applyAction(bits, mode, chosen, operator, permissions);
  }
  return (mode & ~0o7777) | bits;
}

function applyAction(
  bits: number,
  mode: number,
  chosen: readonly Who[],
  operator: string,
  permissions: string,
): number {
  let given = 0;
  let cleared = 0;
  for (const who of chosen) {
    given |= triple(bits, mode, permissions) << shifts[who];
    cleared |= 0o7 << shifts[who];
    if (who === "u") cleared |= 0o4000;
    if (who === "g") cleared |= 0o2000;
    if (permissions.includes("s") && who === "u") given |= 0o4000;
    if (permissions.includes("s") && who === "g") given |= 0o2000;
  }
  // As BSD's chmod, which BuildKit follows: it is nothing that only others may have.
  if (permissions.includes("t") && chosen.some((who) => who !== "o")) given |= 0o1000;
  switch (operator) {
    case "+":
      return bits | given;
    case "-":
      return bits & ~given;
    case "=":
      return (bits & ~cleared) | given;
    default:
      throw new StepFailure(`invalid chmod operator: ${operator}`);
  }
}

function triple(bits: number, mode: number, permissions: string): number {
  let value = 0;
  for (const letter of permissions) {
    if (letter === "r") value |= 4;
    else if (letter === "w") value |= 2;
    else if (letter === "x") value |= 1;
    else if (letter === "X" && ((mode & nodeType.mask) === nodeType.directory || (bits & 0o111) !== 0))
      value |= 1;
    else if (letter === "u" || letter === "g" || letter === "o") value |= (bits >> shifts[letter]) & 7;
  }
  return value;
}
