/** HTML in which everything is escaped that was not written here. */

/** Text that is HTML already. */
export interface Html {
  readonly text: string;
}

/** Template tag: strings are escaped, `Html` stays as it is. */
export function html(parts: TemplateStringsArray, ...values: (string | Html)[]): Html {
  const text = parts
    .map((part, index) => {
      const value = values[index];
      if (value === undefined) return part;
      return part + (typeof value === "string" ? escapeHtml(value) : value.text);
    })
    .join("");
  return { text };
}

export function join(parts: readonly Html[]): Html {
  return { text: parts.map(({ text }) => text).join("\n") };
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

/** Decimal units, as registries and Docker count. */
export function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toPrecision(3)} ${units[unit] ?? ""}`;
}
