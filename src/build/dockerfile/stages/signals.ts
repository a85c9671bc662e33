/** STOPSIGNAL's names. */
import { LineFault } from "../errors.ts";

const names = new Set(
  (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP " +
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
  ).split(" "),
);

/** @throws LineFault `invalid signal: …` */
export function checkSignal(signal: string): void {
  if (/^[-+]?[0-9]+$/.test(signal)) {
    if (Number(signal) !== 0) return;
  } else {
    const name = signal.toUpperCase().replace(/^SIG/, "");
    const [, , offset] = /^RT(MIN\+|MAX-)([0-9]+)$/.exec(name) ?? [];
    if (names.has(name)) return;
    const most = name.startsWith("RTMIN") ? 15 : 14;
    if (offset !== undefined && Number(offset) >= 1 && Number(offset) <= most && !offset.startsWith("0"))
      return;
  }
  throw new LineFault(`invalid signal: ${signal}`);
}
