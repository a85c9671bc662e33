import { DavitError } from "../../core/errors.ts";

/** A step that failed by itself: its program ended with an error, or its files are not there. */
export class StepFailure extends DavitError {
  override readonly name = "StepFailure";
  /** Of the program; 1 for other steps. */
  readonly exitCode: number;

  constructor(message: string, exitCode = 1, options?: { cause?: unknown }) {
    super("invalid", message, options);
    this.exitCode = exitCode;
  }
}
