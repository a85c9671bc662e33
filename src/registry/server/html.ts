/** HTML in which everything is escaped that was not written here. */
import { inDecimalUnits } from "../../core/sizes.ts";

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

/** `1.98 MB`: decimal units, as registries and Docker count; three digits. */
export function sizeText(bytes: number): string {
  const { size, unit } = inDecimalUnits(bytes, 999.5);
  return `${unit === "B" ? Math.round(size) : size.toPrecision(3)} ${unit}`;
}
