/** The table build_inputs: what went into the steps of earlier builds. */
import type { State } from "../../state/state.ts";
import type { StepInputs } from "./inputs.ts";

export interface InputsRow {
  readonly line: string;
  readonly place: string;
  readonly title: string;
  readonly key: string;
}

/** Rows and bytes kept; the oldest go first. */
const mostRows = 5000;
const mostBytes = 64 << 20;
/** Of one row; more is kept without its files. */
const largestRow = 4 << 20;

/** The steps of a line of builds, by place. */
export function rowsOfLine({ db }: State, line: string): Map<string, InputsRow> {
  const rows = db
    .query<InputsRow, [string]>("SELECT line, place, title, key FROM build_inputs WHERE line = ?1")
    .all(line);
  return new Map(rows.map((row) => [row.place, row]));
}

/** The same instruction in another line of builds, the latest. */
export function rowOfTitle({ db }: State, title: string): InputsRow | undefined {
  return (
    db
      .query<InputsRow, [string]>(
        "SELECT line, place, title, key FROM build_inputs WHERE title = ?1 ORDER BY noted_at DESC LIMIT 1",
      )
      .get(title) ?? undefined
  );
}

export function readInputs({ db }: State, { line, place }: InputsRow): StepInputs | undefined {
  const row = db
    .query<{ inputs: Uint8Array }, [string, string]>(
      "SELECT inputs FROM build_inputs WHERE line = ?1 AND place = ?2",
    )
    .get(line, place);
  // We are the only ones who write it.
  return row === null
    ? undefined
    : (JSON.parse(Buffer.from(Bun.zstdDecompressSync(row.inputs)).toString()) as StepInputs);
}

export function packInputs(inputs: StepInputs): Uint8Array {
  const packed = Bun.zstdCompressSync(Buffer.from(JSON.stringify(inputs)), { level: 1 });
  if (packed.byteLength <= largestRow) return packed;
  const { files: _, ...rest } = inputs;
  return Bun.zstdCompressSync(Buffer.from(JSON.stringify(rest)), { level: 1 });
}

/** Each takes the place of what is known of its step. */
export function writeInputs(state: State, rows: readonly (InputsRow & { inputs: Uint8Array })[]): void {
  if (rows.length === 0) return;
  const { db } = state;
  state.transaction(() => {
    const write = db.query("INSERT OR REPLACE INTO build_inputs VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    const now = Date.now();
    for (const { line, place, title, key, inputs } of rows) write.run(line, place, title, key, inputs, now);
    db.query(
      `DELETE FROM build_inputs WHERE rowid IN (
         SELECT rowid FROM (
           SELECT rowid, row_number() OVER latest AS position, sum(length(inputs)) OVER latest AS bytes
             FROM build_inputs WINDOW latest AS (ORDER BY noted_at DESC, rowid DESC)
         ) WHERE position > ?1 OR bytes > ?2
       )`,
    ).run(mostRows, mostBytes);
  });
}
