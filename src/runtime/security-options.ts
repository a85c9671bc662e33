/** `--security-opt`, as the Engine API has it. */
import { InvalidParameter } from "../core/errors.ts";

export interface SecurityOptions {
  noNewPrivileges: boolean;
  /** `profile` is the JSON text itself. */
  seccomp: "default" | "unconfined" | { profile: string };
  /** Give the container its cgroups writable (`writable-cgroups=true`). */
  writableCgroups: boolean;
}

/** @throws InvalidParameter `invalid --security-opt 1: "foo"`. */
export function parseSecurityOptions(options: readonly string[]): SecurityOptions {
  const parsed: SecurityOptions = { noNewPrivileges: false, seccomp: "default", writableCgroups: false };
  for (const option of options) {
    if (option === "no-new-privileges") {
      parsed.noNewPrivileges = true;
      continue;
    }
    if (option === "disable") continue;
    // `key=value`; `key:value` is the old form.
    const at = option.search(/[=:]/);
    if (at < 0) throw new InvalidParameter(`invalid --security-opt 1: ${JSON.stringify(option)}`);
    const key = option.slice(0, at);
    const value = option.slice(at + 1);
    switch (key) {
      case "no-new-privileges":
        parsed.noNewPrivileges = parseBoolean(value, option);
        break;
      case "seccomp":
        parsed.seccomp =
          value === "unconfined" ? value : value === "builtin" ? "default" : { profile: value };
        break;
      case "writable-cgroups":
        parsed.writableCgroups = parseBoolean(value, option);
        break;
      case "apparmor":
      case "label":
        // No AppArmor or SELinux confinement is applied, so there is nothing to change.
        break;
      default:
        throw new InvalidParameter(`invalid --security-opt 2: ${JSON.stringify(option)}`);
    }
  }
  return parsed;
}

function parseBoolean(value: string, option: string): boolean {
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw new InvalidParameter(`invalid --security-opt 2: ${JSON.stringify(option)}`);
}
