/**
 * Named points at which the tests kill this process with SIGKILL, as a power cut or the OOM killer would.
 * Off unless `main` arms one. A point is named `verb:step`, for example `start:mounted`.
 */
let armed: string | undefined;

/** Arms one point; called by `main` only, from DAVIT_FAULT. */
export function armFault(point: string | undefined): void {
  armed = point;
}

/** Dies here if this point is armed. */
export function faultPoint(point: string): void {
  if (armed === point) process.kill(process.pid, "SIGKILL");
}
